import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glintbox.boxes import Box, Size, overlap
from glintbox.layout import GAP, NAME, free_corner, layout, square_around

SIZE = Size(400, 300)


@given(st.floats(0.01, 100), st.booleans())
def test_pictures_of_any_shape_lie_side_by_side_inside_the_figure(aspect: float, panels: bool) -> None:
    places = layout(aspect, panels=panels)
    boxes = [places.picture, *places.panels]
    assert len(places.panels) == (4 if panels else 0)
    assert all(overlap(a, b) == 0 for a, b in itertools.combinations(boxes, 2))
    width, height = places.extent
    assert 5 < width < 20 and height < 20
    assert all(-1e-9 <= b.x1 < b.x2 <= width + 1e-9 and -1e-9 <= b.y1 < b.y2 <= height + 1e-9 for b in boxes)


@given(st.floats(0.2, 12))
def test_places_have_the_shape_of_the_picture(aspect: float) -> None:
    for place in (layout(aspect, panels=True).picture, *layout(aspect, panels=True).panels):
        assert place.width / place.height == pytest.approx(aspect)


@pytest.mark.parametrize("aspect", [0.3, 1.5, 3.0])
def test_there_is_room_for_a_name_above_every_panel(aspect: float) -> None:
    places = layout(aspect, panels=True)
    for panel in places.panels:
        name = Box(panel.x1, panel.y2, panel.x2, panel.y2 + NAME)
        assert name.y2 <= places.extent[1] + 1e-9
        assert all(overlap(name, other) < 1e-9 for other in (places.picture, *places.panels))


def test_panels_are_right_of_a_tall_picture_in_one_row_and_under_a_wide_one() -> None:
    tall, wide, square = (layout(aspect, panels=True) for aspect in (0.3, 3.0, 1.2))
    assert len({panel.y1 for panel in tall.panels}) == 1
    assert all(panel.x1 >= tall.picture.x2 + GAP - 1e-9 for panel in tall.panels)
    assert all(panel.y2 < wide.picture.y1 for panel in wide.panels)
    x1, y1, x2, y2 = square.panels
    assert x1.y1 == y1.y1 > x2.y1 == y2.y1 and x1.x1 == x2.x1 < y1.x1 == y2.x1


def test_a_square_around_boxes_leaves_as_much_beside_them() -> None:
    assert square_around([Box(100, 100, 120, 140)], SIZE) == Box(70, 80, 150, 160)
    assert square_around([Box(100, 100, 110, 110), Box(130, 100, 140, 110)], SIZE) == Box(80, 65, 160, 145)


def test_a_square_at_the_border_is_moved_inside_and_one_too_large_is_as_high_as_the_picture() -> None:
    assert square_around([Box(0, 280, 20, 300)], SIZE) == Box(0, 260, 40, 300)
    assert square_around([Box(0, 0, 390, 10)], SIZE) == Box(45, 0, 345, 300)
    assert square_around([Box(200, 100, 202, 102)], SIZE) == Box(189, 89, 213, 113)


def test_the_enlargement_goes_where_it_hides_least_and_of_empty_corners_to_the_nearest() -> None:
    region = Box(10, 200, 50, 240)  # at the left, low
    assert free_corner(100, region, [], SIZE) == Box(0, 0, 100, 100)
    assert free_corner(100, region, [(Box(20, 20, 40, 40), 1.0)], SIZE) == Box(300, 200, 400, 300)
