"""What localization heads lose to larger cells: python -m benchmarks.pooled compares ways to pool a picture's tokens.

On square scenes alone, whose 12 x 12 cells both 2 and 4 divide. Where the loss comes from is told apart: the maps of
the whole grid summed over larger cells (coarse places, nothing else), tokens averaged in place (what the model knows is
coarse too), one token for each mean (the model reads a small grid too). Whatever stops it, another start goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.pooled_table import WAYS, WHOLE, Heads, Looked, Result, Way, report
from benchmarks.pooling import pooled_maps
from glintbox import embedded
from glintbox.artifacts import write_whole
from glintbox.assembly import assemble, coverage
from glintbox.boxes import Box
from glintbox.cli.console import progress
from glintbox.collect import opened
from glintbox.datasets.refer import source
from glintbox.errors import BadInput
from glintbox.finding import frequencies, head_ious, most_frequent, table
from glintbox.geometry import TokenGrid
from glintbox.lvlm.api import LVLM
from glintbox.lvlm.hf import HuggingFaceLVLM
from glintbox.metrics import best_iou
from glintbox.parsing import read_response
from glintbox.prompts import EXPRESSION
from glintbox.records import Head, Sample, Search, Site, Watch, from_json, to_json
from glintbox.rivals import GREEDY
from glintbox.text_stats import TextCard, TextStats, TextWriter, fill

K = 3
"""Localization heads, as in the paper."""


@dataclass(frozen=True, slots=True)
class Written:
    """What the model wrote: IoU of its box (0: none), and how much of each head's attention lay in the true box."""

    id: str
    iou: float
    inside: tuple[tuple[float, ...], ...] | None  # by coordinate and head


def square_scenes(split: str, count: int, divisor: int) -> list[Sample]:
    """The first expressions of scenes of a split whose sides `divisor` (px) divides."""
    spoken = source("scenes", split=split).spoken(None, lambda: None)
    fitting = (one.sample for one in (each.make() for each in spoken) if not any(n % divisor for n in one.sample.size))
    return sorted(islice(fitting, count), key=lambda sample: sample.id)  # as they are kept


def read(lvlm: LVLM, samples: Sequence[Sample], folder: Path) -> TextStats:
    """The maps of all heads for all cases, kept."""
    setting = lvlm.card.setting(prompt=EXPRESSION, view="default", moment="predicting")
    card = TextCard(setting, folder.name, lvlm.card.all_heads(), maps=True)
    with TextWriter(folder, card) as writer, progress() as bar:
        task = bar.add_task(f"reading {folder.parent.name}, {folder.name}", total=len(samples))
        fill(lvlm, samples, writer, tick=lambda: bar.update(task, advance=1))
    return TextStats(folder)


class Seen(NamedTuple):
    """A case's maps of all heads, on the grid of a way."""

    sample: Sample
    grid: TokenGrid
    maps: Float[Tensor, "head row col"]


