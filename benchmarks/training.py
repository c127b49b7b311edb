"""What training and scoring cost: `python -m benchmarks.training` prints seconds and memory on a made-up store.

In the made-up maps one head is the sharper, the better the box, so that there is something to learn. Seconds are CPU
seconds of one thread, so that other work on the machine counts little, and wall seconds on a GPU; memory is the peak
while training beyond what the opened store and the libraries hold.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
import torch

from benchmarks.strategies import peak_memory, reset_peak
from glintbox.batches import predict, predicted
from glintbox.boxes import Box, Size
from glintbox.geometry import CoordFrame, TokenGrid
from glintbox.records import (
    AttentionMaps,
    Candidate,
    CandidateSet,
    Head,
    HeadStats,
    Response,
    Sample,
    Sampling,
    Setting,
)
from glintbox.regressor import Precision, Recipe, RegressorBundle, RegressorCard, new_regressor
from glintbox.store import Store, StoreCard, StoreWriter
from glintbox.training import fit

IMAGE, TRUTH, EACH = Size(100, 60), Box(10, 10, 50, 40), 10
SETTING = Setting("made up", "1", "made_up", "none", "default", "none")


class Costs(NamedTuple):
    """Seconds of one epoch with its validation; per 1,000 candidates of scoring, and of computing alone; bytes."""

    candidates: int
    stored: int
    epoch: float
    scoring: float
    computing: float
    peak: int


def made_up(folder: Path, cases: int, layers: int, heads: int, side: int) -> Store:
    """A store of `cases` pairs with ten candidates each, two pairs a picture."""
    generator = torch.Generator().manual_seed(0)
    watched = tuple(Head(layer, head) for layer in range(layers) for head in range(heads))
    noise = torch.rand(EACH, 4, len(watched), side, side, generator=generator) ** 6
    noise *= 0.4 / noise.sum((-1, -2), keepdim=True)
    sharp = torch.zeros(side, side)
    sharp[1, 2] = 0.4
    sampling = Sampling(EACH, 1.0, greedy_too=False)
    with StoreWriter(folder, StoreCard(SETTING, sampling, "made up", watched, side, side)) as writer:
        for case in range(cases):
            shifts = torch.rand(EACH, generator=generator) * 35
            good = ((40 - shifts) / (40 + shifts))[:, None, None, None]
            maps = noise.roll(case, 0)
            told = len(watched) // 3
            maps[:, :, told] = good * sharp + (1 - good) * maps[:, :, told]
            found = _set(f"case-{case:06}", shifts.tolist(), sampling, AttentionMaps(watched, _grid(side), maps))
            writer.add(Sample(found.id, Path(f"{case // 2}.png"), IMAGE, "cup", (TRUTH,)), found)
    return Store(folder)


def _grid(side: int) -> TokenGrid:
    return TokenGrid(side, side, Box.whole(IMAGE))


def _set(id: str, shifts: Sequence[float], sampling: Sampling, maps: AttentionMaps) -> CandidateSet:
    """One box per answer, each the true one moved to the right."""
    frame, spans = CoordFrame(IMAGE, Box.whole(IMAGE)), tuple((k, k + 1) for k in range(4))
    boxes = [Box(TRUTH.x1 + by, TRUTH.y1, TRUTH.x2 + by, TRUTH.y2) for by in shifts]
    answer = Response("####", "sampled", "stop", (0, 0, 0, 0), spans, (0.1, 0.1, 0.1, 0.1))
    zeros = torch.zeros(len(boxes), 4, len(maps.heads))
    return CandidateSet(
        id=id,
        image=IMAGE,
        query="cup",
        setting=SETTING,
        sampling=sampling,
        frame=frame,
        responses=(answer,) * len(boxes),
        readings=tuple("boxes" for _ in boxes),
        candidates=tuple(
            Candidate(box, frame.written(box), None, k, (0, 4), (0, 1, 2, 3)) for k, box in enumerate(boxes)
        ),
        stats=HeadStats(maps.heads, zeros, zeros),
        maps=maps,
    )


def measure(store: Store, out: Path, *, precision: Precision, device: str, scored: int) -> Costs:
    """Train for one epoch, then score `scored` candidates from the disk, and as many that are in memory already."""
    clock = _clock(device)
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # loads what optimisers need, once and for all
    before = reset_peak(device)
    began = clock()
    fitted = fit(store, out=out, recipe=Recipe(epochs=1, precision=precision), device=device)
    epoch, peak = clock() - began, peak_memory(device) - before
    bundle = RegressorBundle(fitted.bundle.card, fitted.bundle.network.to(device))
    rows = np.arange(len(store.rows.iou))[:scored]
    began = clock()
    predict(bundle, store, rows=rows)
    scoring = clock() - began
    return Costs(
        len(store.rows.iou),
        sum(path.stat().st_size for path in store.folder.iterdir()),
        epoch,
        1000 * scoring / len(rows),
        1000 * _computing(bundle.card, device, clock, len(rows)) / len(rows),
        peak,
    )


def _computing(card: RegressorCard, device: str, clock: Callable[[], float], scored: int) -> float:
    """Seconds of scoring made-up maps in chunks of 64 that never touch a disk."""
    bundle = new_regressor(card)
    bundle.network.to(device)
    maps = torch.rand(64, 4, len(card.heads), card.rows, card.cols, device=device) / (card.rows * card.cols)
    predicted(bundle, maps)
    began = clock()
    for start in range(0, scored, len(maps)):
        predicted(bundle, maps[: scored - start])
    return clock() - began


def _clock(device: str) -> Callable[[], float]:
    return time.process_time if device == "cpu" else time.perf_counter


def table(name: str, found: Costs) -> str:
    """One line of a Markdown table with its heading."""
    cells = [
        name, f"{found.candidates:,}", f"{found.stored / 2**30:.2f} GiB", f"{found.epoch:.1f} s",
        f"{found.peak / 2**20:.0f} MiB", f"{found.scoring:.2f} s", f"{found.computing:.2f} s",
    ]  # fmt: skip
    heading = (
        "| maps | candidates | store | one epoch | memory | 1,000 scored from disk | 1,000 scored, computing alone |"
    )
    return "\n".join([heading, "|" + "---|" * len(cells), f"| {' | '.join(cells)} |"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table of one shape of maps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=3400, help="pairs of ten candidates; 3400 are 2.5 GiB by default")
    parser.add_argument("--layers", type=int, default=8, help="28 for a 7B model")
    parser.add_argument("--heads", type=int, default=8, help="28 for a 7B model")
    parser.add_argument("--side", type=int, default=12, help="24 for a 7B model")
    parser.add_argument("--precision", choices=get_args(Precision), default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--work", type=Path, help="where the store is made (default: a temporary folder)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        store = made_up(Path(folder) / "store", options.cases, options.layers, options.heads, options.side)
        name = f"{options.layers} × {options.heads} heads, {options.side} × {options.side} cells, {options.precision}"
        out = Path(folder) / "out"
        found = measure(store, out, precision=options.precision, device=options.device, scored=10_000)
        print(table(name, found))


if __name__ == "__main__":
    main()
