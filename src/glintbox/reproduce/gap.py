"""Where the best sample's lead over greedy comes from: the right place, or luck with the edges there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from glintbox.boxes import Box, clusters, iou, pairwise_iou
from glintbox.cells import percent, table, within
from glintbox.evaluate import SEED
from glintbox.metrics import bootstrap, gap_bootstrap, gap_closed, mean_iou
from glintbox.records import Sample, sampled
from glintbox.reproduce.answers import GREEDY_FIRST
from glintbox.reproduce.bench import Bench
from glintbox.reproduce.pages import Page
from glintbox.reproduce.plan import ANSWERS, Need, needs
from glintbox.store import Stored

SAME_PLACE = 0.3
"""IoU that joins candidates to one place."""

LEGEND = (
    f"Ten answers to each case of `report`. Place: candidates joined by an IoU of {SAME_PLACE} or more, and the one of "
    "them that agrees most with the others. *Best place*: the truth picks the place, nothing picks inside it. So the "
    "step from greedy to it is what knowing the right place is worth, and the step on to the best sample is luck with "
    "the edges that only the truth can tell. Acc@0.5 in % with 95 % bootstrap intervals. Edges: of boxes that touch "
    "the truth (IoU > 0.1), mean distance of an edge to the true one. Target, image token: root of their area."
)


class Steps(NamedTuple):
    """Of one case: IoU of greedy, of the best place's box and of the best sample; px of edges, target, image token.

    edges is NaN where no sample touches the truth, token where no answer had a box.
    """

    greedy: float
    place: float
    best: float
    edges: float
    side: float
    token: float


def steps(stored: Stored, grid: tuple[int, int] | None) -> Steps:
    """How far each choice gets in one case; grid: rows and cols of its image tokens."""
    sample, found = stored
    boxes = [found.candidates[k].box for k in sampled(found)]
    ious = pairwise_iou(boxes, sample.truth).max(axis=1) if boxes else np.zeros(0)
    greedy = max((iou(one.box, true) for one in GREEDY_FIRST.choose(found) for true in sample.truth), default=0.0)
    near = [box for box, value in zip(boxes, ious, strict=True) if value > 0.1]
    side = float(np.mean([np.sqrt(true.area) for true in sample.truth]))
    token = float(np.sqrt(sample.size.width * sample.size.height / (grid[0] * grid[1]))) if grid else float("nan")
    place, best = max(_places(boxes, ious), default=0.0), float(max(ious, default=0.0))
    return Steps(greedy, place, best, _edges(near, sample), side, token)


def _places(boxes: list[Box], ious: Float64[np.ndarray, " box"]) -> list[float]:
    """True IoU of the most agreed box of each place."""
    agreed = pairwise_iou(boxes, boxes)
    found = (np.array(members) for members in clusters(boxes, SAME_PLACE))
    return [float(ious[members[agreed[np.ix_(members, members)].mean(axis=1).argmax()]]) for members in found]


def _edges(near: list[Box], sample: Sample) -> float:
    """Mean distance of edges to those of the nearest true box, px."""
    off = [min(float(np.abs(np.subtract(tuple(box), tuple(true))).mean()) for true in sample.truth) for box in near]
    return float(np.mean(off)) if off else float("nan")


def gap(bench: Bench, about: Mapping[str, str]) -> Page:
    """The way from greedy to the best sample in two steps, at every temperature."""
    rows, numbers = [], dict[str, Any]()
    for need in needs("report", bench.amounts):
        found = _all(bench, need)
        right = {name: [float(value >= 0.5) for value in getattr(found, name)] for name in ("greedy", "place", "best")}
        worth = gap_closed(*(mean_iou(right[name]) for name in ("greedy", "place", "best")))
        ends = gap_bootstrap(right["greedy"], right["place"], right["best"], seed=SEED)
        told = {name: {"share": mean_iou(of), "interval": bootstrap(of, seed=SEED)} for name, of in right.items()}
        px = {name: float(np.nanmean(getattr(found, name))) for name in ("edges", "side", "token")}
        closed = "-" if worth is None else percent(worth, digits=0)
        closed += f" ({percent(ends.low, digits=0)} to {percent(ends.high, digits=0)})" if ends else ""
        cells = (within(mean_iou(of), bootstrap(of, seed=SEED)) for of in right.values())
        rows.append((f"{need.temperature:g}", *cells, closed, *(f"{value:.1f}" for value in px.values())))
        numbers[f"{need.temperature:g}"] = {"right": told, "gap closed by place": worth, "interval": ends, "px": px}
    heading = ("T", "greedy", "best place", "best sample", "gap closed by place, %", "edges off, px", "target, px",
               "image token, px")  # fmt: skip
    parts = [LEGEND, table(heading, rows, words=1)]
    return Page("gap", "Where the gap to the best sample comes from", about, parts, numbers)


def _all(bench: Bench, need: Need) -> Steps:
    """The steps of all cases, each field a column."""
    store = bench.first(need, ANSWERS)
    with bench.bars(f"report, T {need.temperature:g}: places", len(store)) as more:
        rows = [steps(store[k], store.grid(k)) for k in range(len(store)) if more(1) is None]
    return Steps(*np.array(rows).T)
