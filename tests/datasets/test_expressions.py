"""Expressions mean the one object that another reader, who knows only the words, finds as well."""

from __future__ import annotations

import math
import re
from collections import Counter

import numpy as np
import pytest

from glintbox.boxes import Box, Size
from glintbox.datasets.expressions import KINDS, PER_OBJECT, Expression, expressions
from glintbox.datasets.scenes import Scene, draw_scene, scene_seed
from tests.datasets.layouts import laid_out, random_layout

LABELS = ("dog", "cup", "car", "traffic light", "chair", "scissors")
PAINTS = ("red", "blue", "green", "pink", "yellow")
LAYOUTS = tuple(random_layout(seed, LABELS, PAINTS) for seed in range(80))
DRAWN = tuple(draw_scene(scene_seed("validation", index)) for index in range(8))
NUMBERS = {"second": 2, "third": 3}
SIDES = {"left": (-1, 0), "right": (1, 0), "top": (0, -1), "bottom": (0, 1)}
ORDERS = {
    **{word: side for side in SIDES for word in (side, f"{side}most")},
    "upper": "top",
    "lower": "bottom",
    **{"larger": "large", "largest": "large", "smaller": "small", "smallest": "small"},
}
AWAY = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}


class Reader:
    """Reads an expression as one would without thinking of margins: the words only, thresholds half way."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        labels = sorted({found.label for found in scene.objects}, key=len, reverse=True)
        noun = "(?:pair of )?(" + "|".join(map(re.escape, labels)) + ")"
        self.phrase = re.compile(rf"the ((?:[a-z]+ )*?){noun}(?: (.+))?")

    def named(self, text: str) -> list[int]:
        """Indices of all that the text holds of."""
        match = self.phrase.fullmatch(text)
        assert match, text
        words, label, rest = match[1].split(), match[2], match[3] or ""
        found = [k for k, each in enumerate(self.scene.objects) if each.label == label]
        for word in words[::-1]:
            if word in ("small", "large"):
                areas = [self.box(k).area for k in found]
                middle = math.sqrt(min(areas) * max(areas))
                found = [k for k in found if (self.box(k).area < middle) == (word == "small")]
            elif word not in ORDERS and word not in NUMBERS:
                found = [k for k in found if self.scene.objects[k].color == word]
        number = next((NUMBERS[word] for word in words if word in NUMBERS), 1)
        order = next((ORDERS[word] for word in words if word in ORDERS), None)
        if counted := re.fullmatch(r"from the (\w+)", rest):
            order, rest = counted[1], ""
        if order:
            found = sorted(found, key=lambda k: self.along(order, k))[number - 1 : number]
        return self.where(rest, found) if rest else found

    def where(self, rest: str, found: list[int]) -> list[int]:
        if place := re.fullmatch(r"(?:on|at|in) the (.+) of the picture", rest):
            return [k for k in found if self.lies(place[1], k)]
        relation, anchor = rest.split(" the ", 1)
        [at] = self.named(f"the {anchor}")
        if relation in ("closer to", "closest to"):
            return sorted(found, key=lambda k: math.dist(self.centre(k), self.centre(at)))[:1]
        return [k for k in found if k != at and self.beyond(AWAY[relation], k, at)]

    def box(self, k: int) -> Box:
        return self.scene.objects[k].box

    def centre(self, k: int) -> tuple[float, float]:
        box = self.box(k)
        return (box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2

    def along(self, order: str, k: int) -> float:
        if order in ("large", "small"):
            return self.box(k).area * (-1 if order == "large" else 1)
        x, y = SIDES[order]
        return -x * self.centre(k)[0] - y * self.centre(k)[1]

    def lies(self, place: str, k: int) -> bool:
        across, down = (a / b for a, b in zip(self.centre(k), self.scene.image.size, strict=True))
        if place == "middle":
            return abs(across - 0.5) < 0.16 and abs(down - 0.5) < 0.16
        sides = {"left": across, "right": 1 - across, "top": down, "bottom": 1 - down}
        return all(sides[word] < 0.385 for word in place.split() if word in sides)

    def beyond(self, way: tuple[int, int], k: int, at: int) -> bool:
        step = [a - b for a, b in zip(self.centre(k), self.centre(at), strict=True)]
        ahead = way[0] * step[0] + way[1] * step[1]
        one, other = self.box(k), self.box(at)
        reach = (one.width + other.width if way[0] else one.height + other.height) / 2
        return ahead > 0.45 * reach and ahead > math.hypot(*step) * math.cos(math.radians(57.5))


TOLD = [(scene, expressions(scene)) for scene in LAYOUTS + DRAWN]
EVERY: list[tuple[Scene, Expression]] = [(scene, one) for scene, found in TOLD for one in found]


def test_there_is_enough_to_judge_by_and_every_kind_occurs() -> None:
    kinds = Counter(one.kind for _, one in EVERY)
    assert len(EVERY) > 400
    assert set(kinds) == set(KINDS) and min(kinds.values()) >= 10, kinds


def test_another_reader_finds_the_same_object() -> None:
    for scene, one in EVERY:
        assert Reader(scene).named(one.text) == [one.target], (scene.seed, one)


def jittered(random: np.random.Generator, box: Box) -> tuple[float, float, float, float]:
    x, y = (random.uniform(-0.02, 0.02, size=2) * (box.width, box.height)).tolist()
    return box.x1 + x, box.y1 + y, box.x2 + x, box.y2 + y


def test_nothing_hangs_on_a_pixel() -> None:
    random = np.random.default_rng(0)
    for scene, one in EVERY:
        boxes = [(each.label, jittered(random, each.box), each.color) for each in scene.objects]
        moved = laid_out(*boxes, size=Size(*scene.image.size))
        assert Reader(moved).named(one.text) == [one.target], (scene.seed, one)


def test_at_least_half_need_more_than_the_category_in_every_scene() -> None:
    for scene, found in TOLD:
        labels = Counter(each.label for each in scene.objects)
        for one in found:
            assert one.needs_more == (labels[scene.objects[one.target].label] > 1)
        assert 2 * sum(one.needs_more for one in found) >= len(found)


def test_an_object_has_few_expressions_each_of_another_kind_and_no_text_means_two() -> None:
    for _, found in TOLD:
        assert len({one.text for one in found}) == len(found)
        by_target = Counter(one.target for one in found)
        assert all(count <= PER_OBJECT for count in by_target.values())
        assert len({(one.target, one.kind) for one in found}) == len(found)


def test_a_category_alone_is_said_only_of_what_is_there_once() -> None:
    for scene, one in EVERY:
        assert (one.kind == "category") == bool(
            re.fullmatch(f"the (pair of )?{scene.objects[one.target].label}", one.text)
        )
        assert one.kind != "category" or not one.needs_more


def test_the_seed_of_the_scene_decides_and_another_draw_says_other_things() -> None:
    scene, found = next(pair for pair in TOLD if len(pair[1]) > 4)
    assert expressions(scene) == found
    others = {expressions(scene, random=np.random.default_rng(seed)) for seed in range(5)}
    assert len(others) > 1


def test_known_layout_known_expressions() -> None:
    scene = laid_out(
        ("car", (10, 40, 20, 50), "red"),
        ("car", (20, 10, 60, 40), "blue"),
        ("chair", (90, 40, 110, 60)),
        ("car", (150, 45, 160, 55), "red"),
    )
    every = {
        (one.text, one.target) for seed in range(15) for one in expressions(scene, random=np.random.default_rng(seed))
    }
    assert {
        ("the blue car", 1),
        ("the largest car", 1),
        ("the leftmost car", 0),
        ("the rightmost car", 3),
        ("the car right of the chair", 3),
        ("the red car left of the chair", 0),
        ("the chair", 2),
    } <= every
    assert not [text for text, _ in every if text in ("the red car", "the small car", "the car")]


def test_no_two_alike_no_expressions() -> None:
    assert expressions(laid_out(("dog", (0, 0, 20, 20)), ("cup", (50, 50, 60, 60)))) == ()
    assert expressions(laid_out()) == ()


@pytest.mark.parametrize("text", ["the dog", "the red car"])
def test_the_reader_can_fail(text: str) -> None:
    scene = laid_out(*((text.split()[-1], (x, 0, x + 9, 9), "red") for x in (0, 50)))
    assert Reader(scene).named(text) == [0, 1]
