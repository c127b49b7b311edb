"""Cells of a report: percent, signs, bold only where 0 lies outside; CSV in shares."""

from dataclasses import dataclass

from glintbox.cells import differs, ends, percent, plus, rows_as_csv, signed, table, within
from glintbox.metrics import Interval

OVER, ACROSS = Interval(0.01, 0.155), Interval(-0.01, 0.1)


def test_shares_are_shown_in_percent_with_their_intervals() -> None:
    assert (percent(0.1254), percent(0.1254, digits=0)) == ("12.5", "13")
    assert ends(OVER) == "1.0 to 15.5" and within(0.125, OVER) == "12.5 (1.0 to 15.5)"


def test_differences_have_a_sign_and_are_bold_where_zero_is_outside() -> None:
    assert (plus(0.0123), plus(-0.2), plus(-0.0001), plus(0)) == ("+1.2", "-20.0", "0.0", "0.0")
    assert signed(0.05, OVER) == "**+5.0** (1.0 to 15.5)" and signed(0.05, ACROSS) == "+5.0 (-1.0 to 10.0)"
    assert differs(OVER) and not differs(ACROSS) and not differs(Interval(0.0, 0.1))


def test_a_table_says_which_columns_are_words() -> None:
    assert table(("a", "b"), [("x", 1), ("y", 2)], words=1) == "| a | b |\n| --- | --: |\n| x | 1 |\n| y | 2 |"


@dataclass(frozen=True)
class Row:
    name: str
    value: float | None
    interval: Interval | None


def test_csv_has_two_columns_for_an_interval_and_none_is_empty() -> None:
    rows = [Row("a,b", 0.5, Interval(0.25, 0.75)), Row("c", None, None)]
    assert rows_as_csv(Row, rows) == 'name,value,interval_low,interval_high\n"a,b",0.5,0.25,0.75\nc,,,\n'
