"""Find the heads whose entropy tells good boxes from bad: a separation → HeadMap, no regressor (docs/acs.md 12)."""

from __future__ import annotations

from collections.abc import Sequence

from glintbox.analysis.separation import Separation
from glintbox.errors import BadInput
from glintbox.records import COORDS, Calibration, Coord, Head, HeadMap, Setting

LEAST = 20
"""Fewer candidates than this in a group, and a mean entropy says nothing."""


def find_heads(
    found: Separation, *, setting: Setting, data: str, n: int = 3, universe: Sequence[Head] | None = None
) -> HeadMap:
    """The n heads of the largest ΔH per coordinate, best first (the paper's D_c, section 4.4).

    setting: that of every set; it is written into the map. data: what the sets came from, in words. universe: the heads
    to choose among, None = all that were read (docs/acs.md 12).

    Raises:
        BadInput: too few good or bad boxes, fewer than n heads to choose among, heads that were not read.
    """
    _check_counts(found)
    places = _places(found, n, universe)
    heads: dict[Coord, tuple[Head, ...]] = {}
    delta: dict[Coord, tuple[float, ...]] = {}
    for row, coord in zip(found.delta[:, places].tolist(), COORDS, strict=True):
        best = sorted(range(len(places)), key=lambda k: -row[k])[:n]
        heads[coord] = tuple(found.heads[places[k]] for k in best)
        delta[coord] = tuple(row[k] for k in best)
    return HeadMap(
        setting=setting,
        made_by=f"entropy difference by IoU labels, top {n} of {len(places)} heads per coordinate",
        heads=heads,
        calibration=Calibration(data, found.count["high"], found.count["low"], found.tau_high, found.tau_low, delta),
    )


def _check_counts(found: Separation) -> None:
    high, low = found.count["high"], found.count["low"]
    if min(high, low) < LEAST:
        raise BadInput(
            f"expected at least {LEAST} boxes with IoU > {found.tau_high} and {LEAST} with 0 < IoU <= {found.tau_low}, "
            f"got {high} and {low}; label more pictures, or sample at a higher temperature for more bad boxes"
        )


def _places(found: Separation, n: int, universe: Sequence[Head] | None) -> list[int]:
    place = {head: k for k, head in enumerate(found.heads)}
    wanted = tuple(dict.fromkeys(universe if universe is not None else found.heads))
    unread = [head for head in wanted if head not in place]
    if unread:
        raise BadInput(f"expected heads that were read, got {', '.join(map(str, unread))}; choose among those read")
    if not 1 <= n <= len(wanted):
        raise BadInput(f"expected 1 <= n <= {len(wanted)}, the number of heads to choose among, got {n}")
    broken = [head for head in wanted if found.delta[:, place[head]].isnan().any()]
    if broken:
        raise BadInput(
            f"expected entropies that are numbers, got NaN in {', '.join(map(str, broken))}; "
            f"load the model in a wider dtype, or choose among the other heads"
        )
    return [place[head] for head in wanted]
