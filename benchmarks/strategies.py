"""The ways to answer that are compared; `python -m benchmarks.strategies NAME SETTING` measures one in this process."""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import torch
from PIL.Image import Image

from benchmarks.subject import QUICK, Setting, ask, build, coordinate_sites, decoder
from glintbox import embedded
from glintbox.datasets.scenes import draw_scene, scene_seed
from glintbox.ground import Grounder
from glintbox.lvlm.api import Prompt
from glintbox.lvlm.decode import answer
from glintbox.lvlm.decoder import Decoder
from glintbox.lvlm.hf import HuggingFaceLVLM
from glintbox.records import Watch

CHUNK = 16
"""How many rows are read at once; those kept are float16."""

Run = Callable[[], int]
"""What is timed; says how many bytes of attention it kept."""


class Measurement(NamedTuple):
    """One run: CPU seconds on the CPU, else wall seconds; peak = memory beyond the loaded model, bytes."""

    strategy: str
    seconds: float
    wall: float
    peak: int
    kept: int


def engine(setting: Setting) -> Run:
    """Our decoder, nothing watched."""
    ours = decoder(setting)
    return lambda: sum(0 for _ in answer(ours, [ask(setting)], setting.sampling, None))


def engine_capture(setting: Setting) -> Run:
    """Our decoder; the rows of every box's coordinates read for all heads."""
    ours = decoder(setting)
    return lambda: _read_all(ours, setting, [ask(setting)])


def _read_all(ours: Decoder, setting: Setting, prompts: Iterable[Prompt]) -> int:
    """Bytes of the rows read; those of one prompt are held at a time."""
    sites, total = coordinate_sites(setting), 0
    for answered in answer(ours, prompts, setting.sampling, Watch()):
        kept = [answered.read(sites[at : at + CHUNK], Watch()).half() for at in range(0, len(sites), CHUNK)]
        total += sum(rows.nbytes for rows in kept)
    return total


def _options(setting: Setting) -> dict[str, Any]:
    prompt, sampling = ask(setting), setting.sampling
    tensors = {name: value.to(setting.device) for name, value in prompt.tensors.items()}
    return {
        "input_ids": prompt.ids[None].to(setting.device),
        "attention_mask": torch.ones(1, len(prompt.ids), dtype=torch.long, device=setting.device),
        **tensors,
        "do_sample": True,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "max_new_tokens": sampling.max_new_tokens,
        "num_return_sequences": sampling.n,
    }


def generate(setting: Setting) -> Run:
    """`generate` under SDPA, no attention."""
    model = build(setting)

    def run() -> int:
        model.generate(**_options(setting))
        return 0

    return run


def generate_eager(setting: Setting) -> Run:
    """`generate(output_attentions=True)` under eager attention; the same rows picked from what it returns."""
    model = build(setting)
    model.set_attn_implementation("eager")

    def run() -> int:
        output = model.generate(**_options(setting), output_attentions=True, return_dict_in_generate=True)
        columns = ask(setting).views["default"].columns
        kept = [
            torch.stack([layer[response, :, -1][:, columns] for layer in output.attentions[token]]).half()
            for response, token in coordinate_sites(setting)
        ]
        return sum(rows.nbytes for rows in kept)

    return run


def queries_together(setting: Setting) -> Run:
    """Several queries on one picture in one call: the picture is prefilled once."""
    ours = decoder(setting)
    return lambda: _read_all(ours, setting, (ask(setting, query) for query in range(setting.queries)))


def queries_apart(setting: Setting) -> Run:
    """The same queries in calls of their own."""
    ours = decoder(setting)
    return lambda: sum(_read_all(ours, setting, [ask(setting, query)]) for query in range(setting.queries))


def _scenes(setting: Setting) -> list[tuple[Image, str]]:
    """Pictures that the model in the box was not trained on, each with its smallest object."""
    scenes = [draw_scene(scene_seed("validation", index)) for index in range(setting.queries)]
    return [(scene.image, min(scene.objects, key=lambda found: found.area).label) for scene in scenes]


def box_selection(setting: Setting) -> Run:
    """The model in the box: greedy and N samples, attention, selection, through the public call."""
    grounder = Grounder.from_pretrained(embedded.NAME, device=setting.device)
    scenes = _scenes(setting)
    return lambda: sum(0 for _ in grounder.ground(scenes, n=setting.samples))


def box_greedy(setting: Setting) -> Run:
    """The model in the box: one greedy answer by `generate`, no attention."""
    lvlm = HuggingFaceLVLM.from_pretrained(embedded.folder(), device=setting.device)
    scenes = _scenes(setting)

    def run() -> int:
        for picture, query in scenes:
            prompt = lvlm.prompt(picture, query, id=query)
            inputs = {name: value.to(setting.device) for name, value in prompt.tensors.items()}
            ids = prompt.ids[None].to(setting.device)
            lvlm.loaded.model.generate(input_ids=ids, **inputs, do_sample=False, max_new_tokens=512)
        return 0

    return run


STRATEGIES: dict[str, Callable[[Setting], Run]] = {
    "engine": engine,
    "engine+capture": engine_capture,
    "generate": generate,
    "generate, eager, attentions": generate_eager,
    "queries together": queries_together,
    "queries apart": queries_apart,
    "box, selection": box_selection,
    "box, greedy": box_greedy,
}


def measure(name: str, setting: Setting) -> Measurement:
    """Run one strategy once, after a quick run that loads what is loaded at first use."""
    torch.set_num_threads(1)
    with torch.no_grad():
        STRATEGIES[name](QUICK._replace(device=setting.device))()
        run = STRATEGIES[name](setting)
        torch.manual_seed(0)
        gc.collect()
        before = reset_peak(setting.device)
        wall, seconds = time.perf_counter(), time.process_time()
        kept = run()
        if setting.device != "cpu":
            torch.cuda.synchronize()
        wall, seconds = time.perf_counter() - wall, time.process_time() - seconds
    return Measurement(
        name, seconds if setting.device == "cpu" else wall, wall, peak_memory(setting.device) - before, kept
    )


def reset_peak(device: str) -> int:
    """Forget the highest memory so far; bytes in use now."""
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    Path("/proc/self/clear_refs").write_text("5")
    return int(psutil.Process().memory_info().rss)


def peak_memory(device: str) -> int:
    """The highest memory since it was forgotten, bytes; of a GPU alone where one works."""
    if device != "cpu":
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in status if line.startswith("VmHWM")).split()[1])


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], Setting(**json.loads(sys.argv[2])))._asdict()))
