"""Several objects in one expression: python -m benchmarks.spans asks validation scenes for two or three at a time.

Every case joins expressions of different objects of one scene, "A, B and C". The same heads are read at the end of each
span, at the word or comma behind it, and at the expression's last token alone, in one prefill; then each expression is
asked by itself. A perfect map is what the same rules make of attention that is spread evenly over the object's mask.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np

from benchmarks.told import Said, Thing, Told, density, perfect, points_at, scenes
from glintbox import embedded
from glintbox.boxes import iou
from glintbox.cells import percent, signed, table, within
from glintbox.cli.console import progress
from glintbox.images import open_image
from glintbox.localize import boxed, localization_heads, localize, required, text_heads
from glintbox.localize_spans import Spoken, localize_spans_each, spoken
from glintbox.lvlm.api import LVLM
from glintbox.lvlm.hf import HuggingFaceLVLM
from glintbox.metrics import bootstrap, paired_bootstrap
from glintbox.phrases import Phrase
from glintbox.records import Head, HeadMap, TextMaps

SPAN, BEHIND, LAST, ALONE, PERFECT = WAYS = (
    "a query per span, at its last token",
    "a query per span, at the token behind it",
    "the last token alone, one box for all",
    "each expression asked alone",
    "a perfect map of each object",
)
HIT, NEAR = 0.5, 0.25
LARGE = 0.05
"""Share of the picture from which on an object is several cells wide."""

SEED = 0


class Joined(NamedTuple):
    """Expressions of different things of one scene, and the text that says them all."""

    scene: Told
    parts: tuple[Said, ...]

    @property
    def text(self) -> str:
        """ "A, B and C"."""
        *head, tail = (part.text for part in self.parts)
        return f"{', '.join(head)} and {tail}"

    @property
    def things(self) -> tuple[Thing, ...]:
        """What is meant, in order."""
        return tuple(self.scene.things[part.target] for part in self.parts)


class Seen(NamedTuple):
    """One object, one way. iou: of its box; other: the best IoU of that box with another object of the expression.

    density: attention inside the object against an even map. points: whether the brightest cell is the object's.
    """

    iou: float
    other: float
    density: float
    points: bool
    share: float


def joined(told: Told, seed: int) -> Joined | None:
    """Two or three expressions of the scene, each of another thing, by lot; None where it has no two."""
    random = np.random.default_rng((seed, int(told.id)))
    targets = sorted({one.target for one in told.said})
    if len(targets) < 2:
        return None
    count = min(len(targets), int(random.integers(2, 4)))
    chosen = [targets[k] for k in random.permutation(len(targets))[:count]]
    of = [[one for one in told.said if one.target == target] for target in chosen]
    return Joined(told, tuple(some[random.integers(len(some))] for some in of))


def looked(lvlm: LVLM, asked: Joined, headmap: HeadMap) -> dict[str, list[TextMaps]]:
    """The maps of every object, by way."""
    image, heads, setting = open_image(asked.scene.image), text_heads(headmap), headmap.setting
    prompt, spans = spoken(lvlm, image, asked.text, prompt=setting.prompt)
    assert [span.text for span in spans] == [part.text for part in asked.parts], "the scenes' words hold no divider"
    behind = [_behind(asked.text, span) for span in spans]
    [both] = localize_spans_each(lvlm, [Spoken(prompt, (*spans, *behind))], heads=heads, setting=setting)
    maps = [one.maps for one in both.found.span_maps]
    count = len(spans)
    return {
        SPAN: maps[:count],
        BEHIND: maps[count:],
        LAST: [maps[count - 1]] * count,
        ALONE: [_alone(lvlm, asked, part.text, heads) for part in asked.parts],
        PERFECT: [perfect(thing.mask, maps[0]) for thing in asked.things],
    }


def _behind(text: str, span: Phrase) -> Phrase:
    """The span with the comma or "and" behind it; the last one has its full stop already."""
    end = {",": span.end + 1, " ": span.end + len(" and")}[text[span.end]] if span.end < len(text) else span.end
    return Phrase(text[span.start : end], span.start, end)


def _alone(lvlm: LVLM, asked: Joined, text: str, heads: Sequence[Head]) -> TextMaps:
    maps = localize(lvlm, open_image(asked.scene.image), text, heads=heads).found.text_map
    assert maps is not None
    return maps


def judged(asked: Joined, maps: Sequence[TextMaps]) -> list[Seen]:
    """How well the maps of one way fit the objects."""
    found = []
    for thing, one in zip(asked.things, maps, strict=True):
        best = boxed(one, asked.scene.size)
        ious = [iou(best.box, other.box) if best else 0.0 for other in asked.things]
        own = asked.things.index(thing)
        others = max(value for k, value in enumerate(ious) if k != own)
        found.append(Seen(ious[own], others, density(one, thing.box), points_at(one, thing.box), thing.share))
    return found


Cases = Mapping[str, Sequence[Sequence[Seen]]]
"""By way, for each expression, its objects."""


def report(cases: Cases, *, least: float = 0.0) -> str:
    """A Markdown table: means over expressions of the means over their objects of at least a share of the picture."""
    heading = (
        "",
        "recall, IoU ≥ 0.5",
        "IoU ≥ 0.25",
        "mean IoU",
        "IoU with another",
        "attention, × even",
        "brightest cell",
    )
    return table(heading, [(way, *_cells(some, least)) for way, some in cases.items()], words=1)


def _cells(some: Sequence[Sequence[Seen]], least: float) -> Iterator[str]:
    hits = _means(some, lambda one: one.iou >= HIT, least)
    yield within(fmean(hits), bootstrap(hits, seed=SEED))
    yield percent(fmean(_means(some, lambda one: one.iou >= NEAR, least)))
    ious = _means(some, lambda one: one.iou, least)
    yield within(fmean(ious), bootstrap(ious, seed=SEED))
    yield percent(fmean(_means(some, lambda one: one.other, least)))
    yield f"{fmean(_means(some, lambda one: one.density, least)):.2f}"
    yield percent(fmean(_means(some, lambda one: one.points, least)))


def _means(some: Sequence[Sequence[Seen]], of: Callable[[Seen], float], least: float) -> list[float]:
    """One number per expression that has such an object."""
    kept = [[float(of(one)) for one in objects if one.share >= least] for objects in some]
    return [fmean(values) for values in kept if values]


def differences(cases: Cases, *, least: float = 0.0) -> str:
    """A query per span minus the other ways, in points, paired by expression."""
    rows = []
    for way in (BEHIND, LAST, ALONE):
        cells = []
        for of in (lambda one: one.iou >= HIT, lambda one: one.iou):
            ours, theirs = (_means(cases[name], of, least) for name in (SPAN, way))
            cells.append(signed(fmean(ours) - fmean(theirs), paired_bootstrap(ours, theirs, seed=SEED)))
        rows.append((f"minus {way}", *cells))
    return table((SPAN, "recall, IoU ≥ 0.5", "mean IoU"), rows, words=1)


def measure(lvlm: LVLM, headmap: HeadMap, told: Sequence[Told], seed: int) -> Cases:
    """All ways over all scenes that have two objects with an expression each."""
    cases: dict[str, list[list[Seen]]] = {way: [] for way in WAYS}
    with progress() as bar:
        task = bar.add_task("asking", total=len(told))
        for scene in told:
            if asked := joined(scene, seed):
                for way, maps in looked(lvlm, asked, headmap).items():
                    cases[way].append(judged(asked, maps))
            bar.update(task, advance=1)
    return cases


def loaded(model: str, heads: Path | None) -> tuple[LVLM, HeadMap]:
    """A model with its localization heads."""
    folder = Path(source := embedded.source(model)).expanduser()
    lvlm = HuggingFaceLVLM.from_pretrained(source, device="cpu")
    return lvlm, required(localization_heads(lvlm.card, heads, checkpoint=folder if folder.is_dir() else None))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=200, help="of the validation split, the first so many")
    parser.add_argument("--seed", type=int, default=SEED, help="which expressions of a scene are joined")
    parser.add_argument("--model", default=embedded.NAME, help="hub name or checkpoint folder")
    parser.add_argument("--heads", type=Path, help="localization heads, a file or its folder")
    options = parser.parse_args(arguments)
    lvlm, headmap = loaded(options.model, options.heads)
    cases = measure(lvlm, headmap, list(scenes(options.scenes)), options.seed)
    objects = sum(map(len, cases[SPAN]))
    print(f"{len(cases[SPAN])} expressions of {objects} objects, {', '.join(map(str, headmap.heads['text']))}; in %\n")
    for least in (0.0, LARGE):
        print(f"objects of at least {percent(least, digits=0)} % of the picture:\n" if least else "all objects:\n")
        print(report(cases, least=least), "", differences(cases, least=least), "", sep="\n")


if __name__ == "__main__":
    main()
