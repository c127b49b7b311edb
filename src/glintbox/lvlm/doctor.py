"""The family contract on one loaded model: cell count, tap against eager, live against replay, a drawn square's box."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from PIL import Image, ImageDraw
from torch import Tensor

from glintbox.boxes import Box, iou
from glintbox.errors import BadContract, GlintboxError
from glintbox.lvlm import seams
from glintbox.lvlm.api import Prompt
from glintbox.lvlm.hf import HuggingFaceLVLM
from glintbox.parsing import read_response
from glintbox.records import Head, Sampling, Site, Watch

SQUARE = Box(300, 150, 420, 270)
"""Where the red square is drawn, px of a 640 x 400 picture."""

TOLERANCE = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 3e-2}
"""Largest difference of attention shares that rounding explains, by the dtype of the model."""

ONE = Sampling(n=1, temperature=0.7, max_new_tokens=128)


class Finding(NamedTuple):
    """One check in plain words. ok: None where the outcome is worth knowing but no fault of glintbox."""

    check: str
    ok: bool | None
    seen: str


def examine(lvlm: HuggingFaceLVLM) -> Iterator[Finding]:
    """Run every check, one after the other; a check that fails does not stop the next."""
    picture = Image.new("RGB", (640, 400), (226, 226, 220))
    ImageDraw.Draw(picture).rectangle(tuple(SQUARE), fill=(200, 20, 20))
    try:
        prompt = lvlm.prompt(picture, "red square", id="doctor")
    except GlintboxError as error:
        yield Finding("the picture becomes a prompt", False, str(error))
        return
    for name, check in CHECKS.items():
        try:
            ok, seen = check(lvlm, prompt)
        except GlintboxError as error:
            ok, seen = False, str(error)
        except RuntimeError as error:  # eager attention takes far more memory than answering does
            if not seams.ran_out(error):
                raise
            ok, seen = None, f"memory ran out: {error}"
        yield Finding(name, ok, seen)


def _cells(lvlm: HuggingFaceLVLM, prompt: Prompt) -> tuple[bool, str]:
    """Every view has one image token per cell, and every usable layer is named."""
    views = ", ".join(f"{name} {view.grid.rows} x {view.grid.cols}" for name, view in prompt.views.items())
    fits = all(len(view.columns) == view.grid.cells for view in prompt.views.values())
    card = lvlm.card
    excluded = f"; without: {dict(card.excluded)}" if card.excluded else ""
    layers = f"{len(card.usable)} of {card.layers} layers have a global map{excluded}"
    return fits, f"{len(prompt.ids)} tokens, cells (rows x cols): {views}; {layers}"


def _eager(lvlm: HuggingFaceLVLM, prompt: Prompt) -> tuple[bool, str]:
    """The row that the tap gives for the last prompt token equals eager attention's."""
    layer = lvlm.card.usable[0]
    heads = tuple(Head(layer, index) for index in range(lvlm.card.heads))
    watch = Watch(heads=heads, view=next(iter(prompt.views)))
    for answered in lvlm.replay([(prompt, ())], watch):
        tapped = answered.read([Site(-1, len(prompt.ids) - 1)], watch)[0].flatten(1).cpu()
    apart = float((tapped - _eager_row(lvlm, prompt, layer, watch.view)).abs().max())
    return apart <= _tolerance(
        lvlm
    ), f"largest difference in layer {layer}: {apart:.1e} (allowed {_tolerance(lvlm):.0e})"


def _eager_row(lvlm: HuggingFaceLVLM, prompt: Prompt, layer: int, view: str) -> Float[Tensor, "head cell"]:
    model = lvlm.loaded.model
    before = model.config.get_text_config()._attn_implementation
    model.set_attn_implementation({"text_config": "eager"})
    try:
        with torch.no_grad():
            inputs = {name: value.to(model.device) for name, value in seams.prompt_tensors(prompt).items()}
            output = model(
                input_ids=prompt.ids[None].to(model.device), output_attentions=True, use_cache=False, **inputs
            )
    finally:
        model.set_attn_implementation({"text_config": before})
    if not output.attentions:  # what transformers gives, without an error, under any other implementation
        raise BadContract(f"expected eager attention of {type(model).__name__} to compare with, got none")
    row: Tensor = output.attentions[layer][0, :, -1].float().cpu()
    return row[:, prompt.views[view].columns]


def _replayed(lvlm: HuggingFaceLVLM, prompt: Prompt) -> tuple[bool, str]:
    """Attention read while writing equals attention read from the finished answer."""
    layer = lvlm.card.usable[-1]
    watch = Watch(heads=tuple(Head(layer, i) for i in range(lvlm.card.heads)), view=next(iter(prompt.views)))
    sites = []
    for answered in lvlm.answer([prompt], ONE, watch):
        responses = answered.responses
        sites = [Site(r, t) for r, response in enumerate(responses) for t in range(len(response.ids))][:64]
        live = answered.read(sites, watch).cpu()
    if not sites:
        return False, "the model wrote nothing at all"
    for answered in lvlm.replay([(prompt, responses)], watch):
        told = answered.read(sites, watch).cpu()
    apart = float((live - told).abs().max())
    return apart <= _tolerance(
        lvlm
    ), f"largest difference in layer {layer}: {apart:.1e} (allowed {_tolerance(lvlm):.0e})"


def _square(lvlm: HuggingFaceLVLM, prompt: Prompt) -> tuple[bool | None, str]:
    """Greedy finds a red square on grey; a wrong frame shows as a box that is shifted or scaled."""
    for answered in lvlm.answer([prompt], ONE, None):
        greedy = answered.responses[0]
        reading, boxes = read_response(
            greedy, 0, frame=prompt.frame, image=prompt.image, thinking=prompt.thinking, policy=prompt.coordinate_token
        )
    if not boxes:
        return None, f"no box ({reading}); the model wrote: {greedy.text[:120]!r}"
    best = max(boxes, key=lambda candidate: iou(candidate.box, SQUARE))
    share = iou(best.box, SQUARE)
    seen = f"IoU {share:.2f}: drawn at {tuple(SQUARE)}, found at {tuple(round(v) for v in best.box)}"
    return (True, seen) if share >= 0.5 else (None, f"{seen}; wrote {greedy.text[:120]!r}")


def _tolerance(lvlm: HuggingFaceLVLM) -> float:
    return TOLERANCE.get(lvlm.loaded.model.dtype, 3e-2)


CHECKS: dict[str, Callable[[HuggingFaceLVLM, Prompt], tuple[bool | None, str]]] = {
    "one image token per cell": _cells,
    "tapped attention equals eager": _eager,
    "live reading equals replay": _replayed,
    "a drawn square is found": _square,
}
