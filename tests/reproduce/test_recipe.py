"""The pages about reproducing keep their word: sums are those of the plan."""

import re
from pathlib import Path

from glintbox.coding import piece
from glintbox.reproduce.catalogue import CATALOGUE
from glintbox.reproduce.plan import FULL, PARTS, Part, needs

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reproduce.md").read_text()
RECIPE = (ROOT / "recipes" / "paper" / "README.md").read_text()
CASES = {part: wanted.amount(FULL) for part, wanted in PARTS.items()}


def answers(part: Part) -> int:
    greedy = PARTS[part].purpose != "learn"
    return CASES[part] * sum(need.n + greedy for need in needs(part, FULL))


def test_disk_is_what_the_plan_and_the_store_ask_for() -> None:
    boxes = {"Qwen": 784 * piece(17, 23).itemsize, "InternVL": 1152 * piece(16, 16).itemsize}
    assert [f"{size / 1e6:.2f} MB" in RECIPE for size in boxes.values()] == [True, True]
    parts = [part for part in PARTS if part != "style-b"]
    for part in parts:
        [row] = [line for line in RECIPE.splitlines() if line.startswith(f"| {part} |")]
        said, *sizes = re.findall(r"[\d,]+", row.rpartition("=")[2])
        assert int(said.replace(",", "")) == answers(part)
        assert [int(size) for size in sizes] == [round(answers(part) * size / 1e9) for size in boxes.values()]
    every = sum(answers(part) for part in parts)
    assert f"| **all** | **{every:,}** |" in RECIPE
    assert f"{every - answers('learn') - answers('learn-quarter'):,}" in RECIPE


def test_hours_are_those_of_all_cases() -> None:
    cases = sum(CASES[part] * len(needs(part, FULL)) for part in PARTS if part != "style-b")
    assert f"{cases:,} cases" in RECIPE and f"= {cases / 3600:.1f} × s hours" in RECIPE


def test_every_part_and_page_is_explained() -> None:
    for part in PARTS:
        [row] = [line for line in PAGE.splitlines() if line.startswith(f"| `{part}` | ")]
        assert row.split("|")[2].strip() == f"{CASES[part]:,}"
    words = re.findall(r"`(\w+)`", PAGE)
    assert {name for name in CATALOGUE if not name.startswith("fig")} <= set(words)
