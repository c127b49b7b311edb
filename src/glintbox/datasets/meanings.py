"""What words mean in a scene: each part of an expression is said and judged by one object, so both always agree.

A judgement is True, False, or None where it is borderline: what only just holds is never relied upon.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from glintbox.boxes import Box
from glintbox.datasets.scenes import Scene, SceneObject

Truth = bool | None
Truths = tuple[Truth, ...]
"""One judgement per object of the scene, in their order."""

KIN: Mapping[str, frozenset[str]] = {
    "bear": frozenset({"teddy bear"}),
    "bird": frozenset({"chicken", "duck", "owl", "penguin"}),
    "car": frozenset({"taxi"}),
    "dog": frozenset({"hot dog"}),
}
"""What some would call by another's name as well."""

PAIRS = frozenset({"scissors", "skis"})

ALIKE = frozenset(
    frozenset(pair)
    for pair in (
        ("red", "orange"),
        ("red", "pink"),
        ("red", "brown"),
        ("orange", "yellow"),
        ("orange", "brown"),
        ("orange", "pink"),
        ("yellow", "brown"),
        ("blue", "purple"),
        ("purple", "pink"),
    )
)
"""Colours that light and blur can make of each other."""


Judge = Callable[[Scene, Truths], Truths]
"""Of which objects a part holds, given what was judged of the words that it narrows down."""


@dataclass(frozen=True, slots=True)
class Part:
    """A word or phrase that narrows down what a noun names, said `before` or `after` it, or around it.

    kind: attribute, relation, ordinal or position.
    """

    kind: str
    judge: Judge
    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class Described:
    """A noun phrase; each part is judged among what the label and the parts before it name."""

    label: str
    parts: tuple[Part, ...] = ()

    @property
    def text(self) -> str:
        """The phrase in English; of what stands before the noun, the last part is said first."""
        noun = f"pair of {self.label}" if self.label in PAIRS else self.label
        words = ["the", *(part.before for part in self.parts[::-1]), noun, *(part.after for part in self.parts)]
        return " ".join(word for word in words if word)

    def judge(self, scene: Scene) -> Truths:
        """Of which objects the whole phrase holds."""
        truths: Truths = tuple(_named(self.label, found.label) for found in scene.objects)
        for part in self.parts:
            truths = tuple(map(both, truths, part.judge(scene, truths)))
        return truths

    def target(self, scene: Scene) -> int | None:
        """Index of the one object meant; None where there is none, several, or doubt about any."""
        truths = self.judge(scene)
        return truths.index(True) if truths.count(True) == 1 and None not in truths else None


def both(one: Truth, other: Truth) -> Truth:
    """Whether two judgements hold together."""
    return False if one is False or other is False else None if one is None or other is None else True


def graded(value: float, yes: float, no: float) -> Truth:
    """True up to `yes`, False from `no` on, borderline between."""
    return True if value <= yes else False if value >= no else None


def _named(label: str, other: str) -> Truth:
    return True if label == other else None if other in KIN.get(label, ()) else False


def colored(color: str) -> Part:
    """ "red": painted so. What has its natural colours, or one much like it, is borderline."""
    return Part("attribute", partial(_is_colored, color), color)


def _is_colored(color: str, scene: Scene, among: Truths) -> Truths:
    paints = [found.color for found in scene.objects]
    return tuple(None if p is None or frozenset((p, color)) in ALIKE else p == color for p in paints)


def sized(word: str) -> Part:
    """ "small" or "large" among its like: in the outer quarter between the smallest and the largest, on a log scale.

    The largest box must have at least four times the area of the smallest.
    """
    return Part("attribute", partial(_is_sized, word), word)


def _is_sized(word: str, scene: Scene, among: Truths) -> Truths:
    areas = [found.area for found in _members(scene, among)]
    if not areas or max(areas) < 4 * min(areas) or None in among:
        return (None,) * len(among)
    low, high = math.log(min(areas)), math.log(max(areas))
    places = [(math.log(found.area) - low) / (high - low) for found in scene.objects]
    return tuple(graded(place if word == "small" else 1 - place, 0.25, 0.6) for place in places)


class _Order(NamedTuple):
    of_two: str
    first: str
    origin: str  # said with "second", "third" …


ORDERS: Mapping[str, _Order] = {
    "left": _Order("left", "leftmost", "from the left"),
    "right": _Order("right", "rightmost", "from the right"),
    "top": _Order("upper", "topmost", "from the top"),
    "bottom": _Order("lower", "bottommost", "from the bottom"),
    "large": _Order("larger", "largest", ""),
    "small": _Order("smaller", "smallest", ""),
}
NUMBERS = ("", "second", "third", "fourth", "fifth", "sixth")


def ranked(order: str, place: int, *, of_two: bool = False) -> Part:
    """ "the second … from the left", "the largest …": number `place`, first = 1, in an order of `ORDERS`.

    Before = centres 4 % of the picture apart and both edges too; larger = twice the area of the box. Of two, one is
    "the left …", not "the leftmost …".
    """
    words = ORDERS[order]
    superlative = words.of_two if of_two else words.first
    before = superlative if place == 1 else NUMBERS[place - 1] + ("" if words.origin else f" {superlative}")
    after = words.origin if place > 1 else ""
    kind = "ordinal" if words.origin else "attribute"
    return Part(kind, partial(_is_ranked, place, partial(_precedes, order)), before, after)


