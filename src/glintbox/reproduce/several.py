"""Several objects in a picture: Table 6."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from glintbox.cells import ends, plus, signed, table, within
from glintbox.evaluate import ORACLE
from glintbox.evaluate_many import BASE, SUPPRESSION, JudgedMany, ManyReport, evaluate_many, judge_many
from glintbox.records import Selector
from glintbox.reproduce import reported
from glintbox.reproduce.answers import acs_learned
from glintbox.reproduce.bench import Bench
from glintbox.reproduce.heads import head_map
from glintbox.reproduce.pages import REPORTED, Page
from glintbox.reproduce.plan import Need, Part, needs
from glintbox.reproduce.selection import FREE, LEARNED
from glintbox.reproduce.trained import predicted
from glintbox.selectors import selector
from glintbox.selectors.base import Clusters


def judged(bench: Bench, need: Need, selectors: Mapping[str, Selector]) -> list[JudgedMany]:
    """Greedy, every selector and the oracle on the answers of a need."""
    store = bench.store(need)
    with bench.bars(f"{need.part}, T {need.temperature:g}: choosing", len(store)) as more:
        return judge_many((store[k] for k in range(len(store)) if more(1) is None), selectors)


def methods(bench: Bench, need: Need, multiple: bool | Clusters = True) -> dict[str, Selector]:
    """What chooses one box per cluster."""
    free = selector(FREE, headmap=head_map(bench), multiple=multiple)
    learned = acs_learned(predicted(bench, need), multiple=multiple)
    return {"consensus": selector("consensus", multiple=multiple), FREE: free, LEARNED: learned}


def reports(bench: Bench, part: Part) -> list[ManyReport]:
    """Every method at every temperature over all cases of a part."""
    found = [one for need in needs(part, bench.amounts) for one in judged(bench, need, methods(bench, need))]
    return [one for one in evaluate_many(found, about={}).reports if one.size == "all"]


def best_temperature(bench: Bench) -> float:
    """The temperature of ACS-Learned's highest F1 on the choosing cases."""
    found = [one for one in reports(bench, "choose-many") if one.method == LEARNED]
    return max(found, key=lambda one: one.f1).temperature


def table6(bench: Bench, about: Mapping[str, str]) -> Page:
    """Precision, recall and F1 of greedy with and without suppression, and of ACS."""
    found, chosen = reports(bench, "many"), best_temperature(bench)
    rows = []
    for one in found:
        plain = one.method in SUPPRESSION
        if plain and one.temperature != found[0].temperature:
            continue  # greedy is the same at every temperature
        numbers = reported.TABLE6.get((one.method, None if plain else one.temperature))
        paper = [f"{value:.2f}" for value in numbers] if numbers else [""] * 3
        mark = " (chosen)" if one.method == LEARNED and one.temperature == chosen else ""
        rows.append((one.method, "-" if plain else f"{one.temperature:g}{mark}", *_cells(one), *paper))
    columns = ("precision", "recall", "F1")
    heading = ("method", "T", *columns, "F1 minus base", "relative", *(f"*reported* {name}" for name in columns))
    legend = (
        f"{found[0].n} cases with {found[0].truth} true boxes; in %, counted over all cases together, boxes matched "
        f"one to one at IoU 0.5, 95 % bootstrap intervals over cases. Base: {BASE}. ACS gives the best box of every "
        f"cluster of candidates (IoU 0.5, at least two members). The {ORACLE} keeps exactly the samples that match. "
        "The temperature is chosen on validation by F1."
    )
    parts = [legend, REPORTED, table(heading, rows, words=2)]
    return Page("table6", "Table 6: several objects", about, parts, {"reports": [asdict(one) for one in found]})


def _cells(one: ManyReport) -> tuple[str, ...]:
    numbers = (
        (one.precision, one.precision_interval),
        (one.recall, one.recall_interval),
        (one.f1, one.f1_interval),
    )
    if one.method == BASE:
        return (*(within(*number) for number in numbers), "-", "-")
    relative = "-" if one.relative is None else f"{plus(one.relative)} %"
    if one.relative_interval and relative != "-":
        relative += f" ({ends(one.relative_interval)})"
    return (*(within(*number) for number in numbers), signed(one.gain, one.gain_interval), relative)
