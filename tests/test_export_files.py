"""Files of many results: nothing is left out, what was not found stays as a row."""

import csv
import io
import json
from pathlib import Path

import pytest

from glintbox.errors import BadInput
from glintbox.export_files import FORMATS, Options
from glintbox.runs import Kept, read_results
from tests.kept import ANNOTATIONS, KEPT, TWO, folder

OPTIONS = Options(annotations=ANNOTATIONS)


def test_a_table_has_a_line_per_box_and_one_for_a_picture_without() -> None:
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"](KEPT, OPTIONS))))
    assert [row["id"] for row in rows] == ["a", "a", "b", "c", "d"]
    assert [rows[0][name] for name in ("x1", "y1", "x2", "y2", "score")] == ["10", "5", "35.5", "20", "0.75"]
    assert (rows[0]["width"], rows[0]["height"], rows[0]["image"]) == ("100", "60", "pictures/a.png")
    assert rows[2]["x1"] == rows[2]["score"] == "" and rows[2]["query"] == "dog"
    assert rows[3]["score"] == "" and rows[3]["score_kind"] == "none"


@pytest.mark.parametrize(("format", "boxes"), [("hf", "detections"), ("bbox-2d", "boxes")])
def test_lists_have_an_entry_for_every_result_with_what_its_scores_are(format: str, boxes: str) -> None:
    entries = json.loads(FORMATS[format](KEPT, OPTIONS))
    assert [(one["id"], one["score_kind"], len(one[boxes])) for one in entries] == [
        ("a", "iou", 2), ("b", "iou", 0), ("c", "none", 1), ("d", "share", 1),
    ]  # fmt: skip
    assert entries[0]["answers"] == 1 and entries[0]["unreadable"] == 0


def test_the_frame_of_bbox_2d_is_named_in_the_file() -> None:
    entry = json.loads(FORMATS["bbox-2d"](KEPT, Options(frame="1000")))[0]
    assert entry["frame"] == "1000" and entry["boxes"][1]["bbox_2d"] == [600, 500, 1000, 1000]


def test_label_studio_names_pictures_as_it_can_reach_them() -> None:
    tasks = json.loads(FORMATS["label-studio"](KEPT, Options(prefix="https://host/p/")))
    assert [task["data"]["image"] for task in tasks] == [f"https://host/p/{name}.png" for name in "abcd"]
    assert json.loads(FORMATS["label-studio"](KEPT, OPTIONS))[1]["data"]["image"] == "pictures/b.png"


def test_fiftyone_labels_lie_under_the_picture_and_queries_on_one_picture_together() -> None:
    kept = [*KEPT, Kept(TWO, "pictures/b.png")]
    labels = json.loads(FORMATS["fiftyone"](kept, OPTIONS))["labels"]
    assert {name: len(rows) for name, rows in labels.items()} == {"a": 2, "b": 2, "c": 1, "d": 1}
    assert labels["a"][0]["attributes"] == {"method": "acs-learned", "score_kind": "iou"}
    with pytest.raises(BadInput, match=r"expected one picture of each name.*got pictures/a.png and others/a.png"):
        FORMATS["fiftyone"]([*KEPT, Kept(TWO, "others/a.png")], OPTIONS)


@pytest.mark.filterwarnings("ignore")  # importing it warns of much that is not ours
def test_fiftyone_reads_the_file(tmp_path: Path) -> None:
    fiftyone = pytest.importorskip("fiftyone")
    (tmp_path / "labels.json").write_text(FORMATS["fiftyone"](KEPT, OPTIONS))
    importer = fiftyone.utils.data.importers.FiftyOneImageDetectionDatasetImporter(
        labels_path=str(tmp_path / "labels.json"), data_path={name: f"/pictures/{name}.png" for name in "abcd"}
    )
    with importer:
        found = {Path(path).stem: detections for path, _, detections in importer}
    assert [one.bounding_box for one in found["a"].detections][1] == pytest.approx([0.6, 0.5, 0.4, 0.5])
    assert found["a"].detections[0].label == "cup" and found["a"].detections[0].confidence == 0.75
    assert [one.confidence for one in found["c"].detections] == [None]


def test_coco_without_annotations_is_refused() -> None:
    assert len(json.loads(FORMATS["coco"](KEPT, OPTIONS))) == 4
    with pytest.raises(BadInput, match=r"add --annotations instances.json, or export to csv"):
        FORMATS["coco"](KEPT, Options())


def test_a_run_is_read_back_with_pictures_failures_and_what_is_not_done(tmp_path: Path) -> None:
    finished = read_results(folder(tmp_path / "run"))
    assert [(one.result.id, one.image) for one in finished.kept] == [
        (name, str(Path(f"pictures/{name}.png").resolve())) for name in "abcd"
    ]
    assert [one.result.boxes for one in finished.kept] == [one.result.boxes for one in KEPT]
    assert [one.id for one in finished.failed] == ["e"] and finished.pending == ("f",)


def test_lines_of_results_are_read_without_pictures(tmp_path: Path) -> None:
    run = folder(tmp_path / "run")
    lines = tmp_path / "found.jsonl"
    lines.write_bytes(b"".join((run / f"{name}.json").read_bytes() for name in "ab"))
    assert [(one.result.id, one.image) for one in read_results(lines).kept] == [("a", None), ("b", None)]
    assert len(list(csv.DictReader(io.StringIO(FORMATS["csv"](read_results(lines).kept, OPTIONS))))) == 3


def test_what_holds_no_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"expected a folder that glintbox ground --out wrote.*found no result"):
        read_results(tmp_path / "nowhere")
    (tmp_path / "broken.json").write_text('{"id": 3}')
    with pytest.raises(BadInput, match=r"expected a result of glintbox ground in .*broken.json.*got a problem at id"):
        read_results(tmp_path)
