"""`glintbox select`: another choice among candidates that are kept; no model, no waiting."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from glintbox.artifacts import load_heads
from glintbox.cli.console import errors, results
from glintbox.cli.ground import AsJson, Heads, Looks, Regressor
from glintbox.cli.working import line
from glintbox.errors import BadInput
from glintbox.ground import grounding
from glintbox.records import Grounding, to_json
from glintbox.regressor import load_regressor
from glintbox.runs import Kept, read_results
from glintbox.selectors import selector as selector_of

Results = Annotated[Path, typer.Argument(help="A folder that `ground` wrote, or its --json lines.")]


def select(
    found: Results,
    *,
    selector: Annotated[str, typer.Option(help="A name: acs-free, consensus, majority-vote …")] = "consensus",
    multiple: Annotated[bool, typer.Option("--multiple", help="Several objects: one box per cluster.")] = False,
    heads: Heads = None,
    regressor: Regressor = None,
    localization: Looks = None,
    as_json: AsJson = False,
) -> None:
    """glintbox select found --selector majority-vote

    Choose again among the candidates that `ground` kept. Nothing is drawn and no model is loaded, so an artefact that a
    selector needs has to be named. What is kept stays as it is; --json lines are what `export` takes.
    """
    chosen = selector_of(
        selector,
        headmap=load_heads(heads) if heads else None,
        regressor=load_regressor(regressor) if regressor else None,
        localization=load_heads(localization) if localization else None,
        multiple=multiple,
    )
    finished = read_results(found)
    _refuse_without_answers(finished.kept)
    again = [grounding(one.result.found, chosen) for one in finished.kept]
    for one in again:
        results.print(to_json(one) if as_json else line(one), soft_wrap=True)
    for failed in finished.failed:
        errors.print(f"not in it, failed: {failed.id} ({failed.image}): {failed.why}", soft_wrap=True)
    if finished.pending:
        errors.print(f"not in it, not done yet: {', '.join(finished.pending)}", soft_wrap=True)
    others = sum(_places(one) != _places(kept.result) for one, kept in zip(again, finished.kept, strict=True))
    errors.print(f"{others} of {len(again)} results have other boxes than before", soft_wrap=True)


def _refuse_without_answers(kept: Sequence[Kept]) -> None:
    """What localization heads found has no candidates; choosing among none would tell that nothing was found."""
    if without := [one.result.id for one in kept if not one.result.found.responses]:
        raise BadInput(
            f"expected results of glintbox ground, whose answers hold candidates, got none with {', '.join(without)}; "
            "results of glintbox locate cannot be chosen again"
        )


def _places(found: Grounding) -> list[object]:
    return [best.box for best in found.boxes]
