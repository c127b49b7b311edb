"""A family known by name alone: only where its units depend on nothing else."""

import pytest

from glintbox.boxes import Box, Size
from glintbox.errors import BadInput, UnknownName
from glintbox.lvlm.families import FAMILIES
from glintbox.lvlm.unseen import Unseen
from tests.lvlm.tiny import picture


@pytest.mark.parametrize(("family", "size"), [("qwen3_vl", 1000), ("internvl", 1000), ("llava_next", 1)])
def test_units_are_shares_of_the_whole_picture(family: str, size: int) -> None:
    prompt = Unseen(family, served="x").prompt(picture(96, 64), "cup", id="a")
    assert prompt.frame.size == Size(size, size)
    assert prompt.frame.region == Box(0, 0, 96, 64)
    assert (len(prompt.ids), prompt.views) == (0, {})


@pytest.mark.parametrize("family", ["qwen2_5_vl", "llava"])
def test_units_that_depend_on_the_processor_are_refused(family: str) -> None:
    told = rf"expected a family that writes in shares of the picture \(.*qwen3_vl.*got {family}.*--processor"
    with pytest.raises(BadInput, match=told):
        Unseen(family, served="x")


def test_every_family_is_either_readable_or_refused() -> None:
    refused = {"qwen2_5_vl", "llava"}
    for family in set(FAMILIES) - refused:
        assert Unseen(family, served="x").card.usable == ()
    with pytest.raises(UnknownName, match="qwen3_vl"):
        Unseen("qwen3_v", served="x")
