"""Table 6: one box per cluster beside greedy with and without suppression."""

from glintbox.evaluate import ORACLE
from glintbox.evaluate_many import SUPPRESSION
from glintbox.reproduce import several
from glintbox.reproduce.bench import Bench
from glintbox.reproduce.plan import TEMPERATURES


def test_greedy_stands_once_and_acs_at_every_temperature(made: Bench) -> None:
    page = several.table6(made, {})
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.parts[-1].splitlines()[2:]]
    assert [row[0] for row in rows[:3]] == list(SUPPRESSION) and [row[1] for row in rows[:3]] == ["-"] * 3
    assert len(rows) == 3 + 4 * len(TEMPERATURES)
    assert sum("(chosen)" in row[1] for row in rows) == 1
    paper = {row[0]: row[-3:] for row in rows}
    assert paper["greedy"] == ["47.21", "40.19", "43.42"] and paper["consensus"] == [""] * 3
    assert [row[-1] for row in rows if row[0] == "acs-learned"] == ["49.63", "50.53", "48.60"]


def test_the_oracle_is_above_all(made: Bench) -> None:
    found = [one for one in several.reports(made, "many") if one.temperature == 0.5]
    best = next(one for one in found if one.method == ORACLE)
    assert best.precision == 1 and all(one.recall <= best.recall for one in found if one.method != "greedy")
    assert several.best_temperature(made) in TEMPERATURES
