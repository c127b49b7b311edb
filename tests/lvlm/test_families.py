"""Families: every cell of every view is where its image token looks, in every family."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import CONFIG_MAPPING

from glintbox.boxes import Box, Size, clip
from glintbox.errors import BadContract, BadInput, UnknownName
from glintbox.geometry import CoordFrame, TokenGrid, View
from glintbox.lvlm.api import Prompt
from glintbox.lvlm.families import FAMILIES, REFUSED, checked_views, family_of
from glintbox.lvlm.grids import image_columns
from glintbox.lvlm.loading import Loaded, load
from glintbox.lvlm.prompting import make_prompt
from tests.lvlm.tiny import MODEL_TYPES, picture, tiny_loaded, tiny_model, tiny_processor

WIDE, TALL = Size(300, 130), Size(130, 300)


def embeddings(loaded: Loaded, prompt: Prompt) -> Tensor:
    """What the language model gets, [token, hidden]: words and projected picture."""

    class Reached(Exception):
        """The words and the picture are joined; what follows is not needed."""

    def stop(_module: Any, _args: Any, options: dict[str, Any]) -> None:
        raise Reached(options["inputs_embeds"][0])

    hook = loaded.model.get_decoder().register_forward_pre_hook(stop, with_kwargs=True)
    try:
        loaded.model(input_ids=prompt.ids[None], **prompt.tensors)
    except Reached as reached:
        embedded: Tensor = reached.args[0]
    finally:
        hook.remove()
    return embedded


def inverted(image: Image.Image, box: Box) -> Image.Image:
    """The picture with the pixels inside `box` inverted."""
    pixels = np.array(image)
    inside = clip(box, Box.whole(Size(*image.size)))
    assert inside is not None
    x1, y1, x2, y2 = (round(value) for value in inside)
    pixels[y1:y2, x1:x2] = 255 - pixels[y1:y2, x1:x2]
    return Image.fromarray(pixels)


def shown(grid: TokenGrid, size: Size) -> tuple[tuple[int, int], tuple[int, int]]:
    """First and last row, and column, whose cells' middles lie in the picture: not in padding."""
    rows = [row for row in range(grid.rows) if 0 < grid.cell(row, 0).y1 + grid.cell(row, 0).height / 2 < size.height]
    cols = [col for col in range(grid.cols) if 0 < grid.cell(0, col).x1 + grid.cell(0, col).width / 2 < size.width]
    return (rows[0], rows[-1]), (cols[0], cols[-1])


