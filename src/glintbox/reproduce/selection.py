"""Which box is chosen: Table 2, 4 and 5, other sizes, another style, and how many heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from glintbox.cells import percent, signed, table, within
from glintbox.evaluate import GREEDY, ORACLE, Judged, Report, paired, report
from glintbox.records import Selector
from glintbox.reproduce import reported
from glintbox.reproduce.answers import GREEDY_FIRST, acs_learned, judge
from glintbox.reproduce.bench import Bench
from glintbox.reproduce.heads import Universe, gradient, head_map, heads_among
from glintbox.reproduce.pages import REPORTED, Page
from glintbox.reproduce.plan import ANSWERS, TEMPERATURES, Need, Part, needs
from glintbox.reproduce.trained import predicted
from glintbox.selectors import selector

BASELINES = ("pass-at-1", "first-valid", "token-entropy", "majority-vote", "mean-box", "smallest")
"""The paper's, in its order."""

OWN = ("random", "consensus")
"""Not in the paper: chance, and the box that the others agree with."""

numbers_of = lru_cache(maxsize=None)(report)
"""The numbers of a method, with intervals that take a while: computed once."""

FREE, BY_LABELS, LEARNED = "acs-free", "acs-free, heads by labels", "acs-learned"
TRAINING_FREE = (*BASELINES, *OWN, FREE, BY_LABELS)
LEGEND = (
    "Acc@0.5 and mIoU in %, over all cases (no box counts 0), with 95 % bootstrap intervals; differences to greedy in "
    "points, cases drawn in pairs, bold where 0 lies outside. Gap: how much of the way from greedy to the best sampled "
    "box is gone. `acs-free` chooses its heads in the critical layers of the regressor, as the paper does; *by labels* "
    "chooses among all heads and needs no regressor."
)


def methods(bench: Bench, need: Need) -> dict[str, Selector]:
    """Every way to choose, by the name that tables show."""
    named = {name: selector(name) for name in (*BASELINES, *OWN)}
    free = {FREE: selector(FREE, headmap=head_map(bench))}
    free[BY_LABELS] = selector(FREE, headmap=head_map(bench, universe="all"))
    return {GREEDY: GREEDY_FIRST} | named | free | {LEARNED: acs_learned(predicted(bench, need))}


def judged(bench: Bench, need: Need, counts: Sequence[int] = (ANSWERS,)) -> dict[int, dict[str, Judged]]:
    """Every method on the first k answers of a need, for each k; what was judged before is not judged again."""
    known = bench.once(("judged", need), dict[int, dict[str, Judged]])
    missing = [k for k in counts if k not in known]
    if missing:
        store, by = bench.store(need), methods(bench, need)
        with bench.bars(f"{need.part}, T {need.temperature:g}: choosing", len(store)) as more:
            for k, found in judge(store, by, missing, tick=more).items():
                known[k] = {one.method: one for one in found}
    return {k: known[k] for k in counts}


def best_temperatures(bench: Bench) -> dict[str, float]:
    """For each method the temperature of its highest Acc@0.5, then mIoU, on the choosing cases: never on test."""

    def chosen() -> dict[str, float]:
        at = {need.temperature: judged(bench, need)[ANSWERS] for need in needs("choose", bench.amounts)}
        worth = {T: {name: numbers_of(one) for name, one in of.items()} for T, of in at.items()}
        return {
            name: max(worth, key=lambda T: (worth[T][name].acc_at_50, worth[T][name].mean_iou))
            for name in next(iter(worth.values()))
        }

    return bench.once("best temperatures", chosen)


def table2(bench: Bench, about: Mapping[str, str]) -> Page:
    """Every method at every temperature."""
    at, parts, numbers = _at(bench, "report"), [LEGEND, REPORTED], dict[str, Any]()
    chosen = best_temperatures(bench)
    parts += ["## At the temperature chosen on validation", _chosen(at, chosen)]
    parts += ["## All temperatures", _all(at, chosen, _dataset(bench))]
    parts += ["## ACS-Free among what needs no training", _rank(at)]
    numbers["temperatures chosen"] = chosen
    numbers["reports"] = [asdict(numbers_of(one)) for of in at.values() for one in of.values()]
    return Page("table2", "Table 2: every method at every temperature", about, parts, numbers)


def _at(bench: Bench, part: Part) -> dict[float, dict[str, Judged]]:
    return {need.temperature: judged(bench, need)[ANSWERS] for need in needs(part, bench.amounts)}


def _dataset(bench: Bench) -> str:
    return "objects365" if "objects365" in bench.data.dataset else "coco"


