"""Every open reading of the paper that is an option here: default against alternative, on validation (docs/acs.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, NamedTuple

from glintbox.analysis.entropies import Entropies, entropies_on, native_cells, normalised
from glintbox.analysis.separation import separation
from glintbox.cells import signed, table, within
from glintbox.evaluate import SEED, Judged, paired, report
from glintbox.metrics import best_iou, detection_bootstrap, gain_bootstrap, precision_recall_f1
from glintbox.records import CandidateSet, HeadMap, Sample, Selector
from glintbox.reproduce import regression, several
from glintbox.reproduce.answers import GREEDY_FIRST, acs_learned, judge
from glintbox.reproduce.bench import Bench
from glintbox.reproduce.heads import head_map, read_entropies
from glintbox.reproduce.pages import Page
from glintbox.reproduce.plan import ANSWERS, Need
from glintbox.reproduce.selection import FREE, LEARNED, best_temperatures
from glintbox.reproduce.trained import ALL, QUARTER, Variant, grid_of, learned_from, predicted
from glintbox.selectors import selector
from glintbox.selectors.acs_free import Ties, acs_free
from glintbox.selectors.base import Clusters, best_of
from glintbox.selectors.baselines import token_entropy

PAPER_GRID = (24, 24)
WITHOUT = (
    "Weak readings without an option in the code: 23 (what a valid box is), 34 (how votes are counted), 38 (each "
    "model's own picture budget). How many cases 26 to 28 give under every reading: `glintbox data counts`."
)


class Reading(NamedTuple):
    """One reading beside the default of its point: the number in docs/acs.md, words, and a method to judge."""

    point: str
    words: str
    by: Selector


def decisions(bench: Bench, about: Mapping[str, str]) -> Page:
    """One table for selection, one for regressors, one for clusters."""
    need = Need("choose", best_temperatures(bench)[LEARNED])
    chosen, numbers = _selected(bench, need)
    trained, of_regressors = _trained(bench, need)
    grouped, of_clusters = _clusters(bench)
    legend = (
        f"On validation cases, never on test; T = {need.temperature:g}, N = {ANSWERS}. The first line of a point is "
        "the default; differences to it in points with paired 95 % intervals, bold where 0 lies outside."
    )
    parts = [
        legend,
        "## Choosing",
        chosen,
        "## Regressors\n\nOn a quarter of the training pairs each, the default too. Rank: Spearman's within a case.",
        trained,
        "## Several objects",
        grouped,
        WITHOUT,
    ]
    told = {"selection": numbers, "regressors": of_regressors, "clusters": of_clusters}
    return Page("decisions", "Decisions: default against alternative", about, parts, told)


def _selected(bench: Bench, need: Need) -> tuple[str, dict[str, Any]]:
    """Acc@0.5 of every reading that changes only what is chosen."""
    readings = _readings(bench)
    by = {f"{one.point}: {one.words}": one.by for one in readings}
    store = bench.store(need)
    with bench.bars("decisions: choosing", len(store)) as more:
        found = judge(store, by, [ANSWERS], tick=more)[ANSWERS]
    found += [_best_of_greedy(bench, need, found[0])]
    default: dict[str, Judged] = {}
    rows, numbers = [], {}
    for one in found:
        point, _, words = one.method.partition(": ")
        base, told = default.setdefault(point, one), report(one)
        difference = paired(one, base)
        shown = "" if one is base else signed(difference.gain, difference.interval)
        rows.append((point, words, within(told.acc_at_50, told.acc_interval), shown))
        numbers[one.method] = asdict(told)
    return table(("point", "reading", "Acc@0.5", "- default"), rows, words=2), numbers


def _readings(bench: Bench) -> list[Reading]:
    """The default of each point first."""
    free = selector(FREE, headmap=head_map(bench))
    maps = {
        ("12", "heads among all layers"): head_map(bench, universe="all"),
        ("13", "heads in the layers of Table 1"): head_map(bench, universe="top"),
        ("14", "gradient of the predicted IoU"): head_map(bench, of="output"),
    } | {("16", words): _map_from(bench, found) for words, found in _entropies(bench).items()}
    alternatives = [Reading(*point, selector(FREE, headmap=heads)) for point, heads in maps.items()]
    alternatives += [Reading("19", f"ties {ties}", acs_free(head_map(bench), ties=ties)) for ties in TIES]
    defaults = {
        "12": "heads in the critical range", "13": "heads in the critical range", "14": "gradient of the loss",
        "16": "entropy on the picture's own grid", "19": "ties average",
    }  # fmt: skip
    found = []
    for point, words in defaults.items():
        found += [Reading(point, words, free), *(one for one in alternatives if one.point == point)]
    found.append(Reading("33", "token entropy of the first box of each answer", selector("token-entropy")))
    found.append(Reading("33", "of every box", Selector("token-entropy", best_of(token_entropy))))
    return [*found, Reading("25", "greedy's first box", GREEDY_FIRST)]


TIES: tuple[Ties, Ties] = ("ordinal", "min")


def _entropies(bench: Bench) -> dict[str, Entropies]:
    """Other entropies to find heads by; boxes are chosen by those of their own grid all the same."""
    store, own = bench.store(learned_from(ALL)), read_entropies(bench)
    with bench.bars("entropies on one grid", len(store.rows.iou)) as more:
        resampled = entropies_on(store, PAPER_GRID, tick=more)
    return {"per log of the cells": normalised(own, native_cells(store)), "on 24 x 24": resampled}


def _map_from(bench: Bench, found: Entropies) -> HeadMap:
    return head_map(bench, found=separation(found))


def _best_of_greedy(bench: Bench, need: Need, like: Judged) -> Judged:
    """What greedy's best box would give: the truth chooses, so it bounds the reading and is none."""
    store = bench.store(need)

    def best(sample: Sample, found: CandidateSet) -> float:
        return best_iou(
            [c.box for c in found.candidates if found.responses[c.response].source == "greedy"], sample.truth
        )

    cases = tuple(replace(case, chosen=best(*store[k])) for k, case in enumerate(like.cases))
    return Judged("25: its best box, by the truth", like.temperature, cases)


