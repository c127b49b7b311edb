"""Maps: entropies know no scale and have their bounds; smoothing and resampling keep every map's sum."""

import math
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn.functional import interpolate

from glintbox.errors import BadInput
from glintbox.maps import elbow, entropy, focuses_bottom, image_share, resample, smooth, spatial_entropy

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


# ---- spatial entropy: spread over connected parts

weights = st.sampled_from(["area", "mass"])
Weight = Literal["area", "mass"]
CODE = {"weight": "mass", "factor": 2.0, "floor": 0.001}  # of the paper's public code


def painted(picture: str, *, level: float = 0.01) -> Tensor:
    """A map of rows of digits: how many times `level` each cell gets."""
    return torch.tensor([[level * int(digit) for digit in row] for row in picture.split()])


@settings(max_examples=30)
@given(weights, st.integers(2, 7), st.integers(2, 7), st.integers(0, 99), st.sampled_from([1e-8, 0.3, 7.0]))
def test_spatial_entropy_knows_neither_scale_nor_mirror_nor_turn(
    weight: Weight, rows: int, cols: int, seed: int, scale: float
) -> None:
    maps = random_maps(rows, cols, seed=seed) ** 3
    value = spatial_entropy(maps, weight=weight).item()
    same = [maps * scale, maps.flip(0), maps.flip(1), maps.T]
    assert [spatial_entropy(other, weight=weight).item() for other in same] == pytest.approx([value] * 4, abs=1e-5)
    assert value >= 0


@settings(max_examples=30)
@given(weights, st.integers(0, 99))
def test_a_stack_of_maps_is_its_maps_one_by_one(weight: Weight, seed: int) -> None:
    maps = random_maps(2, 3, 4, 6, seed=seed) ** 3
    maps[1, 2] = 0.5
    stacked = spatial_entropy(maps, weight=weight)
    alone = [spatial_entropy(one, weight=weight).item() for one in maps.flatten(0, 1)]
    assert stacked.shape == (2, 3) and stacked.flatten().tolist() == pytest.approx(alone)
    assert alone[5] == math.inf


@settings(max_examples=30)
@given(st.integers(0, 999))
def test_on_a_binary_map_area_and_mass_say_the_same(seed: int) -> None:
    maps = (random_maps(5, 8, seed=seed) > 0.7).float()
    by_area, by_mass = (spatial_entropy(maps, weight=weight).item() for weight in ("area", "mass"))
    assert by_area == pytest.approx(by_mass, abs=1e-6) or by_area == by_mass == math.inf


@pytest.mark.parametrize("weight", ["area", "mass"])
def test_spatial_entropy_by_hand_in_nats(weight: Weight) -> None:
    assert spatial_entropy(painted("00000 09900 00000"), weight=weight).item() == 0
    assert spatial_entropy(painted("90000 00000 00009"), weight=weight).item() == pytest.approx(math.log(2))
    assert spatial_entropy(painted("9000 0900 0090"), weight=weight).item() == 0, "corners touch: 8-connected"
    assert spatial_entropy(painted("990 000 009"), weight=weight).item() == pytest.approx(
        math.log(3) - 2 / 3 * math.log(2)
    )
    four = spatial_entropy(painted("90009 00000 90009"), weight=weight).item()
    assert four == pytest.approx(math.log(4)) and four > 1, "it is not bounded by 1, whatever the appendix says"


def test_parts_count_by_their_cells_or_by_their_mass_over_the_mean() -> None:
    maps = painted("90000 00000 00033")  # mean 1, over it: 8 in one cell, 2 + 2 in the other two
    by_area = math.log(3) - 2 / 3 * math.log(2)
    assert spatial_entropy(maps, weight="area").item() == pytest.approx(by_area)
    assert spatial_entropy(maps, weight="mass").item() == pytest.approx(by_area), "8 to 4 is 2 to 1"
    assert spatial_entropy(maps, weight="mass", factor=2).item() == pytest.approx(
        -7 / 9 * math.log(7 / 9) - 2 / 9 * math.log(2 / 9)
    )


@pytest.mark.parametrize("level", [0.0, 0.1, 1 / 576, 1e-9])
@pytest.mark.parametrize("weight", ["area", "mass"])
def test_an_even_map_has_no_part_and_the_worst_spatial_entropy(weight: Weight, level: float) -> None:
    even = torch.full((24, 23), level)
    assert spatial_entropy(even, weight=weight).item() == math.inf
    noisy = even * (1 + 1e-7 * torch.randn(24, 23, generator=torch.Generator().manual_seed(0)))
    assert spatial_entropy(noisy, weight=weight).item() == math.inf, "float32 cannot tell it from an even one"


def test_a_map_below_the_floor_is_worst_where_the_public_code_calls_it_best() -> None:
    faint = painted("900000 000000 000000", level=0.0001)
    assert spatial_entropy(faint).item() == 0
    assert spatial_entropy(faint, **CODE).item() == math.inf  # type: ignore[arg-type]  # a dict of mixed options


def test_the_floor_of_the_public_code_loses_every_cell_of_a_large_grid() -> None:
    spread = torch.full((40, 50), 0.3 / 2000)
    spread[10:20, 5:15] *= 6
    assert spatial_entropy(spread).item() == 0
    assert spatial_entropy(spread, **CODE).item() == math.inf  # type: ignore[arg-type]


