"""How many cases a dataset gives, by set, by size, and by every way to read the paper's words (docs/acs.md 26-28)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product

from glintbox.datasets.cases import SIZES, Area, Crowd, Instances, Odd, Rule, fitting
from glintbox.datasets.coco import CROWDS, ODD, Annotations
from glintbox.errors import BadInput

SETS: Mapping[Instances, str] = {
    "one": "exactly one",
    "many": "two or more",
    "any": "one or more",
    "first": "the first",
}
"""The numbers of objects in words."""

BY_SIZE: tuple[Instances, ...] = ("one", "many")
"""The paper's two settings: single-object and multi-object."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What a dataset holds. sets: cases by number of objects and size, by the default rule; variants: of one size.

    notes: what was met in the file and what was done about it, counted.
    """

    pictures: int
    categories: int
    annotations: int
    notes: Mapping[str, int]
    sets: Mapping[Instances, Mapping[str, int]]
    size: str
    variants: tuple[tuple[Rule, int], ...]


def counts(
    annotations: Annotations, *, instances: Instances = "one", size: str = "small", tick: Callable[[], None]
) -> Counts:
    """Count the cases of every size, and those of `instances` and `size` by every rule that can matter here.

    The first variant is the default rule. `tick` is called once per number, `steps` in all.
    """

    def ticked(rule: Rule, size: str) -> int:
        tick()
        return sum(1 for _ in fitting(annotations, rule, size=size))

    return Counts(
        pictures=len(annotations.pictures),
        categories=len(annotations.names),
        annotations=sum(len(marked) for marked in annotations.pairs.values()),
        notes=dict(annotations.notes),
        sets={each: {name: ticked(Rule(each), name) for name in SIZES} for each in BY_SIZE},
        size=size,
        variants=tuple((rule, ticked(rule, size)) for rule in rules(annotations, instances)),
    )


def steps(annotations: Annotations, instances: Instances) -> int:
    """How many numbers `counts` counts."""
    return len(BY_SIZE) * len(SIZES) + len(rules(annotations, instances))


def rules(annotations: Annotations, instances: Instances) -> list[Rule]:
    """The rules that can differ on these annotations; areas of masks only where every annotation has one."""
    masks = all(one.mask is not None for marked in annotations.pairs.values() for one in marked)
    numbers: tuple[Instances, ...] = ("one", "first") if instances == "one" else (instances,)
    areas: tuple[Area, ...] = ("box", "mask") if masks else ("box",)
    crowds: tuple[Crowd, ...] = ("ignored", "counted", "refused") if CROWDS in annotations.notes else ("ignored",)
    odds: tuple[Odd, ...] = ("counted", "refused") if ODD in annotations.notes else ("counted",)
    every = product(numbers, areas, crowds, odds, (True, False))
    return [Rule(number, area=area, crowd=crowd, odd=odd, ends=ends) for number, area, crowd, odd, ends in every]


def expect(found: Counts, wanted: int, *, where: str) -> None:
    """Nothing, where the default rule gives that many cases.

    Raises:
        BadInput: another number; tells which rules give it.
    """
    rule, number = found.variants[0]
    if number != wanted:
        others = [words(rule) for rule, count in found.variants if count == wanted]
        nearest, count = min(found.variants, key=lambda variant: abs(variant[1] - wanted))
        hint = f"these give it: {'; '.join(others)}" if others else f"the nearest is {count}: {words(nearest)}"
        raise BadInput(f"expected {wanted} {found.size} cases of {where} ({words(rule)}), got {number}; {hint}")


def words(rule: Rule) -> str:
    """A rule in words."""
    ends = "ends in" if rule.ends else "ends out"
    odd = "" if rule.odd == "counted" else ", depicted or mirrored refused"
    return f"{SETS[rule.instances]}, area of the {rule.area}, crowds {rule.crowd}{odd}, {ends}"