def strayed(loaded: Loaded, size: Size, views: Mapping[str, View] | None = None) -> list[str]:
    """Cells, of five per view, whose repainting changes another image token most."""
    image = picture(*size)
    prompt = make_prompt(loaded, image, "box", id="", text="short")
    before = embeddings(loaded, prompt)
    found = []
    for name, (columns, grid) in (views or prompt.views).items():
        cols = grid.cols
        (up, low), (left, right) = shown(grid, size)
        for row, col in (
            (up, left),
            (up, right),
            (low, left),
            ((up + low + 1) // 2, left + (right - left) // 3),
            (low, right),
        ):
            other = make_prompt(loaded, inverted(image, grid.cell(row, col)), "box", id="", text="short")
            moved = (embeddings(loaded, other) - before).norm(dim=-1)[columns]
            if divmod(int(moved.argmax()), cols) != (row, col):
                found.append(f"{name} {row} {col}")
    return found


@pytest.mark.parametrize("size", [WIDE, TALL], ids=["wide", "tall"])
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_repainting_a_cell_changes_most_its_own_image_token(model_type: str, size: Size) -> None:
    assert strayed(tiny_loaded(model_type), size) == []


def test_repainting_a_cell_of_a_padded_picture_changes_most_its_own_image_token() -> None:
    loaded = tiny_loaded("llava")
    padding = tiny_processor("llava", kind="LlavaImageProcessor", do_pad=True)
    for size in (WIDE, TALL):
        prompt = make_prompt(loaded._replace(processor=padding), picture(*size), "box", id="", text="short")
        side = max(size)
        assert prompt.frame == CoordFrame(Size(1, 1), prompt.frame.region)
        assert prompt.frame.region.width == prompt.frame.region.height == side
        image, grid = picture(*size), prompt.views["default"].grid
        padded = loaded._replace(processor=padding)
        for row, col in ((3, 2), (4, 5)):
            other = make_prompt(padded, inverted(image, grid.cell(row, col)), "box", id="", text="short")
            moved = (embeddings(loaded, other) - embeddings(loaded, prompt)).norm(dim=-1)
            assert divmod(int(moved[prompt.views["default"].columns].argmax()), 8) == (row, col)


def test_repainting_finds_cells_of_a_grid_that_the_model_has_shrunk() -> None:
    loaded = tiny_loaded("llava_onevision")
    size = Size(230, 224)
    grid = make_prompt(loaded, picture(*size), "box", id="").views["tiles"].grid
    assert (grid.rows, grid.cols) == (12, 12)  # 16 x 16 of 4 x 4 cells, above nine times and a half
    assert strayed(loaded, size) == []


@pytest.mark.parametrize("model_type", ["qwen2_5_vl", "internvl", "llava_next"])
def test_the_repaint_law_notices_rows_and_columns_exchanged(model_type: str) -> None:
    loaded = tiny_loaded(model_type)
    views = make_prompt(loaded, picture(*WIDE), "box", id="", text="short").views
    wrong = {}
    for name, (columns, grid) in views.items():
        wrong[name] = View(columns, grid._replace(rows=grid.cols, cols=grid.rows))
    assert any(cell.startswith(list(views)[-1]) for cell in strayed(loaded, WIDE, wrong))


def test_the_repaint_law_notices_a_thumbnail_that_is_taken_first() -> None:
    loaded = tiny_loaded("internvl")
    prompt = make_prompt(loaded, picture(*WIDE), "box", id="", text="short")
    columns = image_columns({"input_ids": prompt.ids[None]}, loaded.model.config)
    first = View(columns[:16], prompt.views["default"].grid)
    assert len(strayed(loaded, WIDE, {"default": first})) >= 3


def test_the_repaint_law_notices_tiles_that_are_not_stitched() -> None:
    loaded = tiny_loaded("internvl")
    prompt = make_prompt(loaded, picture(*WIDE), "box", id="", text="short")
    unstitched = prompt.views["tiles"]._replace(columns=prompt.views["tiles"].columns.sort().values)
    assert strayed(loaded, WIDE, {"tiles": unstitched}) != []


@pytest.mark.parametrize("model_type", ["llava_next", "llava_onevision"])
def test_the_repaint_law_notices_newline_tokens_that_are_taken_for_cells(model_type: str) -> None:
    loaded = tiny_loaded(model_type)
    prompt = make_prompt(loaded, picture(*WIDE), "box", id="", text="short")
    columns = image_columns({"input_ids": prompt.ids[None]}, loaded.model.config)
    grid = prompt.views["tiles"].grid
    shifted = View(columns[prompt.views["default"].grid.cells :][: grid.cells], grid)
    assert len(strayed(loaded, WIDE, {"tiles": shifted})) >= 3


@pytest.mark.parametrize("size", [Size(448, 448), Size(40, 30), WIDE, TALL], ids=str)
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_every_view_has_one_image_token_per_cell(model_type: str, size: Size) -> None:
    loaded = tiny_loaded(model_type)
    prompt = make_prompt(loaded, picture(*size), "box", id="")
    assert tuple(prompt.views) == loaded.card.views
    columns = image_columns({"input_ids": prompt.ids[None]}, loaded.model.config)
    for at, grid in prompt.views.values():
        assert at.numel() == grid.rows * grid.cols
        assert set(at.tolist()) <= set(columns.tolist())
        assert len(set(at.tolist())) == at.numel()


@pytest.mark.parametrize("model_type", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "glm4v", "gemma3", "paligemma"])
def test_inputs_without_token_types_are_refused(model_type: str) -> None:
    loaded = tiny_loaded(model_type)
    prompt = make_prompt(loaded, picture(*WIDE), "box", id="")
    inputs = dict(prompt.tensors) | {"input_ids": prompt.ids[None]}
    kind = "token_type_ids" if model_type in ("gemma3", "paligemma") else "mm_token_type_ids"
    del inputs[kind]
    with pytest.raises(BadContract, match=rf"expected pixel_values, .* from the processor, got no {kind}"):
        checked_views(loaded.family, inputs, WIDE, loaded.processor, loaded.model.config)


