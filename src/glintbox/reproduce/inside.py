"""Where the regressor looks and what attention does there: Table 1, Figures 3, 4 and 6-10."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from glintbox.analysis.heads import agreement
from glintbox.analysis.importance import CriticalLayers
from glintbox.analysis.separation import layer_entropies, within_case
from glintbox.draw_entropy import entropy_figure, importance_figure
from glintbox.draw_layers import Looked, all_layers_figure, layers_figure
from glintbox.errors import BadInput
from glintbox.evaluate import HIT
from glintbox.images import open_image
from glintbox.records import COORDS, Coord, to_json
from glintbox.reproduce import reported
from glintbox.reproduce.answers import acs_learned
from glintbox.reproduce.bench import Bench
from glintbox.reproduce.heads import gradient, head_map, layers, read_entropies, separated
from glintbox.reproduce.pages import Page
from glintbox.reproduce.plan import Need
from glintbox.reproduce.trained import predicted
from glintbox.tables_analysis import agreement_table, critical_table, heads_table, numbers

SHOWN = Need("choose", 0.7)
"""Answers whose attention is drawn."""

COLUMNS, ROWS = 5, 2
"""Layers and pictures of Figure 3."""


def table1(bench: Bench, about: Mapping[str, str]) -> Page:
    """Critical layers by Equation 2, the heads that are chosen in them, and those that labels alone point to."""
    found, critical, separation = gradient(bench), layers(bench), separated(bench)
    within = within_case(read_entropies(bench))
    models = {bench.setting.model: critical}
    models |= {f"{name}, *reported*": CriticalLayers(*map(tuple, pair)) for name, pair in reported.LAYERS.items()}
    compared = agreement(separation, found, critical.range)
    parts = [
        "Layers count from 0. Equation 2 over learning pictures that the regressor was not trained on; critical range: "
        "the longest run of the layers of the highest score, a single missing one filled in.",
        critical_table(models),
        "## Heads of the largest ΔH, among all\n\nΔH: entropy of boxes of 0 < IoU ≤ 0.3 minus that of IoU > 0.6, nats. "
        "Rank correlation of entropy and IoU within a case: negative = the sharper box is the better one.",
        heads_table(separation, within),
        "## Do labels and regressor point to the same heads?",
        agreement_table(compared),
        f"Two random choices share {compared.chance:.2f} heads on average.",
    ]
    told = {"critical": critical, "by layer": found.by_layer.tolist(), "heads": head_map(bench).heads}
    figures = {"table1": importance_figure(found, critical)}
    return Page("table1", "Table 1: localization-critical layers", about, parts, told, figures)


def fig4(bench: Bench, about: Mapping[str, str]) -> Page:
    """Entropy by IoU group in the critical layers, two coordinates."""
    found, critical = layer_entropies(read_entropies(bench)), layers(bench).range
    figure = entropy_figure(found, coords=("x1", "y1"), layers=critical)
    note = f"Critical layers {numbers(critical)}; x1 and y1, the others stand in Figure 10. {ENTROPY}"
    told = {"layers": json.loads(to_json(found)), "critical": critical}
    return Page("fig4", "Figure 4: attention entropy in critical layers", about, [note], told, {"fig4": figure})


ENTROPY = (
    "Mean entropy of the heads of a layer by IoU group of the box, all learning candidates; whiskers: 95 % intervals "
    "of the means over cases; bands: one standard deviation of candidates."
)


def fig10(bench: Bench, about: Mapping[str, str]) -> Page:
    """The same for all coordinates and layers."""
    found, critical = layer_entropies(read_entropies(bench)), layers(bench).range
    note = f"All layers, the critical ones ({numbers(critical)}) on gray ground. {ENTROPY}"
    figures = {"fig10": entropy_figure(found, marked=critical)}
    return Page(
        "fig10", "Figure 10: entropy of all coordinates", about, [note], {"layers": json.loads(to_json(found))}, figures
    )


def fig3(bench: Bench, about: Mapping[str, str]) -> Page:
    """The attention of some layers behind a right box: before, in and after the critical range."""
    shown, there = _looked(bench, ROWS), sorted({head.layer for head in gradient(bench).heads})
    critical = layers(bench).range
    middle = [critical[round(k * (len(critical) - 1) / 2)] for k in range(3)]
    wanted = sorted({there[0], *middle, there[-1]})
    if len(there) > COLUMNS > len(wanted):
        wanted = sorted({*wanted, *[layer for layer in there if layer not in wanted][: COLUMNS - len(wanted)]})
    note = f"Mean over the heads of a layer and over the four coordinates; critical: {numbers(critical)}. {FIRST}"
    figures = {"fig3": layers_figure(shown, wanted)}
    return Page("fig3", "Figure 3: attention across layers", about, [note], {}, figures)


FIRST = "The first validation cases whose box by ACS-Learned is right, nobody picked them."


def all_layers(bench: Bench, about: Mapping[str, str], *, number: int) -> Page:
    """Figures 6-9: every layer, two coordinates of one case each."""
    case, coords = divmod(number - 6, 2)
    pair: Sequence[Coord] = COORDS[2 * coords : 2 * coords + 2]
    shown = _looked(bench, case + 1)
    name = f"fig{number}"
    note = f"Every layer, mean over its heads, while {' and '.join(pair)} were written. {FIRST}"
    figures = {name: all_layers_figure(shown[min(case, len(shown) - 1)], pair)}
    return Page(name, f"Figure {number}: attention of all layers", about, [note], {}, figures)


def _looked(bench: Bench, count: int) -> list[Looked]:
    """The first cases, each of another query, whose chosen box is right, or the best there are."""
    store, by = bench.store(SHOWN), acs_learned(predicted(bench, SHOWN))
    right: dict[str, tuple[int, int]] = {}
    chosen: dict[int, int] = {}
    for case in range(len(store)):
        sample, found = store[case]
        boxes = by.choose(found)
        if not boxes or boxes[0].candidate is None:
            continue
        chosen[case] = boxes[0].candidate
        row = (store.rows.case == case) & (store.rows.candidate == boxes[0].candidate)
        if store.rows.iou[row].max(initial=0) >= HIT:
            right.setdefault(sample.query, (case, boxes[0].candidate))
        if len(right) == count:
            break
    some = list(right.values()) or list(chosen.items())
    if not some:
        raise BadInput(f"expected a case with a box to draw the attention of, got none of {len(store)}")
    return [_one(bench, case, candidate) for case, candidate in some[:count]]


def _one(bench: Bench, case: int, candidate: int) -> Looked:
    store = bench.store(SHOWN)
    sample, found = store[case]
    maps = store.with_maps(case).maps
    assert maps is not None  # a candidate with a score has maps
    image = next(one.image for one in bench.samples(SHOWN.part) if one.id == sample.id)
    own = replace(maps, values=maps.values[candidate : candidate + 1])
    return Looked(sample.query, open_image(image), found.candidates[candidate].box, sample.truth, own)
