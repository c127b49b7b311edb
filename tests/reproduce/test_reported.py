"""The paper's numbers agree with each other where they should, and differ where it contradicts itself."""

import pytest

from glintbox.reproduce import reported
from glintbox.reproduce.plan import TEMPERATURES
from glintbox.reproduce.selection import BASELINES, FREE, LEARNED, RELATIVE

METHODS = (*BASELINES, FREE, LEARNED)


@pytest.mark.parametrize("dataset", ["coco", "objects365"])
def test_every_method_has_four_numbers_at_every_temperature(dataset: str) -> None:
    found = reported.table2(dataset)
    assert set(found) == {(name, temperature) for name in METHODS for temperature in TEMPERATURES}
    assert {len(row) for row in found.values()} == {len(reported.COLUMNS)} == {len(reported.GREEDY[dataset])}


def test_tables_2_4_and_5_say_the_same_of_ten_answers() -> None:
    for temperature in TEMPERATURES:
        assert reported.table2("coco")[LEARNED, temperature][:2] == reported.TABLE5[10][temperature]
    assert reported.TABLE4[10] == reported.TABLE5[10][1.0] and reported.TABLE4[5][0] == reported.TABLE5[5][1.0][0]
    assert reported.TABLE4[3][1] == reported.TABLE5[1][1.0][1] != reported.TABLE5[3][1.0][1], "the slip of Table 4"


def test_gains_over_greedy_are_relative_and_of_the_best_temperature() -> None:
    found = reported.table2("coco")
    for method in (FREE, LEARNED):
        for place, model in ((0, "Qwen2.5-VL"), (2, "InternVL-3.5")):
            greedy = reported.GREEDY["coco"][place]
            best = max(found[method, temperature][place] for temperature in TEMPERATURES)
            assert f"{100 * (best / greedy - 1):+.2f} % ({model}" in RELATIVE[method]


def test_f1_is_the_harmonic_mean_of_the_printed_numbers() -> None:
    for precision, recall, f1 in reported.TABLE6.values():
        assert f1 == pytest.approx(2 * precision * recall / (precision + recall), abs=0.01)


def test_the_text_keeps_to_the_layers_of_table_1() -> None:
    for top, critical in reported.LAYERS.values():
        assert len(top) == 10 and list(critical) == list(range(critical[0], critical[-1] + 1))
        assert len(set(top) & set(critical)) >= 8
