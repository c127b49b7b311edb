"""`glintbox locate` as a user runs it, on a tiny random checkpoint of a real class."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL.Image import Image
from typer.testing import CliRunner, Result

from glintbox.artifacts import LOCALIZATION_FILE, save_heads
from glintbox.boxes import Box, Size
from glintbox.cli.main import app
from glintbox.lvlm.loading import load
from glintbox.records import Grounding, Head, HeadMap, Rle, Search, Selection, from_json
from tests.lvlm.tiny import picture, tiny_checkpoint

HEADS = (Head(1, 2), Head(0, 3))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With localization heads beside it."""
    folder = tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny", "qwen2_5_vl")
    setting = load(folder).card.setting(prompt="expression", view="default", moment="predicting")
    ranked = (*HEADS, Head(2, 0))
    selection = Selection("scenes", 9, Search(), (0.2,), ranked, (0.5,) * 3, (0.0,) * 3)
    save_heads(HeadMap(setting, "by hand", {"text": HEADS}, selection=selection), folder / LOCALIZATION_FILE)
    return folder


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("GLINTBOX_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    picture(140, 84).save("wide.png")
    picture(84, 112, seed=1).save("tall.png")
    yield


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["locate", *(str(word) for word in words)])


def test_a_run_writes_pictures_and_results_and_goes_on_where_it_stopped(model: Path) -> None:
    words = ["wide.png", "tall.png", "--expression", "the red box", "--model", model, "--out", "out"]
    first = run(*words)
    assert first.exit_code == 0, first.stderr
    names = ["settings.json", "tall.json", "tall.png", "wide.json", "wide.png"]
    assert sorted(path.name for path in Path("out").iterdir()) == names
    found = from_json(Grounding, Path("out/wide.json").read_bytes())
    assert (found.id, found.method, found.found.query) == ("wide", "localization-heads", "the red box")
    assert found.found.text_map is not None and found.found.text_map.heads == HEADS
    [best] = found.boxes
    assert best.mask is not None and best.mask.size == Size(140, 84) and f"{best.box.x1:.0f}" in first.stdout
    kept = Path("out/wide.json").stat().st_mtime_ns
    Path("out/tall.json").unlink()
    again = run(*words)
    assert again.exit_code == 0 and "1 of 2 are finished" in again.stderr
    assert Path("out/wide.json").stat().st_mtime_ns == kept and Path("out/tall.json").is_file()
    other = run(*words, "--sigma", "0.4")
    assert other.exit_code == 2 and "sigma: there 1.0, now 0.4" in other.stderr


def test_several_expressions_of_a_list_and_more_heads_than_are_named(model: Path) -> None:
    lines = [
        {"image": "wide.png", "query": query, "id": f"q{n}"} for n, query in enumerate(["a cup", "x" * 2000, "a dog."])
    ]
    Path("list.jsonl").write_text("\n".join(map(json.dumps, lines)))
    told = run("list.jsonl", "--model", model, "--json", "--k", 3, "--largest", "all")
    assert told.exit_code == 1 and "failed: q1" in told.stderr and "1,000 characters" in told.stderr
    found = [from_json(Grounding, line) for line in told.stdout.splitlines()]
    assert [one.id for one in found] == ["q0", "q2"]
    assert all(one.found.text_map is not None and len(one.found.text_map.heads) == 3 for one in found)


def test_several_things_of_one_expression_have_a_box_each_and_the_folder_keeps_to_it(model: Path) -> None:
    words = ["wide.png", "-e", "[the cup] by the [red box], a dog", "--model", model, "--out", "out"]
    told = run(*words, "--several")
    assert told.exit_code == 0, told.stderr
    found = from_json(Grounding, Path("out/wide.json").read_bytes())
    assert found.found.query == "the cup by the red box, a dog" and Path("out/wide.png").is_file()
    assert [one.text for one in found.found.span_maps] == ["the cup", "red box"] == [one.label for one in found.boxes]
    assert "the cup: [" in told.stdout and "red box: [" in told.stdout
    other = run(*words)
    assert other.exit_code == 2 and "several: there True, now False" in other.stderr
    broken = run("wide.png", "-e", "the cup and", "--model", model, "--several", "--json")
    assert broken.exit_code == 1 and "failed: wide" in broken.stderr and "got an empty one" in broken.stderr


def test_masks_of_a_mask_model_take_the_place_of_tokens(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def sam_masks(image: Image, boxes: list[Box], *, model: str) -> list[Rle]:
        asked.append((image.size, boxes, model))
        return [Rle(Size(*image.size), (0, image.width * image.height)) for _ in boxes]

    monkeypatch.setattr("glintbox.lvlm.sam.load_sam", lambda name, **options: f"loaded {name}")
    monkeypatch.setattr("glintbox.lvlm.sam.sam_masks", sam_masks)
    told = run("wide.png", "-e", "a cup", "--model", model, "--json", "--mask", "some/sam")
    assert told.exit_code == 0, told.stderr
    [best] = from_json(Grounding, told.stdout).boxes
    assert best.mask == Rle(Size(140, 84), (0, 140 * 84)) and asked == [((140, 84), [best.box], "loaded some/sam")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "expected a query"),
        (["-e", " "], "expected a query"),
        (["-e", "a cup", "--k", "4"], "expected 1 <= k <= 3, the localization heads that are known, got 4"),
        (["-e", "a cup", "--kernel", "4"], "sigma >= 0 cells and an odd kernel >= 1, got 1.0 and 4"),
        (["-e", "a cup", "--heads", "none.json"], "expected a map of localization heads at none.json"),
        (["-e", "a cup", "--heads", "coordinates.json"], "expected heads for text in the head map"),
        (
            ["-e", "a cup", "--heads", "other.json"],
            "SettingMismatch: this map of localization heads belongs to another",
        ),
    ],
)
def test_bad_input_exits_with_2_and_says_what_to_do(words: list[str], message: str, model: Path) -> None:
    setting = load(model).card.setting(prompt="expression", view="default", moment="predicting")
    save_heads(HeadMap(setting, "by hand", {"x1": HEADS}), Path("coordinates.json"))
    strange = setting.__class__("other", *(getattr(setting, name) for name in setting.__slots__[1:]))
    save_heads(HeadMap(strange, "by hand", {"text": HEADS}), Path("other.json"))
    told = run("wide.png", "--model", model, *words)
    assert told.exit_code == 2 and message in " ".join(told.stderr.split()), told.stderr


def test_a_model_without_localization_heads_says_how_to_find_some(tmp_path: Path) -> None:
    bare = tiny_checkpoint(tmp_path / "bare", "llava", layers=1)
    told = run("wide.png", "-e", "a cup", "--model", bare)
    assert told.exit_code == 2
    assert (
        "NoArtifact: expected the localization heads of this model, got none; find some with: glintbox heads find"
        in (" ".join(told.stderr.split()))
    )
