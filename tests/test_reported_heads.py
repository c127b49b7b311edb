"""The paper's numbers stand as it prints them: what it says twice agrees, but where a slip is noted."""

from pathlib import Path
from statistics import fmean

import pytest
from typer.testing import CliRunner

from glintbox.cli.main import app
from glintbox.reported_heads import (
    F_LMM,
    HEADING,
    QUOTED,
    REASONSEG,
    REC,
    RES,
    RIVALS,
    SPLITS,
    TABLES,
    WRITTEN,
    Told,
    reported_tables,
)
from glintbox.tables_localization import REPORTED

DOCS = Path(__file__).parent.parent / "docs" / "localization-heads.md"


@pytest.mark.parametrize("told", TABLES, ids=lambda told: f"{told.number}-{told.title}")
def test_every_row_has_a_share_for_every_column(told: Told) -> None:
    assert told.rows
    for numbers in told.rows.values():
        assert len(numbers) == len(told.columns)
        assert all(0 < number < 100 for number in numbers)


def test_the_ten_models_are_the_same_in_both_tables() -> None:
    assert list(REC) == list(RES) and len(REC) == 10 and len(RIVALS) == 8 and len(SPLITS) == 8
    assert all(box > mask for name in REC for box, mask in zip(REC[name], RES[name], strict=True))


def test_table_4_at_three_heads_is_table_2() -> None:
    three = REPORTED["k"].rows["3"]
    means = (RES["LLaVA-1.5-7B"][0], RES["LLaVA-1.5-13B"][0], round(fmean(row[0] for row in RES.values()), 1))
    assert tuple(map(float, three)) == means == (74.2, 76.1, 67.1)


def test_tables_5_and_6_repeat_table_1() -> None:
    assert tuple(map(float, REPORTED["criteria"].rows["both, fixed"])) == (
        REC["LLaVA-1.5-13B"][0],
        RES["LLaVA-1.5-13B"][0],
    )
    assert all(heads == REC[name][6] for name, (_, heads) in WRITTEN.items())


def test_known_numbers() -> None:
    assert REC["LLaVA-1.5-7B"] == (86.5, 89.8, 80.2, 80.1, 86.3, 71.9, 82.3, 83.0)
    assert RIVALS["Han et al."][2] == 51.7 and F_LMM["DeepSeek-VL-7B"][-1] == 70.4
    assert REASONSEG["LLaVA-1.5-13B"] == (60.5, 48.7, 51.0, 49.9)
    assert RES["DeepSeek-VL-7B"][4] == 66.1, "the paper's Table 7 prints 67.1"


def test_every_table_is_labelled_as_reported() -> None:
    text = reported_tables()
    assert text.count(f"*{HEADING}") == 5 + 1 and text.count(f"*{QUOTED}.*") == 2
    assert "| LLaVA-1.5-13B | 87.2 | 90.0 | 83.3 |" in text and "| LLaVA-1.5-7B | 2.92 | 82.3 |" in text
    assert [line.split(":")[0] for line in text.splitlines() if line.startswith("**Table")] == [
        f"**Table {number}" for number in (1, 1, 2, 3, 6, 7, 9)
    ]


def test_the_command_prints_what_the_documents_hold() -> None:
    told = CliRunner().invoke(app, ["heads", "reported"])
    assert told.exit_code == 0 and told.stdout == reported_tables()
    section = DOCS.read_text(encoding="utf-8").split("## What the paper reports\n")[1]
    assert reported_tables().strip() in section, "run: glintbox heads reported"
