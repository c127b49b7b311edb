"""What commands that evaluate write beside their tables: a gallery of wins and losses; all files into a folder."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from glintbox.artifacts import write_whole
from glintbox.cli.console import errors
from glintbox.draw import Figure, save_figure
from glintbox.draw_gallery import Shown, gallery_figure
from glintbox.errors import BadInput
from glintbox.evaluate import Judged, outcomes
from glintbox.images import open_image
from glintbox.records import Sample

EACH = 4
"""Pictures per outcome in the gallery: the first ones, nobody picks."""


def gallery(method: Judged | None, samples: Sequence[Sample]) -> Figure | None:
    """The first cases of each outcome of a method; None where there is none, or nothing differs from greedy."""
    if method is None:
        return None
    of = {sample.id: sample for sample in samples}
    shown = {
        outcome: [
            Shown(open_image(of[case.id].image), of[case.id].query, of[case.id].truth, case) for case in cases[:EACH]
        ]
        for outcome, cases in outcomes(method).items()
    }
    counts = {outcome: len(cases) for outcome, cases in outcomes(method).items()}
    title = f"{method.method}, T={method.temperature:g}"
    return gallery_figure(shown, title=title, counts=counts) if any(shown.values()) else None


def save_report(out: Path, files: Mapping[str, str | Figure]) -> None:
    """Write texts and pictures by their names, each whole, and say so.

    Raises:
        BadInput: they cannot be written.
    """
    try:
        for name, content in files.items():
            write_whole(out / name, content.encode() if isinstance(content, str) else _png(content))
    except OSError as error:
        raise BadInput(
            f"could not write the report into {out}: {error}; the answers are kept, name another --out and run again"
        ) from error
    errors.print(f"{', '.join(files)} lie in {out}", soft_wrap=True)


def _png(figure: Figure) -> bytes:
    written = io.BytesIO()
    save_figure(figure, written)
    return written.getvalue()
