"""`glintbox heads reported`: the tables of the localization-heads paper, as reported."""

from __future__ import annotations

from glintbox.cli.console import results
from glintbox.reported_heads import reported_tables


def reported() -> None:
    """glintbox heads reported > reported.md

    Print what the localization-heads paper reports (Tables 1, 2, 3, 6, 7, 9); nobody has reproduced it publicly.
    """
    results.print(reported_tables(), soft_wrap=True, end="")
