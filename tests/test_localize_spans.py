"""Several things in one expression: each has the rows of its own last token, and one thing is as it always was."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from glintbox.assembly import Assembly
from glintbox.boxes import Box
from glintbox.errors import BadContract, BadInput
from glintbox.localize import NOTHING, localize
from glintbox.localize_spans import (
    last_token,
    localize_spans,
    localize_spans_each,
    spans_localized,
    spoken,
)
from glintbox.lvlm.hf import HuggingFaceLVLM
from glintbox.lvlm.scripted import SHARP, Script, ScriptedLVLM
from glintbox.phrases import Phrase
from glintbox.records import Grounding, Head, Setting, Site, Watch, from_json, to_json
from tests.lvlm.asked import eager_attention
from tests.lvlm.tiny import MODEL_TYPES, picture, tiny_loaded

PICTURE = Image.new("RGB", (80, 60), "gray")
EXPRESSIONS = (
    "the owl, a red box and the cup",
    "[the owl] next to [a red box], on [the cup].",
    "the “owl”; the cafe\u0301, 红色的杯子 table!",
)


class Places(ScriptedLVLM):
    """Each token of the prompt looks at a cell of its own: the one of its number among the query's characters."""

    def __init__(self, text: str) -> None:
        super().__init__({text: Script("", ("",), Box(0, 0, 10, 10))})

    def replay(self, told: Any, watch: Any) -> Iterator[Any]:
        for answered in super().replay(told, watch):
            answered.read = self.seen  # type: ignore[method-assign]
            yield answered

    def seen(self, sites: Sequence[Site], watch: Watch) -> Tensor:
        rows = torch.zeros(len(sites), len(watch.heads or ()), 6, 8)
        for row, site in zip(rows, sites, strict=True):
            row[:, (site.token - 48) // 8, (site.token - 48) % 8] = 0.5
        return rows


def setting(lvlm: ScriptedLVLM) -> Setting:
    return lvlm.card.setting(prompt="expression", view="default", moment="predicting")


def test_each_span_has_the_box_mask_score_and_label_of_its_own_last_token() -> None:
    text = "the owl next to the red scissors"
    found = localize_spans(
        Places(text),
        PICTURE,
        "[the owl] next to the [red scissors]",
        heads=SHARP[:2],
        assembly=Assembly(sigma=0),
        id="a",
    )
    assert (found.id, found.method, found.score_kind, found.found.query) == ("a", "localization-heads", "share", text)
    assert [best.label for best in found.boxes] == ["the owl", "red scissors"]
    ends = [divmod(text.index("owl") + 2, 8), divmod(len(text) - 1, 8)]
    assert [tuple(best.box) for best in found.boxes] == [(10 * c, 10 * r, 10 * c + 10, 10 * r + 10) for r, c in ends]
    assert all(best.score == pytest.approx(1) and best.mask is not None for best in found.boxes)
    spans = found.found.span_maps
    assert [(one.text, text[slice(*one.span)], one.token - 48) for one in spans] == [
        ("the owl", "the owl", 6),
        ("red scissors", "red scissors", len(text) - 1),
    ]


def test_a_result_survives_json_and_can_be_assembled_again_without_the_model() -> None:
    text = "the owl and a dog"
    found = localize_spans(Places(text), PICTURE, text, heads=SHARP[:2], id="a")
    read = from_json(Grounding, to_json(found))
    assert read.boxes == found.boxes
    sharp = spans_localized(read.found, Assembly(sigma=0))
    assert [best.label for best in sharp.boxes] == ["the owl", "a dog"]
    assert all(one.box.area == 100 < other.box.area for one, other in zip(sharp.boxes, found.boxes, strict=True))
    with pytest.raises(
        BadInput, match="expected the maps of an expression's spans for 'a', got none; localize it first"
    ):
        spans_localized(replace(found.found, span_maps=()))


@pytest.mark.parametrize("expression", ["the cup", "[the cup]", " the cup "])
def test_an_expression_of_one_span_is_localized_as_ever(expression: str) -> None:
    lvlm = ScriptedLVLM({"the cup": Script("", ("",), Box(20, 20, 40, 30))})
    one, whole = (
        ask(lvlm, PICTURE, said, heads=SHARP[:3]) for ask, said in ((localize_spans, expression), (localize, "the cup"))
    )
    assert [best._replace(label=None) for best in one.boxes] == list(whole.boxes) != []
    assert one.boxes[0].label == "the cup"


def test_a_span_of_which_nothing_stands_out_has_no_box_and_says_so() -> None:
    class Dull(Places):
        def seen(self, sites: Sequence[Site], watch: Watch) -> Tensor:
            rows = super().seen(sites, watch)
            rows[0] = 0.01
            return rows

    found = localize_spans(Dull("an owl, a dog"), PICTURE, "an owl, a dog", heads=SHARP[:1])
    assert [best.label for best in found.boxes] == ["a dog"] and found.found.notes == (f"'an owl': {NOTHING}",)


def test_many_expressions_keep_their_spans_and_are_asked_one_at_a_time() -> None:
    texts = ["an owl, a dog", "a cup", "a, b and c"]
    lvlm = ScriptedLVLM({text: Script("", ("",), Box(0, 0, 10, 10)) for text in texts})
    made: list[str] = []

    def asked() -> Iterator[Any]:
        for text in texts:
            made.append(text)
            yield spoken(lvlm, PICTURE, text, id=text)

    results = localize_spans_each(lvlm, asked(), heads=SHARP[:1], setting=setting(lvlm))
    first = next(results)
    assert (first.id, len(made)) == ("an owl, a dog", 1)
    assert [[one.text for one in found.found.span_maps] for found in (first, *results)] == [
        ["an owl", "a dog"],
        ["a cup"],
        ["a", "b", "c"],
    ]


def test_what_cannot_be_read_is_refused() -> None:
    lvlm = ScriptedLVLM({"a cup, a bowl": Script("", ("",), Box(0, 0, 10, 10))})
    with pytest.raises(BadInput, match="at least one localization head, got none; find some with"):
        localize_spans(lvlm, PICTURE, "a cup, a bowl", heads=())
    with pytest.raises(BadInput, match="expected words in every span of ''"):
        localize_spans(lvlm, PICTURE, "  ", heads=SHARP)
    with pytest.raises(
        BadInput, match="expected heads that are read at words to ask for each span, got prompt 'begun'"
    ):
        localize_spans(lvlm, PICTURE, "a cup, a bowl", heads=SHARP, prompt="begun")
    prompt = replace(lvlm.prompt(PICTURE, "a cup, a bowl", id="a"), spans=())
    with pytest.raises(BadContract, match="expected a token that ends 'a cup' in prompt 'a', got none; the tokenizer"):
        last_token(prompt, Phrase("a cup", 0, 5))


# ---- on tiny random models of every family


def letters(text: str) -> str:
    return unicodedata.normalize("NFC", "".join(text.split())).rstrip(".")


@pytest.mark.parametrize("expression", EXPRESSIONS)
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_the_token_of_a_span_writes_its_last_letter(model_type: str, expression: str) -> None:
    loaded = tiny_loaded(model_type)
    prompt, phrases = spoken(HuggingFaceLVLM(loaded), picture(120, 70), expression)
    assert len(phrases) == 3
    for phrase in phrases[:-1]:
        token = last_token(prompt, phrase)
        behind = loaded.tokenizer.decode(prompt.ids[token + 1 : prompt.said.stop])
        assert letters(behind) == letters(prompt.query[phrase.end :])
    assert last_token(prompt, phrases[-1]) == prompt.said[-1], "the last span is read where the whole one is"


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_the_rows_of_every_span_equal_eager_attention(model_type: str) -> None:
    loaded = tiny_loaded(model_type)
    lvlm = HuggingFaceLVLM(loaded)
    heads: tuple[Head, ...] = (lvlm.card.all_heads()[5], lvlm.card.all_heads()[-2])
    asked = spoken(lvlm, picture(120, 70), EXPRESSIONS[0], id="a")
    found = localize_spans(lvlm, picture(120, 70), EXPRESSIONS[0], heads=heads, id="a")
    eager = eager_attention(loaded.model, asked.prompt, ()).unflatten(0, (loaded.card.layers, -1))
    columns = asked.prompt.views["default"].columns
    for span, phrase in zip(found.found.span_maps, asked.phrases, strict=True):
        token = last_token(asked.prompt, phrase)
        expected = torch.stack([eager[head.layer, head.index, token][columns] for head in heads])
        assert torch.allclose(span.maps.values.flatten(1), expected, atol=1e-5)
    first, second = (span.maps.values for span in found.found.span_maps[:2])
    assert float((first - second).abs().max()) > 1e-3, "spans look at different places"


def test_the_law_of_one_span_holds_on_a_model_too() -> None:
    lvlm, heads = HuggingFaceLVLM(tiny_loaded("qwen3_vl")), (Head(1, 2), Head(2, 0))
    one, whole = (ask(lvlm, picture(140, 84), "the red box", heads=heads) for ask in (localize_spans, localize))
    assert torch.equal(one.found.span_maps[0].maps.values, whole.found.text_map.values)  # type: ignore[union-attr]
    assert [best._replace(label=None) for best in one.boxes] == list(whole.boxes) != []
