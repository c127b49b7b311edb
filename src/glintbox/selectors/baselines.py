"""The rivals that look at no attention: ACS section 5.1, plus consensus and random. Each is one function.

Scores are pure and higher is better; `majority_vote` and `mean_box` invent a box and so choose directly.
"""

from __future__ import annotations

import hashlib
import statistics
from collections import Counter
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from glintbox.boxes import Box
from glintbox.errors import BadInput
from glintbox.records import CandidateSet, ScoredBox
from glintbox.selectors.base import in_order, spread


def first_valid(found: CandidateSet) -> Float[Tensor, " candidate"]:
    """Prefer the first box of the first sampled response that holds one (docs/acs.md 25)."""
    ordered = in_order(found)
    return spread(found, ordered, -torch.arange(len(ordered), dtype=torch.float64))


def pass_at_1(found: CandidateSet) -> Float[Tensor, " candidate"]:
    """As `first_valid`, but of the first sampled response only: where that holds no box, nothing is chosen."""
    first = next((r for r, response in enumerate(found.responses) if response.source != "greedy"), None)
    ordered = tuple(i for i in in_order(found) if found.candidates[i].response == first)
    return spread(found, ordered, -torch.arange(len(ordered), dtype=torch.float64))


def token_entropy(found: CandidateSet) -> Float[Tensor, " candidate"]:
    """Prefer the box written with the least doubt: minus the summed vocabulary entropies (nats) of its coordinates.

    Of each coordinate its first token counts, in the full distribution at T=1 (docs/acs.md 33).

    Raises:
        BadInput: a response carries no entropies, as those that were not decoded here.
    """
    ordered = in_order(found)
    doubts = [_doubt(found, i) for i in ordered]
    return spread(found, ordered, -torch.tensor(doubts, dtype=torch.float64))


def token_entropy_of_responses(found: CandidateSet) -> Float[Tensor, " candidate"]:
    """As `token_entropy`, but it ranks responses: of each only the first box may be chosen (docs/acs.md 33)."""
    scores = token_entropy(found)
    seen: set[int] = set()
    for i in in_order(found):
        if found.candidates[i].response in seen:
            scores[i] = -torch.inf
        seen.add(found.candidates[i].response)
    return scores


def smallest(found: CandidateSet) -> Float[Tensor, " candidate"]:
    """Prefer the smallest box: shows that the gain is no mere bias to small boxes."""
    return -torch.tensor([candidate.box.area for candidate in found.candidates], dtype=torch.float64)


def consensus(found: CandidateSet) -> Float[Tensor, " candidate"]:
    """Prefer the box that the others agree with: its mean IoU with all other sampled ones; 0 where it is alone."""
    ordered = in_order(found)
    overlaps = pairwise_iou([found.candidates[i].box for i in ordered])
    others = (overlaps.sum(1) - overlaps.diagonal()) / max(1, len(ordered) - 1)
    return spread(found, ordered, others)


def random(found: CandidateSet) -> Float[Tensor, " candidate"]:
    """A draw per sampled box that depends on the sampling seed and the set's id alone."""
    ordered = in_order(found)
    digest = hashlib.blake2b(f"{found.sampling.seed}/{found.id}".encode(), digest_size=7).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest, "big"))
    return spread(found, ordered, torch.rand(len(ordered), generator=generator, dtype=torch.float64))


def majority_vote(found: CandidateSet) -> tuple[ScoredBox, ...]:
    """The box of the most frequent value per coordinate, as written; nothing where they make no valid box.

    One vote per sampled box; ties go to the value nearest the median of all votes, then to the lesser (docs/acs.md 34).
    """
    votes = [found.candidates[i].written for i in in_order(found)]
    if not votes:
        return ()
    box = found.frame.box([_mode(column) for column in zip(*votes, strict=True)], found.image)
    return () if box is None else (ScoredBox(box, None, None),)


def mean_box(found: CandidateSet) -> tuple[ScoredBox, ...]:
    """The box of the mean per coordinate over all sampled boxes, px (docs/acs.md 35)."""
    boxes = [tuple(found.candidates[i].box) for i in in_order(found)]
    if not boxes:
        return ()
    return (ScoredBox(Box(*(statistics.fmean(column) for column in zip(*boxes, strict=True))), None, None),)


def pairwise_iou(boxes: Sequence[Box]) -> Float[Tensor, "box box"]:
    """IoU of every box with every other: `boxes.iou` for hundreds of boxes at once."""
    corners = torch.tensor([tuple(box) for box in boxes], dtype=torch.float64).reshape(-1, 4)
    low = torch.maximum(corners[:, None, :2], corners[None, :, :2])
    high = torch.minimum(corners[:, None, 2:], corners[None, :, 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    areas = (corners[:, 2:] - corners[:, :2]).prod(-1)
    return shared / (areas[:, None] + areas[None, :] - shared)


def _doubt(found: CandidateSet, i: int) -> float:
    candidate = found.candidates[i]
    entropy = found.responses[candidate.response].entropy
    if entropy is None or candidate.tokens is None:
        raise BadInput(
            f"expected vocabulary entropies for response {candidate.response} of {found.id!r}, got none; "
            f"token-entropy needs answers that were decoded here, choose another selector for given ones"
        )
    return sum(entropy[token] for token in candidate.tokens)


def _mode(votes: Sequence[float]) -> float:
    counts = Counter(votes)
    most = max(counts.values())
    median = statistics.median(votes)
    return min((value for value, n in counts.items() if n == most), key=lambda value: (abs(value - median), value))
