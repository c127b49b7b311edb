"""The model in the box, loaded as a user would: it fits its artefacts and its size, and finds what is large."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from glintbox import Grounder, embedded
from glintbox.boxes import Box, iou
from glintbox.cli.main import app
from glintbox.datasets.scenes import draw_scene, scene_seed
from glintbox.evaluate import Evaluation
from glintbox.records import COORDS, Grounding, from_json

ROOT = Path(__file__).parent.parent
SCENES = json.loads((ROOT / "examples" / "images" / "scenes.json").read_text())

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def grounder() -> Grounder:
    return Grounder.from_pretrained()


def test_the_checkpoint_is_small_and_ordinary() -> None:
    files = {path.name: path.stat().st_size for path in embedded.folder().iterdir()}
    assert sum(files.values()) < 40e6
    assert {"config.json", "model.safetensors", "tokenizer.json", "preprocessor_config.json"} <= set(files)


def test_its_head_map_is_of_this_very_checkpoint(grounder: Grounder) -> None:
    assert grounder.heads is not None
    assert grounder.heads.setting == grounder.setting
    assert [len(grounder.heads.heads[coord]) for coord in COORDS] == [3, 3, 3, 3]
    assert (len(grounder.lvlm.card.usable), grounder.lvlm.card.heads) == (8, 8)


@pytest.mark.parametrize("text", ["naïve café", "红色的杯子", "🐑 or 🐏", 'a "quoted" {name}\n\ttab', "12345"])
def test_its_tokenizer_loses_nothing_and_writes_digits_one_by_one(grounder: Grounder, text: str) -> None:
    tokenizer = grounder.lvlm.loaded.tokenizer  # type: ignore[attr-defined]  # this one is a HuggingFaceLVLM
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert all(len(tokenizer.decode([i])) == 1 for i in ids if tokenizer.decode([i]).strip().isdigit())


def test_greedy_finds_large_objects_on_pictures_it_has_not_seen(grounder: Grounder) -> None:
    hits: list[bool] = []
    for index in range(40):
        scene = draw_scene(scene_seed("validation", index))
        large = [found for found in scene.objects if found.area > 0.05 and len(scene.boxes(found.label)) == 1]
        for found in grounder.ground([(scene.image, target.label) for target in large], n=1) if large else ():
            [truth] = scene.boxes(found.found.query)
            hits.append(bool(found.greedy) and iou(found.greedy[0], truth) >= 0.5)
    assert len(hits) >= 20
    assert sum(hits) / len(hits) >= 0.8


def test_the_demo_finds_what_is_there(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["ground", str(ROOT / "examples" / "demo.jsonl"), "--out", str(tmp_path)])
    assert result.exit_code == 0, result.stderr
    overlaps: list[float] = []
    for scene in SCENES:
        found = from_json(Grounding, (tmp_path / f"{Path(scene['file']).stem}.json").read_bytes())
        assert found.method == "consensus" and "head map chose the right box in" in found.found.notes[-1]
        overlaps.append(max(iou(found.boxes[0].box, Box(*true)) for true in scene["truth"]))
        assert (tmp_path / f"{Path(scene['file']).stem}.png").stat().st_size > 50_000
    assert min(overlaps) > 0.5


def test_evaluate_judges_every_selector_and_rival_on_the_same_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLINTBOX_CACHE", str(tmp_path / "cache"))
    words = ["evaluate", "scenes", "--size", "any", "--limit", "4", "--selector", "greedy,consensus,acs-free"]
    words += ["--rivals", "upscale,crop", "--n", "3", "--json"]
    first = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "out")])
    assert first.exit_code == 0, first.stderr
    found = from_json(Evaluation, first.stdout)
    reports = {report.method: report for report in found.reports if report.size == "all"}
    assert list(reports) == ["greedy", "consensus", "acs-free", "upscale", "crop"]
    assert {report.n for report in reports.values()} == {4}
    assert len({(report.oracle, report.greedy) for report in reports.values()}) == 1
    assert reports["greedy"].gain == 0
    cost = {cost.method: cost for cost in found.costs}
    assert cost["upscale"].image_tokens == pytest.approx(4 * cost["greedy"].image_tokens, rel=0.1)
    again = from_json(Evaluation, CliRunner().invoke(app, words).stdout)
    assert (again.reports, again.pairs) == (found.reports, found.pairs), "kept answers give the same report"
    assert "| greedy |" in (tmp_path / "out" / "report.md").read_text()
