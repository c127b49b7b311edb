"""Every table and figure by name: how it is made, and which answers it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from glintbox.datasets.resolve import SCENES
from glintbox.errors import UnknownName
from glintbox.evaluate import SEED
from glintbox.records import Sampling, Setting
from glintbox.reproduce import (
    architecture,
    decisions,
    galleries,
    gap,
    inside,
    regression,
    rivals,
    selection,
    several,
)
from glintbox.reproduce.bench import Bench
from glintbox.reproduce.pages import Page, commit
from glintbox.reproduce.plan import ANSWERS, Amounts, Data, Need, Part, check_part, needs
from glintbox.reproduce.trained import regressor

Make = Callable[[Bench, Mapping[str, str]], Page]


class Entry(NamedTuple):
    """How a page is made, and the parts whose answers it needs."""

    make: Make
    parts: tuple[Part, ...]


CHOSEN: tuple[Part, ...] = ("learn", "choose")
"""What chooses boxes and temperatures."""

RIVALS = "rivals"

CATALOGUE: Mapping[str, Entry] = {
    "table1": Entry(inside.table1, ("learn",)),
    "table2": Entry(selection.table2, (*CHOSEN, "report")),
    "table3": Entry(regression.table3, ("learn", "report")),
    "table4": Entry(selection.table4, ("learn", "report")),
    "table5": Entry(selection.table5, ("learn", "report")),
    "table6": Entry(several.table6, ("learn", "choose-many", "many")),
    "models": Entry(lambda _, about: architecture.models(about), ()),
    "sizes": Entry(selection.sizes, (*CHOSEN, "large")),
    "transfer": Entry(selection.transfer, (*CHOSEN, "style-b")),
    "gap": Entry(gap.gap, ("learn", "report")),
    RIVALS: Entry(rivals.rivals_page, (*CHOSEN, "report")),
    "heads": Entry(selection.heads, ("learn", "report")),
    "learning": Entry(regression.learning, CHOSEN),
    "layers": Entry(regression.layers_page, CHOSEN),
    "reliability": Entry(regression.reliable, (*CHOSEN, "report")),
    "fig1": Entry(galleries.fig1, (*CHOSEN, "report", "large")),
    "fig3": Entry(inside.fig3, CHOSEN),
    "fig4": Entry(inside.fig4, ("learn",)),
    "fig5": Entry(partial(galleries.gallery, number=5), (*CHOSEN, "report")),
    **{f"fig{k}": Entry(partial(inside.all_layers, number=k), CHOSEN) for k in range(6, 10)},
    "fig10": Entry(inside.fig10, ("learn",)),
    **{f"fig{k}": Entry(partial(galleries.gallery, number=k), (*CHOSEN, "report")) for k in range(11, 15)},
    "fig15": Entry(partial(galleries.gallery, number=15), (*CHOSEN, "style-b")),
    "decisions": Entry(decisions.decisions, (*CHOSEN, "choose-many")),
}
"""The paper's tables and figures, and what it tells in words: sizes, heads, learning, layers, reliability,
transfer; and what greedy gets for the same money, rivals."""

ALL = "all"


def names(what: str, data: Data) -> list[str]:
    """The pages that a word means: one, or "all" that this dataset has; the transfer needs scenes' test style.

    Raises:
        UnknownName: no such page.
        BadInput: a page that this dataset cannot give.
    """
    if what != ALL and what not in CATALOGUE:
        raise UnknownName("table or figure", what, [*CATALOGUE, ALL])
    if what != ALL:
        for part in CATALOGUE[what].parts:
            check_part(data, part)
        return [what]
    has_style = data.dataset == SCENES and data.reported == "test"
    return [name for name, entry in CATALOGUE.items() if has_style or "style-b" not in entry.parts]


def all_needs(pages: Sequence[str], amounts: Amounts) -> list[tuple[Need, ...]]:
    """The answers that these pages need, each once; those of a part are drawn together."""
    parts = dict.fromkeys(part for name in pages for part in CATALOGUE[name].parts)
    moment = [(Need("learn-quarter", 1.0, moment="predicted"),)] * ("decisions" in pages)
    return [needs(part, amounts) for part in parts] + moment


def about(bench: Bench, name: str, command: str) -> dict[str, str]:
    """What a page was measured on and how to make it again; of the regressor on what it learned."""
    parts, told = CATALOGUE[name].parts, {"command": f"`{command}`", "commit": commit()}
    if not parts:
        return told
    found = {part: needs(part, bench.amounts) for part in parts}
    made = regressor(bench).card.training
    assert made is not None  # training always says how
    like, used = Sampling(), made.trained_on
    cases = ", ".join(f"{len(bench.store(of[0]))} {part} (T {_temperatures(of)})" for part, of in found.items())
    own = {
        "model": _model(bench.setting),
        "prompt": bench.setting.prompt,
        "data": ", ".join(dict.fromkeys(bench.data_of(part) for part in parts)),
        "reported on": bench.data.reported,
        "cases": cases,
        "N": f"{ANSWERS} where nothing else is said, top-p {like.top_p:g}, top-k {like.top_k}",
        "seeds": f"{like.seed} of sampling, {made.recipe.seed} of training, {SEED} of the bootstrap",
        "regressor": f"trained on {used.candidates} boxes of {used.pairs} pairs, epoch {made.best} of {made.epochs}",
    }
    return own | told


def _model(setting: Setting) -> str:
    """Name and revision, which the name of a folder's model holds already."""
    return setting.model if setting.revision in setting.model else f"{setting.model} at {setting.revision}"


def _temperatures(wanted: Iterable[Need]) -> str:
    return ", ".join(f"{need.temperature:g}" for need in wanted)
