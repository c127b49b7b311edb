"""Where localization heads fail: python -m benchmarks.failures measures ordinals, counting and shapes with a hollow.

Validation scenes, in their order. Every table has a row for perfect maps, which are spread evenly over the true pixels
and go through the same rules: what they miss is lost by the rules and the grid, whatever a model looks at. Written into
a folder: the page, its numbers, and one figure with the first cases of each kind, which nobody picks.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from statistics import fmean, median
from typing import NamedTuple

from benchmarks.draw_failures import Shown, failures_figure
from benchmarks.failure_cases import FULL, HOLLOW, LARGE, Case, counts, ordinals, shapes
from benchmarks.spans import loaded
from benchmarks.told import SPLIT, Told, density, perfect, scenes
from glintbox import embedded
from glintbox.assembly import Assembly, assemble
from glintbox.boxes import Box, iou
from glintbox.cells import percent, signed, table, within
from glintbox.cli.console import progress
from glintbox.components import foreground, label
from glintbox.images import open_image
from glintbox.localize import boxed, localize, text_heads
from glintbox.lvlm.api import LVLM
from glintbox.maps import smooth
from glintbox.masks import area, mask_iou
from glintbox.metrics import bootstrap, paired_bootstrap
from glintbox.records import Head, HeadMap, Rle, ScoredBox, TextMaps
from glintbox.reproduce.pages import Page, commit, write

RULES = ("hull", "cells", "all")
HEADS, PERFECT = "the heads' maps", "perfect maps"
SEED = 0


class Looks(NamedTuple):
    """The maps of each case, by whose they are."""

    cases: Sequence[Case]
    maps: Mapping[str, Sequence[TextMaps]]

    @property
    def kinds(self) -> list[str]:
        """Those that there are, in order."""
        return list(dict.fromkeys(case.kind for case in self.cases))

    def of(self, kind: str) -> Looks:
        """Those of one kind."""
        places = [k for k, case in enumerate(self.cases) if case.kind == kind]
        return Looks([self.cases[k] for k in places], {name: [m[k] for k in places] for name, m in self.maps.items()})


def look(lvlm: LVLM, cases: Sequence[Case], heads: Sequence[Head]) -> Looks:
    """One prefill a case."""
    maps: list[TextMaps] = []
    with progress() as bar:
        for case in bar.track(cases, description="looking"):
            found = localize(lvlm, open_image(case.told.image), case.text, heads=heads).found.text_map
            assert found is not None
            maps.append(found)
    ideal = [perfect(case.mask, one) for case, one in zip(cases, maps, strict=True)]
    return Looks(cases, {HEADS: maps, PERFECT: ideal})


def region(case: Case, looked: TextMaps, rule: str = "hull") -> ScoredBox | None:
    """Box and mask of a map, by one of `RULES`."""
    return boxed(looked, case.told.size, Assembly(largest=rule))  # type: ignore[arg-type]  # one of RULES


def mask_of(case: Case, looked: TextMaps, rule: str) -> Rle:
    """The region in pixels; empty where nothing stands out."""
    best = region(case, looked, rule)
    return best.mask if best and best.mask else Rle(case.told.size, (case.told.size.width * case.told.size.height,))


def box_iou(case: Case, looked: TextMaps) -> float:
    """Of the largest hull's box with the one thing that is meant."""
    best = region(case, looked)
    return iou(best.box, case.meant[0].box) if best else 0.0


def ordinal_table(looks: Looks) -> str:
    """By kind of expression: the box, and whether the right one of several instances is looked at most."""
    rows = []
    for kind in looks.kinds:
        for name, maps in (some := looks.of(kind)).maps.items():
            ious = [box_iou(case, one) for case, one in zip(some.cases, maps, strict=True)]
            right = [float(_brightest(case, one)) for case, one in zip(some.cases, maps, strict=True)]
            chance = fmean(1 / (1 + len(case.rivals)) for case in some.cases)
            hits = percent(fmean(float(value >= 0.5) for value in ious))
            numbers = (hits, percent(fmean(ious)), within(fmean(right), bootstrap(right, seed=SEED)), percent(chance))
            rows.append((kind, name, len(ious), *numbers))
    heading = ("expression", "maps", "cases", "Acc@0.5", "mean IoU", "right instance brightest", "by chance")
    return table(heading, rows, words=2)


def _brightest(case: Case, looked: TextMaps) -> bool:
    own = density(looked, case.meant[0].box)
    return all(own > density(looked, rival.box) for rival in case.rivals)


def count_table(looks: Looks) -> str:
    """By number: instances found by one box, and by a box for each part; is the number of parts that of instances?"""
    rows = []
    for kind in looks.kinds:
        for name, maps in (some := looks.of(kind)).maps.items():
            pairs = list(zip(some.cases, maps, strict=True))
            one = [_recalled(case, [best.box] if (best := region(case, m)) else []) for case, m in pairs]
            parts = [part_boxes(case, m) for case, m in pairs]
            each = [_recalled(case, boxes) for (case, _), boxes in zip(pairs, parts, strict=True)]
            exact = [float(len(boxes) == len(case.meant)) for (case, _), boxes in zip(pairs, parts, strict=True)]
            fits = [fmean(mask_iou(mask_of(case, m, rule), case.mask) for case, m in pairs) for rule in ("hull", "all")]
            numbers = (fmean(one), fmean(each), fmean(exact), *fits)
            rows.append((kind, name, len(pairs), *map(percent, numbers), f"{median(map(len, parts)):.0f}"))
    heading = (
        "number", "maps", "cases", "instances, one box", "a box per part", "parts = number", "mask IoU, one part",
        "all parts", "parts, median",
    )  # fmt: skip
    return table(heading, rows, words=2)


