"""From an expression to a box: the heads that look at the object give its box, and nothing is found in nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from glintbox import artifacts
from glintbox.assembly import Assembly
from glintbox.boxes import Box, Size, iou
from glintbox.errors import BadContract, BadInput, NoArtifact, SettingMismatch, UnknownName
from glintbox.localize import (
    NOTHING,
    fit_localization,
    localization_heads,
    localize,
    localize_each,
    localized,
    required,
    text_heads,
    text_maps,
    with_located,
    with_text_map,
)
from glintbox.lvlm.scripted import SHARP, Script, ScriptedLVLM
from glintbox.masks import decode
from glintbox.records import (
    AttentionMaps,
    Grounding,
    Head,
    HeadMap,
    HeadStats,
    Search,
    Selection,
    Site,
    Watch,
    from_json,
    sampled,
    to_json,
)
from tests.sets import a_set

PICTURE = Image.new("RGB", (80, 60), "gray")
TRUTH = Box(20, 20, 40, 30)  # two cells of 10 x 10 px, whose middle lies between them
SCRIPTS = {query: Script("[0, 0, 9, 9]", ("[0, 0, 9, 9]",), TRUTH) for query in ("the cup", "a dog")}
LVLM = ScriptedLVLM(SCRIPTS)
DULL = (Head(0, 0), Head(1, 1), Head(3, 2))


def head_map(lvlm: ScriptedLVLM = LVLM, heads: tuple[Head, ...] = SHARP[:3]) -> HeadMap:
    setting = lvlm.card.setting(prompt="expression", view="default", moment="predicting")
    return HeadMap(setting, "by hand", {"text": heads})


class Seen(ScriptedLVLM):
    """Shows one map to every head."""

    def __init__(self, values: torch.Tensor) -> None:
        super().__init__(SCRIPTS, rows=values.shape[0], cols=values.shape[1])
        self.values = values

    def replay(self, told: Any, watch: Any) -> Iterator[Any]:
        for answered in super().replay(told, watch):
            answered.read = self.seen  # type: ignore[method-assign]
            yield answered

    def seen(self, sites: Sequence[Site], watch: Watch) -> torch.Tensor:
        return self.values.expand(len(sites), len(watch.heads or self.card.all_heads()), -1, -1)


def test_the_heads_that_look_at_the_object_give_its_box() -> None:
    found = localize(LVLM, PICTURE, "the cup", heads=SHARP[:3], assembly=Assembly(sigma=0), id="a")
    assert (found.id, found.method, found.score_kind, found.greedy) == ("a", "localization-heads", "share", ())
    [best] = found.boxes
    assert iou(best.box, TRUTH) >= 0.3 and best.candidate is None and best.score is not None and 0.8 < best.score <= 1
    assert best.mask is not None and best.mask.size == Size(80, 60)
    mask = decode(best.mask)
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    assert (cols[0], rows[0], cols[-1] + 1, rows[-1] + 1) == tuple(best.box)
    assert not found.found.responses and not found.found.candidates and found.found.setting.prompt == "expression"


def test_a_result_survives_json_and_can_be_assembled_again_without_the_model() -> None:
    found = localize(LVLM, PICTURE, "the cup", heads=SHARP[:3])
    read = from_json(Grounding, to_json(found))
    assert read.boxes == found.boxes
    other = Assembly(sigma=0, largest="all")
    again = localized(read.found, other)
    direct = localize(LVLM, PICTURE, "the cup", heads=SHARP[:3], assembly=other)
    assert [tuple(best.box) for best in again.boxes] == [tuple(best.box) for best in direct.boxes] != []
    assert again.boxes[0].box != found.boxes[0].box


def test_several_expressions_are_localized_in_order() -> None:
    prompts = [LVLM.prompt(PICTURE, query, id=query, text="expression") for query in ("a dog", "the cup")]
    several = list(localize_each(LVLM, prompts, heads=SHARP[:1], setting=head_map().setting))
    assert [found.id for found in several] == ["a dog", "the cup"]
    assert several[1].boxes == localize(LVLM, PICTURE, "the cup", heads=SHARP[:1]).boxes


def test_text_maps_are_those_of_the_last_token_for_every_head() -> None:
    prompt, maps = text_maps(LVLM, PICTURE, "the cup")
    assert maps.shape == (12, 6, 8) and prompt.query == "the cup"
    _, few = text_maps(LVLM, PICTURE, "the cup", (Head(2, 1), Head(1, 0)))
    heads = LVLM.card.all_heads()
    assert torch.equal(few, maps[[heads.index(Head(2, 1)), heads.index(Head(1, 0))]])


@pytest.mark.parametrize("level", [0.0, 0.1, 1 / 48])
def test_an_even_map_is_not_found_and_says_so(level: float) -> None:
    found = localize(Seen(torch.full((6, 8), level)), PICTURE, "the cup", heads=SHARP[:3])
    assert found.boxes == () and found.found.notes == (NOTHING,)
    assert found.found.text_map is not None, "it can still be looked at"


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_attention_that_is_no_number_is_an_error(broken: float) -> None:
    with pytest.raises(BadContract, match="attention that is a number for prompt 'a', got NaN or infinity; load the"):
        localize(Seen(torch.full((6, 8), broken)), PICTURE, "the cup", heads=SHARP[:3], id="a")


def test_no_heads_and_unknown_heads_are_refused() -> None:
    with pytest.raises(BadInput, match="at least one localization head, got none; find some with"):
        localize(LVLM, PICTURE, "the cup", heads=())
    with pytest.raises(UnknownName, match="unknown prompt 'short'"):
        localize(LVLM, PICTURE, "the cup", heads=SHARP, prompt="short")


# ---- head maps


def test_a_head_map_names_its_heads_and_ranks_more() -> None:
    ranked = (*SHARP[:3], *DULL)
    selection = Selection("scenes", 9, Search(), (0.2,), ranked, (0.5,) * 6, (0.0,) * 6)
    headmap = replace(head_map(), selection=selection)
    assert (
        text_heads(headmap) == SHARP[:3]
        and text_heads(headmap, 1) == SHARP[:1]
        and text_heads(headmap, 5) == ranked[:5]
    )
    for k in (0, 7):
        with pytest.raises(BadInput, match=f"1 <= k <= 6, the localization heads that are known, got {k}"):
            text_heads(headmap, k)


def test_a_head_map_of_coordinates_or_of_another_model_is_refused() -> None:
    coordinates = replace(head_map(), heads={"x1": SHARP[:1]})
    odd = "expected heads for text in the head map, got none for text: it has x1; make one with: glintbox heads find"
    with pytest.raises(BadInput, match=odd):
        text_heads(coordinates)
    with pytest.raises(BadInput, match=odd):
        fit_localization(LVLM.card, coordinates)
    with pytest.raises(SettingMismatch, match="this map of localization heads belongs to another setting"):
        fit_localization(ScriptedLVLM(SCRIPTS, rows=3).card, head_map())
    fit_localization(LVLM.card, head_map())


def test_localization_heads_are_found_in_the_cache_and_beside_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLINTBOX_CACHE", str(tmp_path / "cache"))
    assert localization_heads(LVLM.card, None, checkpoint=tmp_path) is None
    artifacts.save_heads(head_map(), tmp_path / artifacts.LOCALIZATION_FILE)
    assert localization_heads(LVLM.card, None, checkpoint=tmp_path) == head_map()
    own = head_map(heads=DULL)
    artifacts.save_heads(own, artifacts.cache_folder(own.setting) / artifacts.LOCALIZATION_FILE)
    assert localization_heads(LVLM.card, None, checkpoint=tmp_path) == own, "the user's own wins"
    assert localization_heads(LVLM.card, tmp_path / artifacts.LOCALIZATION_FILE, checkpoint=None) == head_map()
    assert localization_heads(LVLM.card, tmp_path, checkpoint=None) == head_map(), "a folder, as heads find writes it"
    with pytest.raises(
        NoArtifact, match=r"map of localization heads at .*none\.json, found no file; .*by localization"
    ):
        localization_heads(LVLM.card, tmp_path / "none.json", checkpoint=None)
    with pytest.raises(NoArtifact, match="expected the localization heads of this model, got none; find some with"):
        required(None)


# ---- beside candidates


def test_a_set_gets_the_text_map_of_its_query() -> None:
    found = replace(a_set([(0, 0, 9, 9)]), query="the cup", image=Size(80, 60))
    looked = with_text_map(LVLM, PICTURE, found, head_map())
    assert looked.text_map is not None and looked.text_map.setting == head_map().setting
    assert torch.equal(looked.text_map.values, text_maps(LVLM, PICTURE, "the cup", SHARP[:3])[1])
    assert looked.candidates == found.candidates and "look" in looked.timing


def test_the_localization_box_joins_the_candidates_as_given() -> None:
    maps = AttentionMaps(DULL, LVLM.prompt(PICTURE, "the cup", id="").views["default"].grid, torch.rand(2, 4, 3, 6, 8))
    stats = HeadStats(DULL, torch.rand(2, 4, 3), torch.rand(2, 4, 3))
    found = replace(
        a_set([(0, 0, 9, 9)], greedy=[(1, 1, 9, 9)]), query="the cup", image=Size(80, 60), stats=stats, maps=maps
    )
    joined = with_located(with_text_map(LVLM, PICTURE, found, head_map()))
    added = joined.candidates[-1]
    assert joined.candidates[:-1] == found.candidates and sampled(joined) == (1, 2)
    assert joined.responses[added.response].source == "given" and joined.readings[-1] == "boxes"
    assert added.box == localize(LVLM, PICTURE, "the cup", heads=SHARP[:3]).boxes[0].box and added.tokens is None
    assert joined.stats is not None and joined.maps is not None
    assert torch.equal(joined.stats.entropy[:2], stats.entropy) and bool(joined.stats.share[2].isnan().all())
    assert joined.maps.values.shape == (3, 4, 3, 6, 8) and bool(joined.maps.values[2].isnan().all())


def test_where_nothing_stands_out_no_candidate_joins() -> None:
    found = replace(a_set([(0, 0, 9, 9)]), query="the cup", image=Size(80, 60))
    lvlm = Seen(torch.full((6, 8), 0.01))
    looked = with_text_map(lvlm, PICTURE, found, head_map(lvlm))
    joined = with_located(looked)
    assert joined.candidates == found.candidates and joined.notes[-1] == NOTHING
    with pytest.raises(BadInput, match="expected the maps of localization heads for 'a', got none"):
        with_located(found)
