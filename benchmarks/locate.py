"""Measure `locate` against one prefill of the same prompt: `python -m benchmarks.locate` prints a Markdown table.

All ways take turns in one process, on a model with random weights. Seconds are CPU seconds of one thread, or of the
wall on a GPU, where the peak of memory beyond the model is measured too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL.Image import Image
from transformers import LlavaConfig, LlavaForConditionalGeneration

from benchmarks.subject import QUICK, Setting, ask, decoder
from glintbox.boxes import Box, Size
from glintbox.geometry import CoordFrame, TokenGrid, View
from glintbox.localize import localize_each
from glintbox.lvlm import decode
from glintbox.lvlm.api import Answered, ModelCard, Prompt
from glintbox.lvlm.decoder import Decoder
from glintbox.records import Head, Response, Sampling, Watch

K = 3
"""Localization heads, as in the paper."""

BEFORE, EXPRESSION = 35, 12
"""Tokens before the picture and of the expression, in the prompt of LLaVA-1.5."""


class Subject:
    """An `LVLM` over a model with random weights that is always asked the same."""

    default_prompt = "expression"

    def __init__(self, decoder: Decoder, asked: Prompt) -> None:
        self.decoder, self.asked, self.card = decoder, asked, decoder.card

    def prompt(self, image: Image, query: str, *, id: str, text: str | None = None) -> Prompt:
        return self.asked

    def answer(self, prompts: Iterable[Prompt], sampling: Sampling, watch: Watch | None) -> Iterator[Answered]:
        return decode.answer(self.decoder, prompts, sampling, watch)

    def answer_together(
        self, prompts: Iterable[Prompt], samplings: Sequence[Sampling], watch: Watch | None
    ) -> Iterator[tuple[Answered, ...]]:
        return decode.answer_together(self.decoder, prompts, samplings, watch)

    def replay(self, told: Iterable[tuple[Prompt, tuple[Response, ...]]], watch: Watch | None) -> Iterator[Answered]:
        return decode.replay(self.decoder, told, watch)


def qwen(setting: Setting) -> Subject:
    """Qwen2.5-VL class, in one of the sizes of `benchmarks.subject`."""
    return Subject(decoder(setting), ask(setting))


def llava(device: str, **sizes: Any) -> Subject:
    """LLaVA-1.5-7B's architecture; `sizes` of a smaller one."""
    config = LlavaConfig(**sizes)
    torch.manual_seed(0)
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    with torch.device(device):
        model = LlavaForConditionalGeneration._from_config(config, attn_implementation="sdpa", dtype=dtype)
    text, side = config.text_config, config.vision_config.image_size
    cells = side // config.vision_config.patch_size
    front, expression = torch.randint(3, 1000, (BEFORE,)), torch.randint(3, 1000, (EXPRESSION + 5,))
    ids = torch.cat([front, torch.full((cells**2,), config.image_token_id), expression])
    size, said = Size(side, side), range(BEFORE + cells**2, BEFORE + cells**2 + EXPRESSION)
    view = View(torch.arange(BEFORE, BEFORE + cells**2), TokenGrid(cells, cells, Box.whole(size)))
    prompt = Prompt(
        id="llava", image=size, query="", ids=ids, tensors={"pixel_values": torch.randn(1, 3, side, side)},
        shared=said.start, said=said, frame=CoordFrame(Size(1, 1), Box.whole(size)), views={"default": view},
        fingerprint="",
    )  # fmt: skip
    layers, heads = text.num_hidden_layers, text.num_attention_heads
    card = ModelCard("random", "", "llava", layers, heads, tuple(range(layers)), {}, ("default",), "")
    return Subject(Decoder(model.eval().requires_grad_(False), card, frozenset(), lambda ids: ("", ())), prompt)


def locate(subject: Subject, layer: int) -> None:
    """Three heads of one layer, up to the box."""
    heads = [Head(layer, index) for index in range(K)]
    setting = subject.card.setting(prompt="expression", view="default", moment="predicting")
    [_] = localize_each(subject, [subject.asked], heads=heads, setting=setting)


