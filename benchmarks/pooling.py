"""A Qwen-like model that sees fewer, larger cells: the mean of each k x k image tokens in place of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from PIL.Image import Image
from torch import Tensor

from glintbox.errors import BadContract, BadInput
from glintbox.geometry import TokenGrid, View
from glintbox.lvlm.api import Answered, Prompt
from glintbox.lvlm.hf import HuggingFaceLVLM
from glintbox.records import Response, Sampling, Watch

PLACES = ("small", "spread", "in place")
"""How a mean is shown to the language model: as one token of a small picture, as one token with the mean position of
those that it stands for, or as k x k equal tokens."""


class Pooled:
    """An `api.LVLM` over a loaded model whose image tokens are averaged; the model itself is left as it is."""

    def __init__(self, lvlm: HuggingFaceLVLM, k: int, places: str = "small") -> None:
        """Raises BadContract where the model's tower takes no grid of patches."""
        if places not in PLACES or k < 1:
            raise BadInput(f"expected k >= 1 and places of {', '.join(PLACES)}, got {k} and {places!r}")
        self.lvlm, self.k, self.places = lvlm, k, places
        self.card, self.default_prompt = lvlm.card, lvlm.default_prompt
        if not hasattr(lvlm.loaded.model.model, "visual") or not hasattr(lvlm.loaded.model.model, "get_rope_index"):
            raise BadContract(
                f"expected a tower that takes a grid of patches, got {lvlm.card.model_type}; use a Qwen-VL"
            )

    def prompt(self, image: Image, query: str, *, id: str, text: str | None = None) -> Prompt:
        """As the model's own, with a token per larger cell; BadInput where k does not divide the picture's grid."""
        asked = self.lvlm.prompt(image, query, id=id, text=text)
        grid = asked.views["default"].grid
        if grid.rows % self.k or grid.cols % self.k:
            raise BadInput(
                f"expected a grid that {self.k} divides, got {grid.rows} x {grid.cols}; take another picture"
            )
        return asked if self.places == "in place" else with_larger_cells(asked, self.k)

    def answer(self, prompts: Iterable[Prompt], sampling: Sampling, watch: Watch | None) -> Iterator[Answered]:
        with self._averaging():
            yield from self.lvlm.answer(prompts, sampling, watch)

    def answer_together(
        self, prompts: Iterable[Prompt], samplings: Sequence[Sampling], watch: Watch | None
    ) -> Iterator[tuple[Answered, ...]]:
        with self._averaging():
            yield from self.lvlm.answer_together(prompts, samplings, watch)

    def replay(self, told: Iterable[tuple[Prompt, tuple[Response, ...]]], watch: Watch | None) -> Iterator[Answered]:
        with self._averaging():
            yield from self.lvlm.replay(told, watch)

    def _averaging(self) -> Any:
        return averaging(self.lvlm.loaded.model.model, self.k, self.places)


def with_larger_cells(asked: Prompt, k: int) -> Prompt:
    """A prompt with one image token for each k x k of them; everything after the picture moves up."""
    columns, grid = asked.views["default"]
    fewer = TokenGrid(grid.rows // k, grid.cols // k, grid.region)
    gone = columns[fewer.cells :]
    left = torch.ones(len(asked.ids), dtype=torch.bool)
    left[gone] = False
    tensors: dict[str, Tensor] = {}
    for name, value in asked.tensors.items():
        tensors[name] = value[:, left] if value.shape == (1, len(left)) else value
    tensors["image_grid_thw"] = asked.tensors["image_grid_thw"] // torch.tensor([1, k, k])
    said = range(asked.said.start - len(gone), asked.said.stop - len(gone))
    views = {"default": View(columns[: fewer.cells], fewer)}
    shared, known = asked.shared - len(gone), f"{asked.fingerprint}/{k}"
    return replace(
        asked, ids=asked.ids[left], tensors=tensors, shared=shared, said=said, views=views, fingerprint=known
    )


@contextmanager
def averaging(model: Any, k: int, places: str) -> Iterator[None]:
    """While it lasts the language model of `model` gets means; prompts of fewer tokens hold the grid of the fewer."""
    tower, rope_index = model.visual, model.get_rope_index
    factor = torch.tensor([1, 1, 1] if places == "in place" else [1, k, k])

    def enlarge(_tower: Any, args: Any, told: Mapping[str, Any]) -> Any:
        return args, {**told, "grid_thw": told["grid_thw"] * factor.to(told["grid_thw"].device)}

    def average(_tower: Any, _args: Any, told: Mapping[str, Any], output: Any) -> Any:
        _, rows, cols = told["grid_thw"][0].tolist()
        mean = means(rows // tower.spatial_merge_size, cols // tower.spatial_merge_size, k, places)
        output.pooler_output = mean(output.pooler_output)
        if getattr(output, "deepstack_features", None):
            output.deepstack_features = [mean(each) for each in output.deepstack_features]
        return output

    def positions(ids: Tensor, **told: Any) -> Any:
        found, deltas = rope_index(ids, **told)
        return spread(found, told["mm_token_type_ids"][0] == 1, k), deltas

    hooks = [
        tower.register_forward_pre_hook(enlarge, with_kwargs=True),
        tower.register_forward_hook(average, with_kwargs=True),
    ]
    if places == "spread":
        model.get_rope_index = positions
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        model.__dict__.pop("get_rope_index", None)


def means(
    rows: int, cols: int, k: int, places: str
) -> Callable[[Float[Tensor, "cell hidden"]], Float[Tensor, "larger_cell hidden"]]:
    """The mean of each k x k cells of a row-major grid; "in place" k x k times."""

    def mean(tokens: Float[Tensor, "cell hidden"]) -> Float[Tensor, "larger_cell hidden"]:
        found = tokens.float().reshape(rows // k, k, cols // k, k, -1).mean((1, 3))
        if places == "in place":
            found = found.repeat_interleave(k, 0).repeat_interleave(k, 1)
        return found.flatten(0, 1).to(tokens.dtype)

    return mean


def spread(positions: Tensor, image: Bool[Tensor, " token"], k: int) -> Float[Tensor, "axis=3 batch token"]:
    """Rotary positions of a picture of fewer tokens as means of those of the k x k times as many that it stands for."""
    found = positions.float()
    start = found[..., image].amin()
    shown = found[1:, :, image] - start  # rows and columns; all image tokens have one time
    found[1:, :, image] = start + k * shown + (k - 1) / 2
    behind = torch.arange(len(image), device=image.device) > image.nonzero().amax()
    found[..., behind] += (k - 1) * (shown.amax() + 1)
    return found


def pooled_maps(maps: Float[Tensor, "head row col"], k: int) -> Float[Tensor, "head larger_row larger_col"]:
    """The sums of each k x k cells: what the larger cells would hold, were attention still paid to the small ones."""
    heads, rows, cols = maps.shape
    return maps.reshape(heads, rows // k, k, cols // k, k).sum((2, 4))