def test_a_grid_that_does_not_fit_its_tokens_is_refused() -> None:
    loaded = tiny_loaded("qwen3_vl")
    prompt = make_prompt(loaded, picture(*WIDE), "box", id="")
    inputs = dict(prompt.tensors) | {"input_ids": prompt.ids[None, :20]}
    with pytest.raises(
        BadContract, match=r"expected 5 x 11 = 55 image tokens in view 'default' of a picture of 300 x 130"
    ):
        checked_views(loaded.family, inputs, WIDE, loaded.processor, loaded.model.config)
    tiled = tiny_loaded("internvl")
    prompt = make_prompt(tiled, picture(*WIDE), "box", id="")
    fewer = {"input_ids": prompt.ids[None], "pixel_values": prompt.tensors["pixel_values"][1:]}
    with pytest.raises(BadContract, match=r"expected 2 x 5 tiles and a thumbnail for .*, got 10 pictures"):
        checked_views(tiled.family, fewer, WIDE, tiled.processor, tiled.model.config)
    lined = tiny_loaded("llava_next")
    prompt = make_prompt(lined, picture(*WIDE), "box", id="")
    inputs = dict(prompt.tensors) | {"input_ids": prompt.ids[None, :90]}
    with pytest.raises(BadContract, match="rows of 16 image tokens and a newline for"):
        checked_views(lined.family, inputs, WIDE, lined.processor, lined.model.config)


def test_a_picture_of_which_no_row_is_left_is_refused() -> None:
    with pytest.raises(BadInput, match="expected a picture less narrow than 400 x 3: its large grid is empty"):
        make_prompt(tiny_loaded("llava_next"), picture(400, 3), "box", id="")


def test_an_unknown_model_type_is_refused_with_the_list() -> None:
    with pytest.raises(
        UnknownName, match=r"unknown model type 'qwen2_5_v'. Did you mean 'qwen2_5_vl'\? Known: deepseek_vl, "
    ):
        family_of("qwen2_5_v")


RESAMPLERS = ("aria", "blip-2", "idefics2", "instructblip", "instructblipvideo", "kosmos-2", "kosmos-2.5")
CROSSED = ("florence2", "idefics", "mllama")


@pytest.mark.parametrize("model_type", [*RESAMPLERS, *CROSSED])
def test_a_model_without_a_token_per_cell_is_refused_with_the_reason_before_its_weights_are_read(
    model_type: str, tmp_path: Path
) -> None:
    CONFIG_MAPPING[model_type]().save_pretrained(tmp_path)  # of the real class
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    reason = "a set of learned queries, none of which stands for a place in it"
    if model_type in CROSSED:
        reason = "its decoder looks at the picture through cross-attention"
    told = f"expected an image token for each cell of the picture, got {re.escape(model_type)}: .*{reason}"
    with pytest.raises(BadContract, match=told):
        load(tmp_path)


def test_no_family_is_refused_and_all_that_are_have_been_tried() -> None:
    assert set(REFUSED) == {*RESAMPLERS, *CROSSED}
    assert not set(REFUSED) & set(FAMILIES)


def test_only_prefix_attention_shares_no_picture_and_only_it_needs_a_closing() -> None:
    assert {name for name, family in FAMILIES.items() if family.prefix} == {"paligemma"}
    prompt = make_prompt(tiny_loaded("paligemma"), picture(*WIDE), "box", id="", text="short")
    assert prompt.prefix and prompt.shared == 0
    loaded = tiny_loaded("paligemma")
    assert loaded.tokenizer.decode(prompt.ids[-2:]) == ".\n"


def test_a_projector_of_one_layer_fits_the_stock_class() -> None:
    one, two = (tiny_model("llava") for _ in "ab")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        projector = torch.nn.Linear(32, 64)
    two.config.projector_hidden_act = "linear"
    made = type(two.model.multi_modal_projector)(two.config)
    made.linear_1 = projector
    torch.nn.init.eye_(made.linear_2.weight)
    torch.nn.init.zeros_(made.linear_2.bias)
    one.model.multi_modal_projector, two.model.multi_modal_projector = projector, made
    words = torch.rand(3, 32)
    assert torch.allclose(made(words), projector(words), atol=1e-6)
    prompt = make_prompt(tiny_loaded("llava"), picture(*WIDE), "box", id="", text="short")
    first, second = (m(input_ids=prompt.ids[None], **prompt.tensors).logits for m in (one, two))
    assert torch.allclose(first, second, atol=1e-4)


def test_coordinates_below_one_are_read_at_their_first_significant_digit() -> None:
    policies = {name: family.coordinate_token for name, family in FAMILIES.items()}
    assert {name for name, policy in policies.items() if policy == "first_significant_digit"} == {
        name for name in FAMILIES if name.startswith("llava")
    }


def test_every_family_names_checkpoints_of_its_own() -> None:
    names = [name for family in FAMILIES.values() for name in family.checkpoints]
    assert len(names) == len(set(names))
    assert all(name.count("/") == 1 for name in names)
    assert set(FAMILIES) == set(MODEL_TYPES)


def test_equal_pictures_of_two_prompts_share_columns_for_torch_indexing() -> None:
    columns = make_prompt(tiny_loaded("internvl"), picture(*TALL), "box", id="").views["tiles"].columns
    assert columns.dtype == torch.int64
