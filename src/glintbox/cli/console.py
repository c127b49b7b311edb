"""Where commands write: results on stdout, everything else on stderr."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

# text as it is: no ":dog:" becomes a picture, no "[x]" of a path is taken for markup, no megabyte of JSON is searched
# for what could be coloured
errors = Console(stderr=True, emoji=False, highlight=False, markup=False)
results = Console(emoji=False, highlight=False, markup=False)


class _Rate(ProgressColumn):
    """Seconds per piece, or pieces per second, whichever is above one."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s each")


def progress() -> Progress:
    """A bar with counts, rate, elapsed and remaining time on stderr; silent where stderr is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeElapsedColumn())
    return Progress(*columns, TimeRemainingColumn(), console=errors, disable=not errors.is_terminal)


def table(heading: Iterable[str], rows: Iterable[Iterable[object]], *, title: str | None = None) -> Table:
    """A plain table of strings."""
    made = Table(*heading, title=title)
    for row in rows:
        made.add_row(*(str(cell) for cell in row))
    return made
