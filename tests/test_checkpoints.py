"""What is kept of a training is what is read, and a file that is something else is refused."""

from pathlib import Path

import pytest
import torch

from glintbox.checkpoints import FILE, Kept, keep, kept, load_optimizer, named, optimizer_tensors, unnamed
from glintbox.errors import BadInput


def test_what_is_kept_is_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "deep" / FILE
    assert kept(path) is None
    for words in ("one", '{"two": [1e-17]}'):
        tensors = {"a.b": torch.rand(3, 2).T, "n": torch.tensor(5.0)}
        keep(Kept(tensors, words), path)
        read = kept(path)
        assert read is not None and read.words == words
        assert read.tensors.keys() == tensors.keys()
        assert all(torch.equal(read.tensors[name], value) for name, value in tensors.items())


def test_names_come_and_go() -> None:
    tensors = {"x": torch.zeros(1), "y.z": torch.ones(1)}
    both = named("a", tensors) | named("ab", tensors)
    assert sorted(both) == ["a.x", "a.y.z", "ab.x", "ab.y.z"]
    assert unnamed("a", both) == tensors


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_an_optimiser_goes_on_as_if_nothing_had_been(layout: torch.memory_format) -> None:
    def made() -> tuple[torch.nn.Parameter, torch.optim.Adam]:
        weight = torch.nn.Parameter(torch.arange(1.0, 25.0).reshape(1, 2, 3, 4).contiguous(memory_format=layout))
        return weight, torch.optim.Adam([weight], 0.1, weight_decay=0.01, fused=True)

    def step(weight: torch.nn.Parameter, adam: torch.optim.Adam) -> None:
        adam.zero_grad()
        weight.square().sum().backward()
        adam.step()

    weight, adam = made()
    step(weight, adam)
    other, again = made()
    other.data.copy_(weight.data)
    load_optimizer(again, {name: value.contiguous() for name, value in optimizer_tensors(adam).items()})
    step(weight, adam)
    step(other, again)
    assert torch.equal(weight, other)


def test_what_is_no_state_is_refused(tmp_path: Path) -> None:
    path = tmp_path / FILE
    path.write_bytes(b"what is this")
    with pytest.raises(BadInput, match=r"state of a training in .*checkpoint.*; remove it to begin anew"):
        kept(path)
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(BadInput, match="state of a training in"):
        kept(path)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="finished epochs are kept, make room and run again"):
        keep(Kept({"a": torch.zeros(1)}, ""), tmp_path / "file" / FILE)
