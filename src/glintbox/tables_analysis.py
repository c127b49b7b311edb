"""The analysis as Markdown: critical layers (Table 1), best heads, both ways to find them, what layers tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch

from glintbox.analysis.heads import Agreement
from glintbox.analysis.importance import CriticalLayers
from glintbox.analysis.information import LayersTell
from glintbox.analysis.separation import Separation, WithinCase
from glintbox.cells import ends, percent, table
from glintbox.errors import BadInput
from glintbox.records import COORDS, Head


def critical_table(found: Mapping[str, CriticalLayers]) -> str:
    """Table 1: the layers of the highest score per model, and the range that the paper's text makes of them."""
    rows = [(model, numbers(layers.top), numbers(layers.range)) for model, layers in found.items()]
    return table(("model", "layers of the highest score", "critical range"), rows, words=3)


def heads_table(found: Separation, within: WithinCase, *, n: int = 3) -> str:
    """The n heads of the largest ΔH per coordinate, with all that is known of each.

    Raises:
        BadInput: the two are not of the same heads.
    """
    if found.heads != within.heads:
        raise BadInput("expected both of the same heads, got others; compute them from the same table of entropies")
    rows = []
    for c, coord in enumerate(COORDS):
        for k in torch.argsort(found.delta[c], descending=True, stable=True)[:n].tolist():
            rho = f"{float(within.rho[c, k]):+.2f} ± {float(within.error[c, k]):.2f}"
            values = (float(part[c, k]) for part in (found.delta, found.effect, found.auc))
            rows.append((coord, found.heads[k], *(f"{value:.2f}" for value in values), rho))
    heading = ("coordinate", "head", "ΔH, nats", "ΔH / spread", "AUC", "rank correlation within a case")
    return table(heading, rows, words=2)


def agreement_table(found: Agreement) -> str:
    """Heads by labels, in critical layers and by gradient, how many they share, and how their scores go together."""
    rows = [
        (
            coord,
            *(_names(way[coord]) for way in (found.by_labels, found.critical, found.by_gradient)),
            *found.shared(coord),
            "-" if (rho := found.rho[coord]) is None else f"{rho:+.2f}",
        )
        for coord in COORDS
    ]
    heading = ("", "by labels", "in critical layers", "by gradient", "labels ∩ critical", "labels ∩ gradient", "ρ")
    return table(heading, rows, words=4)


def layers_table(found: Sequence[LayersTell]) -> str:
    """A regressor per choice of layers: its errors, its order within a case, and nats that it tells of the IoU."""
    rows = [
        (
            one.name, numbers(one.layers), f"{one.quality.mse:.4f}", f"{one.quality.mae:.3f}",
            _number(one.quality.r), _number(one.quality.rank), _nats(one),
            "-" if one.share is None else percent(one.share, digits=0),
            "-" if one.share_interval is None else ends(one.share_interval, digits=0),
        )
        for one in found
    ]  # fmt: skip
    heading = (
        "regressor on",
        "layers",
        "MSE",
        "MAE",
        "r",
        "rank within a case",
        "½ log(Var/MSE), nats",
        "% of all",
        "95 %",
    )
    return table(heading, rows, words=2)


def numbers(layers: Iterable[int]) -> str:
    """Layer numbers, runs of three and more shortened: "14-21, 24, 25"."""
    runs: list[list[int]] = []
    for layer in layers:
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)


def _names(heads: Iterable[Head]) -> str:
    return ", ".join(map(str, heads))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _nats(one: LayersTell) -> str:
    bound, interval = one.information.gaussian, one.information.gaussian_interval
    return f"{bound:.3f} ({interval.low:.3f} to {interval.high:.3f})"
