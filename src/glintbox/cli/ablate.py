"""`glintbox heads ablate`: localization heads with another k, smoothing, threshold or criterion, from kept maps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from glintbox import artifacts
from glintbox.ablations import WHAT, Judged, Outcome, Way, judge, outcomes, ways
from glintbox.cells import rows_as_csv
from glintbox.cli.console import errors, progress, results
from glintbox.draw import require_matplotlib, save_figure
from glintbox.draw_heads import ablation_figure
from glintbox.errors import BadInput
from glintbox.finding import table
from glintbox.records import Search
from glintbox.tables_localization import ablation_table
from glintbox.text_stats import TextCard, TextStats

EVERY = "all"


def ablate(
    what: Annotated[str, typer.Argument(help=f"{', '.join(WHAT)}, with commas between, or {EVERY}.")],
    found: Annotated[Path, typer.Argument(help="Folder of numbers in which heads are found (heads find --work).")],
    judged: Annotated[Path, typer.Argument(help="Folder of other cases with their maps (heads find --work --maps).")],
    *,
    samples: Annotated[int, typer.Option(help="Cases of a draw, at most as many as there are.")] = 1000,
    draws: Annotated[int, typer.Option(help="Draws whose selection frequencies are averaged.")] = 5,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for Markdown, CSV and figures.")] = None,
) -> None:
    """glintbox heads ablate criteria numbers-calibration numbers-validation --out ablations

    Localize every case of a folder in other ways: k, sigma, kernel, tau, criteria, heads per case, part of the
    foreground, rules of the public code. Accuracy by size of target, beside what the paper reports. Loads no model.
    """
    names = tuple(WHAT) if what == EVERY else tuple(word.strip() for word in what.split(","))
    if out:
        require_matplotlib()
    chosen_on, kept = TextStats(found), TextStats(judged)
    artifacts.require_equal(chosen_on.card.setting, kept.card.setting, what=f"folder {found} of numbers")
    _same_entropy(chosen_on.card, kept.card)
    _tell(chosen_on, kept, samples)
    search = Search(samples=min(samples, len(chosen_on)), draws=draws)
    numbers = table(chosen_on)
    tried = {name: ways(name, numbers, search) for name in names}
    for name, outcome in _judged(tried, kept).items():
        results.print(f"## {name}\n\n{ablation_table(outcome)}", soft_wrap=True)
        if out:
            _write(out, name, outcome)


def _same_entropy(*cards: TextCard) -> None:
    """Greedy ways choose by the entropies of the second folder, fixed ones by those of the first."""
    told = [f"{card.weight} above {card.factor:g} x mean + {card.floor:g}" for card in cards]
    if len(set(told)) > 1:
        raise BadInput(
            f"expected two folders of one spatial entropy, got {' and '.join(told)}; collect both with one --entropy"
        )


def _tell(found: TextStats, judged: TextStats, samples: int) -> None:
    if samples > len(found):
        errors.print(f"{found.folder} holds {len(found)} cases, fewer than {samples}: every draw is all of them")
    if both := set(found.ids) & set(judged.ids):
        errors.print(
            f"{len(both)} cases are in both folders: heads that were chosen on a case look better there than they are",
            soft_wrap=True,
        )


def _judged(tried: dict[str, list[Way]], kept: TextStats) -> dict[str, list[Outcome]]:
    """Every way of every ablation in one reading of the maps."""
    flat = [way for several in tried.values() for way in several]
    with progress() as bar:
        task = bar.add_task("localizing", total=len(kept))
        judged = judge(flat, kept, kept.card.heads, tick=partial(bar.update, task, advance=1))
    found, start = {}, 0
    for name, several in tried.items():
        end = start + len(several)
        found[name] = outcomes(name, Judged(several, judged.ious[start:end], judged.share))
        start = end
    return found


def _write(out: Path, name: str, found: Sequence[Outcome]) -> None:
    try:
        artifacts.write_whole(out / f"{name}.md", f"# {name}\n\n{ablation_table(found)}".encode())
        artifacts.write_whole(out / f"{name}.csv", rows_as_csv(Outcome, found).encode())
        save_figure(ablation_figure(found), out / f"{name}.png")
    except OSError as error:
        raise BadInput(f"expected a folder that can be written at {out}, got: {error}") from error
