"""How good predicted IoUs are: Table 3, reliability, the learning curve, which layers tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np

from glintbox.analysis.information import Fit, layers_tell, random_layers
from glintbox.analysis.reliability import Reliability, reliability
from glintbox.cells import percent, table, within
from glintbox.draw_training import LEARNED, reliability_figure
from glintbox.reproduce import reported
from glintbox.reproduce.bench import Bench
from glintbox.reproduce.heads import layers
from glintbox.reproduce.pages import REPORTED, Page
from glintbox.reproduce.plan import ANSWERS, Need, needs
from glintbox.reproduce.selection import best_temperatures
from glintbox.reproduce.trained import (
    ALL,
    HALF,
    QUARTER,
    Variant,
    learned_from,
    predictions,
    predictions_of_first,
    regressor,
)
from glintbox.tables_analysis import layers_table

CHOOSE = Need("choose", 1.0)
"""Where regressors are compared: pictures that none was trained or stopped on, at the temperature they learned at."""

DRAWS = 3
"""How many random choices of layers are compared with the critical ones."""


def judged(bench: Bench, need: Need, variant: Variant = ALL) -> Reliability:
    """A regressor on the first ten answers of a need; its rival constant is the mean IoU that it was trained on."""

    def made() -> Reliability:
        store = bench.first(need, ANSWERS)
        said = predictions_of_first(bench, need, ANSWERS, variant)
        return reliability(store, said, rows=np.arange(len(said)), mean=_mean(bench, variant))

    return bench.once(("reliability", need, variant), made)


def _mean(bench: Bench, variant: Variant) -> float:
    return float(bench.store(learned_from(variant)).rows.iou.mean())


def table3(bench: Bench, about: Mapping[str, str]) -> Page:
    """MAE and correlation at every temperature, beside what needs no training."""
    rows, numbers = [], {}
    for need in needs("report", bench.amounts):
        found, paper = judged(bench, need), reported.TABLE3[need.temperature]
        q, shown = found.quality, f"{need.temperature:g}"
        rows.append((shown, LEARNED, f"{q.mae:.3f}", *map(_number, (q.r, q.r_positive, q.rank)), *map(_number, paper)))
        rows.append((shown, "the mean of the training data", f"{found.mean_mae:.3f}", *["-"] * 3, *[""] * 4))
        rows += [(shown, name, "-", *map(_number, one), *[""] * 4) for name, one in found.predictors.items()]
        numbers[shown] = asdict(found)
    paper_columns = [f"*reported* {name} {what}" for name in ("Qwen2.5-VL", "InternVL-3.5") for what in ("MAE", "r")]
    heading = ("T", "predictor", "MAE", "Pearson r", "r over IoU > 0", "rank within a case", *paper_columns)
    legend = (
        "Of all boxes in ten answers to each case. Rank: Spearman's correlation inside a case, mean over cases; it "
        "decides what is chosen. Trained at T=1.0 on other pictures. Token entropy counts negatively."
    )
    return Page("table3", "Table 3: how good predicted IoUs are", about,
                [legend, REPORTED, table(heading, rows, words=2)], numbers)  # fmt: skip


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def reliable(bench: Bench, about: Mapping[str, str]) -> Page:
    """Can a predicted IoU be believed? ECE and AP, and the diagram at the chosen temperature."""
    rows, numbers = [], {}
    for need in needs("report", bench.amounts):
        found = judged(bench, need)
        numbers[f"{need.temperature:g}"] = asdict(found)
        ap = within(found.ap, found.ap_interval)
        rows.append((f"{need.temperature:g}", found.candidates, f"{found.ece:.3f}", ap, percent(found.ap_unranked)))
    legend = (
        "ECE: mean gap between predicted and true IoU over ten bins. AP@0.5: one box per case that has any, chosen by "
        "predicted IoU and ranked across cases by it; beside it the same boxes with a score of 1."
    )
    heading = ("T", "boxes", "ECE", "AP@0.5, ranked by predicted IoU", "AP@0.5, score 1")
    temperature = best_temperatures(bench)["acs-learned"]
    [need] = [need for need in needs("report", bench.amounts) if need.temperature == temperature]
    parts = [legend, table(heading, rows, words=0), f"The diagram is of T = {temperature:g}, chosen on validation."]
    figure = reliability_figure(judged(bench, need))
    return Page("reliability", "Reliability of predicted IoUs", about, parts, numbers, {"reliability": figure})


def learning(bench: Bench, about: Mapping[str, str]) -> Page:
    """Regressors trained on a quarter, a half and all of the pairs."""
    rows, numbers = [], {}
    for variant in (QUARTER, HALF, ALL):
        found, made = judged(bench, CHOOSE, variant), regressor(bench, variant).card.training
        assert made is not None  # training always says how
        q, used = found.quality, made.trained_on
        rows.append((f"{variant.part:g}", used.pairs, used.candidates, f"{q.mae:.3f}", _number(q.r), _number(q.rank),
                     percent(found.acs_learned)))  # fmt: skip
        numbers[variant.name] = {"trained on": used, "reliability": asdict(found)}
    heading = ("part", "pairs", "candidates", "MAE", "Pearson r", "rank within a case", "Acc@0.5 of ACS-Learned")
    legend = "Measured on validation cases at T=1.0; Acc@0.5 in % of the cases that have a box."
    parts = [legend, table(heading, rows, words=0)]
    return Page("learning", "Learning curve of the regressor", about, parts, numbers)


def layers_page(bench: Bench, about: Mapping[str, str]) -> Page:
    """A regressor on critical, on random and on all layers (section 4.3: I(A_crit; Y) ≈ I(A; Y))."""
    every, critical = bench.store(learned_from(ALL)), layers(bench).range
    there = sorted({head.layer for head in every.card.heads})
    variants = {"critical": Variant("critical", critical, QUARTER.part)}
    others = len(there) - len(critical)
    for k in range(DRAWS if others else 0):
        drawn = random_layers(there, min(len(critical), others), seed=k, avoid=critical)
        variants[f"random {k + 1}"] = Variant(f"random-{'-'.join(map(str, drawn))}", drawn, QUARTER.part)
    store = bench.store(CHOOSE)
    fits = {name: Fit(v.layers or (), predictions(bench, CHOOSE, v)) for name, v in variants.items()}
    fits["all"] = Fit(tuple(there), predictions(bench, CHOOSE, QUARTER))
    found = layers_tell(fits, store.rows.iou, case=store.rows.case, image=store.rows.image)
    legend = (
        "Regressors on the maps of some layers, each trained on the same quarter of the pairs, on the same validation "
        "candidates at T=1.0. Nats: "
        "the Gaussian bound of appendix B with an interval over pictures; % of all: as a share of that on all layers. "
        "Random layers are drawn among the others, as many as there are critical ones or as are left."
    )
    numbers = {one.name: asdict(one) for one in found}
    return Page("layers", "Critical, random and all layers", about, [legend, layers_table(found)], numbers)