def seen(kept: TextStats, samples: Sequence[Sample], way: Way) -> Iterator[Seen]:
    """What is kept of some cases, on the grid of the way."""
    for sample, grid, _, maps in (kept[one.id] for one in samples):
        assert maps is not None  # the card promises them
        if way.sums:
            grid, maps = TokenGrid(grid.rows // way.k, grid.cols // way.k, grid.region), pooled_maps(maps, way.k)
        yield Seen(sample, grid, maps)


def heads_of(kept: TextStats, samples: Sequence[Sample], written: Sequence[Written]) -> Heads:
    """The heads that all ways are judged by, from cases of the whole grid."""
    found = table(kept, [sample.id for sample in samples])
    frequent = most_frequent(found.heads, frequencies(found, Search(samples=len(samples), draws=1)).mean, K)
    ious = head_ious(found)
    inside = torch.tensor([one.inside for one in written if one.inside is not None])
    if ious is None or not len(inside):
        raise BadInput("expected masks of true objects and boxes that the model writes, got none; give more cases")
    best = tuple(found.heads[k] for k in ious.argsort(descending=True)[:K].tolist())
    return Heads(frequent, best, tuple(found.heads[k] for k in inside.mean(0).argmax(-1).tolist()))


def judged(way: Way, cases: Iterable[Seen], heads: Heads, known: Sequence[Head], written: Sequence[Written]) -> Result:
    """A way over its cases; known: the heads in channel order."""
    frequent, best, writing = ([known.index(head) for head in chosen] for chosen in heads)
    result = Result(way, [], [], [], [], [own(one, writing) for one in written])
    for case in cases:
        [truth] = case.sample.truth
        result.share.append(truth.area / (case.sample.size.width * case.sample.size.height))
        result.frequent.append(looked(case, frequent))
        result.best.append(looked(case, best))
        result.bound.append(bound(truth, case.grid))
    return result


def own(written: Written, channels: Sequence[int]) -> Looked:
    """What the model wrote, and where the head of each coordinate looked meanwhile."""
    if written.inside is None:
        return Looked(written.iou, None)
    return Looked(written.iou, fmean(each[k] for each, k in zip(written.inside, channels, strict=True)))


def looked(case: Seen, channels: Sequence[int]) -> Looked:
    """Where some heads look in a case."""
    maps = case.maps[channels]
    region = assemble(maps, case.grid, image=case.sample.size)
    iou = best_iou([region.box], case.sample.truth) if region else 0.0
    return Looked(iou, float(inside(maps.sum(0), case)))


def inside(maps: Float[Tensor, "*map row col"], case: Seen) -> Float[Tensor, "*map"]:
    """The share of the attention on the picture that lies in the true box; a cell counts by how much is covered."""
    true = coverage(case.sample.truth[0], case.grid).float()
    return (maps * true).sum((-2, -1)) / maps.sum((-2, -1))


def bound(truth: Box, grid: TokenGrid) -> float:
    """The best IoU that a rectangle of whole cells can have with a box: what no reading of the grid can pass."""
    across = grid.region.x1 + torch.arange(grid.cols + 1) * grid.region.width / grid.cols
    down = grid.region.y1 + torch.arange(grid.rows + 1) * grid.region.height / grid.rows
    x1, x2 = torch.combinations(across).T
    y1, y2 = torch.combinations(down).T
    wide = (x2.clamp(max=truth.x2) - x1.clamp(min=truth.x1)).clamp(min=0)
    high = (y2.clamp(max=truth.y2) - y1.clamp(min=truth.y1)).clamp(min=0)
    shared = high[:, None] * wide
    return float((shared / ((y2 - y1)[:, None] * (x2 - x1) + truth.area - shared)).max())


def answers(lvlm: LVLM, samples: Sequence[Sample], folder: Path) -> list[Written]:
    """What greedy writes for each case, kept one by one."""
    found = []
    with progress() as bar:
        task = bar.add_task(f"answering {folder.parent.name}, {folder.name}", total=len(samples))
        for sample in samples:
            path = folder / f"{sample.id}.json"
            if not path.is_file():
                write_whole(path, to_json(answer(lvlm, sample)).encode())
            found.append(from_json(Written, path.read_bytes()))
            bar.update(task, advance=1)
    return found


def answer(lvlm: LVLM, sample: Sample) -> Written:
    """Greedy's first box in text order, and where every head looked when its coordinates were written."""
    asked = lvlm.prompt(opened(sample), sample.query, id=sample.id, text=lvlm.default_prompt)
    for answered in lvlm.answer([asked], GREEDY, Watch()):
        _, found = read_response(answered.responses[0], 0, frame=asked.frame, image=asked.image)
        if not found or found[0].tokens is None:
            return Written(sample.id, 0.0, None)
        maps = answered.read([Site(0, token) for token in found[0].tokens], Watch())
        shares = inside(maps, Seen(sample, asked.views["default"].grid, maps[0]))
        return Written(sample.id, best_iou([found[0].box], sample.truth), tuple(map(tuple, shares.tolist())))
    raise BadInput(f"expected an answer for {sample.id}, got none")


class Cases(NamedTuple):
    """pool, told: cases that choose heads, and those of them that are answered; judged, asked: the same to judge on."""

    pool: Sequence[Sample]
    told: Sequence[Sample]
    judged: Sequence[Sample]
    asked: Sequence[Sample]


def measure(lvlm: HuggingFaceLVLM, cases: Cases, work: Path) -> str:
    """Every way over the same cases."""
    whole, known = work / WHOLE.folder, lvlm.card.all_heads()
    chosen = read(lvlm, cases.pool, whole / "chosen")
    heads = heads_of(chosen, cases.pool, answers(lvlm, cases.told, whole / "told"))
    looks = {way: read(way.model(lvlm), cases.judged, work / way.folder / "judged") for way in WAYS}
    results = []
    for way in WAYS:
        touched = way.k == 1 or way.places is not None  # else it writes what the whole grid writes
        written = answers(way.model(lvlm), cases.asked if touched else (), work / way.folder / "answers")
        results.append(judged(way, seen(looks[way], cases.judged, way), heads, known, written))
    return report(results, heads)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pool", type=int, default=800, help="expressions of calibration scenes that choose heads")
    parser.add_argument("--told", type=int, default=240, help="so many of these are answered too")
    parser.add_argument("--cases", type=int, default=800, help="expressions of validation scenes that are judged")
    parser.add_argument("--asked", type=int, default=240, help="so many of these are answered too")
    parser.add_argument("--model", default=embedded.NAME, help="hub name or checkpoint folder of a Qwen-VL")
    parser.add_argument("--work", type=Path, required=True, help="folder that keeps what was read and written")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    lvlm = HuggingFaceLVLM.from_pretrained(embedded.source(options.model), device="cpu")
    vision = lvlm.loaded.model.config.vision_config
    divisor = vision.patch_size * vision.spatial_merge_size * max(way.k for way in WAYS)
    pool = square_scenes("calibration", options.pool, divisor)
    judge = square_scenes("validation", options.cases, divisor)
    print(measure(lvlm, Cases(pool, pool[: options.told], judge, judge[: options.asked]), options.work))


if __name__ == "__main__":
    main()
