"""`glintbox export`: results that `glintbox ground --out` kept → one file for another tool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from glintbox.artifacts import write_whole
from glintbox.cli.console import errors
from glintbox.cli.working import why_none
from glintbox.datasets.coco import read_coco
from glintbox.errors import BadInput, UnknownName
from glintbox.export_files import FORMATS, Options
from glintbox.exports import SCORE_KINDS, UNSCORED
from glintbox.runs import Finished, Kept, read_results

Results = Annotated[Path, typer.Argument(help="A folder that `ground` or `locate` wrote, or their --json lines.")]
To = Annotated[str, typer.Option("--to", help=", ".join(FORMATS) + ".")]
Out = Annotated[Path, typer.Option("--out", "-o", help="The file to write; one that is there is replaced.")]
Ids = Annotated[Path | None, typer.Option("--annotations", help="For coco: the COCO file whose ids are to be used.")]
Unscored = Annotated[float, typer.Option(help="For coco: the score of a box to which the method gives none.")]
Frame = Annotated[str, typer.Option(help="For bbox-2d: pixels of the original, 1000, 999, 1, or model for its own.")]
Prefix = Annotated[
    str | None,
    typer.Option(help="For label-studio: put before pictures' names instead of their folder, e.g. a URL."),
]


def export(
    results: Results,
    *,
    to: To,
    out: Out,
    annotations: Ids = None,
    unscored: Unscored = UNSCORED,
    frame: Frame = "pixels",
    prefix: Prefix = None,
) -> None:
    """glintbox export found --to csv --out found.csv

    Results of `ground` or `locate` as one file for another tool; says what has no box, and why.
    """
    if to not in FORMATS:
        raise UnknownName("format", to, FORMATS)
    finished = read_results(results)
    ids = read_coco(annotations) if annotations else None
    text = FORMATS[to](finished.kept, Options(ids, unscored, frame, prefix))
    try:
        write_whole(out, text.encode())
    except OSError as error:
        raise BadInput(f"expected a file that can be written at {out}, got: {error}") from error
    for told in summary(finished, to, unscored):
        errors.print(told, soft_wrap=True)
    errors.print(f"{to} of {len(finished.kept)} results lies in {out}", soft_wrap=True)


def summary(finished: Finished, to: str, unscored: float) -> list[str]:
    """What a user should know of an export: what is not in it, what has no box, what its scores are."""
    told = [f"not in it, failed: {one.id} ({one.image}): {one.why}" for one in finished.failed]
    if finished.pending:
        told.append(f"not in it, not done yet: {', '.join(finished.pending)}")
    told += [
        f"without a box: {one.result.id} ({why_none(one.result)})" for one in finished.kept if not one.result.boxes
    ]
    kinds = Counter(one.result.score_kind for one in finished.kept if one.result.boxes)
    told += [f"scores of {count} results: {kind}, {SCORE_KINDS[kind]}" for kind, count in kinds.items()]
    return [*told, *(_of_coco(finished.kept, unscored) if to == "coco" else ())]


def _of_coco(kept: Sequence[Kept], unscored: float) -> list[str]:
    """COCO's AP ranks the boxes of all pictures by their scores, whatever these are."""
    boxes = [(one.result.score_kind, box.score) for one in kept for box in one.result.boxes]
    bare = sum(score is None for _, score in boxes)
    odd = sorted({kind for kind, score in boxes if score is not None and kind != "iou"})
    told = [f"{bare} boxes have no score; COCO demands one, so {unscored:g} stands there (--unscored)"] if bare else []
    if odd:
        told.append(
            f"warning: AP ranks boxes of all pictures by score, and scores of kind {', '.join(odd)} were not made for "
            "that; use predicted IoUs (--selector acs-learned), or read AP with that in mind"
        )
    return told
