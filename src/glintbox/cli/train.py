"""`glintbox train`: from a store of candidates to a regressor, with its curves and what it is worth."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from glintbox.analysis.reliability import Predictor, Reliability
from glintbox.artifacts import REGRESSOR_FILE, cache_folder, write_whole
from glintbox.cli.console import errors, progress, results, table
from glintbox.cli.ground import AsJson
from glintbox.cli.options import grid_of, heads_among
from glintbox.draw import require_matplotlib, save_figure
from glintbox.draw_training import LEARNED, curves_figure, reliability_figure
from glintbox.errors import BadInput
from glintbox.records import to_json
from glintbox.regressor import Recipe, RegressorBundle, RegressorCard, save_regressor
from glintbox.selectors import best_selector
from glintbox.splits import split
from glintbox.store import Store
from glintbox.training import Epoch, Fitted, fit

RESULT = "training.json"
PAPER = Recipe()
MIB = 2**20

Folder = Annotated[Path, typer.Argument(metavar="STORE", help="Folder that glintbox collect filled.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the regressor; resumes what was stopped there.")]
Heads = Annotated[
    str, typer.Option(help="Channels: all, names L14H3, layers L14-L21, with commas, or a head map's file.")
]
Grid = Annotated[str, typer.Option(help="native, or rows x columns that maps are resampled to: 12x12.")]
Pairs = Annotated[str, typer.Option(help="Train on so many pairs of picture and query, or on a part: 500, 1/4, all.")]
Fusion = Annotated[str, typer.Option(help="Order in the fusion: relu_bn (Table 9) or bn_relu (Table 7).")]
Scale = Annotated[str, typer.Option(help="cells: an even map is 1 on any grid; none: raw shares.")]
Precision = Annotated[str, typer.Option(help="float32, or bfloat16: faster where the processor has it.")]


@dataclass(frozen=True, slots=True)
class Result:
    """What `training.json` holds."""

    card: RegressorCard
    history: tuple[Epoch, ...]
    reliability: Reliability


def train(
    store: Folder,
    *,
    out: Out,
    heads: Heads = "all",
    grid: Grid = "native",
    pairs: Pairs = "all",
    epochs: Annotated[int, typer.Option(help="At most; the cosine ends there.")] = PAPER.epochs,
    batch: Annotated[int, typer.Option(help="Candidates per step.")] = PAPER.batch,
    rate: Annotated[float, typer.Option(help="Of Adam, at the beginning.")] = PAPER.rate,
    seed: int = PAPER.seed,
    order: Fusion = "relu_bn",
    dropout: float = 0.3,
    input_scale: Scale = "cells",
    precision: Precision = "float32",
    memory: Annotated[int, typer.Option(help="MiB of maps to hold; more than that is read with every epoch.")] = 256,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 …")] = "cpu",
    install: Annotated[
        bool, typer.Option("--install", help="Put it where grounding with this model finds it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """glintbox train candidates --out regressor

    Train a regressor that predicts a box's IoU from the attention behind it. Stopped, it goes on where it was.
    """
    require_matplotlib()  # now, not after the last epoch
    shape, kept = grid_of(grid), Store(store)
    recipe = Recipe(epochs, batch, rate, seed=seed, precision=_known("--precision", precision, "float32", "bfloat16"))
    fitted = _fit(
        kept, _with_pairs(recipe, pairs, kept), out=out, heads=heads_among(heads, kept.card.heads), grid=shape,
        order=_known("--order", order, "relu_bn", "bn_relu"), dropout=dropout, memory=memory * MIB, device=device,
        input_scale=_known("--input-scale", input_scale, "cells", "none"),
    )  # fmt: skip
    _save(Result(fitted.bundle.card, fitted.history, fitted.reliability), out)
    if install:
        _install(fitted.bundle)
    _print(fitted, as_json=as_json)


def _known(option: str, value: str, *names: str) -> Any:
    if value not in names:
        raise BadInput(f"expected {option} {' or '.join(names)}, got {value!r}")
    return value


def _with_pairs(recipe: Recipe, pairs: str, kept: Store) -> Recipe:
    """A part such as 1/4 is one of the pairs that are there to train on."""
    if pairs == "all":
        return recipe
    found = re.fullmatch(r"(\d+)(?:/(\d+))?", pairs)
    if found is None or (found[2] and not 0 < int(found[1]) <= int(found[2])):
        raise BadInput(f"expected --pairs all, a number or a part like 1/4, got {pairs!r}")
    wanted = int(found[1])
    if found[2]:
        there = len(np.unique(kept.rows.case[split(kept, recipe).train]))
        wanted = max(1, round(there * wanted / int(found[2])))
    return replace(recipe, pairs=wanted)


def _fit(kept: Store, recipe: Recipe, **options: Any) -> Fitted:
    with progress() as bar:
        task = bar.add_task("training", total=recipe.epochs)

        def tick(done: float, last: Epoch | None) -> None:
            told = f"training, r {last.held_out.r or 0:.3f}" if last else "training"
            bar.update(task, completed=done, description=told)

        return fit(kept, recipe=recipe, tick=tick, **options)


def _save(found: Result, out: Path) -> None:
    """The numbers, the curves and the reliability diagram, beside the regressor."""
    figures = {"training.png": curves_figure(found.history), "reliability.png": reliability_figure(found.reliability)}
    try:
        write_whole(out / RESULT, to_json(found, indent=1).encode() + b"\n")
        for name, figure in figures.items():
            written = io.BytesIO()
            save_figure(figure, written)
            write_whole(out / name, written.getvalue())
    except OSError as error:
        raise BadInput(f"could not write the result into {out}: {error}; the regressor is kept, run again") from error
    errors.print(f"regressor, {RESULT}, {', '.join(figures)} lie in {out}", soft_wrap=True)


def _install(bundle: RegressorBundle) -> None:
    path = cache_folder(bundle.card.setting) / REGRESSOR_FILE
    try:
        save_regressor(bundle, path)
    except OSError as error:
        raise BadInput(f"expected a place for the regressor that can be written at {path}, got: {error}") from error
    errors.print(f"grounding with this model finds it at {path}", soft_wrap=True)


def _print(found: Fitted, *, as_json: bool) -> None:
    if as_json:
        results.print_json(to_json(Result(found.bundle.card, found.history, found.reliability)))
        return
    made, worth = found.bundle.card.training, found.reliability
    assert made is not None  # training always says how
    own = Predictor(worth.quality.r, worth.quality.r_positive, worth.quality.rank)
    by_name = {LEARNED: own} | dict(worth.predictors)
    rows = [(name, *("-" if v is None else f"{v:.3f}" for v in one)) for name, one in by_name.items()]
    results.print(table(("predictor", "Pearson r", "r over IoU > 0", "rank within a pair"), rows))
    for line in (
        f"trained on {made.trained_on.candidates} candidates of {made.trained_on.pairs} pairs, {made.epochs} epochs, "
        f"weights of epoch {made.best}; measured on {worth.candidates} candidates of {worth.pairs} pairs held out",
        f"MSE {worth.quality.mse:.4f}, MAE {worth.quality.mae:.3f} (the mean: {worth.mean_mae:.3f}), "
        f"ECE {worth.ece:.3f}, AP@0.5 {worth.ap:.1%} (score 1: {worth.ap_unranked:.1%})",
        f"Acc@0.5: acs-learned {worth.acs_learned:.1%}, consensus {worth.consensus:.1%}, "
        f"best candidate {worth.oracle:.1%}; auto takes {best_selector(None, found.bundle).name}",
    ):
        results.print(line, soft_wrap=True)
