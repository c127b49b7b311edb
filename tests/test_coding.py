"""Maps as float16: what comes back is what was put in but for rounding, whatever its size, and damage is seen."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from glintbox.coding import decode, encode, intact, piece
from glintbox.errors import BadInput
from glintbox.maps import entropy, image_share


def maps(seed: int, *, power: float = 0.0, candidates: int = 2, heads: int = 3) -> torch.Tensor:
    """Shares of 5 x 7 cells that differ by up to 2^40 within a map; its largest cell is below 2^power."""
    draw = torch.Generator().manual_seed(seed)
    spread = 40 * torch.rand(candidates, 4, heads, 5, 7, generator=draw)
    return torch.rand(spread.shape, generator=draw) * 2 ** (power - spread)


def read_back(values: torch.Tensor) -> torch.Tensor:
    return torch.stack([decode(one) for one in encode(values)])


@given(seed=st.integers(0, 10_000), power=st.floats(-70, 0))
def test_a_cell_is_off_by_half_of_its_last_bit_or_by_a_trifle_of_its_map(seed: int, power: float) -> None:
    given = maps(seed, power=power)
    found = read_back(given)
    assert found.dtype == torch.float32 and found.shape == given.shape
    allowed = torch.maximum(given * 2**-11, given.amax((-2, -1), keepdim=True) * 2**-28)
    assert bool(((found - given).abs() <= allowed).all())


@given(seed=st.integers(0, 10_000), power=st.floats(-70, 0))
def test_no_cell_is_subnormal_and_none_overflows(seed: int, power: float) -> None:
    cells = encode(maps(seed, power=power))["cells"]
    assert bool(np.isfinite(cells).all())
    assert bool(((cells == 0) | (cells >= np.finfo(np.float16).smallest_normal)).all())


def test_coding_what_was_decoded_changes_nothing() -> None:
    once = read_back(maps(0))
    assert torch.equal(read_back(once), once)


def test_powers_of_two_come_back_to_the_bit() -> None:
    given = 2.0 ** -torch.arange(28).reshape(1, 1, 1, 4, 7).expand(1, 4, 2, 4, 7)
    assert torch.equal(read_back(given), given)


@pytest.mark.parametrize("value", [1.0, 65504 / 65536, math.nextafter(1, 0), 2**-30, 1e-38, 0.0])
def test_an_even_map_comes_back_even(value: float) -> None:
    found = read_back(torch.full((1, 4, 1, 2, 3), value))
    assert bool((found == found[0, 0, 0, 0, 0]).all())
    assert found[0, 0, 0, 0, 0] == pytest.approx(value, rel=2**-11, abs=2**-90)


def test_entropy_and_share_hardly_change() -> None:
    given = torch.rand(4, 4, 6, 17, 23, generator=torch.Generator().manual_seed(0)) ** 8 / 1000
    found = read_back(given)
    assert (entropy(found) - entropy(given)).abs().max() < 1e-4
    assert (image_share(found) / image_share(given) - 1).abs().max() < 1e-4


@pytest.mark.parametrize("odd", [-1e-9, math.nan, math.inf])
def test_what_is_no_share_is_refused(odd: float) -> None:
    given = maps(0)
    given[1, 2, 0, 3, 4] = odd
    with pytest.raises(BadInput, match="expected shares of attention, got values that are negative or no numbers"):
        encode(given)


def test_any_flipped_bit_of_a_piece_is_seen() -> None:
    whole = encode(maps(0, candidates=1, heads=1))[0]
    assert intact(whole)
    content = whole.tobytes()
    assert len(content) == 4 + 16 + 4 * 5 * 7 * 2
    for at in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[at // 8] ^= 1 << at % 8
        assert not intact(np.frombuffer(bytes(flipped), piece(5, 7)))
    assert not intact(np.zeros(1, piece(5, 7))), "a hole in a file is no map"


def test_a_run_of_heads_is_decoded_as_alone() -> None:
    pieces = encode(maps(3, candidates=1, heads=5))[0]
    assert torch.equal(decode(pieces[1:4]), decode(pieces)[:, 1:4])
