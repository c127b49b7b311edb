"""Laws of grounds and lens: the size asked for, something to see, the same draw for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from glintbox.boxes import Size
from glintbox.datasets.backdrops import backdrop, lens

SIZE = Size(70, 52)


@pytest.mark.parametrize("style", ["a", "b"])
@pytest.mark.parametrize("seed", range(12))
def test_a_backdrop_has_its_size_and_is_not_plain(style: str, seed: int) -> None:
    canvas = backdrop(np.random.default_rng(seed), SIZE, style)
    assert (canvas.mode, canvas.size) == ("RGB", (70, 52))
    assert np.asarray(canvas).std() > 1
    assert canvas.tobytes() == backdrop(np.random.default_rng(seed), SIZE, style).tobytes()


def test_the_styles_differ() -> None:
    one, other = (backdrop(np.random.default_rng(0), SIZE, style) for style in "ab")
    assert one.tobytes() != other.tobytes()


def test_the_lens_keeps_the_picture_and_changes_its_pixels() -> None:
    canvas = Image.linear_gradient("L").resize(SIZE).convert("RGB")
    for seed in range(8):
        seen = lens(np.random.default_rng(seed), canvas)
        assert (seen.mode, seen.size) == ("RGB", (70, 52))
        assert seen.tobytes() != canvas.tobytes()
        assert np.corrcoef(np.asarray(seen).ravel(), np.asarray(canvas).ravel())[0, 1] > 0.8