def part_boxes(case: Case, looked: TextMaps) -> list[Box]:
    """The box of every connected part above the mean, not of the largest alone."""
    parts = label(foreground(smooth(looked.values, sigma=1.0, kernel=7).sum(0)))
    found = []
    for number in range(1, int(parts.max()) + 1):
        alone = (parts == number).float()[None]
        made = assemble(alone, looked.grid, Assembly(sigma=0), image=case.told.size)
        found += [made.box] if made else []
    return found


def _recalled(case: Case, boxes: Sequence[Box]) -> float:
    """Share of the instances that some box has at IoU 0.5."""
    return fmean(float(any(iou(box, thing.box) >= 0.5 for box in boxes)) for thing in case.meant)


def shape_table(looks: Looks) -> str:
    """By shape: the region filled up to its hull, and its cells alone, against the true mask."""
    rows = []
    words = {"hollow": f"fills ≤ {HOLLOW:.0%} of its hull", "full": f"fills ≥ {FULL:.0%}"}
    for kind in looks.kinds:
        for name, maps in (some := looks.of(kind)).maps.items():
            pairs = list(zip(some.cases, maps, strict=True))
            fits = {rule: [mask_iou(mask_of(c, m, rule), c.mask) for c, m in pairs] for rule in RULES[:2]}
            large = [median(area(mask_of(c, m, rule)) / area(c.mask) for c, m in pairs) for rule in RULES[:2]]
            gain = signed(
                fmean(fits["cells"]) - fmean(fits["hull"]), paired_bootstrap(fits["cells"], fits["hull"], seed=SEED)
            )
            shown = (percent(fmean(fits["hull"])), percent(fmean(fits["cells"])), gain)
            rows.append((words[kind], name, len(pairs), *shown, *(f"{value:.2f}" for value in large)))
    heading = (
        "object", "maps", "cases", "IoU, hull", "IoU, cells", "cells minus hull", "area, hull ÷ truth",
        "area, cells ÷ truth",
    )  # fmt: skip
    return table(heading, rows, words=2)


# ---- on paper


class Part(NamedTuple):
    """A kind of failure: its heading, its table, its cases; the row of the figure shows those of kind `first`."""

    heading: str
    note: str
    table: str
    looks: Looks
    first: str


def parts(lvlm: LVLM, headmap: HeadMap, told: Sequence[Told], each: int) -> list[Part]:
    """All three."""
    heads = text_heads(headmap)
    of = {name: look(lvlm, make(told, each), heads) for name, make in MAKERS.items()}
    return [
        Part(
            "Ordinals",
            "One of several instances of a category is meant. Right instance brightest: in no other instance's box is "
            "the attention denser.",
            ordinal_table(of["ordinals"]), of["ordinals"], "ordinal",
        ),
        Part(
            "Counting",
            "The scenes' expressions never count, so these are made: a number and a category, which mean all of its "
            "instances. Instances: the share of them that a box has at IoU 0.5.",
            count_table(of["counts"]), of["counts"], "two",
        ),
        Part(
            "Shapes with a hollow",
            f"Objects of at least {LARGE:.0%} of the picture, by the share of their hull that they fill. The paper "
            "fills the region up to its hull; `--largest cells` does not.",
            shape_table(of["shapes"]), of["shapes"], "hollow",
        ),
    ]  # fmt: skip


MAKERS = {"ordinals": ordinals, "counts": counts, "shapes": shapes}


def shown(part: Part, cols: int) -> Iterator[Shown]:
    """The first cases of a part, with the heads' box and mask."""
    looks = part.looks.of(part.first)
    for case, looked in islice(zip(looks.cases, looks.maps[HEADS], strict=True), cols):
        best = region(case, looked)
        cells = mask_of(case, looked, "cells")
        words = f"IoU {mask_iou(best.mask, case.mask):.2f}" if best and best.mask else "not found"
        if part.first == "ordinal":
            words = f"IoU {box_iou(case, looked):.2f}"
        rivals = tuple(thing.box for thing in case.rivals)
        hull = best.mask if best else None
        truth = case.mask if part.first == "hollow" else None
        boxes = tuple(thing.box for thing in case.meant)
        yield Shown(
            open_image(case.told.image), case.text, boxes, rivals, truth, best.box if best else None, cells, hull, words
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--scenes", type=int, default=600, help="of the validation split, the first so many are searched"
    )
    parser.add_argument("--cases", type=int, default=50, help="of each row of a table, at most")
    parser.add_argument("--cols", type=int, default=5, help="cases in a row of the figure")
    parser.add_argument("--model", default=embedded.NAME, help="hub name or checkpoint folder")
    parser.add_argument("--heads", type=Path, help="localization heads, a file or its folder")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args(arguments)
    lvlm, headmap = loaded(options.model, options.heads)
    found = parts(lvlm, headmap, list(scenes(options.scenes)), options.cases)
    about = {
        "model": headmap.setting.model,
        "localization heads": ", ".join(map(str, headmap.heads["text"])),
        "data": f"the first {options.scenes} scenes of {SPLIT}, at most {options.cases} cases of each row",
        "command": f"`python -m benchmarks.failures --scenes {options.scenes} --cases {options.cases}`",
        "commit": commit(),
    }
    told = [text for part in found for text in (f"## {part.heading}", part.note, part.table)]
    note = (
        "In %, but for numbers of cases, parts and areas. The figure shows the first cases of each kind in the order "
        "of the scenes, nobody picked them."
    )
    figure = failures_figure({part.heading: list(shown(part, options.cols)) for part in found})
    name = "locate-failures"
    write(Page(name, "Where localization heads fail", about, [note, *told], figures={name: figure}), options.out)
    print("\n\n".join(told))


if __name__ == "__main__":
    main()
