"""Draw the training curves of all stages from their logs."""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

STAGES = {
    "vision": ("stage 1: tower alone", ("name", "wave1", "wave2", "wave3", "wave4")),
    "language": ("stage 2: ideal codes, x1 after the name", ("x1", "x1'")),
    "reading": ("stage 3: what the tower says", ("x1", "y1", "x2", "y2", "x1'")),
    "joint": ("stage 4: both together", ("x1", "y1", "x2", "y2", "x1'", "name", "wave3", "wave4")),
}


def read(path: Path) -> tuple[list[float], dict[str, list[float]]]:
    """Minutes and every number of a log."""
    minutes: list[float] = []
    curves: dict[str, list[float]] = {}
    for line in path.read_text().splitlines():
        words = line.split()
        minutes.append(float(words[1].rstrip("s")) / 60)
        for name, value in zip(words[2::2], words[3::2], strict=False):
            if value.replace(".", "").isdigit():
                curves.setdefault(name, []).append(float(value))
    return minutes, curves


def main() -> None:
    """Write curves.png: one panel a stage, loss in nats (names, digits) or mean squared error (waves)."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("logs", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "curves.png")
    options = parser.parse_args()
    figure, panels = plt.subplots(1, len(STAGES), figsize=(4 * len(STAGES), 3.2), sharey=True, layout="constrained")
    for panel, (stage, (title, names)) in zip(panels, STAGES.items(), strict=True):
        minutes, curves = read(options.logs / f"{stage}.log")
        for name in names:
            if name in curves:
                panel.plot(minutes[-len(curves[name]) :], curves[name], label=name, linewidth=1)
        panel.axhline(2.303, color="grey", linewidth=0.5, linestyle=":")
        panel.set(title=title, xlabel="minutes", ylim=(0, 3))
        panel.legend(fontsize=7)
    figure.savefig(options.out, dpi=90)


if __name__ == "__main__":
    main()
