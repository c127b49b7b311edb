"""What collecting costs: `python -m benchmarks.store` prints bytes per candidate, error of the coding, and speed.

Sampling alone and collecting into a store take turns, case by case, in one process, and write the same answers. Seconds
are CPU seconds of one thread, so that other work on the machine counts little, and wall seconds on a GPU.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from PIL.Image import Image, new

from benchmarks.capture import spread
from benchmarks.subject import QUICK, Setting, ask, decoder
from glintbox import embedded
from glintbox.boxes import Box
from glintbox.collect import fill
from glintbox.datasets.resolve import resolve
from glintbox.images import open_image
from glintbox.lvlm import decode
from glintbox.lvlm.api import LVLM, Answered, Prompt
from glintbox.lvlm.hf import HuggingFaceLVLM
from glintbox.maps import entropy
from glintbox.records import Response, Sample, Sampling, Watch, to_json
from glintbox.shards import places
from glintbox.store import Store, StoreCard, StoreWriter

TEXT = '[{"bbox_2d": [28, 30, 84, 90], "label": "cup"}]'
"""What a model with random weights is taken to have written, a character a token."""


class RandomLVLM:
    """An `LVLM` with random weights of a given shape; every answer counts as one box."""

    default_prompt = "random"

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self._decoder = decoder(setting)._replace(spans=_told)
        self.card = self._decoder.card

    def prompt(self, image: Image, query: str, *, id: str, text: str | None = None) -> Prompt:
        return replace(ask(self.setting), id=id, query=query)

    def answer(self, prompts: Iterable[Prompt], sampling: Sampling, watch: Watch | None) -> Iterator[Answered]:
        return decode.answer(self._decoder, prompts, sampling, watch)

    def answer_together(
        self, prompts: Iterable[Prompt], samplings: Sequence[Sampling], watch: Watch | None
    ) -> Iterator[tuple[Answered, ...]]:
        return decode.answer_together(self._decoder, prompts, samplings, watch)

    def replay(self, told: Iterable[tuple[Prompt, tuple[Response, ...]]], watch: Watch | None) -> Iterator[Answered]:
        return decode.replay(self._decoder, told, watch)

    def samples(self, count: int, folder: Path) -> list[Sample]:
        """One picture, asked about often."""
        size = ask(self.setting).image
        path = folder / "grey.png"
        new("RGB", size).save(path)
        return [Sample(f"case-{k}", path, size, "cup", (Box(28, 30, 84, 90),)) for k in range(count)]


def _told(ids: Sequence[int]) -> tuple[str, tuple[tuple[int, int], ...]]:
    return TEXT[: len(ids)], tuple((min(k, len(TEXT)), min(k + 1, len(TEXT))) for k in range(len(ids)))


class Speed(NamedTuple):
    """Seconds of one case: answers alone, and answers with attention read, coded and kept."""

    alone: float
    collecting: float


class Costs(NamedTuple):
    """What a store costs; bytes are of all cases, errors in nats over candidates, coordinates and heads."""

    cases: int
    candidates: int
    maps: int
    statistics: int
    text: int
    error: float
    worst: float
    speeds: tuple[Speed, ...]


def measure(lvlm: LVLM, samples: Sequence[Sample], card: StoreCard, folder: Path, clock: Callable[[], float]) -> Costs:
    """Collect the samples, the first one twice because it warms up, and look at what was kept."""
    with StoreWriter(folder.with_name("warm"), card) as writer:
        _both(lvlm, samples[0], writer, clock, first=True)
    with StoreWriter(folder, card) as writer:
        speeds = tuple(_both(lvlm, one, writer, clock, first=k % 2 == 0) for k, one in enumerate(samples))
    store, lines = Store(folder), [place.line for place in places(folder, card).found.values()]
    errors = torch.cat([_error(store, case) for case in range(len(store))])
    kept = len(card.heads)
    return Costs(
        len(store),
        sum(line.candidates for line in lines),
        sum(line.end(kept) - line.maps for line in lines),
        sum(line.maps - line.at - line.text for line in lines),
        sum(line.text + len(to_json(line)) for line in lines),
        float(errors.mean()),
        float(errors.max()),
        speeds,
    )


def _both(lvlm: LVLM, sample: Sample, writer: StoreWriter, clock: Callable[[], float], *, first: bool) -> Speed:
    """The same case once without attention and once into the store; `first` says which one comes first."""

    def alone() -> float:
        began, sampling = clock(), writer.card.sampling
        prompt = lvlm.prompt(open_image(sample.image), sample.query, id=sample.id, text=writer.card.setting.prompt)
        for _ in lvlm.answer([prompt], sampling, None):
            pass
        return clock() - began

    def collecting() -> float:
        began = clock()
        fill(lvlm, [sample], writer, tick=lambda: None)
        return clock() - began

    if first:
        return Speed(alone(), collecting())
    return Speed(*reversed((collecting(), alone())))


def _error(store: Store, case: int) -> torch.Tensor:
    """How far the entropy of the maps that were kept is from that of the maps that were read."""
    found = store.with_maps(case)
    if found.maps is None or found.stats is None:
        return torch.zeros(0)
    off = (entropy(found.maps.values) - found.stats.entropy).abs()
    return off[[k for k, candidate in enumerate(found.candidates) if candidate.tokens is not None]].flatten()


def table(name: str, card: StoreCard, found: Costs) -> str:
    """Two lines of a Markdown table with its heading."""
    parts = [f"{size / found.candidates / 1000:.1f} kB" for size in (found.maps, found.statistics, found.text)]
    alone, collecting = (sum(column) / found.cases for column in zip(*found.speeds, strict=True))
    speed = spread([100 * one.alone / one.collecting for one in found.speeds]).text(".1f")
    cells = [
        name, f"{found.cases}, {found.candidates}", f"{len(card.heads)}", *parts,
        f"{found.error:.1e}, {found.worst:.1e}", f"{alone:.2f} s", f"{collecting:.2f} s",
        f"{100 * alone / collecting:.1f} %; of a case {speed} %",
    ]  # fmt: skip
    heading = (
        "| model | cases, candidates | heads | maps | statistics | text | entropy off by (mean, most), nats "
        "| sampling alone | collecting | speed |"
    )
    return "\n".join([heading, "|" + "---|" * len(cells), f"| {' | '.join(cells)} |"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table of one model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shapes = ("box", "quick", "small", "full")
    parser.add_argument(
        "--shape", choices=shapes, default="box", help="box = the model in the box; full = 7B, on a GPU"
    )
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--n", type=int, default=10)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        lvlm, samples = _subject(options.shape, options.device, options.cases, Path(folder))
        tokens = 512 if isinstance(lvlm, HuggingFaceLVLM) else 60
        sampling = Sampling(options.n, 1.0, max_new_tokens=tokens, greedy_too=False)
        setting = lvlm.card.setting(prompt=lvlm.default_prompt, view="default", moment="predicting")
        card = StoreCard(setting, sampling, "benchmark", lvlm.card.all_heads())
        clock = time.process_time if options.device == "cpu" else time.perf_counter
        with torch.no_grad():
            print(table(options.shape, card, measure(lvlm, samples, card, Path(folder) / "store", clock)))


def _subject(shape: str, device: str, cases: int, folder: Path) -> tuple[LVLM, list[Sample]]:
    if shape == "box":
        samples = resolve("scenes", images=None, split="validation", size="any", limit=cases)
        return HuggingFaceLVLM.from_pretrained(embedded.source(embedded.NAME), device=device), samples
    setting = QUICK if shape == "quick" else Setting(shape)
    lvlm = RandomLVLM(setting._replace(device=device))
    return lvlm, lvlm.samples(cases, folder)


if __name__ == "__main__":
    main()