def _chosen(at: Mapping[float, Mapping[str, Judged]], chosen: Mapping[str, float]) -> str:
    """One line per method at its own temperature, with the gain of the paper beside that of ACS."""
    rows = []
    for name, temperature in chosen.items():
        found = numbers_of(at[temperature][name])
        relative = "-" if name == GREEDY or not found.greedy else f"{100 * found.gain / found.greedy:+.1f} %"
        shown = "-" if name == GREEDY else f"{temperature:g}"
        rows.append((name, shown, *_cells(found), relative, RELATIVE.get(name, "")))
    heading = ("method", "T", "Acc@0.5", "mIoU", "- greedy", "gap closed", "relative gain", "*reported* relative gain")
    oracle = numbers_of(at[chosen[LEARNED]][LEARNED])
    best = within(oracle.oracle, oracle.oracle_interval)
    rows.append((ORACLE, f"{chosen[LEARNED]:g}", best, "", "", "100", "", ""))
    return table(heading, rows, words=2)


RELATIVE: Mapping[str, str] = {
    FREE: "+3.26 % (Qwen2.5-VL, COCO), +8.15 % (InternVL-3.5, COCO)",
    LEARNED: "+6.35 % (Qwen2.5-VL, COCO), +19.35 % (InternVL-3.5, COCO)",
}
"""Reported relative gains in Acc@0.5 over greedy (section 5.3)."""


def _cells(found: Report) -> tuple[str, str, str, str]:
    """Acc, mIoU, the difference to greedy and the gap closed."""
    gain = "-" if found.method == GREEDY else signed(found.gain, found.gain_interval)
    closed = "-" if found.gap_closed is None or gain == "-" else percent(found.gap_closed, digits=0)
    if closed != "-" and found.gap_interval:
        closed += f" ({percent(found.gap_interval.low, digits=0)} to {percent(found.gap_interval.high, digits=0)})"
    return within(found.acc_at_50, found.acc_interval), within(found.mean_iou, found.iou_interval), gain, closed


def _all(at: Mapping[float, Mapping[str, Judged]], chosen: Mapping[str, float], dataset: str) -> str:
    """The paper's rows, its columns beside ours; the temperature that validation chose is marked."""
    paper_of, rows = reported.table2(dataset), []
    greedy = reported.GREEDY[dataset]
    for name in next(iter(at.values())):
        for temperature in TEMPERATURES[::-1] if name != GREEDY else (chosen[name],):
            found = numbers_of(at[temperature][name])
            paper = paper_of.get((name, temperature), greedy if name == GREEDY else ("",) * 4)
            mark = " (chosen)" if temperature == chosen[name] and name != GREEDY else ""
            shown = "-" if name == GREEDY else f"{temperature:g}{mark}"
            ap = "-" if found.ap_at_50 is None else percent(found.ap_at_50)
            rows.append((name, shown, *_cells(found), ap, found.missing, *paper))
    heading = ("method", "T", "Acc@0.5", "mIoU", "- greedy", "gap closed", "AP@0.5", "no box")
    return table((*heading, *(f"*reported* {column}" for column in reported.COLUMNS)), rows, words=2)


def _rank(at: Mapping[float, Mapping[str, Judged]]) -> str:
    """The place of ACS-Free by Acc@0.5 at each temperature, and its difference to the best of the others."""
    rows = []
    for temperature, of in at.items():
        acc = {name: numbers_of(of[name]).acc_at_50 for name in (*TRAINING_FREE, GREEDY) if name != BY_LABELS}
        best = max((name for name in acc if name != FREE), key=lambda name: acc[name])
        difference = paired(of[FREE], of[best])
        place = 1 + sum(value > acc[FREE] for value in acc.values())
        rows.append((f"{temperature:g}", f"{place} of {len(acc)}", best, signed(difference.gain, difference.interval)))
    return table(("T", "rank of acs-free", "best of the others", "acs-free minus that"), rows, words=3)


def table4(bench: Bench, about: Mapping[str, str]) -> Page:
    """More and more answers at T=1.0."""
    [need] = [need for need in needs("report", bench.amounts) if need.temperature == 1.0]
    counts = [k for k in reported.TABLE4 if k <= need.n]
    rows, numbers = [], {}
    for k, of in judged(bench, need, counts).items():
        learned, free = numbers_of(of[LEARNED]), numbers_of(of[FREE])
        acc, iou, *_ = _cells(learned)
        best = within(learned.oracle, learned.oracle_interval)
        rows.append((k, acc, iou, percent(free.acc_at_50), percent(numbers_of(of["consensus"]).acc_at_50), best,
                     *reported.TABLE4[k]))  # fmt: skip
        numbers[str(k)] = {name: asdict(numbers_of(of[name])) for name in (LEARNED, FREE, "consensus")}
    heading = ("N", "ACS-Learned Acc@0.5", "mIoU", "acs-free Acc", "consensus Acc", ORACLE, *_paper("Acc", "mIoU"))
    note = "The paper's mIoU of N = 3 is that of N = 1 in its Table 5; the same setting has 51.4 there."
    legend = "T = 1.0; N = 3, 5, … are the first answers of the same draw."
    parts = [legend, REPORTED, table(heading, rows, words=0), note]
    return Page("table4", "Table 4: how many answers", about, parts, numbers)


