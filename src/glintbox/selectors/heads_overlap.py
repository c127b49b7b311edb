"""Choose the box that covers best what the localization heads look at while the expression is read."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from glintbox.artifacts import require_equal, require_places
from glintbox.assembly import Assembly, assemble, coverage
from glintbox.boxes import Box
from glintbox.errors import BadInput
from glintbox.geometry import TokenGrid
from glintbox.records import CandidateSet, HeadMap, Selector
from glintbox.selectors.base import Clusters, Score, chooser, in_order, spread
from glintbox.selectors.baselines import consensus


def heads_overlap(
    headmap: HeadMap,
    *,
    assembly: Assembly = Assembly(),  # noqa: B008  # frozen
    multiple: bool | Clusters = False,
) -> Selector:
    """The selector for localization heads; ties go to the box that the other candidates agree with.

    Its score is `overlap_score`'s. It looks at one region, so of several objects it prefers that one.
    """
    require_places(headmap, "text")
    return Selector(
        name="heads-overlap",
        choose=chooser(multiple)(overlap_score(headmap, assembly=assembly), tie=consensus),
        score_kind="agreement",
        looks=headmap,
    )


def overlap_score(headmap: HeadMap, *, assembly: Assembly = Assembly()) -> Score:  # noqa: B008  # frozen
    """IoU of each sampled candidate with the region of the localization heads, by area; 0 where there is no region.

    Cells count by the share of them that a box covers, so that boxes smaller than a cell are told apart too.
    """

    def score(found: CandidateSet) -> Float[Tensor, " candidate"]:
        if (looked := found.text_map) is None:
            raise BadInput(
                f"expected the maps of localization heads beside the candidates of {found.id!r}, got none; ground with "
                "selector heads-overlap, or add them with glintbox.localize.with_text_map"
            )
        require_equal(headmap.setting, looked.setting, what="map of localization heads")
        if looked.heads != headmap.heads["text"]:
            wanted, there = (", ".join(map(str, heads)) for heads in (headmap.heads["text"], looked.heads))
            raise BadInput(
                f"expected maps of {wanted} beside the candidates of {found.id!r}, got those of {there}; take the "
                "localization heads that were read, or read again with glintbox.localize.with_text_map"
            )
        region = assemble(looked.values, looked.grid, assembly, image=found.image)
        ordered = in_order(found)
        overlaps = [_iou(found.candidates[i].box, region.mask, looked.grid) if region else 0.0 for i in ordered]
        return spread(found, ordered, torch.tensor(overlaps, dtype=torch.float64))

    return score


def _iou(box: Box, mask: Tensor, grid: TokenGrid) -> float:
    """In cells: the box may reach beyond the grid, and then counts in full."""
    shared = float(coverage(box, grid)[mask].sum())
    cells = box.area / grid.cell(0, 0).area
    return shared / (cells + float(mask.sum()) - shared)
