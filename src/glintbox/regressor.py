"""AttentionIoURegressor: from the attention maps of a box's four coordinates to its IoU (ACS section 4.2, Tables 7-10).

On disk it is a safetensors file and a JSON beside it that says for which setting, heads and grid it holds; no pickle.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from glintbox.artifacts import read_record, write_whole
from glintbox.errors import BadInput, NoArtifact
from glintbox.records import Head, Setting, to_json

Order = Literal["relu_bn", "bn_relu"]
"""The fusion's first block: Linear-ReLU-BatchNorm (Table 9) or Linear-BatchNorm-ReLU (Table 7)."""

InputScale = Literal["cells", "none"]
"""Maps are multiplied by their number of cells, so that an even map is 1 on any grid, or taken raw (docs/acs.md 7)."""


class AttentionIoURegressor(nn.Module):
    """Four CNN branches that share no weights, one per coordinate, and a fusion MLP; the output is in (0, 1)."""

    def __init__(
        self, channels: int, *, order: Order = "relu_bn", dropout: float = 0.3, input_scale: InputScale = "cells"
    ) -> None:
        super().__init__()
        if channels < 1 or not 0 <= dropout < 1:
            raise BadInput(f"expected at least 1 channel and 0 <= dropout < 1, got {channels} and {dropout}")
        self.input_scale = input_scale
        self.branches = nn.ModuleList(_branch(channels, dropout) for _ in range(4))
        first: list[nn.Module] = [nn.BatchNorm1d(256), nn.ReLU()]
        self.fusion = nn.Sequential(
            nn.Linear(512, 256),
            *(first if order == "bn_relu" else reversed(first)),
            nn.Dropout(dropout),
            nn.Linear(256, 128),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(128, 1),
        )

    def forward(self, maps: Float[Tensor, "candidate coord=4 head row col"]) -> Float[Tensor, " candidate"]:
        """Predicted IoU of each candidate from its maps of attention shares (channel order = head order)."""
        rows, cols = maps.shape[-2:]
        if self.input_scale == "cells":
            maps = maps * (rows * cols)
        features = [branch(maps[:, c]) for c, branch in enumerate(self.branches)]
        predicted: Tensor = self.fusion(torch.cat(features, dim=1)).sigmoid().squeeze(1)
        return predicted


def _branch(channels: int, dropout: float) -> nn.Sequential:
    """One coordinate's CNN: 64, 128 and 256 channels, then 128 features."""
    return nn.Sequential(
        *_block(channels, 64, nn.Dropout2d(dropout), nn.MaxPool2d(2)),
        *_block(64, 128, nn.Dropout2d(dropout), nn.MaxPool2d(2)),
        *_block(128, 256, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout)),
        nn.Linear(256, 128),
    )


def _block(taken: int, given: int, *rest: nn.Module) -> tuple[nn.Module, ...]:
    return (nn.Conv2d(taken, given, 3, padding=1), nn.BatchNorm2d(given), nn.ReLU(), *rest)


@dataclass(frozen=True, slots=True)
class RegressorCard:
    """What a regressor is and for what it holds: written beside the weights.

    heads: channel order. rows, cols: the grid that maps are resampled to.
    """

    setting: Setting
    heads: tuple[Head, ...]
    rows: int
    cols: int
    order: Order = "relu_bn"
    dropout: float = 0.3
    input_scale: InputScale = "cells"
    made_by: str = ""
    schema_version: int = 1

    def __post_init__(self) -> None:
        if not self.heads or min(self.rows, self.cols) < 4:
            raise BadInput(
                f"expected heads and a grid of at least 4 x 4 cells (two poolings halve it), "
                f"got {len(self.heads)} heads and {self.rows} x {self.cols}"
            )


@dataclass(frozen=True, slots=True)
class RegressorBundle:
    """A regressor with its card; make one with `new_regressor` or `load_regressor`."""

    card: RegressorCard
    network: AttentionIoURegressor

    @property
    def setting(self) -> Setting:
        """The setting under which the regressor holds."""
        return self.card.setting


def new_regressor(card: RegressorCard) -> RegressorBundle:
    """An untrained regressor as the card says, in evaluation mode; weights come from torch's global generator."""
    network = AttentionIoURegressor(
        len(card.heads), order=card.order, dropout=card.dropout, input_scale=card.input_scale
    )
    return RegressorBundle(card, network.eval())


def save_regressor(bundle: RegressorBundle, path: Path) -> None:
    """Write the weights to `path` (.safetensors) and the card beside it (.json)."""
    _check_suffix(path)
    write_whole(path, _weights(bundle))
    write_whole(path.with_suffix(".json"), to_json(bundle.card, indent=2).encode() + b"\n")


def _weights(bundle: RegressorBundle) -> bytes:
    """The weights as safetensors."""
    weights: bytes = save({name: value.contiguous().cpu() for name, value in bundle.network.state_dict().items()})
    return weights


def fingerprint(bundle: RegressorBundle) -> str:
    """Hash of card and weights."""
    return hashlib.sha256(to_json(bundle.card).encode() + _weights(bundle)).hexdigest()[:12]


def load_regressor(path: Path) -> RegressorBundle:
    """Read a regressor back, on the CPU and in evaluation mode.

    Raises:
        NoArtifact: the weights or the card beside them are missing.
        BadInput: the file is no safetensors, the card is of another schema, or the weights are not those of the card.
    """
    _check_suffix(path)
    hint = "it belongs beside the weights"
    card = read_record(RegressorCard, path.with_suffix(".json"), what="a regressor's card", hint=hint)
    if not path.is_file():
        raise NoArtifact(f"expected a regressor at {path}, found no file")
    try:
        weights = load_file(path)
    except SafetensorError as error:
        raise BadInput(f"expected safetensors in {path}, got something else: {error}") from error
    bundle = new_regressor(card)
    expected = {name: tuple(value.shape) for name, value in bundle.network.state_dict().items()}
    got = {name: tuple(value.shape) for name, value in weights.items()}
    odd = sorted(name for name in expected.keys() | got.keys() if expected.get(name) != got.get(name))
    if odd:
        raise BadInput(
            f"expected the weights of a regressor for {len(card.heads)} heads in {path}, "
            f"got {odd[0]} of shape {got.get(odd[0])} instead of {expected.get(odd[0])}; "
            f"the weights and the card beside them do not belong together"
        )
    bundle.network.load_state_dict(weights)
    return bundle


def _check_suffix(path: Path) -> None:
    if path.suffix != ".safetensors":
        raise BadInput(f"expected a regressor's path to end in .safetensors, got {path}")
