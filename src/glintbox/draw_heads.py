"""How localization heads were found, in pictures: sums, frequencies, maps by criterion (Figures 1, 3, 4, 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from glintbox.ablations import Outcome
from glintbox.draw import Axes, Figure
from glintbox.draw_paper import COLUMN, PAGE, TRUE, attended, heading, outline, picture, sheet
from glintbox.errors import BadInput
from glintbox.finding import FIRST, Table, alone, candidates_of
from glintbox.records import Head, Search, Selection
from glintbox.text_stats import TextCase

KEPT, OTHER, EARLY = "#D55E00", "#0072B2", "#BBBBBB"
"""Heads that are kept or pass, others, and those of the first layers, which are never candidates."""

SHOWN = 20
"""Heads in the figure of frequencies."""

SIZES = {"small": ("#CC3311", "^"), "medium": ("#E69F00", "s"), "large": ("#009E73", "o"), "any": ("#000000", "D")}


def sums_figure(found: Table, search: Search) -> Figure:
    """Mean attention sum of every head, ascending, and tau: the paper's Figure 3. Gray: layers that are left out.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    _, tau = candidates_of(found, search)
    sums = found.share.mean(0)
    order = sums.argsort().tolist()
    colors = [
        EARLY if found.heads[k].layer < FIRST else KEPT if float(sums[k]) >= tau else OTHER for k in order
    ]  # fmt: skip
    with sheet(COLUMN, 2.2) as figure:
        axes = figure.subplots()
        axes.scatter(range(len(order)), sums[order].numpy(), c=colors, s=7, linewidths=0)
        axes.axhline(tau, color="black", linewidth=0.8, linestyle="dashed")
        how = f"{search.tau}" if isinstance(search.tau, str) else "given"
        axes.annotate(f"τ = {tau:.3f} ({how})", (0, tau), xytext=(2, 3), textcoords="offset points", fontsize=7)
        axes.set_ylim(bottom=0)
        _dress(axes, f"head, by its sum ({len(order)})", f"attention sum, mean of {len(found.ids)}")
    return figure


