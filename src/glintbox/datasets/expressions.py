"""Referring expressions of a scene: phrases that mean exactly one of its objects, with that object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from glintbox.datasets.meanings import (
    DIRECTIONS,
    ORDERS,
    POSITIONS,
    Described,
    Part,
    beside,
    closest,
    colored,
    positioned,
    ranked,
    sized,
)
from glintbox.datasets.scenes import Scene

KINDS = ("category", "attribute", "relation", "ordinal", "position", "combined")
PER_OBJECT = 2
"""So many expressions, of different kinds, for an object that has others of its category beside it."""

ANCHORS = 4
"""So many other things, drawn by lot, are tried as the anchor of relations."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A phrase such as "the small red car left of the chair", and the one object of `scene.objects` that it means.

    kind: of `KINDS`; "combined" where parts of several kinds are needed. needs_more: the category alone does not do,
    for others of it are there.
    """

    text: str
    target: int
    kind: str
    needs_more: bool


def expressions(scene: Scene, *, random: np.random.Generator | None = None) -> tuple[Expression, ...]:
    """Expressions of a scene in the order of their targets; without `random` they depend on the scene alone.

    Each was judged on all objects: it holds of its target, and clearly not of any other. No part of one is idle where
    the category alone does not do. At least half of a scene's expressions need more than the category, so a scene
    without two objects of one category has none.
    """
    random = random or np.random.default_rng((scene.seed, 1))
    labels = sorted({found.label for found in scene.objects})
    anchors = list(_anchors(scene, labels))
    hard: list[Expression] = []
    easy: list[Expression] = []
    for label in labels:
        tried = [anchors[k] for k in random.permutation(len(anchors)) if anchors[k].label != label][:ANCHORS]
        targets = [k for k, found in enumerate(scene.objects) if found.label == label]
        if len(targets) == 1:
            easy += _drawn(random, _told(scene, _alone(label, tried, scene.objects[targets[0]].color), False), 1)
        else:
            told = list(_told(scene, _among_like(scene, label, tried), True))
            for target in targets:
                hard += _drawn(random, (one for one in told if one.target == target), PER_OBJECT)
    kept = [easy[k] for k in random.permutation(len(easy))[: len(hard)]]
    return tuple(sorted(hard + kept, key=lambda one: (one.target, one.text)))


def _drawn(random: np.random.Generator, found: Iterable[Expression], count: int) -> list[Expression]:
    """At most so many, of different kinds: first the kind is drawn, then one of it."""
    by_kind: dict[str, list[Expression]] = {}
    for one in found:
        by_kind.setdefault(one.kind, []).append(one)
    kinds = [sorted(by_kind)[k] for k in random.permutation(len(by_kind))][:count]
    return [by_kind[kind][random.integers(len(by_kind[kind]))] for kind in kinds]


def _told(scene: Scene, phrases: Iterable[Described], needs_more: bool) -> Iterator[Expression]:
    """The phrases that mean exactly one object, without those whose parts are not all needed."""
    for phrase in phrases:
        target = phrase.target(scene)
        if target is not None and not (needs_more and any(_idle(scene, phrase, k) for k in range(len(phrase.parts)))):
            kinds = {part.kind for part in phrase.parts}
            kind = "combined" if len(kinds) > 1 else next(iter(kinds), "category")
            yield Expression(phrase.text, target, kind, needs_more)


def _idle(scene: Scene, phrase: Described, k: int) -> bool:
    """Whether the phrase means one object without its part number k as well."""
    return Described(phrase.label, phrase.parts[:k] + phrase.parts[k + 1 :]).target(scene) is not None


def _anchors(scene: Scene, labels: Iterable[str]) -> Iterator[Described]:
    """The shortest phrases for what can be pointed at by its category, else by its colour."""
    for label in labels:
        colors = sorted({found.color for found in scene.objects if found.label == label and found.color})
        alone = Described(label)
        tried = [alone] if alone.target(scene) is not None else [Described(label, (colored(c),)) for c in colors]
        yield from (phrase for phrase in tried if phrase.target(scene) is not None)


def _places(anchors: Iterable[Described]) -> list[Part]:
    """Relations to anchors, and positions in the picture."""
    relations = [beside(direction, anchor) for direction, anchor in product(DIRECTIONS, anchors)]
    return [*relations, *(positioned(words) for words in POSITIONS)]


def _alone(label: str, anchors: Iterable[Described], color: str | None) -> Iterator[Described]:
    """Phrases for the only object of its category: nothing more is needed, yet more may be said."""
    yield Described(label)
    parts = [*_places(anchors), *([colored(color)] if color else [])]
    yield from (Described(label, (part,)) for part in parts)


def _among_like(scene: Scene, label: str, anchors: list[Described]) -> Iterator[Described]:
    """Phrases for objects of a category that is there several times: colour, size among what has it, and where."""
    colors = sorted({found.color for found in scene.objects if found.label == label and found.color})
    sizes: list[tuple[Part, ...]] = [(), (sized("small"),), (sized("large"),)]
    paints: list[tuple[Part, ...]] = [(), *((colored(color),) for color in colors)]
    for paint, size in product(paints, sizes):
        head = paint + size
        yield Described(label, head)
        count = Described(label, head).judge(scene).count(True)
        two = count == 2 and not size  # "the left dog", yet "the leftmost large dog"
        where = _places(anchors)
        if count > 1:
            where += [closest(anchor, of_two=count == 2) for anchor in anchors]
            orders = [order for order in ORDERS if not size or order not in ("large", "small")]
            where += [ranked(order, place, of_two=two) for order in orders for place in range(1, min(count, 4))]
        yield from (Described(label, (*head, part)) for part in where)
