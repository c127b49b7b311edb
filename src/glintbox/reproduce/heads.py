"""Critical layers and head maps, found on the learning answers alone."""

from __future__ import annotations

from typing import Literal

from glintbox.analysis.entropies import Entropies, entropies
from glintbox.analysis.heads import find_heads, heads_in
from glintbox.analysis.importance import (
    CriticalLayers,
    Importance,
    Of,
    critical_layers,
    importance,
    load_importance,
    unseen,
)
from glintbox.analysis.separation import Separation, separation
from glintbox.records import Head, HeadMap, to_json
from glintbox.regressor import fingerprint
from glintbox.reproduce.bench import Bench, keep
from glintbox.reproduce.trained import ALL, Variant, learned_from, regressor

Universe = Literal["critical", "top", "all"]
"""Heads to choose among: those of the critical range, of Table 1's layers, or all (docs/acs.md 12, 13)."""


def gradient(bench: Bench, *, of: Of = "loss") -> Importance:
    """Equation 2 over the learning pictures that the regressor was not trained on."""

    def found() -> Importance:
        bundle, store = regressor(bench), bench.store(learned_from(ALL))
        path = bench.work / f"importance-{of}-{fingerprint(bundle)}.json"
        if path.is_file():
            return load_importance(path)
        rows = unseen(bundle, store)
        with bench.bars(f"gradient of the {of}", len(rows)) as more:
            made = importance(bundle, store, rows=rows, of=of, tick=more)
        keep(path, to_json(made).encode() + b"\n")
        return made

    return bench.once(("gradient", of), found)


def layers(bench: Bench, *, of: Of = "loss") -> CriticalLayers:
    """The localization-critical layers."""
    return critical_layers(gradient(bench, of=of))


def read_entropies(bench: Bench, variant: Variant = ALL) -> Entropies:
    """Entropies of all learning candidates, each on its picture's own grid."""
    need = learned_from(variant)

    def read() -> Entropies:
        store = bench.store(need)
        with bench.bars("reading entropies", len(store)) as more:
            return entropies(one for one in store.labelled() if more(1) is None)

    return bench.once(("entropies", need), read)


def separated(bench: Bench) -> Separation:
    """How well each head's entropy separates good boxes from poor ones, over all learning candidates."""
    return bench.once("separation", lambda: separation(read_entropies(bench)))


def heads_among(bench: Bench, universe: Universe, *, of: Of = "loss") -> tuple[Head, ...] | None:
    """The heads of a universe, None = all."""
    if universe == "all":
        return None
    critical = layers(bench, of=of)
    return heads_in(gradient(bench, of=of).heads, critical.range if universe == "critical" else critical.top)


def head_map(
    bench: Bench, *, n: int = 3, universe: Universe = "critical", of: Of = "loss", found: Separation | None = None
) -> HeadMap:
    """The n heads of the largest ΔH per coordinate; by default as the paper finds them.

    found: another table of separations to choose from.

    Raises:
        BadInput: too few good or poor boxes, or fewer than n heads to choose among.
    """
    store = bench.store(learned_from(ALL))
    data = f"{store.card.data}, {len(store)} cases"
    among = heads_among(bench, universe, of=of)
    return find_heads(
        found or separated(bench), setting=store.card.setting, data=data, n=n, universe=among, among=f" ({universe})"
    )
