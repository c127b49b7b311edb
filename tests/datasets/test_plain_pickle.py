"""Plain data come out of a pickle as they went in; one that asks for anything else is refused and calls nothing."""

import io
import os
import pickle
import pickletools
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glintbox.datasets.plain_pickle import load_plain
from glintbox.errors import BadInput

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=8,
)


def kept(folder: Path, content: bytes) -> Path:
    path = folder / "refs(unc).p"
    path.write_bytes(content)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pickles")


@settings(max_examples=25, deadline=None)
@given(value=PLAIN, protocol=st.integers(0, 5))
def test_plain_data_come_back(folder: Path, value: Any, protocol: int) -> None:
    assert load_plain(kept(folder, pickle.dumps(value, protocol))) == value


class Mark:
    """Its pickle would call mkdir."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


class Built:
    """Its pickle would make an object of a class."""


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_carries_code_is_refused_and_nothing_is_called(tmp_path: Path, protocol: int) -> None:
    made = tmp_path / "made"
    path = kept(tmp_path, pickle.dumps([{"sent": "the cup", "ann_id": Mark(made)}], protocol))
    with pytest.raises(BadInput, match=r"asks for \w+\.mkdir: refused before anything is called; fetch the file anew"):
        load_plain(path)
    assert not made.exists()
    with path.open("rb") as file:
        pickle.load(file)
    assert made.is_dir(), "this test can fail: the same bytes do call it elsewhere"


@pytest.mark.parametrize("value", [Built(), OrderedDict(a=1), Path("a"), len, complex(1, 2), bytearray(b"a")])
def test_whatever_needs_a_name_is_refused(tmp_path: Path, value: object) -> None:
    with pytest.raises(BadInput, match="asks for"):
        load_plain(kept(tmp_path, pickle.dumps(value, 2)))


@pytest.mark.parametrize(
    "program",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"(S'true'\nios\nsystem\n.",
        b"(cos\nsystem\nS'true'\no.",
        b"\x82\x01.",
        b"Pabc\n.",
    ],
    ids=["GLOBAL", "INST", "OBJ", "EXT1", "PERSID"],
)
def test_no_other_way_to_a_name_is_open(tmp_path: Path, program: bytes) -> None:
    assert len(list(pickletools.genops(io.BytesIO(program)))) >= 2
    with pytest.raises(BadInput, match=r"refused before anything is called|expected a whole pickle"):
        load_plain(kept(tmp_path, program))


def nested(levels: int, *, step: bytes = b"\x85") -> bytes:
    """A dict whose key is 1 in so many tuples."""
    return b"\x80\x02}" + b"K\x01" + step * levels + b"K\x01s."


STEPS = {
    "TUPLE1": b"\x85",
    "memo": b"\x85q\x00" + b"0h\x00",
    "text memo": b"\x85p7\n0g7\n",
    "MEMOIZE": b"\x85\x94",
    "TUPLE2": b"K\x01\x86",
    "BUILD": b"\x85Nb",
    "DUP": b"\x852\x86",
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_tuples_in_tuples_are_refused_before_their_hash_takes_the_stack(tmp_path: Path, step: bytes) -> None:
    with pytest.raises(BadInput, match="got tuples in tuples, more than 100 levels deep: refused before anything is"):
        load_plain(kept(tmp_path, nested(1_000_000, step=step)))


def test_a_hundred_levels_of_tuples_are_read_and_one_more_is_not(tmp_path: Path) -> None:
    [(key, _)] = load_plain(kept(tmp_path, nested(100))).items()
    assert str(key).startswith("(" * 100 + "1")
    for protocol in (0, 2):
        assert load_plain(kept(tmp_path, pickle.dumps({key: 1}, protocol))) == {key: 1}
        with pytest.raises(BadInput, match="tuples in tuples"):
            load_plain(kept(tmp_path, pickle.dumps({(key,): 1}, protocol)))


def test_lists_and_marks_that_are_dropped_are_no_levels_of_tuples(tmp_path: Path) -> None:
    deep: list[Any] = []
    for _ in range(400):
        deep = [deep, (1,)]
    for protocol in range(6):
        assert load_plain(kept(tmp_path, pickle.dumps(deep, protocol))) == deep
    assert load_plain(kept(tmp_path, b"(" + b"(0" * 200 + b"K\x01l.")) == [1]
    assert load_plain(kept(tmp_path, nested(300, step=b"2(K\x01K\x02t\x860"))) == {1: 1}, "a tuple beside it"


def test_text_of_python_2_is_read_as_utf_8(tmp_path: Path) -> None:
    assert load_plain(kept(tmp_path, b"(lp0\nS'caf\\xc3\\xa9'\np1\naU\x03cupa.")) == ["café", "cup"]
    with pytest.raises(BadInput, match="UnicodeDecodeError"):
        load_plain(kept(tmp_path, b"(lp0\nS'caf\\xe9'\np1\na."))


@pytest.mark.parametrize("content", [b"", b"(lp0\nS'cup", b"no pickle at all", b"\x80\x04]\x94(\x8c", b"K\x01a."])
def test_what_is_no_whole_pickle_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(BadInput, match=r"expected a whole pickle in .*fetch the file anew"):
        load_plain(kept(tmp_path, content))
    with pytest.raises(BadInput, match="expected a pickle at"):
        load_plain(tmp_path / "none.p")
