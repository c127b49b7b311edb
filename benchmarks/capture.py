"""Measure answering with attention side by side: `python -m benchmarks.capture` prints a Markdown table.

Each run is a process of its own; the two sides of a comparison take turns. Seconds are CPU seconds of one thread, so
that other work on the machine counts little; memory is the peak beyond the loaded model.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import transformers

from benchmarks.strategies import Measurement
from benchmarks.subject import QUICK, SHAPES, Setting
from glintbox import embedded


class Comparison(NamedTuple):
    """Two strategies that take turns; cost = the ratio is ours / other (how much dearer), else other / ours."""

    title: str
    ours: str
    other: str
    cost: bool = False


COMPARISONS = {
    "a": Comparison("capture on and off, both in the engine", "engine+capture", "engine", cost=True),
    "c": Comparison("against plain `generate` without attention", "engine+capture", "generate"),
    "e": Comparison("queries on one picture, together and apart", "queries together", "queries apart"),
    "d": Comparison(
        "model in the box: selection against one greedy answer", "box, selection", "box, greedy", cost=True
    ),
    "b": Comparison(
        "against eager `generate(output_attentions=True)`", "engine+capture", "generate, eager, attentions"
    ),
}
"""In the order in which they are run: the one that needs many gigabytes comes last."""


class Spread(NamedTuple):
    """Median and range."""

    median: float
    low: float
    high: float

    def text(self, form: str) -> str:
        """For instance "6.6 (6.4–6.9)"."""
        return f"{self.median:{form}} ({self.low:{form}}–{self.high:{form}})"


def spread(values: Sequence[float]) -> Spread:
    """Median and range of some runs."""
    return Spread(statistics.median(values), min(values), max(values))


def in_own_process(name: str, setting: Setting) -> Measurement:
    """Measure one strategy in a fresh process."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.strategies", name, json.dumps(setting._asdict())]
    quiet = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | quiet)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr}")
    return Measurement(**json.loads(done.stdout.splitlines()[-1]))


def row(key: str, ours: Sequence[Measurement], other: Sequence[Measurement]) -> str:
    """One line of the table; ratios are taken run by run, as the two sides took turns."""
    comparison = COMPARISONS[key]
    pairs = list(zip(ours, other, strict=True))
    if comparison.cost:
        times = spread([a.seconds / b.seconds for a, b in pairs]).text(".2f") + "× the time"
        memory = f"{_ratio(ours, other):.1f}× the memory"
    else:
        times = spread([b.seconds / a.seconds for a, b in pairs]).text(".1f") + "× faster"
        memory = f"{_ratio(other, ours):.1f}× leaner"
    cells = [f"({key}) {comparison.title}"]
    for side in (ours, other):
        peak = statistics.median(m.peak for m in side) / 2**20
        cells.append(f"{spread([m.seconds for m in side]).text('.2f')} s, {peak:.0f} MB")
    return f"| {' | '.join([*cells, times, memory])} |"


def _ratio(above: Sequence[Measurement], below: Sequence[Measurement]) -> float:
    return statistics.median(m.peak for m in above) / max(1, statistics.median(m.peak for m in below))


def skipped(key: str) -> str | None:
    """Why a comparison cannot be run here, or None."""
    if key == "d" and not (embedded.folder() / "config.json").exists():
        return "there is no model in the box yet"
    return None


def heading(setting: Setting, runs: int) -> str:
    """What was measured, on what."""
    shape = SHAPES[setting.shape]
    return (
        f"{setting.samples} answers of {setting.tokens} tokens, {setting.image_tokens} image tokens and 140 words; "
        f"Qwen2.5-VL class, random weights, {shape.layers} layers × {shape.heads} heads, {shape.kv_heads} KV heads, "
        f"hidden {shape.hidden}, vocabulary {shape.vocabulary}, {str(shape.dtype).removeprefix('torch.')}, "
        f"{setting.device}, one thread; {runs} runs each, median (range); torch {torch.__version__}, "
        f"transformers {transformers.__version__}, {platform.machine()}.\n\n"
        "| | ours | other | time | memory |\n|---|---|---|---|---|"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the comparisons, print the table as it grows, write every single run as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="".join(COMPARISONS), help='which comparisons, for instance "ac"')
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--image-tokens", type=int, default=1024)
    parser.add_argument("--shape", choices=("small", "full"), default="small", help="full = the 7B model, for a GPU")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true", help="a smoke run: a tiny model, one run")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/capture.json"))
    options = parser.parse_args(arguments)
    setting = QUICK if options.quick else Setting(options.shape, options.image_tokens)
    setting, runs = setting._replace(device=options.device), 1 if options.quick else options.runs
    kept: dict[str, list[dict[str, object]]] = {}
    print(heading(setting, runs))
    for key in (key for key in COMPARISONS if key in options.only):
        if why := skipped(key):
            print(f"| ({key}) {COMPARISONS[key].title} | left out: {why} | | | |", flush=True)
            continue
        _, ours, other, _ = COMPARISONS[key]
        pairs = [(in_own_process(ours, setting), in_own_process(other, setting)) for _ in range(runs)]
        print(row(key, *map(list, zip(*pairs, strict=True))), flush=True)
        kept[key] = [measured._asdict() for pair in pairs for measured in pair]
        options.out.write_text(json.dumps({"setting": setting._asdict(), "runs": kept}, indent=1) + "\n")


if __name__ == "__main__":
    main()
