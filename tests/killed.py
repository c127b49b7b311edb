"""Writes made-up cases into a store in children that are killed: python -m tests.killed FOLDER KILLS tells of them.

Half of the children are killed by themselves after a random number of bytes, half from outside after a random time.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

from glintbox import shards
from glintbox.boxes import Box
from glintbox.records import CandidateSet, HeadStats, Sample
from glintbox.store import StoreCard, StoreWriter
from tests.sets import HEADS, IMAGE, SETTING, a_set, with_maps

ROWS, COLS = 5, 7
BOXES = [[(10, 10, 30, 30), (50, 20, 90, 50)], [(12, 8, 30, 30)], [], [(0, 0, 9, 9)]]


def a_case(number: int, *, rows: int = ROWS, cols: int = COLS) -> tuple[Sample, CandidateSet]:
    """A case whose numbers follow from its own: four answers with four boxes, of which greedy wrote one."""
    draw = torch.Generator().manual_seed(number)
    sampled, greedy = BOXES[:-1], BOXES[-1]
    found = a_set(*sampled, greedy=greedy, id=f"case-{number:06d}", seed=number % 2)
    found = replace(found, sampling=replace(found.sampling, seed=0), notes=(f"note {number}",))
    numbers = torch.randn(2, len(found.candidates), 4, len(HEADS), generator=draw).exp()
    found = replace(found, stats=HeadStats(HEADS, numbers[0], numbers[1]))
    values = torch.rand(len(found.candidates), 4, len(HEADS), rows, cols, generator=draw) ** 8 / 100
    truth = (Box(10, 10, 30, 30), Box(40, 20, 90, 50 + number % 7))
    return Sample(found.id, Path(f"pictures/{number // 2}.png"), IMAGE, found.query, truth), with_maps(found, values)


def a_card(found: CandidateSet) -> StoreCard:
    """The card of a store of such cases, with all their maps."""
    return StoreCard(SETTING, found.sampling, "made up", HEADS)


def _die_after(count: int) -> None:
    """From now on this process writes so many bytes into shards and no more."""
    left = count

    def write(file: object, parts: list[bytes]) -> None:
        nonlocal left
        content = b"".join(bytes(part) for part in parts)
        file.write(content[: max(0, left)])  # type: ignore[attr-defined]
        left -= len(content)
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    shards._write = write  # type: ignore[assignment]


def _add_for_ever(folder: Path, told: int) -> None:
    """Add what is missing, and tell of every case when it is begun and when it is kept."""
    with StoreWriter(folder, a_card(a_case(0)[1])) as writer:
        for number in range(1_000_000):
            sample, found = a_case(number)
            if sample.id not in writer.done:
                os.write(told, f"begun {sample.id}\n".encode())
                writer.add(sample, found)
                os.write(told, f"kept {sample.id}\n".encode())


def _one_child(folder: Path, draw: random.Random, *, by_bytes: bool) -> list[str]:
    """What a child told before it was killed."""
    heard, told = os.pipe()
    child = os.fork()
    if child == 0:
        if by_bytes:
            _die_after(draw.randrange(12_000))
        _add_for_ever(folder, told)
    os.close(told)
    with os.fdopen(heard) as pipe:
        words = [pipe.readline()]
        if not by_bytes:
            time.sleep(draw.uniform(0, 0.01))
            os.kill(child, signal.SIGKILL)
        words += pipe.readlines()
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    return [word.strip() for word in words]


def main(folder: Path, kills: int) -> None:
    """Print the words of every child."""
    draw = random.Random(0)
    torch.set_num_threads(1)
    with StoreWriter(
        folder.with_name("warm"), a_card(a_case(0)[1])
    ) as writer:  # what is made at first use is made here
        writer.add(*a_case(0))
    print(json.dumps([_one_child(folder, draw, by_bytes=k % 2 == 0) for k in range(kills)]))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
