"""`glintbox heads compare`: how many heads head maps share, and how stable localization heads are."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from glintbox import artifacts
from glintbox.cli.console import errors, results, table
from glintbox.errors import BadInput
from glintbox.finding import Table, over_draws, over_samples, select, shared, spearman
from glintbox.finding import table as numbers
from glintbox.records import HeadMap, Search, Selection
from glintbox.shards import CARD
from glintbox.text_stats import TextStats

SIZES = (10, 25, 50, 100, 250, 500, 1000)
"""Cases of a draw whose heads are compared with those of all cases."""


class Named(NamedTuple):
    """A head map by the name of its file, or by that of the folder of numbers it was found in, with these."""

    name: str
    heads: HeadMap
    numbers: Table | None = None


def compare(
    maps: Annotated[
        list[Path], typer.Argument(help="Head maps, or folders that glintbox heads find --by localization kept.")
    ],
    *,
    samples: Annotated[int, typer.Option(help="Cases of a draw from a folder, at most as many as it holds.")] = 1000,
    draws: Annotated[int, typer.Option(help="Draws from a folder.")] = 5,
    k: Annotated[int, typer.Option(help="Localization heads from a folder.")] = 3,
) -> None:
    """glintbox heads compare heads-a.json heads-b.json

    How many heads two head maps share at each place; of kept folders also how stable their localization heads are over
    draws and numbers of cases. Loads no model.
    """
    search = Search(samples=samples, draws=draws, k=k)
    found = [_read(path, search) for path in maps]
    if len(found) < 2 and found[0].numbers is None:
        raise BadInput("expected two head maps to compare, or a folder of numbers, got one head map; name another one")
    _tell_settings(found)
    if len(found) > 1:
        results.print(table(("at", "one", "other", "shared", "rank corr."), _pairs(found), title="heads in both"))
    for one in found:
        if one.numbers is not None:
            _print_stability(one.name, one.numbers, search)


def _read(path: Path, search: Search) -> Named:
    if (path / CARD).is_file():
        kept = TextStats(path)
        found = numbers(kept)
        own = replace(search, samples=min(search.samples, len(kept)))
        return Named(
            path.name, select(found, own, setting=kept.card.setting, data=kept.card.data, pool=len(kept)), found
        )
    inside = [path / name for name in (artifacts.LOCALIZATION_FILE, artifacts.HEADS_FILE)]
    file = next((one for one in inside if one.is_file()), path)
    return Named(path.name, artifacts.load_heads(file))


def _tell_settings(found: list[Named]) -> None:
    for other in found[1:]:
        if odd := artifacts.differences(found[0].heads.setting, other.heads.setting):
            told = "; ".join(odd).replace("made under", f"{found[0].name}").replace(", here", f", {other.name}")
            errors.print(f"of two settings: {told}", soft_wrap=True)


def _pairs(found: list[Named]) -> list[tuple[object, ...]]:
    """Every two head maps at every place that both have."""
    return [
        (
            place, one.name, other.name,
            f"{shared(heads, other.heads.heads[place])} of {min(len(heads), len(other.heads.heads[place]))}",
            _rank_correlation(one.heads.selection, other.heads.selection) if place == "text" else "-",
        )
        for one, other in combinations(found, 2)
        for place, heads in one.heads.heads.items()
        if place in other.heads.heads
    ]  # fmt: skip


def _rank_correlation(one: Selection | None, other: Selection | None) -> str:
    """Of the selection frequencies, over the heads that either lists."""
    if one is None or other is None:
        return "-"
    heads = sorted({*one.heads, *other.heads})
    sides = [dict(zip(made.heads, made.frequency, strict=True)) for made in (one, other)]
    rho = spearman(*([side.get(head, 0.0) for head in heads] for side in sides))
    return "-" if rho is None else f"{rho:+.2f}"


def _print_stability(name: str, found: Table, search: Search) -> None:
    """Over draws, and over their size."""
    total = len(found.ids)
    own = replace(search, samples=min(search.samples, max(1, total // 2)))
    rows: list[tuple[object, ...]] = []
    if own.draws > 1:
        rows.append((f"two draws of {own.samples}", f"{over_draws(found, own):.2f}"))
    sizes = [size for size in SIZES if size < total]
    rows += [
        (f"{size} cases, and all {total}", f"{same:.2f}") for size, same in over_samples(found, own, sizes).items()
    ]
    results.print(table(("between", f"of {search.k} heads shared"), rows, title=f"stability of {name}"))
