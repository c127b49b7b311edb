"""The numbers of every head are right, and whatever stops the collecting costs no finished case."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from glintbox.boxes import Box, Size
from glintbox.components import foreground
from glintbox.errors import BadContract, BadInput, NoArtifact
from glintbox.geometry import TokenGrid
from glintbox.lvlm.api import Prompt
from glintbox.lvlm.scripted import SHARP, Script, ScriptedLVLM, _Answered
from glintbox.maps import image_share, spatial_entropy
from glintbox.masks import encode, in_pixels, mask_iou
from glintbox.records import Response, Sample, Watch
from glintbox.store import StoreWriter
from glintbox.text_stats import TextCard, TextStats, TextWriter, fill, mask_ious, numbers_of
from tests.killed import a_card
from tests.killed import a_case as an_answer
from tests.text_cases import CARD, GRID, HEADS, a_case, a_sample, kept, maps_of

TRUTH = Box(16, 12, 32, 24)


class Counting(ScriptedLVLM):
    """Counts the prompts that it read; the attention of the `broken` one is no number."""

    asked = 0
    broken = -1

    def replay(self, told: Iterable[tuple[Prompt, tuple[Response, ...]]], watch: Watch | None) -> Iterator[_Answered]:
        for answered in super().replay(told, watch):
            self.asked += 1
            if self.asked == self.broken:
                answered.read = lambda sites, watch: torch.full((1, 12, 6, 8), torch.nan)  # type: ignore[method-assign]
            yield answered


def cases(folder: Path, count: int) -> list[Sample]:
    path = folder / "a.png"
    Image.new("RGB", (80, 60)).save(path)
    return [Sample(f"{k:03}-0", path, Size(80, 60), "cup", (TRUTH,)) for k in range(count)]


def card(lvlm: ScriptedLVLM, *, maps: bool = True) -> TextCard:
    setting = lvlm.card.setting(prompt="expression", view="default", moment="predicting")
    return TextCard(setting, "made up", lvlm.card.all_heads(), maps)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), left=st.floats(-30, 10), top=st.floats(-20, 10), wide=st.floats(40, 130))
def test_iou_counts_the_pixels_of_the_cells_above_the_mean(seed: int, left: float, top: float, wide: float) -> None:
    draw = torch.Generator().manual_seed(seed)
    grid = TokenGrid(4, 7, Box(left, top, left + wide, top + 55))
    maps = torch.rand(3, 4, 7, generator=draw) ** 4
    mask = encode((torch.rand(40, 60, generator=draw) > 0.8).numpy())
    expected = [mask_iou(in_pixels(cells, grid, mask.size), mask) for cells in foreground(maps)]
    assert mask_ious(maps, grid, mask).tolist() == pytest.approx(expected)


def test_numbers_of_a_case_are_those_of_the_criteria() -> None:
    maps, sample = maps_of(4), a_sample(4)
    numbers = numbers_of(maps, GRID, sample.mask, CARD)
    assert torch.equal(numbers.share, image_share(maps))
    assert torch.equal(numbers.entropy, spatial_entropy(maps).float())
    assert torch.equal(numbers.bottom, maps[:, 3].max(1).values)
    other = replace(CARD, weight="mass", factor=2.0, floor=0.001)
    by_mass = spatial_entropy(maps, weight="mass", factor=2.0, floor=0.001).float()
    assert torch.equal(numbers_of(maps, GRID, None, other).entropy, by_mass)
    assert numbers_of(maps, GRID, None, other).iou.isnan().all()


def test_what_is_kept_comes_back_in_order(tmp_path: Path) -> None:
    found = kept(tmp_path, (3, 0, 11))
    assert found.ids == ("000-0", "003-0", "011-0") and len(found) == 3 and found.card == CARD
    for case, number in zip(found, (0, 3, 11), strict=True):
        told = a_case(number)
        assert (case.sample, case.grid) == (told.sample, told.grid)
        assert all(torch.equal(*pair) for pair in zip(case.numbers, told.numbers, strict=True))
        assert case.maps is not None and told.maps is not None
        torch.testing.assert_close(case.maps, told.maps, rtol=2**-11, atol=1e-9)


def test_without_maps_and_masks_less_is_kept(tmp_path: Path) -> None:
    with TextWriter(tmp_path, replace(CARD, maps=False, heads=HEADS[:7])) as writer:
        told = a_case(1)
        bare = told._replace(sample=replace(told.sample, mask=None), maps=None)
        writer.add(bare._replace(numbers=numbers_of(maps_of(1)[:7], GRID, None, CARD)))
    case = TextStats(tmp_path)["001-0"]
    assert case.maps is None and case.sample.mask is None and case.numbers.iou.isnan().all()
    assert case.numbers.share.shape == (7,)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.99])
def test_what_was_being_written_is_written_again_and_nothing_else(share: float, tmp_path: Path) -> None:
    whole = kept(tmp_path, range(5))
    [blocks], [index] = tmp_path.glob("*.bin"), tmp_path.glob("*.jsonl")
    blocks.write_bytes(blocks.read_bytes()[: int(share * blocks.stat().st_size)])
    with TextWriter(tmp_path, CARD) as writer:
        assert len(writer.done) == int(share * 5) and len(writer.cut) == 5 - int(share * 5)
        for number in range(5):
            if a_sample(number).id not in writer.done:
                writer.add(a_case(number))
    again = TextStats(tmp_path)
    assert again.ids == whole.ids
    assert all(torch.equal(again[id].numbers.share, a_case(k).numbers.share) for k, id in enumerate(again.ids))
    index.write_bytes(index.read_bytes()[:-7])
    assert TextStats(tmp_path).ids[: int(share * 5)] == whole.ids[: int(share * 5)]


def test_a_model_is_read_once_per_case_whatever_stops_it(tmp_path: Path) -> None:
    samples, lvlm, ticks = cases(tmp_path, 6), Counting({"cup": Script("", ("",), TRUTH)}), []
    with TextWriter(tmp_path / "kept", card(lvlm)) as writer:
        fill(lvlm, samples[2:4], writer, tick=lambda: None)
    with TextWriter(tmp_path / "kept", card(lvlm)) as writer:
        fill(lvlm, samples, writer, tick=lambda: ticks.append(1))
    assert lvlm.asked == len(ticks) == 6
    found = TextStats(tmp_path / "kept")
    assert found.ids == tuple(sample.id for sample in samples)
    sharp = [found.card.heads.index(head) for head in SHARP]
    for case in found:
        assert case.maps is not None and case.maps.shape == (12, 6, 8)
        assert case.numbers.share[sharp].tolist() == pytest.approx([0.4] * 4)
        assert case.numbers.entropy[sharp].tolist() == [0] * 4, "one part each"
        assert case.numbers.entropy.isfinite().all() and case.numbers.entropy.sum() > 1


def test_other_settings_are_refused_and_named(tmp_path: Path) -> None:
    kept(tmp_path, (0,))
    with pytest.raises(BadInput, match=r"weight: there 'area', now 'mass'"):
        TextWriter(tmp_path, replace(CARD, weight="mass"))
    with pytest.raises(BadInput, match=r"heads: there 8 of them, now 7 of them"):
        TextWriter(tmp_path, replace(CARD, heads=HEADS[:7]))


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoArtifact, match="heads find DATASET --by localization"):
        TextStats(tmp_path / "none")
    sample, found = an_answer(0)
    with StoreWriter(tmp_path / "answers", a_card(found)) as answers:
        answers.add(sample, found)
    with pytest.raises(BadInput, match=r"expected a store's card in .*, got a problem at maps"):
        TextStats(tmp_path / "answers")
    kept(tmp_path / "kept", (0,))
    with TextWriter(tmp_path / "kept", CARD) as writer:
        with pytest.raises(BadInput, match="does not hold yet, got 000-0 again"):
            writer.add(a_case(0))
        with pytest.raises(BadInput, match="expected maps with case 001-0"):
            writer.add(a_case(1)._replace(maps=None))
    with pytest.raises(BadInput, match="expected case 9-0 in"):
        TextStats(tmp_path / "kept")["9-0"]


def test_damaged_bytes_are_named(tmp_path: Path) -> None:
    kept(tmp_path, (0, 1))
    [path] = tmp_path.glob("*.bin")
    whole = path.read_bytes()
    path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 255]) + whole[-8:])
    assert TextStats(tmp_path)["000-0"].sample == a_sample(0)
    with pytest.raises(BadInput, match=r"expected case 001-0 in .* as it was written, got bytes whose checksum"):
        TextStats(tmp_path)["001-0"]


def test_attention_that_is_no_number_is_refused_and_finished_cases_stay(tmp_path: Path) -> None:
    samples, lvlm = cases(tmp_path, 3), Counting({"cup": Script("", ("",), TRUTH)})
    lvlm.broken = 2
    with (
        pytest.raises(BadContract, match="got NaN or infinity"),
        TextWriter(tmp_path / "kept", card(lvlm, maps=False)) as writer,
    ):
        fill(lvlm, samples, writer, tick=lambda: None)
    assert TextStats(tmp_path / "kept").ids == ("000-0",)
