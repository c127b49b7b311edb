"""Pictures per second by how many are answered at a time: `python -m benchmarks.throughput` prints a Markdown table.

All in one process, the batches in turn; seconds are of the wall where a GPU works, else of this process alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median
from time import perf_counter, process_time
from typing import NamedTuple

import torch

from benchmarks.subject import SHAPES, Setting, ask, coordinate_sites, decoder
from glintbox import embedded
from glintbox.collect import candidate_set, opened
from glintbox.datasets.resolve import resolve
from glintbox.lvlm.api import Answered, Prompt
from glintbox.lvlm.decode import answer
from glintbox.lvlm.decoder import Decoder
from glintbox.lvlm.hf import HuggingFaceLVLM
from glintbox.records import Sampling, Watch

BOX = "box"
"""The model in the box, whose weights are no random ones."""


class Work(NamedTuple):
    """What is answered, by what, and what is read of each answer."""

    decoder: Decoder
    prompts: Sequence[Prompt]
    sampling: Sampling
    read: Callable[[Answered], object]


def random(setting: Setting, count: int) -> Work:
    """A model with random weights and prompts about different pictures: none shares a prefill."""
    prompts = [replace(ask(setting, k), id=str(k), fingerprint=str(k)) for k in range(count)]
    sites = coordinate_sites(setting)
    return Work(decoder(setting), prompts, setting.sampling, lambda answered: answered.read(sites, Watch()))


def boxed(count: int, dtype: str) -> Work:
    """The model in the box on validation scenes with one small target each."""
    lvlm = HuggingFaceLVLM.from_pretrained(embedded.source(embedded.NAME), device="cpu", dtype=dtype)
    cases = resolve("scenes", images=None, split="validation", size="small", limit=count, default_split="validation")
    setting, watch = lvlm.card.setting(prompt=lvlm.default_prompt, view="default", moment="predicting"), Watch()
    sampling = Sampling(n=10, temperature=0.7)

    def read(answered: Answered) -> object:
        return candidate_set(answered, lvlm.card, sampling=sampling, setting=setting, watch=watch)

    prompts = [lvlm.prompt(opened(case), case.query, id=case.id) for case in cases]
    return Work(Decoder(lvlm.loaded.model, lvlm.card, lvlm.eos, lvlm.spans), prompts, sampling, read)


def seconds(work: Work, batch: int, prompts: Sequence[Prompt]) -> float:
    """What answering prompts takes, with the attention rows of their boxes read."""
    clock = process_time if work.decoder.model.device.type == "cpu" else perf_counter
    began = clock()
    for answered in answer(work.decoder._replace(batch=batch), prompts, work.sampling, Watch()):
        work.read(answered)
    return clock() - began


def agreeing(work: Work, batch: int) -> int:
    """To how many prompts the answers are the same, token for token, as one prompt at a time."""
    said = [
        [[response.ids for response in one.responses] for one in answer(subject, work.prompts, work.sampling, None)]
        for subject in (work.decoder, work.decoder._replace(batch=batch))
    ]
    return sum(one == other for one, other in zip(*said, strict=True))


def measured(work: Work, batches: Sequence[int], *, rounds: int) -> list[str]:
    """One row per batch: pictures per second, median and range, against the first batch; agreement and memory."""
    count, gpu = len(work.prompts), work.decoder.model.device.type == "cuda"
    for batch in batches:  # kernels are made for a shape when it first comes
        seconds(work, batch, work.prompts[:batch])
    taken: dict[int, list[float]] = {batch: [] for batch in batches}
    memory = dict.fromkeys(batches, "-")
    for _ in range(rounds):
        for batch in batches:
            if gpu:
                torch.cuda.reset_peak_memory_stats()
            taken[batch].append(seconds(work, batch, work.prompts))
            if gpu:
                memory[batch] = f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB"
    rows = []
    for batch in batches:
        rates = sorted(count / each for each in taken[batch])
        gains = sorted(first / each for first, each in zip(taken[batches[0]], taken[batch], strict=True))
        spread = f"{median(rates):.3f} ({rates[0]:.3f}-{rates[-1]:.3f})"
        gain = f"{median(gains):.2f}x ({gains[0]:.2f}-{gains[-1]:.2f})"
        rows.append(f"| {batch} | {spread} | {gain} | {agreeing(work, batch)} of {count} | {memory[batch]} |")
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table and what it was measured on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", default="small", choices=[*SHAPES, BOX])
    parser.add_argument("--image-tokens", type=int, default=1024, help="of a random model")
    parser.add_argument("--tokens", type=int, default=60, help="of each answer of a random model")
    parser.add_argument("--device", default="cpu", help="of a random model")
    parser.add_argument("--dtype", default="auto", help="of the model in the box")
    parser.add_argument("--batches", default="1,4,16")
    parser.add_argument("--cases", type=int, default=16, help="pictures in a round")
    parser.add_argument("--rounds", type=int, default=3)
    wanted = parser.parse_args(arguments)
    setting = Setting(wanted.shape, image_tokens=wanted.image_tokens, tokens=wanted.tokens, device=wanted.device)
    work = boxed(wanted.cases, wanted.dtype) if wanted.shape == BOX else random(setting, wanted.cases)
    print("| prompts at a time | pictures/s | against the first | same answers | peak memory |\n|---|---|---|---|---|")
    print("\n".join(measured(work, [int(word) for word in wanted.batches.split(",")], rounds=wanted.rounds)))
    print(f"\n{vars(wanted)}, torch {torch.__version__}")


if __name__ == "__main__":
    main()
