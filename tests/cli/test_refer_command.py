"""`glintbox refer` as a user runs it, on a folder in RefCOCO's layout: one table, pictures, shards, wrong words."""

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from glintbox.boxes import Box
from glintbox.cli.main import app
from glintbox.evaluate_refer import ReferEvaluation, filled
from glintbox.ground import Grounder
from glintbox.records import Rle, from_json
from tests.refer_cases import LEFT, RIGHT, SIZE, Told, headmap

FEW = ["--n", "3"]


@pytest.fixture(autouse=True)
def lvlm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    """Canned answers and looks in place of a checkpoint; counts what it is asked."""
    monkeypatch.setenv("GLINTBOX_CACHE", str(tmp_path / "cache"))
    made = Told()
    monkeypatch.setattr(Grounder, "from_pretrained", lambda *_, **__: Grounder(made, localization=headmap(made)))
    yield made


def annotation(id: int, box: Box) -> dict[str, object]:
    corners = [box.x1, box.y1, box.x2, box.y1, box.x2, box.y2, box.x1, box.y2]
    written = [box.x1, box.y1, box.width, box.height]
    return {"id": id, "image_id": 7, "category_id": 1, "bbox": written, "segmentation": [corners], "iscrowd": 0}


@pytest.fixture
def data(tmp_path: Path) -> list[str]:
    """One picture with two cups, in val; the left one again in testA."""
    folder = tmp_path / "cups"
    (folder / "train2014").mkdir(parents=True)
    Image.new("RGB", SIZE).save(folder / "train2014" / "7.png")
    picture = {"id": 7, "file_name": "7.png", "width": SIZE.width, "height": SIZE.height}
    marked = [annotation(1, LEFT), annotation(2, RIGHT)]
    content = {"images": [picture], "categories": [{"id": 1, "name": "cup"}], "annotations": marked}
    (folder / "instances.json").write_text(json.dumps(content))
    refs = [
        {"ann_id": ann, "image_id": 7, "split": split, "sentences": [{"sent": text, "sent_id": k}]}
        for k, (ann, split, text) in enumerate(
            [(1, "val", "the left cup"), (2, "val", "the right cup"), (1, "testA", "cup")]
        )
    ]
    (folder / "refs(unc).p").write_bytes(pickle.dumps(refs, 0))
    return [str(folder)]


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["refer", *(str(word) for word in words)])


def told(result: Result) -> str:
    return " ".join(result.stderr.split())


def test_one_table_holds_all_methods_and_running_again_asks_nothing(
    tmp_path: Path, data: list[str], lvlm: Told
) -> None:
    words = [*data, "--selector", "localization-heads,greedy,auto,heads-overlap", *FEW, "--out", tmp_path / "out"]
    first = run(*words)
    assert first.exit_code == 0, first.output
    files = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert set(files) == {"report.md", "report.csv", "report.json", "report.png", "gallery.png"}
    assert files["report.md"].decode().strip() == first.stdout.strip()
    found = from_json(ReferEvaluation, files["report.json"])
    acc = {one.method: one.acc_at_50 for one in found.reports if one.group == "all"}
    assert acc == {"localization-heads": 1, "greedy": 0, "auto, consensus": 0, "heads-overlap": 1}
    assert {one.category for one in found.reports if one.method == "localization-heads"} == {0.5}
    assert found.about["localization heads"] == "L1H0, L2H1, L2H2" and found.about["N"] == "3"
    assert found.about["data"].startswith("cups-unc-val-")
    assert (lvlm.asked, lvlm.looked) == (3, 3)
    again = run(*words, "--json")
    assert again.exit_code == 0 and from_json(ReferEvaluation, again.stdout) == found
    assert (lvlm.asked, lvlm.looked) == (3, 3)


