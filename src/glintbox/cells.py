"""Numbers as the cells of a report: percent with intervals, Markdown tables, CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from glintbox.metrics import Interval


def table(heading: Sequence[str], rows: Iterable[Sequence[object]], *, words: int) -> str:
    """A Markdown table whose first `words` columns are words and the others numbers."""
    rule = ["---"] * words + ["--:"] * (len(heading) - words)
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (heading, rule, *rows))


def percent(value: float, *, digits: int = 1) -> str:
    """A share in percent, without the sign for it: 0.125 is "12.5"."""
    return f"{100 * value:.{digits}f}"


def ends(interval: Interval, *, digits: int = 1) -> str:
    """An interval of shares in percent: "10.0 to 15.0"."""
    return f"{percent(interval.low, digits=digits)} to {percent(interval.high, digits=digits)}"


def within(value: float, interval: Interval) -> str:
    """A share and its interval in percent: "12.5 (10.0 to 15.0)"."""
    return f"{percent(value)} ({ends(interval)})"


def plus(value: float) -> str:
    """A difference of shares in points, with its sign; what rounds to nothing has none."""
    text = f"{100 * value:+.1f}"
    return text if float(text) else "0.0"


def signed(value: float, interval: Interval) -> str:
    """A difference and its interval in points, bold where 0 lies outside."""
    text = plus(value)
    return f"{f'**{text}**' if differs(interval) else text} ({ends(interval)})"


def differs(interval: Interval) -> bool:
    """Whether 0 lies outside."""
    return not interval.low <= 0 <= interval.high


def rows_as_csv(kind: type, rows: Iterable[object]) -> str:
    """One line per record of a dataclass, its fields as columns (shares, not percent); None is empty.

    A field whose name holds "interval" becomes two columns.
    """
    names = [field.name for field in fields(kind)]
    columns = [end for name in names for end in ((f"{name}_low", f"{name}_high") if "interval" in name else (name,))]
    written = io.StringIO()
    lines = csv.writer(written, lineterminator="\n")
    lines.writerow(columns)
    for row in rows:
        lines.writerow([cell for name in names for cell in _flat(name, getattr(row, name))])
    return written.getvalue()


def _flat(name: str, value: Any) -> tuple[object, ...]:
    if "interval" not in name:
        return (value,)
    return tuple(value) if isinstance(value, Interval) else ("", "")
