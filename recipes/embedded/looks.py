"""Which heads look at what a phrase means, while its last token is read, and which boxes three of them make.

Unlike `glintbox heads find` it takes the first two layers in, and chooses heads by the truth of calibration scenes: it
asks whether there are heads that localize, not whether the paper's criteria find them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from glintbox.assembly import assemble
from glintbox.datasets.refer import referred
from glintbox.datasets.referred import Referred
from glintbox.geometry import TokenGrid
from glintbox.images import open_image
from glintbox.localize import read_texts
from glintbox.lvlm.hf import HuggingFaceLVLM
from glintbox.masks import decode
from glintbox.metrics import best_iou, bootstrap

PROMPTS = ("expression-as-given", "expression")  # read at the phrase's own last token, or at the full stop behind it
K = 3


class Looked(NamedTuple):
    """One expression: shares = of every head's attention on the picture, what lies on the mask; chance = its area."""

    case: Referred
    maps: Float[Tensor, "head row col"]
    grid: TokenGrid
    shares: Float[Tensor, " head"]
    chance: float


def look_at(lvlm: HuggingFaceLVLM, prompt: str, split: str, limit: int) -> Iterator[Looked]:
    """The first expressions of a split, all heads; a cell counts by the share of it that the mask covers."""
    for case in referred("scenes", split=split, limit=limit):
        sample = case.sample
        if sample.mask is None:
            raise SystemExit(f"expected a mask of {sample.id}, got none; use scenes")
        asked = lvlm.prompt(open_image(sample.image), sample.query, id=sample.id, text=prompt)
        [(_, maps)] = read_texts(lvlm, [asked], None)
        covered = adaptive_avg_pool2d(torch.from_numpy(decode(sample.mask))[None].float(), maps.shape[-2:])[0]
        shares = (maps * covered).sum((-2, -1)) / maps.sum((-2, -1))
        yield Looked(case, maps, asked.views["default"].grid, shares, covered.mean().item())


def iou(looked: Looked, heads: Sequence[int]) -> float:
    """Of the box that some heads make and the true one."""
    found = assemble(looked.maps[list(heads)], looked.grid, image=looked.case.sample.size)
    return best_iou([found.box] if found else [], looked.case.sample.truth)


def told(values: Sequence[float]) -> str:
    """The mean with its 95 % bootstrap interval."""
    low, high = bootstrap(values, seed=0)
    return f"{np.mean(values):.3f} ({low:.3f} to {high:.3f})"


def main() -> None:
    """Choose heads on calibration scenes by the share of their attention on the true mask; judge on validation."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", help="checkpoint")
    parser.add_argument("--prompt", choices=PROMPTS, default=PROMPTS[0])
    parser.add_argument("--calibration", type=int, default=300, help="expressions")
    parser.add_argument("--validation", type=int, default=1000, help="expressions")
    options = parser.parse_args()
    lvlm = HuggingFaceLVLM.from_pretrained(options.folder, device="cpu", dtype="float32")
    names = lvlm.card.all_heads()
    seen = torch.stack([one.shares for one in look_at(lvlm, options.prompt, "calibration", options.calibration)])
    heads = seen.mean(0).topk(K).indices.tolist()
    print(", ".join(f"L{names[k][0]}H{names[k][1]}" for k in heads), "looks of", len(names), "heads")
    judged = list(look_at(lvlm, options.prompt, "validation", options.validation))
    parts = {
        "all": judged,
        "category alone": [one for one in judged if one.case.kind == "category"],
        "over 5 %": [one for one in judged if one.case.share > 0.05],
        "over 5 %, category alone": [one for one in judged if one.case.share > 0.05 and one.case.kind == "category"],
        "0.1-1 %": [one for one in judged if 0.001 <= one.case.share <= 0.01],
    }
    for part, cases in parts.items():
        on = told([one.shares[heads[0]].item() for one in cases])
        hits = told([float(iou(one, heads) >= 0.5) for one in cases])
        chance = np.mean([one.chance for one in cases])
        print(f"{part}: n {len(cases)}, best head's share {on}, chance {chance:.3f}, Acc@0.5 {hits}")


if __name__ == "__main__":
    main()
