"""Laws of the generated scenes."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from glintbox.boxes import Box, Size
from glintbox.datasets import scenes
from glintbox.datasets.art import families
from glintbox.datasets.scenes import LARGEST, SPLITS, categories, draw_scene, scene_seed, split_of
from glintbox.errors import BadInput, UnknownName

SEEDS = tuple(scene_seed("train", index) for index in range(60))


@pytest.fixture(scope="module")
def drawn() -> list[scenes.Scene]:
    return [draw_scene(seed) for seed in SEEDS]


def test_the_same_seed_draws_the_same_picture_bit_for_bit() -> None:
    first, again = draw_scene(SEEDS[3]), draw_scene(SEEDS[3])
    assert first.image.tobytes() == again.image.tobytes()
    for one, other in zip(first.objects, again.objects, strict=True):
        assert (one.label, one.box, one.area, one.color) == (other.label, other.box, other.area, other.color)
        assert (one.mask == other.mask).all()


def test_another_seed_draws_another_picture() -> None:
    assert draw_scene(SEEDS[3]).image.tobytes() != draw_scene(SEEDS[4]).image.tobytes()


def test_splits_share_no_seed() -> None:
    for one, other in combinations(SPLITS.values(), 2):
        assert one.stop <= other.start or other.stop <= one.start


@pytest.mark.parametrize("split", SPLITS)
def test_a_seed_tells_its_split(split: str) -> None:
    assert split_of(scene_seed(split, 0)) == split_of(scene_seed(split, len(SPLITS[split]) - 1)) == split


def test_boxes_are_tight_around_the_visible_pixels(drawn: list[scenes.Scene]) -> None:
    for scene in drawn:
        for found in scene.objects:
            assert found.mask.shape == (scene.image.height, scene.image.width)
            rows, cols = (axis.tolist() for axis in np.nonzero(found.mask))
            assert found.box == Box(min(cols), min(rows), max(cols) + 1, max(rows) + 1)
            assert found.area == found.box.area / found.mask.size


def test_a_pixel_shows_one_object_at_most(drawn: list[scenes.Scene]) -> None:
    for scene in drawn:
        assert sum((found.mask.astype(int) for found in scene.objects), np.zeros(1, dtype=int)).max() <= 1


def test_objects_hide_parts_of_each_other_but_never_much(drawn: list[scenes.Scene]) -> None:
    crossing = [
        (one, other)
        for scene in drawn
        for one, other in combinations(scene.objects, 2)
        if min(one.box.x2, other.box.x2) > max(one.box.x1, other.box.x1)
        and min(one.box.y2, other.box.y2) > max(one.box.y1, other.box.y1)
    ]
    assert len(crossing) > 10
    owner = np.full((40, 60), -1, dtype=np.int16)
    owner[10:20, 10:30] = 0  # 200 px, of which at most 60 may be hidden
    solid = np.ones((30, 50), dtype=bool)
    assert all(scenes._spot(np.random.default_rng(seed), owner, solid, [200]) is None for seed in range(20))
    spot = scenes._spot(np.random.default_rng(1), owner, np.ones((4, 5), dtype=bool), [200])
    assert spot is not None and 0 <= spot[0] <= 55 and 0 <= spot[1] <= 36


def test_areas_spread_over_the_whole_range_and_most_are_small(drawn: list[scenes.Scene]) -> None:
    areas = np.array([found.area for scene in drawn for found in scene.objects])
    assert areas.min() < 0.001
    assert 0.2 < areas.max() <= 1.1 * LARGEST
    assert 0.4 < np.mean(areas < 0.01) < 0.7


def test_portrait_landscape_and_square_occur(drawn: list[scenes.Scene]) -> None:
    assert {Size(*scene.image.size) for scene in drawn} == set(scenes.SHAPES)


def test_a_category_occurs_up_to_six_times(drawn: list[scenes.Scene]) -> None:
    most = [max(Counter(found.label for found in scene.objects).values()) for scene in drawn if scene.objects]
    assert min(most) == 1 and max(most) >= 5 and max(most) <= scenes.MOST_INSTANCES


def test_things_that_look_alike_keep_company(drawn: list[scenes.Scene]) -> None:
    family = {label: name for name, labels in families().items() for label in labels}
    pairs = [
        family[one] == family[other]
        for scene in drawn
        for one, other in combinations({found.label for found in scene.objects}, 2)
    ]
    assert np.mean(pairs) > 0.3  # by chance it would be one in ten


def test_colours_are_among_those_with_a_name(drawn: list[scenes.Scene]) -> None:
    colors = {found.color for scene in drawn for found in scene.objects}
    assert None in colors and len(colors) > 4 and colors <= {None, *scenes.COLORS}


def test_objects_are_listed_left_to_right(drawn: list[scenes.Scene]) -> None:
    for scene in drawn:
        corners = [(found.box.x1, found.box.y1) for found in scene.objects]
        assert corners == sorted(corners)


def test_there_are_sixty_categories_and_more_with_distinct_names() -> None:
    assert len(set(categories())) == len(categories()) >= 60


def test_style_b_belongs_to_its_split_alone() -> None:
    assert {draw_scene(scene_seed(split, 5)).style for split in SPLITS if split != "test-style-b"} == {"a"}
    assert draw_scene(scene_seed("test-style-b", 999_999)).style == "b"


def test_size_and_number_of_objects_can_be_asked_for() -> None:
    scene = draw_scene(7, size=Size(480, 360), objects=2)
    assert scene.image.size == (480, 360)
    assert len(scene.objects) == 2


def test_more_objects_than_there_is_room_for_are_refused() -> None:
    with pytest.raises(BadInput, match=r"expected room for 400 objects in 96x72, got \d+ placed; ask for fewer"):
        draw_scene(7, size=Size(96, 72), objects=400)


@pytest.mark.parametrize("seed", [-1, 14_000_000])
def test_a_seed_of_no_split_is_refused(seed: int) -> None:
    with pytest.raises(BadInput, match=rf"expected a seed of a split \(train: 0-9999999, .*\), got {seed}"):
        draw_scene(seed)


def test_an_index_outside_its_split_is_refused() -> None:
    with pytest.raises(BadInput, match=r"expected an index in 0\.\.999999 for split 'validation', got 1000000"):
        scene_seed("validation", 1_000_000)


def test_an_unknown_split_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'validation'"):
        scene_seed("validaton", 0)
