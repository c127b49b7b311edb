"""The analysis as tables: numbers stand where their headings say."""

import numpy as np
import pytest
import torch

from glintbox.analysis.entropies import Entropies
from glintbox.analysis.heads import Agreement
from glintbox.analysis.importance import CriticalLayers
from glintbox.analysis.information import Fit, layers_tell
from glintbox.analysis.separation import separation, within_case
from glintbox.errors import BadInput
from glintbox.records import COORDS
from glintbox.tables_analysis import agreement_table, critical_table, heads_table, layers_table, numbers
from tests.sets import HEADS


def cells(text: str) -> list[list[str]]:
    """Rows below heading and rule; every row is as long as the heading."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    assert {len(row) for row in rows} == {len(rows[0])}
    return rows[2:]


def test_table_1_shortens_runs_of_layers() -> None:
    qwen = CriticalLayers((14, 15, 16, 17, 18, 19, 20, 21, 24, 25), tuple(range(14, 22)))
    assert cells(critical_table({"Qwen2.5-VL-7B": qwen})) == [["Qwen2.5-VL-7B", "14-21, 24, 25", "14-21"]]
    assert numbers(()) == "" and numbers((3,)) == "3" and numbers((1, 2, 3, 5, 6)) == "1-3, 5, 6"


def test_the_best_heads_stand_first_with_all_that_is_known_of_them() -> None:
    """Head 1 separates by 2 nats, head 2 by 1, head 0 not at all."""
    entropy = torch.tensor([[3.0, 1.0, 2.0], [3.0, 3.0, 3.0]]).repeat(4, 1)[:, None].repeat(1, 4, 1)
    entropy += torch.linspace(0, 0.01, 8)[:, None, None]
    found = Entropies(HEADS, entropy, torch.tensor([0.9, 0.1] * 4), torch.arange(8) // 4)
    rows = cells(heads_table(separation(found), within_case(found), n=2))
    assert [row[:3] for row in rows] == [[coord, str(head), delta] for coord in COORDS
                                         for head, delta in ((HEADS[1], "2.00"), (HEADS[2], "1.00"))]  # fmt: skip
    assert rows[0][4] == "1.00" and rows[0][5].startswith("-0.8")
    other = Entropies(HEADS[:2], entropy[:, :, :2], found.iou, found.case)
    with pytest.raises(BadInput, match="both of the same heads"):
        heads_table(separation(found), within_case(other))


def test_both_ways_stand_side_by_side() -> None:
    def every(*heads: int) -> dict[str, tuple[object, ...]]:
        return {coord: tuple(HEADS[k] for k in heads) for coord in COORDS}

    found = Agreement(every(0, 1), every(1, 2), every(2, 0), dict.fromkeys(COORDS, -0.5) | {"y2": None}, 1.33)  # type: ignore[arg-type]
    rows = cells(agreement_table(found))
    assert rows[0] == ["x1", "L0H1, L2H0", "L2H0, L2H3", "L2H3, L0H1", "1", "1", "-0.50"]
    assert rows[3][-1] == "-"


def test_regressors_are_compared_by_what_they_tell() -> None:
    generator = np.random.default_rng(0)
    predicted = generator.random(300)
    true = np.clip(predicted + 0.2 * generator.standard_normal(300), 0, 1)
    fits = {"critical": Fit((3, 4, 5), 0.5 + 0 * predicted), "all": Fit(tuple(range(8)), predicted)}
    rows = cells(layers_table(layers_tell(fits, true, case=np.arange(300) // 5, image=np.arange(300) // 5)))
    assert rows[0][:2] == ["critical", "3-5"] and rows[0][4] == "-" and rows[0][7] == "0"
    assert rows[1][:2] == ["all", "0-7"] and rows[1][7:] == ["100", "100 to 100"] and float(rows[1][4]) > 0.7