def test_localization_heads_alone_write_nothing_and_splits_are_told_apart(data: list[str], lvlm: Told) -> None:
    result = run(*data, "--split", "testA", "--selector", "localization-heads", "--no-category", "--json")
    assert result.exit_code == 0, result.output
    found = from_json(ReferEvaluation, result.stdout)
    assert found.reports[0].n == 1 and found.reports[0].category is None and "N" not in found.about
    assert (lvlm.asked, lvlm.looked) == (0, 1)


def test_shards_fill_one_folder_and_then_the_report_asks_nothing(tmp_path: Path, data: list[str], lvlm: Told) -> None:
    words = [*data, *FEW, "--work", tmp_path / "work", "--selector", "localization-heads,greedy"]
    for shard in ("1/2", "2/2"):
        part = run(*words, "--shard", shard)
        assert part.exit_code == 0 and "what 1 expressions need is kept" in told(part), part.output
        assert part.stdout == ""
    before = (lvlm.asked, lvlm.looked)
    whole = run(*words)
    assert whole.exit_code == 0 and "## All expressions (2)" in whole.stdout
    assert (lvlm.asked, lvlm.looked) == before


def test_masks_are_kept_by_the_weights_that_made_them(
    tmp_path: Path, data: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []

    def segment(image: Image.Image, boxes: list[Box], *, model: SimpleNamespace) -> list[Rle]:
        shown.append(model.id)
        return [filled(box, SIZE) for box in boxes]

    monkeypatch.setattr("glintbox.lvlm.sam.sam_masks", segment)
    words = [*data, "--work", tmp_path / "work", "--selector", "localization-heads", "--no-category", "--json"]
    for id in ("sam@a", "sam@b", "sam@a"):
        monkeypatch.setattr("glintbox.lvlm.sam.load_sam", lambda name, *, id=id, **_: SimpleNamespace(id=id))
        told_masks = from_json(ReferEvaluation, run(*words, "--mask", "sam").stdout).about["masks"]
        assert told_masks == id
    assert shown == ["sam@a"] * 2 + ["sam@b"] * 2


def test_a_sample_and_sizes_choose_expressions(data: list[str]) -> None:
    words = ["--selector", "localization-heads", "--no-category", "--json"]
    one = from_json(ReferEvaluation, run(*data, "--sample", "1", *words).stdout)
    assert one.reports[0].n == 1
    large = from_json(ReferEvaluation, run(*data, "--size", "large,any", *words).stdout)
    assert large.reports[0].n == 2, "none twice"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--selector", "localisation-heads"], "Did you mean 'localization-heads'"),
        (["--selector", "acs-free"], "glintbox heads calibrate"),
        (["--selector", ","], "expected names of methods"),
        (["--temperature", "-1"], "expected a temperature >= 0"),
        (["--size", "tiny"], "size 'tiny'"),
        (["--size", ","], "expected names of sizes"),
        (["--size", "small"], "got none that are small"),
        (["--split", "test"], "split 'test'. Did you mean 'testA'"),
        (["--limit", "0"], "expected limit >= 1, got 0"),
        (["--sample", "3"], "expected to draw 1 to 2 of 2 cases, got 3"),
        (["--shard", "3/2"], "expected a shard like 1/2 or 2/2"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_asked(
    words: list[str], message: str, data: list[str], lvlm: Told
) -> None:
    result = run(*data, *words)
    assert result.exit_code == 2, result.output
    assert message in told(result)
    assert (lvlm.asked, lvlm.looked) == (0, 0)


def test_a_model_without_localization_heads_is_told_how_to_find_some(
    data: list[str], lvlm: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Grounder, "from_pretrained", lambda *_, **__: Grounder(lvlm))
    for name in ("localization-heads", "heads-overlap"):
        result = run(*data, "--selector", name)
        assert result.exit_code == 2 and "glintbox heads find DATASET --by localization" in told(result)


def test_a_pickle_that_carries_code_stops_the_command(data: list[str], lvlm: Told) -> None:
    (Path(data[0]) / "refs(unc).p").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    result = run(*data)
    assert result.exit_code == 2 and "os.system: refused before anything is called" in told(result)