def _precedes(order: str, scene: Scene, one: Box, other: Box) -> bool:
    if order in ("large", "small"):
        return one.area >= 2 * other.area if order == "large" else other.area >= 2 * one.area
    apart = 0.04 * (scene.image.width if order in ("left", "right") else scene.image.height)
    (low, high), (low_too, high_too) = _along(order, one), _along(order, other)
    return low < low_too and high < high_too and (low_too + high_too - low - high) / 2 >= apart


def closest(anchor: Described, *, of_two: bool = False) -> Part:
    """ "closest to the chair", of two "closer": by the gap between boxes and by their centres.

    Closer = the other's gap is 1.5 times as wide and 4 % of the diagonal wider, its centre 1.25 times as far.
    """
    return Part("relation", partial(_is_closest, anchor), "", f"{'closer' if of_two else 'closest'} to {anchor.text}")


def _is_closest(anchor: Described, scene: Scene, among: Truths) -> Truths:
    place = anchor.target(scene)
    if place is None or among[place] is not False:
        return (None,) * len(among)
    return _is_ranked(1, partial(_is_closer, scene.objects[place].box), scene, among)


def _is_closer(at: Box, scene: Scene, one: Box, other: Box) -> bool:
    near, far = _gap(one, at), _gap(other, at)
    wider = far >= max(1.5 * near, near + 0.04 * math.hypot(*scene.image.size))
    return wider and math.dist(_center(other), _center(at)) >= 1.25 * math.dist(_center(one), _center(at))


def _is_ranked(place: int, precedes: Callable[[Scene, Box, Box], bool], scene: Scene, among: Truths) -> Truths:
    """Number `place` of what surely comes before each other; a rank that is not sure is borderline."""
    if None in among:
        return (None,) * len(among)
    members = [found.box for found in _members(scene, among)]
    truths: list[Truth] = []
    for box in (found.box for found in scene.objects):
        first = 1 + sum(precedes(scene, other, box) for other in members)
        last = len(members) - sum(precedes(scene, box, other) for other in members)
        truths.append(None if first <= place <= last and first < last else first == place == last)
    return tuple(truths)


def _members(scene: Scene, among: Truths) -> list[SceneObject]:
    return [found for found, truth in zip(scene.objects, among, strict=True) if truth is not False]


DIRECTIONS: Mapping[str, tuple[int, int]] = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}
"""The step, right and down, that each relation names."""


def beside(direction: str, anchor: Described) -> Part:
    """ "left of the chair": beyond its edge and within 45° of that direction between centres; from 70° on it is false.

    The anchor must be unique, and does not count itself.
    """
    return Part("relation", partial(_is_beside, direction, anchor), "", f"{direction} {anchor.text}")


def _is_beside(direction: str, anchor: Described, scene: Scene, among: Truths) -> Truths:
    place = anchor.target(scene)
    if place is None:
        return (None,) * len(among)
    at = scene.objects[place].box
    return tuple(k != place and _lies_beside(direction, found.box, at) for k, found in enumerate(scene.objects))


def _lies_beside(direction: str, box: Box, at: Box) -> Truth:
    x, y = DIRECTIONS[direction]
    right, down = (a - b for a, b in zip(_center(box), _center(at), strict=True))
    ahead, aside = x * right + y * down, abs(y * right) + abs(x * down)
    angled = graded(math.degrees(math.atan2(aside, ahead)), 45, 70)
    reach = (box.width + at.width if x else box.height + at.height) / 2
    return None if angled and ahead < 0.9 * reach else angled


POSITIONS: Mapping[str, tuple[str, str]] = {
    "on the left side": ("left", ""),
    "on the right side": ("right", ""),
    "at the top": ("", "top"),
    "at the bottom": ("", "bottom"),
    "in the middle": ("middle", "middle"),
    **{f"in the {high} {wide} corner": (wide, high) for high in ("top", "bottom") for wide in ("left", "right")},
}
"""What is said of a place in the picture, and where that lies across and down."""


def positioned(words: str) -> Part:
    """ "in the top left corner of the picture", and the other words of `POSITIONS`.

    By centre and far edge, as share of the picture from the side that is named; the middle by the centre.
    """
    return Part("position", partial(_is_at, *POSITIONS[words]), "", f"{words} of the picture")


def _is_at(wide: str, high: str, scene: Scene, among: Truths) -> Truths:
    width, height = scene.image.size
    boxes = [found.box for found in scene.objects]
    return tuple(both(_at(wide, b.x1 / width, b.x2 / width), _at(high, b.y1 / height, b.y2 / height)) for b in boxes)


def _at(side: str, low: float, high: float) -> Truth:
    """Whether a span of 0..1 lies at a side or in the middle; no side means anywhere."""
    if side == "middle":
        return graded(abs((low + high) / 2 - 0.5), 0.1, 0.22)
    if side in ("right", "bottom"):
        low, high = 1 - high, 1 - low
    near = graded((low + high) / 2, 0.27, 0.5)
    return True if not side else None if near and high > 0.5 else near


def _along(side: str, box: Box) -> tuple[float, float]:
    """Where a box begins and ends, seen from a side of the picture."""
    low, high = (box.x1, box.x2) if side in ("left", "right") else (box.y1, box.y2)
    return (low, high) if side in ("left", "top") else (-high, -low)


def _gap(one: Box, other: Box) -> float:
    wide = max(one.x1 - other.x2, other.x1 - one.x2, 0.0)
    return math.hypot(wide, max(one.y1 - other.y2, other.y1 - one.y2, 0.0))


def _center(box: Box) -> tuple[float, float]:
    return (box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2