def test_what_is_below_the_floor_still_counts_in_the_mass_as_in_the_public_code() -> None:
    maps = painted("900000 000000 000003", level=0.001)
    excess = maps.double() - 2 * maps.double().mean()
    share = (excess[0, 0] / excess.clamp(min=0).sum()).item()
    told = spatial_entropy(maps, weight="mass", factor=2, floor=0.002).item()
    assert 0.5 < share < 1 and told == pytest.approx(-share * math.log(share)), "shares need not sum to 1"


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_attention_that_is_no_number_is_refused(broken: float) -> None:
    maps = torch.rand(2, 3, 4)
    maps[1, 0, 0] = broken
    with pytest.raises(BadInput, match="a number in every cell, got NaN or infinity; load the model in bfloat16"):
        spatial_entropy(maps)


# ---- elbow

ascending = st.lists(st.floats(0, 1), min_size=3, max_size=60)


@settings(max_examples=30)
@given(ascending, st.sampled_from(["chord", "curvature"]), st.randoms(use_true_random=False))
def test_the_elbow_is_one_of_the_values_and_their_order_does_not_matter(
    values: list[float], method: Literal["chord", "curvature"], draw: object
) -> None:
    told = elbow(torch.tensor(values, dtype=torch.float64), method=method)
    assert told in values
    turned = torch.tensor(values[::-1], dtype=torch.float64)
    assert elbow(turned, method=method) == told


@pytest.mark.parametrize("method", ["chord", "curvature"])
def test_the_elbow_moves_with_scale_and_offset(method: Literal["chord", "curvature"]) -> None:
    values = random_maps(80).double() ** 6
    assert elbow(values * 4 + 1, method=method) == pytest.approx(elbow(values, method=method) * 4 + 1)


@pytest.mark.parametrize("method", ["chord", "curvature"])
def test_a_curve_of_two_lines_bends_where_they_meet(method: Literal["chord", "curvature"]) -> None:
    flat, steep = torch.linspace(0, 0.1, 80, dtype=torch.float64), torch.linspace(0.1, 1, 21, dtype=torch.float64)
    assert elbow(torch.cat([flat, steep[1:]]), method=method) == pytest.approx(0.1, abs=0.02)


def test_the_chord_by_hand() -> None:
    assert elbow(torch.tensor([0.5, 0.1, 0.0, 1.0])) == pytest.approx(0.1)  # distances 0, 7/30, 1/6, 0
    assert elbow(torch.tensor([0.0, 0.0, 0.5, 1.0, 1.0])) == 0.0  # 1/4 at both bends: the lower value


def test_two_values_or_equal_ones_have_no_elbow_but_the_least() -> None:
    assert elbow(torch.tensor([0.4, 0.2])) == pytest.approx(0.2)
    assert elbow(torch.full((5,), 0.25)) == elbow(torch.full((5,), 0.25), method="curvature") == 0.25


@pytest.mark.parametrize("values", [[], [0.1, math.nan, 0.3], [math.inf, 0.0, 0.2]])
def test_an_elbow_of_nothing_or_of_what_is_no_number_is_refused(values: list[float]) -> None:
    with pytest.raises(BadInput, match="at least one value and only finite ones"):
        elbow(torch.tensor(values))


# ---- smoothing, the last row

sigmas, kernels = st.sampled_from([0.0, 0.4, 1.0, 1.8]), st.sampled_from([1, 3, 7, 11])


@settings(max_examples=30)
@given(sides, sides, st.integers(0, 99), sigmas, kernels)
def test_smoothing_keeps_the_share_of_every_map(rows: int, cols: int, seed: int, sigma: float, kernel: int) -> None:
    maps = random_maps(3, rows, cols, seed=seed)
    told = smooth(maps, sigma=sigma, kernel=kernel)
    assert torch.allclose(image_share(told), image_share(maps), rtol=1e-5)
    assert float(told.max()) <= float(maps.max()) * (1 + 1e-6)
    assert torch.allclose(smooth(maps.mT, sigma=sigma, kernel=kernel), told.mT, atol=1e-6)


@settings(max_examples=30)
@given(sides, sides, st.integers(0, 99), st.sampled_from([(1.0, 7, 3.0), (1.0, 9, 4.0), (1.8, 5, 1.2)]))
def test_smoothing_is_scipys_gaussian_with_a_reflecting_border(
    rows: int, cols: int, seed: int, how: tuple[float, int, float]
) -> None:
    sigma, kernel, truncate = how
    maps = random_maps(rows, cols, seed=seed).double()
    expected = gaussian_filter(maps.numpy(), sigma, mode="reflect", truncate=truncate)
    assert np.allclose(smooth(maps, sigma=sigma, kernel=kernel).numpy(), expected)


def test_no_sigma_or_one_tap_changes_nothing() -> None:
    maps = random_maps(3, 5)
    assert torch.equal(smooth(maps, sigma=0), maps) and torch.equal(smooth(maps, kernel=1), maps)


@pytest.mark.parametrize(("sigma", "kernel"), [(-1.0, 7), (math.nan, 7), (1.0, 4), (1.0, 0), (1.0, -3)])
def test_a_gaussian_that_is_none_is_refused(sigma: float, kernel: int) -> None:
    with pytest.raises(BadInput, match="sigma >= 0 cells and an odd kernel >= 1"):
        smooth(torch.ones(2, 3), sigma=sigma, kernel=kernel)


def test_only_the_last_row_is_the_bottom() -> None:
    maps = torch.stack([painted("000 090 000"), painted("000 000 009"), painted("000 000 005"), painted("006 000 000")])
    assert focuses_bottom(maps).tolist() == [False, True, False, False]
    assert focuses_bottom(maps, above=0.01).tolist() == [False, True, True, False]