@torch.no_grad()
def prefill(subject: Subject, **options: Any) -> Any:
    """What transformers needs to know the first token of an answer."""
    model, prompt = subject.decoder.model, subject.asked
    inputs = {name: value.to(model.device) for name, value in prompt.tensors.items()}
    if "pixel_values" in inputs:
        inputs["pixel_values"] = inputs["pixel_values"].to(model.dtype)
    return model(input_ids=prompt.ids[None].to(model.device), use_cache=True, logits_to_keep=1, **inputs, **options)


def eager(subject: Subject, layer: int) -> None:
    """The same rows from all attention of the model, as the paper's public code reads them."""
    model = subject.decoder.model
    model.set_attn_implementation("eager")
    try:
        output = prefill(subject, output_attentions=True)
        columns, last = subject.asked.views["default"].columns, subject.asked.said[-1]
        output.attentions[layer][0, :K, last].cpu()[:, columns]
    finally:
        model.set_attn_implementation("sdpa")


def ways(subject: Subject, *, with_eager: bool) -> Mapping[str, Callable[[], object]]:
    """What is compared, by name; the first is what all others are held against."""
    middle, end = subject.card.layers // 2 - 1, subject.card.layers - 1
    found: dict[str, Callable[[], object]] = {
        "one prefill": lambda: prefill(subject),
        f"locate, heads of layer {middle}": lambda: locate(subject, middle),
        f"locate, heads of layer {end}, the last": lambda: locate(subject, end),
    }
    return found | ({"eager, `output_attentions=True`": lambda: eager(subject, middle)} if with_eager else {})


class Taken(NamedTuple):
    """What one run took: seconds, and bytes beyond the model on a GPU (else 0)."""

    seconds: float
    peak: int


def timed(work: Callable[[], object], device: torch.device) -> Taken:
    """One run."""
    if device.type != "cuda":
        began = time.process_time()
        work()
        return Taken(time.process_time() - began, 0)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.synchronize(device)
    began = time.perf_counter()
    work()
    torch.cuda.synchronize(device)
    return Taken(time.perf_counter() - began, torch.cuda.max_memory_allocated(device) - before)


def rows(runs: Mapping[str, Sequence[Taken]]) -> list[str]:
    """Lines of the table; ratios are taken run by run."""
    first = next(iter(runs.values()))
    lines = []
    for name, taken in runs.items():
        ratios = [one.seconds / base.seconds for one, base in zip(taken, first, strict=True)]
        middle, peak = statistics.median(t.seconds for t in taken), statistics.median(t.peak for t in taken)
        ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
        lines.append(f"| {name} | {1000 * middle:.0f} | {ratio} | {f'{peak / 2**20:.0f}' if peak else '-'} |")
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all ways in turn, print the table, write every run as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subject", choices=("quick", "small", "full", "llava"), default="small")
    parser.add_argument("--image-tokens", type=int, default=576, help="of Qwen2.5-VL; LLaVA has 576")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--eager", action="store_true", help="also what the paper's public code does")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/locate.json"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.subject == "llava":
        subject = llava(options.device)
    else:
        size = QUICK if options.subject == "quick" else Setting(options.subject, options.image_tokens)
        subject = qwen(size._replace(device=options.device))
    compared = ways(subject, with_eager=options.eager)
    runs: dict[str, list[Taken]] = {name: [] for name in compared}
    for turn in range(options.runs + 1):  # the first warms up
        for name, way in compared.items():
            taken = timed(way, subject.decoder.model.device)
            runs[name] += [taken] if turn else []
    print("| | ms | against one prefill | MB beyond the model |\n|---|--:|--:|--:|", *rows(runs), sep="\n")
    told = {name: [taken._asdict() for taken in some] for name, some in runs.items()}
    options.out.write_text(json.dumps({"tokens": len(subject.asked.ids), "runs": told}, indent=1) + "\n")


if __name__ == "__main__":
    main()
