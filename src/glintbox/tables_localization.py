"""Ablations of localization heads as Markdown, beside what the paper reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from glintbox.ablations import Outcome
from glintbox.cells import signed, table, within

SIZE_NAMES = {"any": "all", "small": "0.1-1 %", "medium": "1-5 %", "large": "over 5 %"}
"""Share of the picture that the true box takes."""


class Reported(NamedTuple):
    """What the paper's tables say, in %: columns, and a row per way."""

    columns: tuple[str, ...]
    rows: Mapping[str, tuple[str, ...]]


REPORTED: Mapping[str, Reported] = {
    "k": Reported(
        ("LLaVA-1.5-7B, cIoU", "LLaVA-1.5-13B, cIoU", "ten models, cIoU"),
        {
            "1": ("70.3", "71.7", "64.5"),
            "2": ("73.1", "75.7", "66.0"),
            "3": ("74.2", "76.1", "67.1"),
            "4": ("74.1", "76.0", "65.4"),
            "5": ("65.4", "65.7", "58.9"),
        },
    ),
    "criteria": Reported(
        ("13B, Acc@0.5", "13B, cIoU"),
        {
            "attention sum, greedy": ("23.7", "18.8"),
            "spatial entropy, greedy": ("29.8", "21.5"),
            "both, greedy": ("67.4", "63.8"),
            "attention sum, fixed": ("23.9", "19.3"),
            "spatial entropy, fixed": ("31.3", "25.7"),
            "both, fixed": ("87.2", "76.1"),
        },
    ),
    "sigma": Reported(
        ("13B, Acc@0.5", "13B, cIoU"),
        {
            "0": ("85.5", "74.3"),
            "0.4": ("86.8", "75.2"),
            "0.8": ("87.2", "76.1"),
            "1": ("87.2", "76.1"),
            "1.4": ("86.8", "75.2"),
            "1.8": ("84.3", "72.7"),
        },
    ),
    "kernel": Reported(
        ("13B, Acc@0.5",),
        {"1": ("85.5",), "3": ("86.5",), "5": ("86.5",), "7": ("87.2",), "9": ("87.2",), "11": ("87.2",)},
    ),
}
"""Tables 4, 5 and 8 of arXiv 2503.06287: RefCOCO val, of LLaVA-1.5-7B and 13B; never reproduced publicly.

The ten models' mean at k = 4 is printed as 65.4 there; the mean of its rows is 66.6.
"""

LEGEND = (
    "Acc@0.5 in % with 95 % bootstrap intervals, by the share of the picture that the true box takes; beside it the "
    "paired difference to the default over all targets, bold where 0 lies outside the interval, and the mean IoU."
)
OF_PAPER = (
    " Columns marked *reported* are the paper's own (arXiv 2503.06287, RefCOCO val), which nobody has "
    "reproduced publicly."
)


def ablation_table(found: Sequence[Outcome]) -> str:
    """One ablation: a row per way, its heads, its accuracy by size of target, and the paper's numbers if it has any."""
    what = found[0].what
    reported = REPORTED.get(what, Reported((), {}))
    sizes = [size for size in SIZE_NAMES if any(one.size == size for one in found)]
    counts = {size: next(one.n for one in found if one.size == size) for size in sizes}
    heading = [
        what,
        "heads",
        *(f"{SIZE_NAMES[size]} ({counts[size]})" for size in sizes),
        "to the default",
        "mIoU",
        "no box",
    ]
    rows = []
    for name in dict.fromkeys(one.name for one in found):
        own = {one.size: one for one in found if one.name == name}
        every = own["any"]
        cells = [within(own[size].acc_at_50, own[size].acc_interval) for size in sizes]
        mean = within(every.mean_iou, every.iou_interval)
        told = reported.rows.get(name, ("",) * len(reported.columns))
        rows.append((name, every.heads, *cells, signed(every.gain, every.gain_interval), mean, every.missing, *told))
    lines = table([*heading, *(f"*reported*: {column}" for column in reported.columns)], rows, words=2)
    return f"{LEGEND}{OF_PAPER if reported.columns else ''}\n\n{lines}\n"