def _variants(bench: Bench) -> dict[tuple[str, str], Variant]:
    """Regressors by point and reading; the default first."""
    rows, cols = (max(4, side // 2) for side in grid_of(bench.store(learned_from(ALL))))
    return {
        ("", "the default"): QUARTER,
        ("1", "rows of the coordinate's own token"): Variant("quarter-predicted", moment="predicted"),
        ("5", f"maps resampled to {rows} x {cols}"): replace(QUARTER, name="quarter-grid", grid=(rows, cols)),
        ("7", "raw shares"): replace(QUARTER, name="quarter-raw", input_scale="none"),
        ("39", "Linear, BatchNorm, ReLU (Table 7)"): replace(QUARTER, name="quarter-bn_relu", order="bn_relu"),
        ("39", "no dropout (Table 7)"): replace(QUARTER, name="quarter-no-dropout", dropout=0.0),
    }


def _trained(bench: Bench, need: Need) -> tuple[str, dict[str, Any]]:
    """Errors, order and Acc@0.5 of every regressor on the same answers."""
    rows, numbers = [], {}
    base: Judged | None = None
    for (point, words), variant in _variants(bench).items():
        own = need._replace(moment=variant.moment)
        found = regression.judged(bench, own, variant)
        one = judge(bench.store(own), {LEARNED: acs_learned(predicted(bench, own, variant))}, [ANSWERS])[ANSWERS][0]
        base, told = base or one, report(one)
        difference = paired(one, base)
        shown = "" if one is base else signed(difference.gain, difference.interval)
        numbers_of = (found.quality.mae, found.quality.r, found.quality.rank)
        errors = ("-" if value is None else f"{value:.3f}" for value in numbers_of)
        rows.append((point, words, *errors, within(told.acc_at_50, told.acc_interval), shown))
        numbers[words] = {"quality": found.quality, "report": asdict(told)}
    heading = ("point", "reading", "MAE", "Pearson r", "rank", "Acc@0.5 of ACS-Learned", "- default")
    return table(heading, rows, words=2), numbers


GROUPINGS = (Clusters(), Clusters(0.3), Clusters(0.7), Clusters(min_size=1))
"""The default first (docs/acs.md 32)."""


def _clusters(bench: Bench) -> tuple[str, dict[str, Any]]:
    """F1 of ACS-Learned by how candidates are grouped."""
    need = Need("choose-many", several.best_temperature(bench))
    rows, numbers = [], {}
    by = {
        f"IoU {one.iou:g}, at least {one.min_size}": acs_learned(predicted(bench, need), multiple=one)
        for one in GROUPINGS
    }
    found = {one.method: [case.matched for case in one.cases] for one in several.judged(bench, need, by)}
    for words in by:
        told, gain = precision_recall_f1(found[words]), gain_bootstrap(found[words], found[next(iter(by))], seed=SEED)
        interval = detection_bootstrap(found[words], seed=SEED).f1
        shown = signed(gain.points, gain.interval) if words != next(iter(by)) else ""
        rows.append(("32", f"clusters: {words}", within(told.f1, interval), shown))
        numbers[words] = told
    heading = ("point", f"reading, at T = {need.temperature:g}", "F1 of ACS-Learned", "- default")
    return table(heading, rows, words=2), numbers
