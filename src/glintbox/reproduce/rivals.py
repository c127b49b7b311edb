"""What greedy gets for the same money, beside what choosing among samples gets: the page `rivals`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any, NamedTuple

from glintbox.cells import signed, table, within
from glintbox.compare import judged_answer
from glintbox.datasets.resolve import SCENES
from glintbox.errors import BadInput
from glintbox.evaluate import GREEDY, ORACLE, Judged, paired
from glintbox.reproduce.bench import Bench
from glintbox.reproduce.pages import Page
from glintbox.reproduce.plan import ANSWERS, Need, Part, needs
from glintbox.reproduce.selection import FREE, LEARNED, best_temperatures, judged, numbers_of
from glintbox.rivals import ALONE, RIVALS, Asked
from glintbox.store import Stored

SHOWN = (GREEDY, FREE, LEARNED)
LEGEND = (
    f"`upscale`: greedy on the picture enlarged twice. `crop`: greedy, then greedy again on a part of the picture "
    f"around its box, enlarged. Both draw nothing. ACS draws {ANSWERS} answers and greedy's, at the temperature chosen "
    "on validation. Acc@0.5 and mIoU in % with 95 % bootstrap intervals, differences in points, cases drawn in pairs, "
    "bold where 0 lies outside. Cost of a case: prompts run, image tokens in all of them, answers written."
)


class Spent(NamedTuple):
    """What a case costs, on average."""

    prompts: float
    image_tokens: float
    answers: float


def parts_of(bench: Bench) -> tuple[Part, ...]:
    """The cases that rivals are asked about: of scenes also those of the other style."""
    has_style = bench.data.dataset == SCENES and bench.data.reported == "test"
    return ("report", "style-b") if has_style else ("report",)


def usable(bench: Bench, part: Part) -> tuple[list[str], list[str]]:
    """The rivals that this model allows, and why the others are left out; each is tried on the first case."""
    names, refused = [], []
    bench.rivals(part, (), first=1)  # what refuses greedy itself is no fault of a rival
    for name in RIVALS:
        try:
            bench.rivals(part, (name,), first=1)
            names.append(name)
        except BadInput as error:
            refused.append(f"`{name}` is left out: {error}")
    return names, refused


def rivals_page(bench: Bench, about: Mapping[str, str]) -> Page:
    """Greedy on more pixels against choosing among samples, on the same cases."""
    parts, numbers = [LEGEND], dict[str, Any]()
    names, refused = usable(bench, "report")
    for part in parts_of(bench):
        rows, numbers[part] = _rows(bench, part, bench.rivals(part, names), names)
        parts += [f"## {bench.data_of(part)}", table(HEADING, rows, words=2)]
    return Page("rivals", "What greedy gets for the same money", about, parts + refused, numbers)


HEADING = ("method", "T", "Acc@0.5", "mIoU", "- greedy", f"{LEARNED} minus that", *Spent._fields)


def _rows(
    bench: Bench, part: Part, said: Mapping[str, Mapping[str, Asked]], names: Sequence[str]
) -> tuple[list[tuple[object, ...]], dict[str, Any]]:
    chosen = best_temperatures(bench)
    at = {need.temperature: judged(bench, need)[ANSWERS] for need in needs(part, bench.amounts)}
    [need] = [need for need in needs(part, bench.amounts) if need.temperature == chosen[LEARNED]]
    tokens = fmean(one[ALONE].image_tokens for one in said.values())
    methods = {name: at[chosen[name]][name] for name in SHOWN}
    spent = {name: Spent(1, tokens, 1 if name == GREEDY else ANSWERS + 1) for name in SHOWN}
    for name in names:
        cases = (judged_answer(sample, found, name, said[sample.id][name]) for sample, found in _answered(bench, need))
        methods[name] = Judged(name, need.temperature, tuple(cases))
        prompts = fmean(one[name].prompts for one in said.values())
        spent[name] = Spent(prompts, fmean(one[name].image_tokens for one in said.values()), prompts)
    told = {name: {"report": asdict(numbers_of(found)), "cost": spent[name]} for name, found in methods.items()}
    return [*_cells(methods, spent, chosen)], told


def _answered(bench: Bench, need: Need) -> Iterator[Stored]:
    store = bench.store(need)
    return (store[k] for k in range(len(store)))


def _cells(
    methods: Mapping[str, Judged], spent: Mapping[str, Spent], chosen: Mapping[str, float]
) -> Iterator[tuple[object, ...]]:
    learned = methods[LEARNED]
    for name, found in methods.items():
        numbers, versus = numbers_of(found), paired(learned, found)
        gain = "-" if name == GREEDY else signed(numbers.gain, numbers.gain_interval)
        ahead = "-" if name == LEARNED else signed(versus.gain, versus.interval)
        shown = f"{chosen[name]:g}" if name in (FREE, LEARNED) else "-"
        accuracy, iou = within(numbers.acc_at_50, numbers.acc_interval), within(numbers.mean_iou, numbers.iou_interval)
        cost = (f"{spent[name].prompts:.2f}", f"{spent[name].image_tokens:.0f}", f"{spent[name].answers:.2f}")
        yield (name, shown, accuracy, iou, gain, ahead, *cost)
    best = numbers_of(learned)
    yield (ORACLE, f"{learned.temperature:g}", within(best.oracle, best.oracle_interval), *[""] * 6)
