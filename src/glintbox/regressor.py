"""AttentionIoURegressor: from the attention maps of a box's four coordinates to its IoU (ACS section 4.2, Tables 7-10).

On disk it is a safetensors file and a JSON beside it that says for which setting, heads and grid it holds; no pickle.
A folder of `model.safetensors` and `config.json` is the same, in the names of the Hugging Face Hub.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from glintbox.artifacts import read_record, write_whole
from glintbox.errors import BadInput, NoArtifact
from glintbox.predictions import Quality
from glintbox.records import Head, Sampling, Setting, to_json

Order = Literal["relu_bn", "bn_relu"]
"""The fusion's first block: Linear-ReLU-BatchNorm (Table 9) or Linear-BatchNorm-ReLU (Table 7)."""

Precision = Literal["float32", "bfloat16"]
"""Of the convolutions while training."""

InputScale = Literal["cells", "none"]
"""Maps are multiplied by their number of cells, so that an even map is 1 on any grid, or taken raw (docs/acs.md 7)."""


WEIGHTS, CONFIG = "model.safetensors", "config.json"
"""A regressor's two files in a folder of its own."""


class AttentionIoURegressor(nn.Module, PyTorchModelHubMixin, library_name="glintbox"):
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
        logit: Tensor = self.fusion(torch.cat(features, dim=1)).squeeze(1)
        return (logit if logit.dtype == torch.float64 else logit.float()).sigmoid()

    @classmethod
    def _from_pretrained(cls, **given: Any) -> AttentionIoURegressor:
        """As the mixin's, but weights that are missing or left over are an error."""
        network: AttentionIoURegressor = super()._from_pretrained(**{"strict": True} | given)
        return network

    @classmethod
    def _load_as_pickle(cls, model: Any, model_file: str, map_location: str, strict: bool) -> Any:
        raise BadInput(f"expected {WEIGHTS} in the repository, got only a pickle, {model_file}, which is never loaded")


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


class Layer(NamedTuple):
    """One layer as Tables 7-10 print it: its kind, what it gives for one candidate, parameters, multiply-adds."""

    kind: str
    shape: tuple[int, ...]
    parameters: int
    mult_adds: int


def layers(network: AttentionIoURegressor, rows: int, cols: int) -> tuple[Layer, ...]:
    """Every layer in the order in which one candidate on a grid of rows x cols passes it: 4 branches, then the fusion.

    Multiply-adds as the paper's tables count them: each parameter, biases too, once per cell that is given.
    """
    found: list[Layer] = []

    def note(layer: nn.Module, _: object, given: Tensor) -> None:
        parameters = sum(p.numel() for p in layer.parameters())
        cells = given.shape[2:].numel() if isinstance(layer, nn.Conv2d) else 1
        found.append(Layer(type(layer).__name__, tuple(given.shape), parameters, parameters * cells))

    channels = next(network.parameters()).shape[1]
    hooks = [layer.register_forward_hook(note) for layer in network.modules() if not list(layer.children())]
    try:
        with torch.inference_mode():
            network.eval()(torch.zeros(1, 4, channels, rows, cols))
    finally:
        for hook in hooks:
            hook.remove()
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a regressor is trained; the defaults are the paper's (A.2, docs/acs.md 42).

    rate, decay: of Adam; the rate falls to 0 along a cosine. patience: epochs without progress before training stops;
    progress lowers the MSE on held-out pictures by more than min_delta. held_out: share of the pictures that are not
    trained on. pairs: how many cases of the others are (None = all). precision: of the convolutions.
    """

    epochs: int = 100
    batch: int = 64
    rate: float = 3e-4
    decay: float = 1e-4
    patience: int = 15
    min_delta: float = 1e-3
    held_out: float = 0.1
    pairs: int | None = None
    seed: int = 0
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        if min(self.epochs, self.patience) < 1 or self.batch < 2 or (self.pairs is not None and self.pairs < 1):
            raise BadInput(
                "expected at least 1 epoch, a patience of 1, a batch of 2 (its variance is needed) and 1 pair, "
                f"got {self.epochs}, {self.patience}, {self.batch} and {self.pairs}"
            )
        if not (0 < self.rate < 1 and 0 < self.held_out < 1) or min(self.decay, self.min_delta) < 0:
            raise BadInput(
                "expected 0 < rate < 1, 0 < held_out < 1, decay >= 0 and min_delta >= 0, "
                f"got {self.rate}, {self.held_out}, {self.decay} and {self.min_delta}"
            )


class Amount(NamedTuple):
    """How much was used: pictures, pairs of picture and query, candidates."""

    pictures: int
    pairs: int
    candidates: int


@dataclass(frozen=True, slots=True)
class Training:
    """Where a regressor comes from, and what it is worth on the pictures that were held out.

    data, sampling: what the candidates are, in words, and how they were drawn. epochs: how many were run; best: the one
    whose weights these are (lowest held-out MSE). mean_mae: error of always saying the mean IoU of the training data.
    acs_learned, consensus, oracle: Acc@0.5 on the held-out pairs of both selectors and of the best candidate.
    """

    data: str
    sampling: Sampling
    recipe: Recipe
    trained_on: Amount
    held_out: Amount
    epochs: int
    best: int
    quality: Quality
    mean_mae: float
    acs_learned: float
    consensus: float
    oracle: float


@dataclass(frozen=True, slots=True)
class RegressorCard:
    """What a regressor is and for what it holds: written beside the weights.

    heads: channel order. rows, cols: the grid that maps are resampled to. training: None = nobody said.
    """

    setting: Setting
    heads: tuple[Head, ...]
    rows: int
    cols: int
    order: Order = "relu_bn"
    dropout: float = 0.3
    input_scale: InputScale = "cells"
    made_by: str = ""
    training: Training | None = None
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
    write_whole(path, weights_of(bundle))
    write_whole(path.with_suffix(".json"), to_json(bundle.card, indent=2).encode() + b"\n")


def weights_of(bundle: RegressorBundle) -> bytes:
    """The weights as safetensors, whatever device and memory format they are in."""
    weights: bytes = save({name: value.contiguous().cpu() for name, value in bundle.network.state_dict().items()})
    return weights


def fingerprint(bundle: RegressorBundle) -> str:
    """Hash of card and weights."""
    return hashlib.sha256(to_json(bundle.card).encode() + weights_of(bundle)).hexdigest()[:12]


def load_regressor(path: Path) -> RegressorBundle:
    """Read a regressor back, on the CPU and in evaluation mode, from its weights' file or a folder of its own.

    Raises:
        NoArtifact: the weights or the card beside them are missing.
        BadInput: the file is no safetensors, the card is of another schema, or the weights are not those of the card.
    """
    path, beside = (path / WEIGHTS, path / CONFIG) if path.is_dir() else (path, path.with_suffix(".json"))
    _check_suffix(path)
    card = read_record(RegressorCard, beside, what="a regressor's card", hint="it belongs beside the weights")
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
