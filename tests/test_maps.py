"""Maps: entropy lies between 0 and log(cells) and knows no scale; resampling keeps every map's sum."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import interpolate

from glintbox.errors import BadInput
from glintbox.maps import entropy, image_share, resample

sides = st.integers(1, 9)


def random_maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@given(sides, sides, st.floats(1e-20, 1e6))
def test_entropy_of_an_even_map_is_log_of_cells(rows: int, cols: int, level: float) -> None:
    assert entropy(torch.full((rows, cols), level)).item() == pytest.approx(math.log(rows * cols), abs=1e-5)


def test_entropy_of_one_cell_alone_is_zero() -> None:
    maps = torch.zeros(6, 2, 3)
    maps.view(6, 6).fill_diagonal_(0.3)
    assert entropy(maps).tolist() == [0] * 6


@given(sides, sides, st.integers(0, 99), st.sampled_from([1e-20, 1e-7, 3.0, 1e6]))
def test_entropy_knows_neither_scale_nor_place_and_never_exceeds_log_of_cells(
    rows: int, cols: int, seed: int, scale: float
) -> None:
    maps = random_maps(rows, cols, seed=seed)
    value = entropy(maps)
    shuffled = maps.flatten()[torch.randperm(rows * cols, generator=torch.Generator().manual_seed(seed))]
    assert entropy(maps * scale).item() == pytest.approx(value.item(), abs=1e-4)
    assert entropy(shuffled.reshape(rows, cols)).item() == pytest.approx(value.item(), abs=1e-5)
    assert -1e-6 <= value.item() <= math.log(rows * cols) + 1e-5


def test_entropy_by_hand_in_nats() -> None:
    assert entropy(torch.tensor([[0.02, 0.01, 0.0], [0.0, 0.01, 0.0]])).item() == pytest.approx(1.5 * math.log(2))


def test_an_all_zero_map_has_the_worst_entropy_and_leaves_its_neighbours_alone() -> None:
    maps = torch.zeros(2, 2, 3)
    maps[1, 0, 0] = 1
    assert entropy(maps).tolist() == pytest.approx([math.log(6), 0])


def test_what_is_unknown_stays_unknown() -> None:
    assert entropy(torch.full((2, 3), torch.nan)).isnan()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_float32(dtype: torch.dtype) -> None:
    maps = torch.full((40, 60), 2.0**-12, dtype=dtype)
    assert entropy(maps).item() == pytest.approx(math.log(2400), abs=1e-4)
    assert image_share(maps).item() == pytest.approx(2400 / 4096)
    assert image_share(maps).dtype == torch.float32 == entropy(maps).dtype


@given(sides, sides, sides, sides, st.integers(0, 99))
def test_resampling_keeps_the_share_of_every_map(rows: int, cols: int, new_rows: int, new_cols: int, seed: int) -> None:
    maps = random_maps(2, 3, rows, cols, seed=seed)
    changed = resample(maps, new_rows, new_cols)
    assert torch.allclose(image_share(changed), image_share(maps), rtol=1e-5)
    assert (changed >= 0).all()


@given(sides, sides, sides, sides)
def test_resampling_treats_rows_as_it_treats_cols(rows: int, cols: int, new_rows: int, new_cols: int) -> None:
    maps = random_maps(rows, cols)
    turned = resample(maps.T, new_cols, new_rows).T
    assert torch.allclose(resample(maps, new_rows, new_cols), turned, atol=1e-6)


def test_an_even_map_stays_even_and_the_same_grid_changes_nothing() -> None:
    even = torch.full((3, 5), 1 / 15)
    for rows, cols in ((2, 4), (7, 11), (2, 9)):
        assert torch.allclose(resample(even, rows, cols), torch.full((rows, cols), 1 / (rows * cols)))
    maps = random_maps(3, 5)
    assert torch.equal(resample(maps, 3, 5), maps)


def test_shrinking_shares_a_cell_by_area() -> None:
    assert resample(torch.tensor([[0.1, 0.2, 0.4]]), 1, 2).tolist() == [pytest.approx([0.2, 0.5])]
    assert resample(torch.tensor([[0.1], [0.2], [0.4], [0.2]]), 2, 1).flatten().tolist() == pytest.approx([0.3, 0.6])


def test_enlarging_is_bilinear_between_half_cell_centres() -> None:
    maps = random_maps(4, 5)
    shape = interpolate(maps[None, None], (7, 11), mode="bilinear", align_corners=False)[0, 0]
    assert torch.allclose(resample(maps, 7, 11), shape * maps.sum() / shape.sum(), atol=1e-6)


def test_a_zero_map_resamples_to_zero() -> None:
    assert resample(torch.zeros(2, 3), 5, 2).tolist() == torch.zeros(5, 2).tolist()


def test_a_grid_without_cells_is_refused() -> None:
    with pytest.raises(BadInput, match="at least 1 x 1 cells, got 0 x 3"):
        resample(torch.ones(2, 3), 0, 3)
