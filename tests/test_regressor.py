"""The regressor is the paper's by its parameter counts, and what is saved is what is loaded, or refused."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import nn

from glintbox.errors import BadInput, NoArtifact
from glintbox.records import Head
from glintbox.regressor import (
    AttentionIoURegressor,
    Recipe,
    RegressorBundle,
    RegressorCard,
    layers,
    load_regressor,
    new_regressor,
    save_regressor,
)
from tests.sets import HEADS, SETTING

CARD = RegressorCard(SETTING, HEADS, 4, 6, made_by="test")


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def bundle(card: RegressorCard = CARD) -> RegressorBundle:
    """Untrained, but with batch statistics that are not the initial ones."""
    made = new_regressor(card)
    made.network.train()(torch.rand(8, 4, len(card.heads), card.rows, card.cols) / 24)
    made.network.eval()
    return made


@pytest.mark.parametrize(
    ("channels", "branch", "total"), [(28 * 28, 854_464, 3_582_721), (36 * 32, 1_066_432, 4_430_593)]
)
@pytest.mark.parametrize("order", ["relu_bn", "bn_relu"])
def test_parameters_are_as_many_as_the_paper_says(channels: int, branch: int, total: int, order: str) -> None:
    network = AttentionIoURegressor(channels, order=order)  # type: ignore[arg-type]  # parametrize knows only str
    assert sum(p.numel() for p in network.branches[0].parameters()) == branch
    assert sum(p.numel() for p in network.parameters()) == total


def branch_of_the_paper(side: int, channels: int, *, dropout: bool) -> list[tuple[str, tuple[int, ...], int]]:
    """Kind, output shape and parameters of each row of a branch of Table 7 (no dropout) or 9 (with it)."""
    rows: list[tuple[str, tuple[int, ...], int]] = []
    taken = channels
    for given, parameters, part in ((64, taken * 64 * 9 + 64, 1), (128, 73_856, 2), (256, 295_168, 4)):
        shape = (1, given, side // part, side // part)
        rows += [("Conv2d", shape, parameters), ("BatchNorm2d", shape, 2 * given), ("ReLU", shape, 0)]
        if given < 256:
            rows += [("Dropout2d", shape, 0)] if dropout else []
            rows += [("MaxPool2d", (1, given, side // part // 2, side // part // 2), 0)]
    rows += [("AdaptiveAvgPool2d", (1, 256, 1, 1), 0)]
    rows += [("Flatten", (1, 256), 0), ("Dropout", (1, 256), 0)] if dropout else []
    return [*rows, ("Linear", (1, 128), 32_896)]


FUSION_7 = [
    ("Linear", (1, 256), 131_328), ("BatchNorm1d", (1, 256), 512), ("ReLU", (1, 256), 0),
    ("Linear", (1, 128), 32_896), ("ReLU", (1, 128), 0), ("Linear", (1, 1), 129),
]  # fmt: skip
FUSION_9 = [
    ("Linear", (1, 256), 131_328), ("ReLU", (1, 256), 0), ("BatchNorm1d", (1, 256), 512), ("Dropout", (1, 256), 0),
    ("Linear", (1, 128), 32_896), ("ReLU", (1, 128), 0), ("Dropout", (1, 128), 0), ("Linear", (1, 1), 129),
]  # fmt: skip


def test_every_layer_is_that_of_table_7_qwen() -> None:
    network = AttentionIoURegressor(28 * 28, order="bn_relu", dropout=0)
    idle = {"Flatten", "Dropout", "Dropout2d"}  # they change no number here, and the table leaves them out
    found = [(one.kind, one.shape, one.parameters) for one in layers(network, 24, 24) if one.kind not in idle]
    assert {m.p for m in network.modules() if isinstance(m, nn.Dropout | nn.Dropout2d)} == {0}
    shown = branch_of_the_paper(24, 784, dropout=False)
    assert shown[0] == ("Conv2d", (1, 64, 24, 24), 451_648)
    assert found == [*shown * 4, *FUSION_7]


def test_every_layer_is_that_of_table_9_internvl() -> None:
    network = AttentionIoURegressor(36 * 32, order="relu_bn")
    found = [(one.kind, one.shape, one.parameters) for one in layers(network, 16, 16)]
    shown = branch_of_the_paper(16, 1152, dropout=True)
    assert shown[0] == ("Conv2d", (1, 64, 16, 16), 663_616)
    assert found == [*shown * 4, *FUSION_9]


@pytest.mark.parametrize(
    ("channels", "side", "mult_adds", "printed", "megabytes"),
    [(784, 24, 1_125_942_273, "1.13 G", "7.23 4.14 14.33"), (1152, 16, 717_640_705, "717.64 M", "4.72 1.84 17.72")],
)
def test_cost_is_that_of_tables_8_and_10_for_one_candidate_on_24_and_16_cells_a_side(
    channels: int, side: int, mult_adds: int, printed: str, megabytes: str
) -> None:
    found = layers(AttentionIoURegressor(channels), side, side)
    assert sum(one.mult_adds for one in found) == mult_adds
    number, unit = printed.split()
    assert f"{mult_adds / {'G': 1e9, 'M': 1e6}[unit]:.2f}" == number
    taken = 4 * channels * side * side
    held = sum(math.prod(one.shape) for one in found if one.parameters)
    parameters = sum(one.parameters for one in found)
    sizes = (4 * taken, 2 * 4 * held, 4 * parameters)  # bytes of float32: input, outputs and their gradients, weights
    assert " ".join(f"{size / 1e6:.2f}" for size in sizes) == megabytes


def test_layers_leave_no_trace() -> None:
    network = AttentionIoURegressor(2)
    layers(network, 4, 6)
    assert not any(layer._forward_hooks for layer in network.modules())


def test_dropout_is_as_asked() -> None:
    rates = {m.p for m in AttentionIoURegressor(2, dropout=0.1).modules() if isinstance(m, nn.Dropout | nn.Dropout2d)}
    assert rates == {0.1}


def test_predictions_are_ious_and_a_candidate_does_not_depend_on_its_batch() -> None:
    network = bundle().network
    maps = torch.rand(5, 4, 3, 7, 6) / 42
    together = network(maps)
    assert together.shape == (5,) and ((together > 0) & (together < 1)).all()
    alone = torch.cat([network(maps[k : k + 1]) for k in range(5)])
    assert torch.allclose(alone, together, atol=1e-6) and len(set(together.tolist())) == 5


def test_each_coordinate_goes_through_its_own_branch() -> None:
    network = bundle().network
    maps = torch.rand(1, 4, 3, 4, 6) / 24
    for coordinate, branch in enumerate(network.branches):
        other = maps.clone()
        other[:, coordinate] *= 2
        assert abs(network(maps) - network(other)).item() > 1e-6, "its maps count"
        before = network(maps)
        branch.load_state_dict({name: torch.zeros_like(value) for name, value in branch.state_dict().items()})
        assert abs(network(maps) - before).item() > 1e-6, "its weights count"
        assert torch.equal(network(maps), network(other)), "its maps go nowhere else"


def test_rows_are_not_cols() -> None:
    network = bundle().network
    maps = torch.rand(1, 4, 3, 4, 6) / 24
    assert abs(network(maps) - network(maps.transpose(-1, -2))).item() > 1e-6


def test_scaling_by_cells_makes_an_even_map_one_on_any_grid() -> None:
    raw = AttentionIoURegressor(3, input_scale="none").eval()
    scaled = AttentionIoURegressor(3).eval()
    scaled.load_state_dict(raw.state_dict())
    for rows, cols in ((4, 6), (8, 5)):
        even = torch.full((1, 4, 3, rows, cols), 1 / (rows * cols))
        assert torch.allclose(scaled(even), raw(torch.ones(1, 4, 3, rows, cols)))


def test_maps_of_five_coordinates_are_no_input() -> None:
    with pytest.raises(TypeCheckError):
        AttentionIoURegressor(3)(torch.rand(2, 5, 3, 4, 6))


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    made, path = bundle(), tmp_path / "deep" / "regressor.safetensors"
    save_regressor(made, path)
    read = load_regressor(path)
    maps = torch.rand(3, 4, 3, 4, 6) / 24
    assert read.card == made.card and read.setting == SETTING
    assert not read.network.training
    assert torch.equal(read.network(maps), made.network(maps))
    assert sorted(p.name for p in path.parent.iterdir()) == ["regressor.json", "regressor.safetensors"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "regressor.safetensors"
    with pytest.raises(NoArtifact, match=r"card at .*regressor\.json, found no file"):
        load_regressor(path)
    save_regressor(bundle(), path)
    path.unlink()
    with pytest.raises(NoArtifact, match=r"a regressor at .*regressor\.safetensors, found no file"):
        load_regressor(path)


def test_a_pickle_is_refused_under_any_name(tmp_path: Path) -> None:
    path = tmp_path / "regressor.safetensors"
    save_regressor(bundle(), path)
    torch.save(bundle().network.state_dict(), path)
    with pytest.raises(BadInput, match="expected safetensors in"):
        load_regressor(path)
    with pytest.raises(BadInput, match=r"to end in \.safetensors, got .*regressor\.pt"):
        load_regressor(tmp_path / "regressor.pt")
    with pytest.raises(BadInput, match=r"to end in \.safetensors"):
        save_regressor(bundle(), tmp_path / "regressor.pt")


def test_weights_of_another_card_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "regressor.safetensors"
    save_regressor(bundle(), path)
    weights = path.read_bytes()
    save_regressor(bundle(RegressorCard(SETTING, (*HEADS, Head(3, 3)), 4, 6)), path)
    path.write_bytes(weights)
    with pytest.raises(BadInput, match=r"regressor for 4 heads .* \(64, 3, 3, 3\) instead of \(64, 4, 3, 3\)"):
        load_regressor(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 2}, "schema 1 in .*, got 2; update glintbox"),
        ({"order": "bn"}, "problem at order"),
        ({"setting": {}}, "problem at setting.model"),
    ],
)
def test_a_card_that_is_none_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    path = tmp_path / "regressor.safetensors"
    save_regressor(bundle(), path)
    card = path.with_suffix(".json")
    card.write_text(json.dumps(json.loads(card.read_text()) | changes))
    with pytest.raises(BadInput, match=message):
        load_regressor(path)


def test_a_card_without_heads_or_with_too_small_a_grid_is_refused() -> None:
    with pytest.raises(BadInput, match=r"at least 4 x 4 cells .* got 3 heads and 4 x 3"):
        RegressorCard(SETTING, HEADS, 4, 3)
    with pytest.raises(BadInput, match="got 0 heads"):
        RegressorCard(SETTING, (), 4, 4)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0}, "at least 1 epoch"),
        ({"batch": 1}, "a batch of 2"),
        ({"pairs": 0}, "1 pair, got 100, 15, 64 and 0"),
        ({"held_out": 1.0}, "0 < held_out < 1, .* got 0.0003, 1.0"),
        ({"rate": 0.0}, "0 < rate < 1"),
        ({"decay": -1.0}, "decay >= 0"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Recipe(**wrong)


def test_the_recipe_is_the_papers() -> None:
    paper = Recipe()
    assert (paper.rate, paper.decay, paper.batch, paper.epochs) == (3e-4, 1e-4, 64, 100)
    assert (paper.patience, paper.min_delta, paper.held_out) == (15, 1e-3, 0.1)


def test_a_network_without_channels_is_refused() -> None:
    with pytest.raises(BadInput, match=r"at least 1 channel and 0 <= dropout < 1, got 0 and 0\.3"):
        AttentionIoURegressor(0)
