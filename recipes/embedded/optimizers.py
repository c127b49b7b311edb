"""Muon for the matrices, AdamW for everything else, one schedule: warm up, hold, then down to a twentieth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from team import share
from torch import nn

WARM_UP = 60  # steps
HOLD = 0.5  # share of the time at the full rate
ADAM_RATE = 1e-3


class Optimizers:
    """The two optimisers and their clipping as one; embeddings, tables, heads and vectors go to AdamW."""

    def __init__(
        self,
        modules: Sequence[nn.Module],
        *,
        rate: float,
        slow: Sequence[nn.Module] = (),
        share_of_rate: float = 1.0,
        warm_up: int = WARM_UP,
    ) -> None:
        """slow: modules that are trained already and learn at a share of the rate."""
        slowly = {id(p) for module in slow for p in module.parameters()}
        named = [pair for module in modules for pair in module.named_parameters() if pair[1].requires_grad]
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        for name, parameter in named:
            matrix = parameter.ndim == 2 and not any(word in name for word in ("embed", "lm_head"))
            groups.setdefault((matrix, id(parameter) in slowly), []).append(parameter)
        self.parameters = [parameter for _, parameter in named]
        self.parts: list[torch.optim.Optimizer] = []
        self.peaks: list[float] = []
        for (matrix, slowed), members in groups.items():
            peak = (rate if matrix else ADAM_RATE) * (share_of_rate if slowed else 1.0)
            self.peaks.append(peak)
            if matrix:
                self.parts.append(torch.optim.Muon(members, lr=peak, weight_decay=0.01, adjust_lr_fn="original"))
            else:
                self.parts.append(torch.optim.AdamW(members, lr=peak, betas=(0.9, 0.98), weight_decay=0.01))
        self.steps, self.done, self.warm_up = 0, 0.0, warm_up

    def step(self, done: float) -> None:
        """One update; `done` is the share of the planned time that has passed."""
        self.steps += 1
        self.done = done = share(self.parameters, done)
        falling = max(0.0, (min(done, 1.0) - HOLD) / (1 - HOLD))
        factor = min(1.0, self.steps / self.warm_up) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * falling)))
        for part, peak in zip(self.parts, self.peaks, strict=True):
            for group in part.param_groups:
                group["lr"] = peak * factor
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for part in self.parts:
            part.step()
            part.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs."""
        return {"parts": [part.state_dict() for part in self.parts], "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.steps = state["steps"]
        for part, saved in zip(self.parts, state["parts"], strict=True):
            part.load_state_dict(saved)
