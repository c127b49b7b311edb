"""`glintbox heads find`: heads from collected answers, by IoU labels alone or where a regressor looks; or from text."""

from __future__ import annotations

from collections.abc import Mapping
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
from glintbox.cli import find_text
from glintbox.cli.console import errors, progress, results, table
from glintbox.cli.find_text import EXPRESSIONS
from glintbox.cli.ground import Device, Dtype
from glintbox.cli.heads import file_of, print_heads
from glintbox.errors import BadInput, UnknownName
from glintbox.records import COORDS, HeadMap
from glintbox.regressor import load_regressor
from glintbox.store import Store
from glintbox.tables_analysis import numbers

LABELS, REGRESSOR, CRITICAL, ALL = "labels", "regressor", "critical", "all"
LOCALIZATION = "localization"

Data = Annotated[str, typer.Argument(help=f"Folder that glintbox collect made; by localization: {EXPRESSIONS}.")]
By = Annotated[
    str,
    typer.Option(help="labels: the IoU alone; regressor: in the layers that it looks at; localization: see above."),
]
Regressor = Annotated[Path | None, typer.Option(help="Folder of a trained regressor, or its weights.")]
Universe = Annotated[
    str | None, typer.Option(help="Heads to choose among: critical layers (default by regressor) or all.")
]
PerCoordinate = Annotated[int | None, typer.Option(help="Heads per coordinate (default: 3).")]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", help="File, or folder for it (default by localization: your cache).")
]


def find(
    data: Data,
    *,
    by: By = LABELS,
    regressor: Regressor = None,
    universe: Universe = None,
    n: PerCoordinate = None,
    images: find_text.Images = None,
    split: find_text.Split = None,
    limit: find_text.Limit = None,
    samples: find_text.Samples = None,
    draws: find_text.Draws = None,
    k: find_text.K = None,
    criteria: find_text.Criteria = None,
    tau: find_text.Tau = None,
    own_tau: find_text.OwnTau = False,
    bottom: find_text.Bottom = None,
    entropy: find_text.Entropy = None,
    prompt: find_text.Prompt = None,
    maps: find_text.Maps = False,
    pictures: find_text.Pictures = None,
    work: find_text.Work = None,
    model: find_text.Model = None,
    shard: find_text.Shard = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    out: Out = None,
) -> None:
    """glintbox heads find candidates --by regressor --regressor regressor --out heads

    Find heads in collected answers, by IoU labels or in the layers that a regressor looks at; or, by localization, the
    heads that look at what an expression means (options from --images to --dtype). Stopped, it goes on where it was.
    """
    own = {name: value for name, value in locals().items() if name in find_text.OPTIONS}
    given = {name: value for name, value in own.items() if value is not None and value is not False}  # 0 is given too
    if by == LOCALIZATION:
        _refuse({"regressor": regressor, "universe": universe, "n": n}, by)
        return find_text.find_text(find_text.wanted(data, given, device=device, dtype=dtype, out=out))
    _refuse(given, by)
    return _in_answers(Path(data), by, regressor, universe, n=n or 3, out=out)


def _refuse(given: Mapping[str, object], by: str) -> None:
    """Options that would change nothing are refused, not ignored."""
    odd = [name.replace("_", "-") for name, value in given.items() if value is not None]
    if odd and by in (LABELS, REGRESSOR, LOCALIZATION):
        raise BadInput(f"expected no --{odd[0]} with --by {by}, which has no use for it; leave it out")


def _in_answers(
    store: Path, by: str, regressor: Path | None, universe: str | None, *, n: int, out: Path | None
) -> None:
    critical = _critical(by, universe, regressor)
    if out is None:
        raise BadInput("expected --out FILE for the head map, got none; name a file or a folder")
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
        raise UnknownName("way to find heads", by, (LABELS, REGRESSOR, LOCALIZATION))
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