def frequency_figure(selection: Selection) -> Figure:
    """Selection frequency of the twenty heads that count most often: the paper's Figure 4; whiskers: over the draws.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    heads = selection.heads[:SHOWN]
    frequency, spread = (np.array(part[:SHOWN]) * 100 for part in (selection.frequency, selection.spread))
    colors = [KEPT if k < selection.search.k else OTHER for k in range(len(heads))]
    with sheet(PAGE, 2.3) as figure:
        axes = figure.subplots()
        axes.bar(range(len(heads)), frequency, yerr=spread, color=colors, error_kw=dict(elinewidth=0.8), width=0.75)
        axes.set_xticks(range(len(heads)), [str(head) for head in heads], rotation=60, ha="right", fontsize=6.5)
        drawn = f"{selection.search.draws} × {selection.search.samples} cases"
        _dress(axes, f"{selection.data}, {drawn}", "selection frequency, %")
    return figure


class Looked(NamedTuple):
    """A case with its upright picture, and maps of it with words above each."""

    image: Image.Image
    case: TextCase
    maps: Sequence[tuple[str, Float[Tensor, "row col"]]]


def maps_figure(rows: Sequence[Looked]) -> Figure:
    """A row per case: the picture with its true box (yellow), then its maps, each scaled to its brightest cell.

    Raises:
        BadInput: no case, or cases with different numbers of maps.
        MissingExtra: matplotlib is not installed.
    """
    counts = {len(one.maps) for one in rows}
    if len(counts) != 1:
        raise BadInput(f"expected cases with equally many maps, got {sorted(counts)}")
    cols = counts.pop() + 1
    side = min(PAGE / cols, 1.6)
    heights = [side * min(1.6, max(0.5, one.image.height / one.image.width)) for one in rows]
    with sheet(side * cols, sum(heights) + 0.2 * len(rows), tight=True) as figure:
        grid = figure.subplots(len(rows), cols, squeeze=False, gridspec_kw=dict(height_ratios=heights))
        for panels, one in zip(grid, rows, strict=True):
            picture(panels[0], one.image.convert("RGB"))
            heading(panels[0], one.case.sample.query, points=6, letters=25)
            for axes, (words, shares) in zip(panels[1:], one.maps, strict=True):
                attended(axes, one.image, one.case.grid, shares)
                heading(axes, words, points=5.5, letters=30)
            for axes in panels:
                for box in one.case.sample.truth:
                    outline(axes, box, TRUE, 0.8)
    return figure


def by_criterion(case: TextCase, heads: Sequence[Head], search: Search) -> list[tuple[str, Float[Tensor, "row col"]]]:
    """What the criteria do in one case: the mean of all heads, the largest sum S, then heads by S and entropy SE.

    High is S >= tau, of the case alone. Without such a head, or without another one, the map is empty.

    Raises:
        BadInput: the case's maps were not kept.
    """
    maps = _maps(case)
    share, entropy = case.numbers.share, case.numbers.entropy
    free = torch.tensor([head.layer >= FIRST for head in heads])
    both = candidates_of(alone(case.numbers, heads), search)[0][0]
    told = [(f"mean of {len(heads)} heads", maps.mean(0))]
    for words, among, score in (
        ("largest S", free, share),
        ("low S, low SE", free & ~both, -entropy),
        ("high S, low SE", both, -entropy),
        ("high S, high SE", both, entropy),
    ):
        k = int(torch.where(among, score, -torch.inf).argmax())
        there = bool(among.any())
        told.append((f"{words}: {heads[k] if there else 'none'}", maps[k] if there else torch.zeros_like(maps[k])))
    return told


def of_heads(
    case: TextCase, heads: Sequence[Head], chosen: Sequence[Head]
) -> list[tuple[str, Float[Tensor, "row col"]]]:
    """The map of each chosen head.

    Raises:
        BadInput: the case's maps were not kept.
    """
    maps = _maps(case)
    places = [list(heads).index(head) for head in chosen]
    return [(f"{heads[k]} S {float(case.numbers.share[k]):.2f}", maps[k]) for k in places]


def _maps(case: TextCase) -> Float[Tensor, "head row col"]:
    if case.maps is None:
        raise BadInput(f"expected the maps of case {case.sample.id}, got none; keep them with --maps")
    return case.maps


def ablation_figure(found: Sequence[Outcome]) -> Figure:
    """Acc@0.5 of each way of one ablation with 95 % intervals, a line per size of target (Figures 13 and 14).

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    names = list(dict.fromkeys(one.name for one in found))
    with sheet(COLUMN, 2.3) as figure:
        axes = figure.subplots()
        for size, (color, marker) in SIZES.items():
            own = [one for one in found if one.size == size]
            if own:
                middle = np.array([one.acc_at_50 for one in own]) * 100
                ends = np.array([tuple(one.acc_interval) for one in own]).T * 100
                look = dict(color=color, marker=marker, ms=3, lw=1, elinewidth=0.7, label=f"{size} ({own[0].n})")
                axes.errorbar(range(len(own)), middle, yerr=np.abs(ends - middle), **look)
        turned = dict(rotation=40, ha="right") if max(map(len, names)) > 5 else {}
        axes.set_xticks(range(len(names)), names, **turned)
        axes.set_ylim(0, max(5, axes.get_ylim()[1]))
        _dress(axes, found[0].what, "Acc@0.5, %")
        figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=6.5, handlelength=1.4)
    return figure


def _dress(axes: Axes, below: str, beside: str) -> None:
    axes.set_xlabel(below, fontsize=7.5, parse_math=False)
    axes.set_ylabel(beside, fontsize=7.5)
    axes.tick_params(labelsize=6.5, length=2)
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
