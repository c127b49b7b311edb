"""Tables 2, 4 and 5 and their relatives say the same of the same answers."""

import pytest

from glintbox.errors import BadInput
from glintbox.evaluate import GREEDY, report
from glintbox.reproduce import selection
from glintbox.reproduce.bench import Bench
from glintbox.reproduce.plan import ANSWERS, TEMPERATURES, needs
from glintbox.reproduce.selection import FREE, LEARNED, TRAINING_FREE, best_temperatures, judged

ABOUT = {"seeds": "0"}


def test_every_method_stands_at_every_temperature_beside_the_papers_numbers(made: Bench) -> None:
    page = selection.table2(made, ABOUT)
    chosen, every, rank = (part for part in page.parts if part.startswith("| "))
    assert "| pass-at-1 | 0.7" in every and "59.3 | 50.3 | 45.0 | 40.4 |" in every
    assert len(every.splitlines()) == 2 + 1 + 3 * (len(TRAINING_FREE) + 1)
    assert every.count("(chosen)") == len(TRAINING_FREE) + 1
    assert "+6.35 % (Qwen2.5-VL, COCO)" in chosen and len(rank.splitlines()) == 2 + 3
    assert page.numbers["temperatures chosen"] == best_temperatures(made)
    assert "*reported*" in every.splitlines()[0] and any("measured" in part for part in page.parts)


def test_what_is_always_right_beats_greedy_that_never_is(made: Bench) -> None:
    for need in needs("report", made.amounts):
        found = {name: report(one) for name, one in judged(made, need)[ANSWERS].items()}
        assert found[GREEDY].acc_at_50 == 0 and found["first-valid"].acc_at_50 == found["first-valid"].oracle == 1
        assert found["first-valid"].gap_closed == 1 and found[LEARNED].ap_at_50 is not None
        assert found[FREE].acc_at_50 == 1, "the sharp heads know"


def test_temperatures_are_chosen_on_other_cases(made: Bench) -> None:
    of = {need.temperature: judged(made, need)[ANSWERS] for need in needs("choose", made.amounts)}
    reported = {
        case.id for one in judged(made, needs("report", made.amounts)[0])[ANSWERS].values() for case in one.cases
    }
    assert {case.id for one in of[0.5].values() for case in one.cases} != reported
    for name, temperature in best_temperatures(made).items():
        best = report(of[temperature][name])
        assert all(report(of[T][name]).acc_at_50 <= best.acc_at_50 for T in TEMPERATURES)


def test_ten_answers_are_ten_answers_in_every_table(made: Bench) -> None:
    two, four, five = (make(made, ABOUT) for make in (selection.table2, selection.table4, selection.table5))
    of = {(one["method"], one["temperature"]): one for one in two.numbers["reports"]}
    assert list(four.numbers) == ["3", "5", "10", "15"], "no more were drawn"
    assert four.numbers["10"][LEARNED] == of[LEARNED, 1.0] == five.numbers["N 10, T 1"]
    assert four.numbers["3"][LEARNED] == five.numbers["N 3, T 1"]
    assert five.numbers["N 10, T 0.5"] == of[LEARNED, 0.5]
    oracles = [four.numbers[k][LEARNED]["oracle"] for k in four.numbers]
    assert oracles == sorted(oracles), "more answers hold no worse boxes"


def test_large_objects_have_a_page_of_their_own(made: Bench) -> None:
    page = selection.sizes(made, ABOUT)
    assert "ACS-Learned 87" in page.parts[1] and page.name == "sizes"
    assert {one["n"] for one in page.numbers["reports"]} == {3}


def test_one_to_eight_heads_where_there_are_so_many(made: Bench) -> None:
    page = selection.heads(made, ABOUT)
    rows = [line.split("|")[2:-1] for line in page.parts[1].splitlines()[2:]]
    assert [row[0].strip() for row in rows] == ["critical", "all"] * 3
    assert [cell.strip() for cell in rows[1][1:5]] == ["100.0"] * 4, "four heads look at what is true"
    assert page.numbers["0.5"]["3 all"]["acc_at_50"] == 1


def test_another_style_needs_its_pictures(made: Bench) -> None:
    with pytest.raises(BadInput, match="expected scenes for a transfer"):
        selection.transfer(made, ABOUT)
