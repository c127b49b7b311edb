"""Several processes train one model: `torchrun --nproc-per-node 2 STAGE.py …` averages their gradients every step."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import distributed, nn


def join() -> int:
    """This process's number in its team; 0 where it works alone."""
    torch.set_num_threads(1)
    if "RANK" in os.environ and not distributed.is_initialized():
        distributed.init_process_group("gloo")
    return distributed.get_rank() if distributed.is_initialized() else 0


def size() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def share(parameters: Sequence[nn.Parameter], done: float) -> float:
    """Average the gradients over the team, and `done` too, so that all members stop at the same step."""
    if not distributed.is_initialized():
        return done
    pieces = [torch.zeros_like(each) if each.grad is None else each.grad for each in parameters]
    flat = torch.cat([piece.flatten() for piece in pieces] + [torch.tensor([done])])
    distributed.all_reduce(flat)
    flat /= size()
    start = 0
    for each, piece in zip(parameters, pieces, strict=True):
        each.grad = flat[start : start + piece.numel()].view_as(piece).clone()
        start += piece.numel()
    return float(flat[-1])