def _paper(*columns: str, model: str = "Qwen2.5-VL") -> tuple[str, ...]:
    return tuple(f"*reported* {model} {column}" for column in columns)


def table5(bench: Bench, about: Mapping[str, str]) -> Page:
    """Few answers at every temperature, chosen among by ACS-Learned."""
    at = {need.temperature: judged(bench, need, tuple(reported.TABLE5)) for need in needs("report", bench.amounts)}
    rows, numbers = [], {}
    for k, paper in reported.TABLE5.items():
        for temperature in TEMPERATURES[::-1]:
            found = numbers_of(at[temperature][k][LEARNED])
            rows.append((k, f"{temperature:g}", *_cells(found), *paper[temperature]))
            numbers[f"N {k}, T {temperature:g}"] = asdict(found)
    heading = ("N", "T", "ACS-Learned Acc@0.5", "mIoU", "- greedy", "gap closed", *_paper("Acc", "mIoU"))
    legend = "N = 1 still chooses, among the boxes of the one answer."
    parts = [LEGEND, legend, REPORTED, table(heading, rows, words=2)]
    return Page("table5", "Table 5: few answers at every temperature", about, parts, numbers)


def sizes(bench: Bench, about: Mapping[str, str]) -> Page:
    """Medium and large objects: more than 5 % of the picture (section 5.5)."""
    paper = "; ".join(f"{name}: greedy {a:g}, ACS-Learned {b:g}" for name, (a, b) in reported.LARGE.items())
    note = f"*Reported* Acc@0.5 on COCO: {paper}. The regressor and the heads are those of the small objects."
    return _of_part(bench, about, "large", ("sizes", "Medium and large objects (over 5 % of the picture)", note))


def transfer(bench: Bench, about: Mapping[str, str]) -> Page:
    """Another style of pictures, with the regressor and heads of the first."""
    note = "Regressor, heads and temperatures come from style a; style b has other drawings and other grounds."
    return _of_part(bench, about, "style-b", ("transfer", "Transfer to pictures of style b", note))


def _of_part(bench: Bench, about: Mapping[str, str], part: Part, words: tuple[str, str, str]) -> Page:
    at, chosen, (name, title, note) = _at(bench, part), best_temperatures(bench), words
    rows = [
        (method, f"{temperature:g}{' (chosen)' * (temperature == chosen[method])}", *_cells(numbers_of(of[method])))
        for method in chosen
        for temperature, of in (at.items() if method != GREEDY else [(chosen[method], at[chosen[method]])])
    ]
    heading = ("method", "T", "Acc@0.5", "mIoU", "- greedy", "gap closed")
    numbers = {"reports": [asdict(numbers_of(one)) for of in at.values() for one in of.values()]}
    return Page(name, title, about, [LEGEND, note, table(heading, rows, words=2)], numbers)


MOST_HEADS = range(1, 9)
UNIVERSES: tuple[Universe, Universe] = ("critical", "all")


def heads(bench: Bench, about: Mapping[str, str]) -> Page:
    """ACS-Free with 1 to 8 heads per coordinate."""
    rows, numbers = [], dict[str, Any]()
    by = {
        f"{n} {universe}": selector(FREE, headmap=head_map(bench, n=n, universe=universe))
        for universe in UNIVERSES
        for n in MOST_HEADS
        if n <= len(heads_among(bench, universe) or gradient(bench).heads)
    }
    for need in needs("report", bench.amounts):
        store = bench.store(need)
        with bench.bars(f"report, T {need.temperature:g}: heads", len(store)) as more:
            found = dict(zip(by, judge(store, by, [ANSWERS], tick=more)[ANSWERS], strict=True))
        numbers[f"{need.temperature:g}"] = {name: asdict(numbers_of(one)) for name, one in found.items()}
        for universe in UNIVERSES:
            shown = [found.get(f"{n} {universe}") for n in MOST_HEADS]
            accuracies = (percent(numbers_of(one).acc_at_50) if one else "-" for one in shown)
            rows.append((f"{need.temperature:g}", universe, *accuracies))
    legend = "Acc@0.5 in % of acs-free by the number of heads per coordinate; the paper takes 3, from critical layers."
    parts = [legend, table(("T", "heads among", *(f"n = {n}" for n in MOST_HEADS)), rows, words=2)]
    return Page("heads", "How many heads per coordinate", about, parts, numbers)
