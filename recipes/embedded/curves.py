"""Draw the training curves of all stages from their logs."""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

BOX = ("x1", "y1", "x2", "y2", "x1'", "y1'")
STAGES = {
    "vision-boxes": ("stage 1: tower, whole boxes", ("name", "wave1", "wave2", "wave3", "wave4")),
    "vision-edges": ("tower, edges in reach", ("name", "wave1", "wave2", "wave3", "wave4")),
    "vision-fresh": ("tower, fresh scenes", ("name", "wave1", "wave2", "wave3", "wave4")),
    "language": ("stage 2: few ideal cells", ("at once", *BOX)),
    "ideal": ("stage 3: ideal codes of scenes", BOX),
    "joint": ("stage 4: tower and language model", BOX),
    "joint-more": ("stage 4 gone on, from averaged weights", BOX),
}


def read(path: Path) -> dict[str, list[tuple[float, float]]]:
    """Every number of a log, with its minute."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for line in path.read_text().splitlines():
        words = line.replace("at once", "at_once").split()
        minute = float(words[1].rstrip("s")) / 60
        for name, value in zip(words[2::2], words[3::2], strict=False):
            if value.replace(".", "").isdigit():
                curves.setdefault(name.replace("_", " "), []).append((minute, float(value)))
    return curves


def main() -> None:
    """Write curves.png: one panel a stage, loss in nats (names, digits) or mean squared error (waves)."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("logs", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "curves.png")
    options = parser.parse_args()
    figure, panels = plt.subplots(2, 4, figsize=(15, 6.4), sharey=True, layout="constrained")
    panels.flat[-1].set_axis_off()
    for panel, (stage, (title, names)) in zip(panels.flat, STAGES.items(), strict=False):
        curves = read(options.logs / f"{stage}.log")
        for name in names:
            if name in curves:
                panel.plot(*zip(*curves[name], strict=True), ".", label=name, markersize=1.5)
        panel.axhline(2.303, color="grey", linewidth=0.5, linestyle=":")
        panel.set(title=title, xlabel="minutes", ylim=(0, 3))
        panel.legend(fontsize=7, markerscale=4)
    figure.savefig(options.out, dpi=90)


if __name__ == "__main__":
    main()
