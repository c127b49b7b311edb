"""What finding localization heads costs: python -m benchmarks.finding reads a few dozen scenes' expressions and scales.

Seconds are CPU seconds of one thread where there is no GPU. Reading is one prefill per expression (those of one picture
share its part), the numbers of all heads and what keeps them, but not the drawing of scenes; choosing is five draws
of 1,000 cases.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from glintbox import embedded
from glintbox.datasets.refer import expressions_of
from glintbox.finding import Table, select, table
from glintbox.lvlm.api import LVLM
from glintbox.lvlm.hf import HuggingFaceLVLM
from glintbox.prompts import EXPRESSION
from glintbox.records import Sample, Search
from glintbox.text_stats import TextCard, TextStats, TextWriter, fill

SCALE = 1000
WARM = 2
"""Cases that are read before the clock starts."""


class Costs(NamedTuple):
    """Seconds of reading so many cases, and of choosing among `SCALE` cases made of them; bytes per case."""

    cases: int
    pictures: int
    heads: int
    reading: float
    choosing: float
    size: float


def measure(lvlm: LVLM, samples: Sequence[Sample], folder: Path, *, maps: bool = False, device: str = "cpu") -> Costs:
    """Read all samples but the first ones into a folder, then choose."""
    clock: Callable[[], float] = time.process_time if device == "cpu" else time.perf_counter
    setting = lvlm.card.setting(prompt=EXPRESSION, view="default", moment="predicting")
    card = TextCard(setting, "scenes", lvlm.card.all_heads(), maps)
    with TextWriter(folder, card) as writer:
        fill(lvlm, samples[:WARM], writer, tick=lambda: None)
        began = clock()
        fill(lvlm, samples, writer, tick=lambda: None)
        reading = clock() - began
    kept = TextStats(folder)
    many = repeated(table(kept), SCALE)
    began = clock()
    select(many, Search(samples=SCALE, k=1), setting=setting, data="scenes", pool=SCALE)
    choosing = clock() - began
    size = sum(path.stat().st_size for path in folder.glob("*.bin")) / len(kept)
    pictures = len({sample.image for sample in samples[WARM:]})
    return Costs(len(samples) - WARM, pictures, len(card.heads), reading, choosing, size)


def repeated(found: Table, count: int) -> Table:
    """The cases again and again, under other ids."""
    rows = torch.arange(count) % len(found.ids)
    return Table(found.heads, tuple(f"{k}" for k in range(count)), *(part[rows] for part in found[2:]))


def report(costs: Costs, model: str) -> str:
    """A Markdown table of one line, with its heading."""
    scaled, kept = costs.reading / costs.cases * SCALE, costs.size / 1000
    heading = ("model", "heads", "cases (pictures)", "reading", f"of {SCALE:,}", f"choosing among {SCALE:,}", "kept")
    cells = (
        model, f"{costs.heads}", f"{costs.cases} ({costs.pictures})", f"{costs.reading:.2f} s",
        f"{scaled:.0f} s (× {SCALE / costs.cases:.1f})", f"{costs.choosing:.2f} s", f"{kept:.1f} kB a case",
    )  # fmt: skip
    return "\n".join(f"| {' | '.join(row)} |" for row in (heading, ("---",) * len(heading), cells))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=60, help="expressions of calibration scenes that are read")
    parser.add_argument("--model", default=embedded.NAME, help="hub name or checkpoint folder")
    parser.add_argument("--maps", action="store_true", help="keep the maps too")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    samples = expressions_of("scenes", split="calibration", limit=options.cases + WARM)
    lvlm = HuggingFaceLVLM.from_pretrained(embedded.source(options.model), device=options.device)
    with tempfile.TemporaryDirectory() as folder:
        costs = measure(lvlm, samples, Path(folder), maps=options.maps, device=options.device)
    print(report(costs, options.model))


if __name__ == "__main__":
    main()
