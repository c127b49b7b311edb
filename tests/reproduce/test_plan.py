"""Which cases serve for what: nothing that is reported on is learned or chosen from."""

import json
from pathlib import Path

import pytest
from PIL import Image

from glintbox.errors import BadInput, UnknownName
from glintbox.records import Sample
from glintbox.reproduce.plan import FULL, PARTS, QUICK, Amounts, Data, Part, cases, check_split, needs, scene_split
from tests.reproduce.made import TINY


def test_a_dataset_learns_on_its_training_pictures_and_chooses_on_others_of_them(folder: Path) -> None:
    data = Data(str(folder))
    found: dict[Part, list[Sample]] = {part: cases(data, part, TINY) for part in PARTS if part != "style-b"}
    assert [len(found[part]) for part in ("learn", "choose", "choose-many", "report", "large", "many")] == [
        4, 4, 1, 3, 3, 2,
    ]  # fmt: skip
    learned = {sample.image for sample in found["learn"]}
    assert {path.parent.name for path in learned} == {"train2017"}
    choosing: tuple[Part, ...] = ("choose", "choose-many")
    for part in choosing:
        assert not learned & {sample.image for sample in found[part]}
        assert {sample.image.parent.name for sample in found[part]} == {"train2017"}
    reporting: tuple[Part, ...] = ("report", "large", "many")
    for part in reporting:
        assert {sample.image.parent.name for sample in found[part]} == {"val2017"}
    assert all(len(sample.truth) > 1 for sample in found["many"])
    assert {sample.id for sample in found["learn-quarter"]} <= {sample.id for sample in found["learn"]}


def test_fewer_cases_are_a_part_of_more_and_always_the_same(folder: Path) -> None:
    data = Data(str(folder))
    few, more = (cases(data, "report", Amounts("any", 4, 4, count, 2, 10, 1)) for count in (3, 6))
    assert few == cases(data, "report", Amounts("any", 4, 4, 3, 2, 10, 1))
    assert {sample.id for sample in few} < {sample.id for sample in more}


def test_a_lone_json_is_parted_by_picture(tmp_path: Path) -> None:
    Image.new("RGB", (100, 100)).save(tmp_path / "0.png")
    images = [{"id": k, "file_name": f"{k}.png", "width": 100, "height": 100} for k in range(40)]
    for k in range(1, 40):
        (tmp_path / f"{k}.png").write_bytes((tmp_path / "0.png").read_bytes())
    boxes = [{"id": k, "image_id": k, "category_id": 1, "bbox": [10, 10, 5, 5]} for k in range(40)]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "cup"}]}
    (tmp_path / "cups.json").write_text(json.dumps(content))
    data, amounts = Data(str(tmp_path / "cups.json"), tmp_path), Amounts("any", 20, 100, 100, 1, 10, 1)
    learn, choose, report = ({s.image for s in cases(data, part, amounts)} for part in ("learn", "choose", "report"))
    assert not learn & choose and not learn & report and not choose & report
    assert len(learn) == 20 and 5 < len(report) < 20 and len(learn | choose | report) == 40
    with pytest.raises(BadInput, match="to choose from, got none; learn from fewer"):
        cases(data, "choose", Amounts("any", 100, 100, 100, 1, 10, 1))


def test_scenes_have_a_split_for_each_purpose_and_another_style_for_testing_alone() -> None:
    test, trial = Data("scenes"), Data("scenes", split="validation")
    splits = {part: scene_split(test, part) for part in PARTS}
    assert splits["learn"] == splits["learn-quarter"] == "calibration"
    assert splits["choose"] == splits["choose-many"] == "validation"
    assert splits["report"] == splits["large"] == splits["many"] == "test" and splits["style-b"] == "test-style-b"
    assert scene_split(trial, "report") == "validation"
    with pytest.raises(BadInput, match=r"--split test for a transfer to style b.*got 'validation'"):
        scene_split(trial, "style-b")
    with pytest.raises(BadInput, match="expected scenes for a transfer"):
        cases(Data("coco"), "style-b", TINY)
    check_split(test)
    check_split(trial)
    for odd in ("train", "calibration", "test-style-b"):
        with pytest.raises(UnknownName, match="split to report on"):
            check_split(Data("scenes", split=odd))


def test_answers_of_table_4_are_drawn_at_one_temperature_of_one_part() -> None:
    assert [(need.temperature, need.n) for need in needs("report", FULL)] == [(0.5, 10), (0.7, 10), (1.0, 30)]
    assert [(need.temperature, need.n) for need in needs("large", FULL)] == [(0.5, 10), (0.7, 10), (1.0, 10)]
    assert [(need.temperature, need.n) for need in needs("learn", FULL)] == [(1.0, 10)]


def test_the_papers_amounts_are_full_and_quick_is_a_tenth_at_most() -> None:
    assert (FULL.learn, FULL.report, FULL.many, FULL.most, FULL.epochs) == (5000, 2225, 759, 30, 100)
    assert all(10 * getattr(QUICK, name) <= getattr(FULL, name) for name in ("learn", "choose", "report", "many"))
