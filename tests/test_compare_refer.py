"""Methods side by side on the same expressions: nothing is asked twice, and the category alone is a control."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL.Image import Image

from glintbox.boxes import Box
from glintbox.compare_refer import collect_refer, compare_refer, controls, steps_refer
from glintbox.errors import BadInput
from glintbox.evaluate_refer import ReferMethod, filled, report
from glintbox.metrics import Overlap
from glintbox.records import Rle
from tests.refer_cases import LEFT, RIGHT, SIZE, Told, expressions, plan

ALL = ("localization-heads", "greedy", "heads-overlap", "consensus")


def none() -> None:
    pass


def hits(methods: list[ReferMethod]) -> dict[str, list[bool]]:
    return {one.method: [case.iou >= 0.5 for case in one.cases] for one in methods}


def test_every_method_stands_beside_the_others_on_the_same_expressions(tmp_path: Path) -> None:
    lvlm, cases = Told(), expressions(tmp_path)
    asked, ticks, chosen = plan(lvlm, tmp_path / "work", *ALL), list[int](), list[int]()
    methods, first = compare_refer(lvlm, cases, asked, tick=lambda: ticks.append(1), chosen=lambda: chosen.append(1))
    assert [one.method for one in methods] == list(ALL)
    assert [[case.id for case in one.cases] for one in methods] == [["7-1", "7-2", "7-3"]] * 4
    assert hits(methods) == {
        "localization-heads": [True, True, True],
        "greedy": [False, False, False],
        "heads-overlap": [True, True, True],
        "consensus": [False, False, False],
    }
    assert len(ticks) == steps_refer(cases, asked) == 2 * (3 + 1) and len(chosen) == 3
    assert (lvlm.asked, lvlm.looked) == (4, 4), "three expressions and one category"
    assert first is not None and first.method == "localization-heads"
    assert [(case.chosen >= 0.5, case.greedy) for case in first.cases] == [(True, 0.0)] * 3


def test_the_category_alone_is_asked_once_for_all_expressions_that_mean_one(tmp_path: Path) -> None:
    lvlm, cases = Told(), expressions(tmp_path)
    told = controls(cases)
    assert told[0] == told[1] and told[0] is not None and (told[0].id, told[0].query) == ("7-cup", "cup")
    assert told[2] is None, "nobody knows its category"
    methods, _ = compare_refer(lvlm, cases, plan(lvlm, tmp_path / "work", "localization-heads"), tick=none)
    [heads] = methods
    assert [case.category is not None and case.category >= 0.5 for case in heads.cases] == [True, False, False]
    assert heads.cases[2].category is None
    alone = report(ReferMethod("x", heads.cases[:2]))
    assert (alone.acc_at_50, alone.category, alone.words) == (1, 0.5, 0.5)


def test_localization_heads_alone_write_nothing(tmp_path: Path) -> None:
    lvlm, cases = Told(), expressions(tmp_path)
    asked = plan(lvlm, tmp_path / "work", "localization-heads")
    methods, first = compare_refer(lvlm, cases, asked, tick=none)
    assert lvlm.asked == 0 and lvlm.looked == 4 and first is None
    assert hits(methods) == {"localization-heads": [True, True, True]}
    again, _ = compare_refer(lvlm, cases, asked, tick=none)
    assert again == methods and lvlm.looked == 4
    without, _ = compare_refer(lvlm, cases, replace(asked, category=False), tick=none)
    assert all(case.category is None for case in without[0].cases)


def test_parts_kept_apart_make_the_whole(tmp_path: Path) -> None:
    lvlm, cases = Told(), expressions(tmp_path)
    asked = plan(lvlm, tmp_path / "work", *ALL)
    for part in (cases[1:], cases[:1]):
        collect_refer(lvlm, part, asked, tick=none)
    before = (lvlm.asked, lvlm.looked)
    methods, _ = compare_refer(lvlm, cases, asked, tick=none)
    assert (lvlm.asked, lvlm.looked) == before
    assert methods == compare_refer(Told(), cases, plan(lvlm, tmp_path / "other", *ALL), tick=none)[0]


def test_answers_lie_in_the_cache_where_no_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLINTBOX_CACHE", str(tmp_path / "cache"))
    asked = plan(Told(), None, *ALL)
    folders = {asked.plan.apart, asked.control.apart, asked.mask_folder, replace(asked, masks="sam").mask_folder}
    assert len(folders) == 4 and all(folder.is_relative_to(tmp_path / "cache") for folder in folders)


def test_a_token_mask_is_judged_as_it_is_and_a_box_filled(tmp_path: Path) -> None:
    lvlm, cases = Told(), expressions(tmp_path)
    methods, _ = compare_refer(
        lvlm, cases, plan(lvlm, tmp_path / "work", "localization-heads", "heads-overlap"), tick=none
    )
    heads, overlap = ([case.mask for case in one.cases] for one in methods)
    assert heads[0] == Overlap(3600, 6400), "16 cells of 20 px around 60 x 60 px"
    assert overlap[0] is not None and overlap[0].iou == pytest.approx(1, abs=0.03)


def test_a_mask_model_is_shown_every_box_once_and_never_again(tmp_path: Path) -> None:
    lvlm, cases, shown = Told(), expressions(tmp_path), list[list[Box]]()

    def segment(image: Image, boxes: list[Box]) -> list[Rle]:
        shown.append(boxes)
        assert image.size == SIZE
        return [filled(LEFT if box.x1 < 80 else RIGHT, SIZE) for box in boxes]

    asked = plan(lvlm, tmp_path / "work", "localization-heads", "heads-overlap", "greedy", segment=segment, masks="sam")
    methods, _ = compare_refer(lvlm, cases, asked, tick=none)
    assert [len(boxes) for boxes in shown] == [3, 3, 3]
    for one in methods[:2]:
        assert [case.mask and case.mask.iou for case in one.cases] == [1, 1, 1]
    again, _ = compare_refer(lvlm, cases, asked, tick=none)
    assert again == methods and len(shown) == 3
    path = asked.mask_folder / "7-1.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"query": "a dog"}))
    with pytest.raises(BadInput, match=r"is of 'a dog', now it is 'the left cup'"):
        compare_refer(lvlm, cases, asked, tick=none)
    path.write_text("{")
    with pytest.raises(BadInput, match="got a damaged file; remove it"):
        compare_refer(lvlm, cases, asked, tick=none)
