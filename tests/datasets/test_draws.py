"""Seeded samples that anyone can draw again, and ids that name cases."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glintbox.boxes import Box, Size
from glintbox.datasets.draws import draw, named, read_ids, write_ids
from glintbox.errors import BadInput
from glintbox.records import Sample

IDS = [f"{image}-{category}" for image in range(30) for category in (1, 44)]


@given(st.permutations(IDS), st.integers(1, 60), st.integers(0, 5))
def test_a_sample_depends_on_no_order_and_keeps_it(order: list[str], count: int, seed: int) -> None:
    found = draw(order, count, seed=seed)
    assert set(found) == set(draw(IDS, count, seed=seed)) and len(found) == count
    assert found == [id for id in order if id in set(found)]


def test_a_smaller_sample_is_part_of_a_larger_one_and_another_seed_another_sample() -> None:
    few, more, other = draw(IDS, 5, seed=0), draw(IDS, 20, seed=0), draw(IDS, 20, seed=1)
    assert set(few) < set(more) and set(more) != set(other) and draw(IDS, 60, seed=0) == IDS


def test_it_is_drawn_by_the_published_rule() -> None:
    lots = sorted(IDS, key=lambda id: hashlib.sha256(b"7:" + id.encode()).hexdigest())
    assert set(draw(IDS, 10, seed=7)) == set(lots[:10])


@pytest.mark.parametrize("count", [0, 61])
def test_more_cases_than_there_are_cannot_be_drawn(count: int) -> None:
    with pytest.raises(BadInput, match=f"expected to draw 1 to 60 of 60 cases, got {count}"):
        draw(IDS, count, seed=0)


def test_ids_go_to_a_file_and_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "ids.txt"
    write_ids(path, IDS[:3], {"data": "cups", "sample": "3 of 60 cases, seed 0"})
    assert path.read_text() == "# data: cups\n# sample: 3 of 60 cases, seed 0\n0-1\n0-44\n1-1\n"
    assert read_ids(path) == ("0-1", "0-44", "1-1")
    path.write_text("\n 3-1 \n\n# no id\n")
    assert read_ids(path) == ("3-1",)


def test_what_names_no_cases_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"one id of a case per line at .*none\.txt, got"):
        read_ids(tmp_path / "none.txt")
    for content, message in (
        (b"# nothing\n", "got none"),
        (b"1-1\n2-1\n1-1\n", "got '1-1' twice"),
        (b"\xff", "decode"),
    ):
        (tmp_path / "ids.txt").write_bytes(content)
        with pytest.raises(BadInput, match=message):
            read_ids(tmp_path / "ids.txt")
    with pytest.raises(BadInput, match="expected a file that can be written at"):
        write_ids(tmp_path / "ids.txt" / "below", IDS, {})


def test_named_cases_come_in_the_order_of_the_data() -> None:
    samples = [Sample(id, Path("a.png"), Size(20, 10), "cup", (Box(0, 0, 2, 1),)) for id in IDS[:4]]
    assert [sample.id for sample in named(samples, ["1-44", "0-1"], where="x")] == ["0-1", "1-44"]
    with pytest.raises(
        BadInput, match=r"expected 2 ids of cases of x, got 1 that are none: 9-9; they are of other data"
    ):
        named(samples, ["9-9", "0-1"], where="x")
