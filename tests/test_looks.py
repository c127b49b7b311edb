"""Looks of localization heads are read once, kept, and are those of `localize`."""

from dataclasses import replace
from pathlib import Path

import pytest

from glintbox.errors import BadInput
from glintbox.images import open_image
from glintbox.localize import localize
from glintbox.looks import by_looks, kept_looks, look, looks_folder, unwritten
from glintbox.lvlm.scripted import SHARP
from glintbox.records import COORDS, Sample
from tests.refer_cases import Told, expressions, headmap


def samples(folder: Path) -> list[Sample]:
    return [one.sample for one in expressions(folder)]


def test_kept_looks_give_the_boxes_of_localize_and_are_read_once(tmp_path: Path) -> None:
    lvlm, cases, ticks = Told(), samples(tmp_path), list[int]()
    heads = headmap(lvlm)
    for _ in range(2):
        look(lvlm, cases, heads, data="made up", work=tmp_path / "work", tick=lambda: ticks.append(1))
    assert lvlm.looked == 3 and len(ticks) == 6 and lvlm.asked == 0
    choose = by_looks(heads).choose
    for sample, looked in zip(cases, kept_looks(cases, heads, work=tmp_path / "work"), strict=True):
        found = replace(unwritten(sample, heads.setting), text_map=looked)
        whole = localize(lvlm, open_image(sample.image), sample.query, heads=SHARP[:3], id=sample.id)
        [mine], [own] = choose(found), whole.boxes
        assert (mine.box, mine.mask) == (own.box, own.mask) and mine.score == pytest.approx(own.score, rel=1e-3)


def test_other_heads_lie_apart_and_other_data_are_refused(tmp_path: Path) -> None:
    lvlm, cases = Told(), samples(tmp_path)
    heads, work = headmap(lvlm), tmp_path / "work"
    look(lvlm, cases, heads, data="made up", work=work, tick=lambda: None)
    other = replace(heads, heads={"text": SHARP[1:3]})
    assert looks_folder(work, other) != looks_folder(work, heads)
    with pytest.raises(BadInput, match="holds answers of another setting"):
        look(lvlm, cases, heads, data="others", work=work, tick=lambda: None)
    odd = replace(cases[1], query="cup")
    with pytest.raises(BadInput, match=r"expected case 7-2 of .* to be 'cup' in a picture .* got 'the right cup'"):
        list(kept_looks([odd], heads, work=work))
    with pytest.raises(BadInput, match="expected case x in"):
        list(kept_looks([replace(odd, id="x")], heads, work=work))


def test_a_head_map_of_coordinates_cannot_look_at_text() -> None:
    found = replace(headmap(Told()), heads={coord: SHARP[:3] for coord in COORDS})
    with pytest.raises(BadInput, match="got none for text"):
        by_looks(found)
