"""Laws of the sprites: both styles draw everything, edges are tight, paint has the colour that is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glintbox.datasets import art
from glintbox.datasets.art import COLORS, PAINTABLE, categories, dress, families, named_sprites, painted, sprites
from glintbox.errors import BadInput, UnknownName


@pytest.mark.parametrize("style", art.STYLES)
def test_every_category_has_a_drawing_in_every_style(style: str) -> None:
    for label in categories():
        for sprite in named_sprites(style, label):
            assert sprite.mode == "RGBA" and max(sprite.size) == 112, label
            assert np.mean(np.asarray(sprite.getchannel("A")) >= art.SOLID) > 0.1, label
    assert len(art.unnamed_sprites(style)) > 40


def test_every_category_is_of_one_family_and_no_clutter_has_a_name() -> None:
    members = [label for labels in families().values() for label in labels]
    assert sorted(members) == sorted(set(categories()))
    assert "" not in families()
    assert set(categories()) >= PAINTABLE


@pytest.mark.parametrize("color", COLORS)
def test_paint_has_the_hue_that_its_name_says(color: str) -> None:
    red, green, blue = COLORS[color]
    sprite = painted(named_sprites("a", "mouse")[0], (red, green, blue))  # nearly white before
    pixels = np.asarray(sprite).astype(float)
    mean = pixels[pixels[..., 3] >= art.SOLID][:, :3].mean(axis=0)
    assert (np.argsort(mean) == np.argsort((red, green, blue))).all()


def test_paint_leaves_the_outline_alone() -> None:
    sprite = named_sprites("a", "car")[0]
    assert painted(sprite, (10, 20, 200)).getchannel("A").tobytes() == sprite.getchannel("A").tobytes()


def test_a_dressed_sprite_is_tight_and_of_the_area_asked_for() -> None:
    random = np.random.default_rng(5)
    for label in categories():
        found = dress(random, named_sprites("a", label)[0], 40.0 * 30.0)
        alpha = np.asarray(found.getchannel("A")) >= art.SOLID
        assert alpha[0].any() and alpha[-1].any() and alpha[:, 0].any() and alpha[:, -1].any(), label
        assert 600 <= found.width * found.height <= 1400, label


def test_a_style_without_art_is_refused() -> None:
    with pytest.raises(UnknownName, match="style"):
        sprites("c")


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_an_atlas_that_is_missing_or_damaged_is_named(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if damage == "cut":
        Image.new("RGBA", (4, 4)).save(tmp_path / "sprites-a.webp")
        (tmp_path / "sprites-a.json").write_text('{"people": {"per')
    monkeypatch.setattr(art, "FOLDER", tmp_path)
    sprites.cache_clear()
    try:
        with pytest.raises(BadInput, match=r"expected the drawings sprites-a.webp .*; install glintbox again"):
            sprites("a")
    finally:
        sprites.cache_clear()
