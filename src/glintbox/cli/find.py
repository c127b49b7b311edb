"""`glintbox heads find`: heads from collected answers, by IoU labels alone or where a regressor looks."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from glintbox import artifacts
from glintbox.analysis.entropies import entropies
from glintbox.analysis.heads import Agreement, agreement, find_heads, heads_in, of_every_head, tried
from glintbox.analysis.importance import (
    Importance,
    critical_layers,
    importance,
    importance_file,
    save_importance,
    unseen,
)
from glintbox.analysis.separation import Separation, separation
from glintbox.cli.console import errors, progress, results, table
from glintbox.cli.heads import file_of, print_heads
from glintbox.errors import BadInput, UnknownName
from glintbox.records import COORDS, HeadMap
from glintbox.regressor import load_regressor
from glintbox.store import Store
from glintbox.tables_analysis import numbers

LABELS, REGRESSOR, CRITICAL, ALL = "labels", "regressor", "critical", "all"


def find(
    store: Annotated[Path, typer.Argument(help="Folder that glintbox collect made.")],
    *,
    by: Annotated[str, typer.Option(help="labels: the IoU alone; regressor: in the layers that it looks at.")] = LABELS,
    regressor: Annotated[Path | None, typer.Option(help="Folder of a trained regressor, or its weights.")] = None,
    universe: Annotated[
        str | None, typer.Option(help="Heads to choose among: critical layers (default by regressor) or all.")
    ] = None,
    n: Annotated[int, typer.Option(help="Heads per coordinate.")] = 3,
    out: Annotated[Path, typer.Option("--out", "-o", help="File, or folder for it.")],
) -> None:
    """glintbox heads find candidates --by regressor --regressor regressor --out heads

    Find heads in collected answers: by IoU labels alone, or as the paper does in the layers that a regressor looks at.
    With a regressor it says whether both ways agree. Loads no model.
    """
    critical = _critical(by, universe, regressor)
    kept = Store(store)
    gradient = _gradient(kept, regressor) if regressor else None
    with progress() as bar:
        task = bar.add_task("reading entropies", total=len(kept))
        found = separation(entropies(bar.track(kept.labelled(), task_id=task)))
    heads = _tried(kept, _found(kept, found, gradient if critical else None, n))
    path = file_of(out)
    artifacts.save_heads(heads, path, separation=of_every_head(found, heads))
    print_heads(heads)
    if gradient:
        _keep(gradient, importance_file(path))
        layers = critical_layers(gradient)
        results.print(f"layers of the largest gradient: {numbers(layers.top)}; critical: {numbers(layers.range)}")
        _print_agreement(agreement(found, gradient, layers.range, n=n), n)
    errors.print(f"head map written to {path}", soft_wrap=True)


def _critical(by: str, universe: str | None, regressor: Path | None) -> bool:
    """Whether to choose in critical layers alone."""
    if by not in (LABELS, REGRESSOR):
        raise UnknownName("way to find heads", by, (LABELS, REGRESSOR))
    among = universe or (CRITICAL if by == REGRESSOR else ALL)
    if among not in (CRITICAL, ALL):
        raise UnknownName("universe", among, (CRITICAL, ALL))
    if regressor is None and (by == REGRESSOR or among == CRITICAL):
        raise BadInput("expected --regressor FILE: critical layers are those that a regressor looks at")
    return among == CRITICAL


def _gradient(kept: Store, file: Path) -> Importance:
    """Equation 2, over candidates that the regressor was not trained on."""
    bundle = load_regressor(file)
    rows = unseen(bundle, kept)
    with progress() as bar:
        task = bar.add_task("gradients", total=len(rows))
        return importance(bundle, kept, rows=rows, tick=lambda done: bar.advance(task, done))


def _found(kept: Store, found: Separation, gradient: Importance | None, n: int) -> HeadMap:
    """The head map, of all heads or of a regressor's critical layers."""
    choose = partial(find_heads, found, setting=kept.card.setting, data=f"{kept.card.data}, {len(kept)} cases", n=n)
    if gradient is None:
        return choose()
    layers = critical_layers(gradient).range
    among = f" of the critical layers {numbers(layers)} (regressor {gradient.regressor})"
    return choose(universe=heads_in(gradient.heads, layers), among=among)


def _tried(kept: Store, heads: HeadMap) -> HeadMap:
    with progress() as bar:
        task = bar.add_task("choosing by them", total=len(kept))
        return tried(heads, bar.track(kept.labelled(), task_id=task))


def _keep(gradient: Importance, path: Path) -> None:
    try:
        save_importance(gradient, path)
    except OSError as error:
        raise BadInput(f"expected a place for the gradients that can be written at {path}, got: {error}") from error


def _print_agreement(found: Agreement, n: int) -> None:
    rows = [
        (
            coord,
            *(", ".join(map(str, heads[coord])) for heads in (found.by_labels, found.critical, found.by_gradient)),
            ", ".join(map(str, found.shared(coord))),
            "-" if (rho := found.rho[coord]) is None else f"{rho:+.2f}",
        )
        for coord in COORDS
    ]
    heading = ("", "by labels", "in critical layers", "by gradient", "shared", "rank corr.")
    results.print(table(heading, rows, title="do labels and regressor point to the same heads?"))
    results.print(
        f"shared: how many of the {n} by labels are also in the next two columns; two random choices share "
        f"{found.chance:.2f} on average. rank corr.: Spearman's of ΔH and gradient over all heads",
        soft_wrap=True,
    )
