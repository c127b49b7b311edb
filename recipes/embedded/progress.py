"""What every stage shares: its clock, running means for the log, and a checkpoint every two minutes to resume from."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from team import join, size

log = logging.getLogger("train")
SAVE_EVERY = 120  # seconds
LOG_EVERY = 25  # steps


class Progress:
    """Time and steps of one stage, counted over all its sittings."""

    def __init__(self, out: Path, *, minutes: float) -> None:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        self.rank, self.out, self.minutes = join(), out, minutes
        self.saved: dict[str, Any] | None = torch.load(out, weights_only=False) if out.exists() else None
        counts = self.saved["state"] if self.saved else {}
        self.steps, self.seen = int(counts.get("steps", 0)), int(counts.get("seen", 0))
        self.before = float(counts.get("seconds", 0.0))
        self.started = self.saved_at = time.time()
        self.watched: dict[str, float] = {}

    @property
    def seconds(self) -> float:
        """Seconds that this stage has run."""
        return self.before + time.time() - self.started

    @property
    def done(self) -> float:
        """Share of the planned time that has passed; the stage ends at 1."""
        return self.seconds / (60 * self.minutes)

    def step(self, watch: Mapping[str, float], seen: int, parts: Callable[[], dict[str, Any]]) -> None:
        """Count one step over `seen` pictures or questions; log and save where due."""
        self.steps, self.seen = self.steps + 1, self.seen + seen * size()
        self.watched = {name: 0.98 * self.watched.get(name, value) + 0.02 * value for name, value in watch.items()}
        if self.rank == 0 and self.steps % LOG_EVERY == 0:
            numbers = " ".join(f"{name} {value:.3f}" for name, value in self.watched.items())
            log.info(f"{self.steps} {self.seconds:.0f}s {numbers} seen {self.seen}")
        if self.rank == 0 and time.time() - self.saved_at > SAVE_EVERY:
            self.save(parts())

    def save(self, parts: dict[str, Any]) -> None:
        """Write the checkpoint in one move, so that a killed run leaves the last whole one."""
        if self.rank:
            return
        self.saved_at = time.time()
        counts = {"steps": self.steps, "seen": self.seen, "seconds": self.seconds}
        torch.save({**parts, "state": counts}, self.out.with_suffix(".new"))
        self.out.with_suffix(".new").replace(self.out)
