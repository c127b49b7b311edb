"""Ways to pool a picture's tokens, what became of each of them, and the table of all."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from benchmarks.pooling import Pooled
from glintbox.cells import percent, within
from glintbox.cells import table as markdown
from glintbox.evaluate import ALL, HIT, SEED, SIZES
from glintbox.lvlm.api import LVLM
from glintbox.lvlm.hf import HuggingFaceLVLM
from glintbox.metrics import acc_at, bootstrap, mean_iou
from glintbox.records import Head

SHOWN = (ALL, "> 5 %", "0.1-1 %")
"""Sizes of targets, by their share of the picture."""


class Way(NamedTuple):
    """k: cells along each side of a larger one. places: of `pooling.PLACES`, None = no token is touched."""

    name: str
    k: int
    places: str | None

    @property
    def sums(self) -> bool:
        """Whether maps come on the whole grid and are summed over the larger cells."""
        return self.k > 1 and self.places in (None, "in place")

    @property
    def folder(self) -> str:
        """Where its maps lie; ways that differ only in what becomes of maps share one."""
        return "whole" if self.places is None else f"{self.k}-{self.places.replace(' ', '-')}"

    def model(self, lvlm: HuggingFaceLVLM) -> LVLM:
        """Who is asked."""
        return lvlm if self.places is None else Pooled(lvlm, self.k, self.places)


WHOLE = Way("12 × 12 tokens", 1, None)
WAYS = (
    WHOLE,
    *(
        way
        for k in (2, 4)
        for way in (
            Way(f"×{k}: maps summed", k, None),
            Way(f"×{k}: tokens averaged in place, maps summed", k, "in place"),
            Way(f"×{k}: one token per mean, at its mean position", k, "spread"),
            Way(f"×{k}: one token per mean, positions of a small grid", k, "small"),
        )
    ),
)


class Heads(NamedTuple):
    """Heads that are chosen on the whole grid, for all ways.

    frequent: as the paper chooses them. best: of the greatest IoU with true masks, at the same token: what any choice
    could hope for. writing: of each coordinate the head with the most attention in the true box when it is written.
    """

    frequent: tuple[Head, ...]
    best: tuple[Head, ...]
    writing: tuple[Head, ...]


class Looked(NamedTuple):
    """IoU of a box in one case, 0 where there is none; share of some heads' attention that lies in the true box."""

    iou: float
    inside: float | None


class Result(NamedTuple):
    """One way over many cases, in one order; written: of the first of them alone.

    share: of the picture that is true. bound: IoU of the best rectangle of cells.
    """

    way: Way
    share: list[float]
    frequent: list[Looked]
    best: list[Looked]
    bound: list[float]
    written: list[Looked]


HEADING = (
    "", "frequent heads: Acc@0.5", "mean IoU", "attention in the true box", "heads of the best IoU: Acc@0.5",
    "mean IoU", "attention in the true box", "best cells: Acc@0.5", "the model's own box: Acc@0.5", "mean IoU",
    "attention in the true box",
)  # fmt: skip


def report(results: Sequence[Result], heads: Heads) -> str:
    """The heads, and a Markdown table per size of target."""
    named = ((name, ", ".join(map(str, chosen))) for name, chosen in heads._asdict().items())
    parts = ["Heads: " + "; ".join(f"{name} {chosen}" for name, chosen in named)]
    for size in SHOWN:
        low, high = SIZES.get(size, (0.0, 1.01))
        rows = [k for k, share in enumerate(results[0].share) if low <= share < high]
        if rows:
            area = percent(fmean(results[0].share[k] for k in rows))
            answered = sum(k < len(results[0].written) for k in rows)
            told = f"Targets {size}: {len(rows)} expressions, {answered} of them answered; {area} % of the picture"
            parts.append(f"{told}\n\n{markdown(HEADING, [line(one, rows) for one in results], words=1)}")
    return "\n\n".join(parts)


def line(result: Result, rows: Sequence[int]) -> tuple[str, ...]:
    """The cells of a way over some of the cases."""
    own = [result.written[k] for k in rows if k < len(result.written)]
    return (
        result.way.name,
        *cells([result.frequent[k] for k in rows]),
        *cells([result.best[k] for k in rows]),
        percent(acc_at([result.bound[k] for k in rows], HIT)),
        *(cells(own) if own else ("-", "-", "-")),
    )


def cells(found: Sequence[Looked]) -> tuple[str, str, str]:
    """Acc@0.5 with its interval, mean IoU, attention."""
    ious = [one.iou for one in found]
    right = within(acc_at(ious, HIT), bootstrap([float(iou >= HIT) for iou in ious], seed=SEED))
    shares = [one.inside for one in found if one.inside is not None]
    return right, percent(mean_iou(ious)), percent(fmean(shares)) if shares else "-"
