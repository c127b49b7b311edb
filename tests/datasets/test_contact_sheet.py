"""Contact sheets show what they say: every scene, its boxes, the target."""

import numpy as np
from PIL import Image, ImageColor

from glintbox.boxes import Size
from glintbox.datasets.contact_sheet import CELL, COLORS, GAP, TARGET, WORDS, boxes_sheet, expressions_sheet
from tests.datasets.layouts import laid_out

TWO = laid_out(("dog", (20, 30, 60, 80)), ("dog", (150, 10, 160, 20)), size=Size(200, 100))
ONE = laid_out(("cup", (20, 30, 60, 80)), size=Size(100, 200))


def has(sheet: Image.Image, color: str, x: float, y: float) -> bool:
    """Whether a pixel of the colour lies within 2 px of a place."""
    seen = np.asarray(sheet)[round(y) - 2 : round(y) + 3, round(x) - 2 : round(x) + 3]
    return bool((seen == ImageColor.getrgb(color)).all(axis=-1).any())


def test_a_sheet_has_room_for_every_scene() -> None:
    for count, columns, rows, across in ((1, 6, 1, 1), (5, 3, 2, 3), (6, 3, 2, 3)):
        sheet = boxes_sheet([ONE] * count, columns=columns)
        assert sheet.size == (across * (CELL + GAP) + GAP, rows * (CELL + WORDS + GAP) + GAP)


def test_boxes_lie_where_the_objects_are_in_the_colour_of_their_category() -> None:
    sheet = boxes_sheet([ONE, TWO])
    scale = CELL / 200
    assert has(sheet, COLORS[0], GAP + 20 * scale, GAP + 55 * scale)  # the left edge of the cup, half way down
    left = 2 * GAP + CELL
    for x, y in ((20, 55), (60, 55), (150, 15), (40, 80)):
        assert has(sheet, COLORS[0], left + x * scale, GAP + y * scale)
    assert not has(sheet, COLORS[0], left + 40 * scale, GAP + 55 * scale)


def test_an_expression_marks_its_target_alone_and_scenes_without_one_are_left_out() -> None:
    sheet = expressions_sheet([ONE, TWO])
    assert sheet.size == expressions_sheet([TWO]).size
    scale = CELL / 200
    edges = [has(sheet, TARGET, GAP + x * scale, GAP + y * scale) for x, y in ((20, 55), (150, 15))]
    assert sorted(edges) == [False, True]


def test_nothing_to_show_is_an_empty_sheet() -> None:
    assert np.asarray(expressions_sheet([ONE])).min() == 255
