"""The regressor's layers and sizes: Tables 7-10."""

from __future__ import annotations

from collections.abc import Mapping

from glintbox.cells import table
from glintbox.regressor import AttentionIoURegressor, Layer, Order, layers
from glintbox.reproduce.pages import Page

MODELS: Mapping[str, tuple[int, int, Order, float]] = {
    "Qwen2.5-VL-7B (Tables 7 and 8)": (28 * 28, 24, "bn_relu", 0.0),
    "InternVL-3.5-8B (Tables 9 and 10)": (36 * 32, 16, "relu_bn", 0.3),
}
"""Channels, side of the grid, order of the fusion and dropout, as the paper's tables print them."""

REPORTED: Mapping[str, tuple[int, str, float]] = {
    "Qwen2.5-VL-7B (Tables 7 and 8)": (3_582_721, "1.13 G", 7.23),
    "InternVL-3.5-8B (Tables 9 and 10)": (4_430_593, "717.64 M", 4.72),
}
"""Parameters, multiply-adds and input in MB."""


def models(about: Mapping[str, str]) -> Page:
    """Both regressors of the paper, layer by layer; needs no data."""
    parts = [
        "One candidate: four maps of all heads on the paper's grids. The branch stands once, it is there four times."
    ]
    numbers = {}
    for name, (channels, side, order, dropout) in MODELS.items():
        network = AttentionIoURegressor(channels, order=order, dropout=dropout)
        found = layers(network, side, side)
        branch = (len(found) - _fusion(found)) // 4
        shown = [*(("branch", one) for one in found[:branch]), *(("fusion", one) for one in found[4 * branch :])]
        rows = [(where, one.kind, " x ".join(map(str, one.shape)), f"{one.parameters:,}") for where, one in shown]
        parameters, adds = sum(one.parameters for one in found), sum(one.mult_adds for one in found)
        paper, paper_adds, paper_input = REPORTED[name]
        given = 4 * channels * side * side * 4 / 1e6
        totals = [
            ("parameters", f"{parameters:,}", f"{paper:,}"),
            ("multiply-adds", f"{adds / 1e6:.2f} M", paper_adds),
            ("input, MB of float32", f"{given:.2f}", f"{paper_input:.2f}"),
        ]
        parts += [f"## {name}", table(("part", "layer", "gives", "parameters"), rows, words=3),
                  table(("in all", "here", "*reported*"), totals, words=1)]  # fmt: skip
        numbers[name] = {"layers": found, "parameters": parameters, "mult_adds": adds, "input_bytes": given * 1e6}
    return Page("models", "Tables 7-10: the regressors", about, parts, numbers)


def _fusion(found: tuple[Layer, ...]) -> int:
    """How many layers the fusion has: those after the last flattening and its dropout and linear layer."""
    last = max(k for k, one in enumerate(found) if one.kind == "Flatten")
    return len(found) - last - 3
