"""Which expressions localization heads are tried on: ordinals, numbers of things, hollow shapes; in scene order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.told import Thing, Told
from glintbox.components import hull_area
from glintbox.masks import area, decode, encode
from glintbox.records import Rle

KINDS = ("ordinal", "attribute", "relation", "position", "combined")
NUMBERS = ("", "", "two", "three", "four", "five", "six")
IRREGULAR = {
    "person": "people", "sheep": "sheep", "knife": "knives", "mouse": "mice", "scissors": "pairs of scissors",
    "skis": "pairs of skis", "broccoli": "broccoli",
}  # fmt: skip

HOLLOW, FULL = 0.65, 0.85
"""Share of its hull that an object fills: at most the first for a hollow shape, at least the second for a full one."""

LARGE = 0.02
"""Share of the picture that such an object covers at least; smaller ones have a cell or two."""


class Case(NamedTuple):
    """One expression of a scene and what it means. rivals: other instances of the category. kind: its row."""

    told: Told
    text: str
    meant: tuple[Thing, ...]
    rivals: tuple[Thing, ...]
    kind: str

    @property
    def mask(self) -> Rle:
        """Of all that is meant."""
        masks = [decode(thing.mask) for thing in self.meant]
        return encode(np.logical_or.reduce(masks))


def ordinals(told: Sequence[Told], each: int) -> list[Case]:
    """The first expressions of each kind about one of several instances of a category, one a scene."""
    found: list[Case] = []
    for kind in KINDS:
        found += islice((case for one in told if (case := _one_of_several(one, kind))), each)
    return found


def _one_of_several(told: Told, kind: str) -> Case | None:
    for said in told.said:
        meant = told.things[said.target]
        rivals = tuple(one for one in told.things if one.label == meant.label and one is not meant)
        if said.kind == kind and rivals:
            return Case(told, said.text, (meant,), rivals, kind)
    return None


def counts(told: Sequence[Told], each: int) -> list[Case]:
    """The first categories of two, three and more instances: "two owls" means both of them."""
    found: dict[str, list[Case]] = {"two": [], "three": [], "more": []}
    for one in told:
        for name in dict.fromkeys(thing.label for thing in one.things):
            meant = tuple(thing for thing in one.things if thing.label == name)
            kind = {2: "two", 3: "three"}.get(len(meant), "more")
            if 2 <= len(meant) < len(NUMBERS) and len(found[kind]) < each:
                found[kind].append(Case(one, f"{NUMBERS[len(meant)]} {plural(name)}", meant, (), kind))
    return [case for cases in found.values() for case in cases]


def plural(name: str) -> str:
    """Several of a category of the scenes."""
    if name in IRREGULAR:
        return IRREGULAR[name]
    if name.endswith("y") and name[-2] not in "aeiou":
        return f"{name[:-1]}ies"
    return f"{name}es" if name.endswith(("s", "ch", "sh", "x", "tomato")) else f"{name}s"


def shapes(told: Sequence[Told], each: int) -> list[Case]:
    """The first large objects that leave much of their hull empty, and the first that fill theirs."""
    found: dict[str, list[Case]] = {"hollow": [], "full": []}
    for one in told:
        for target in dict.fromkeys(said.target for said in one.said):
            thing = one.things[target]
            if thing.share < LARGE or min(map(len, found.values())) >= each:
                continue
            filled = solidity(thing.mask)
            kind = "hollow" if filled <= HOLLOW else "full" if filled >= FULL else None
            if kind and len(found[kind]) < each:
                text = next(said.text for said in one.said if said.target == target)
                found[kind].append(Case(one, text, (thing,), (), kind))
    return [case for cases in found.values() for case in cases]


def solidity(mask: Rle) -> float:
    """The share of a mask's convex hull that it fills."""
    return area(mask) / hull_area(torch.from_numpy(decode(mask).copy()))
