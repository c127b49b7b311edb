"""Laws of the generated scenes."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from glintbox.boxes import Size, overlap
from glintbox.datasets import scenes
from glintbox.datasets.scenes import LARGEST, SPLITS, categories, draw_scene, scene_seed
from glintbox.errors import BadInput, UnknownName

SEEDS = tuple(scene_seed("train", index) for index in range(40))


def test_the_same_seed_draws_the_same_picture_bit_for_bit() -> None:
    first, again = draw_scene(SEEDS[3]), draw_scene(SEEDS[3])
    assert first.image.tobytes() == again.image.tobytes()
    assert first.objects == again.objects


def test_another_seed_draws_another_picture() -> None:
    assert draw_scene(SEEDS[3]).image.tobytes() != draw_scene(SEEDS[4]).image.tobytes()


def test_splits_share_no_seed() -> None:
    for one, other in combinations(SPLITS.values(), 2):
        assert one.stop <= other.start or other.stop <= one.start


def test_boxes_lie_inside_the_image_and_do_not_overlap() -> None:
    for seed in SEEDS:
        scene = draw_scene(seed)
        for found in scene.objects:
            assert found.box.x1 >= 0 and found.box.x2 <= scene.image.width
            assert found.box.y1 >= 0 and found.box.y2 <= scene.image.height
        assert all(overlap(one.box, other.box) == 0 for one, other in combinations(scene.objects, 2))


def test_boxes_are_tight_around_the_drawn_pixels() -> None:
    random = np.random.default_rng(5)
    for label in categories():
        alpha = np.asarray(scenes._dress(random, label, 40.0 * 30.0).getchannel("A")) >= 128
        assert alpha[0].any() and alpha[-1].any(), label
        assert alpha[:, 0].any() and alpha[:, -1].any(), label


def test_areas_spread_over_the_whole_range() -> None:
    areas = np.array([found.area for seed in SEEDS for found in draw_scene(seed).objects])
    assert areas.min() < 0.003
    assert 0.15 < areas.max() <= 1.1 * LARGEST
    assert 0.3 < np.mean(areas < 0.01) < 0.7


def test_portrait_landscape_and_square_occur() -> None:
    sizes = {Size(*draw_scene(seed).image.size) for seed in SEEDS}
    assert sizes == set(scenes.SHAPES)


def test_a_category_occurs_several_times_now_and_then() -> None:
    most = [max(len(scene.boxes(found.label)) for found in scene.objects) for scene in map(draw_scene, SEEDS)]
    assert 1 in most and max(most) > 1


def test_objects_are_listed_left_to_right() -> None:
    for seed in SEEDS:
        corners = [(found.box.x1, found.box.y1) for found in draw_scene(seed).objects]
        assert corners == sorted(corners)


def test_size_and_number_of_objects_can_be_asked_for() -> None:
    scene = draw_scene(7, size=Size(480, 360), objects=2)
    assert scene.image.size == (480, 360)
    assert 1 <= len(scene.objects) <= 2


def test_a_seed_below_zero_is_refused() -> None:
    with pytest.raises(BadInput, match="expected a seed >= 0, got -1"):
        draw_scene(-1)


def test_an_index_outside_its_split_is_refused() -> None:
    with pytest.raises(BadInput, match=r"expected an index in 0\.\.999999 for split 'validation', got 1000000"):
        scene_seed("validation", 1_000_000)


def test_an_unknown_split_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'validation'"):
        scene_seed("validaton", 0)
