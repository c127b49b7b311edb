"""Spans: they tile the text exactly, whatever the tokens, for byte-level and sentencepiece-like tokenizers."""

from __future__ import annotations

import time
from typing import Any

import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models

from glintbox.errors import BadContract
from glintbox.lvlm.spans import token_spans
from glintbox.parsing import scan, tokens_of
from tests.lvlm.tiny_text import byte_level_tokenizer, llama_tokenizer, qwen_tokenizer

TEXTS = [
    '[\n  {"bbox_2d": [200, 150, 280, 220], "label": "red mug"}\n]',
    "红色的杯子在桌子上。框:[12,34,56,78]",
    "a 👩‍👩‍👧 family 🦊 at [1, 2]",
    '{"label":"鑫龘𠮷","bbox_2d":[[0.12,0.34]]}',
    "naïve café  —  «Žluťoučký»\t\r\n\n",
    "",
]
TOKENIZERS = {"qwen2.5": qwen_tokenizer, "tiny byte-level": byte_level_tokenizer, "tiny llama": llama_tokenizer}


def tiles(text: str, spans: tuple[tuple[int, int], ...]) -> bool:
    """Whether each span starts where the one before ends, from the first character to the last."""
    ends = [0, *(end for _, end in spans)]
    return all(a <= b for a, b in spans) and [a for a, _ in spans] == ends[:-1] and ends[-1] == len(text)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", TOKENIZERS)
def test_spans_tile_what_the_tokenizer_decodes(name: str, text: str) -> None:
    tokenizer = TOKENIZERS[name]()
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    read, spans = token_spans(tokenizer, ids)
    assert read == text
    assert read == tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    assert len(spans) == len(ids)
    assert tiles(read, spans)


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=60, deadline=None)
@given(seed=st.lists(st.integers(0, 10**6), max_size=60))
def test_spans_tile_any_ids_also_bytes_that_are_no_text(name: str, seed: list[int]) -> None:
    tokenizer = TOKENIZERS[name]()
    ids = [number % len(tokenizer) for number in seed]
    text, spans = token_spans(tokenizer, ids)
    assert len(spans) == len(ids)
    assert tiles(text, spans)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_what_is_read_does_not_change_when_more_is_written(name: str) -> None:
    tokenizer = TOKENIZERS[name]()
    ids = tokenizer(TEXTS[0] + TEXTS[3], add_special_tokens=False)["input_ids"]
    text, spans = token_spans(tokenizer, ids)
    for count in range(1, len(ids)):
        if spans[count][0] == spans[count - 1][1] and not text[: spans[count - 1][1]].endswith("�"):
            early, kept = token_spans(tokenizer, ids[:count])
            whole = early.rstrip("�")  # of a character that is not complete yet
            assert text.startswith(whole)
            assert kept[:-1] == spans[: count - 1]


def test_a_character_belongs_to_the_token_that_completes_it() -> None:
    tokenizer = qwen_tokenizer()
    ids = tokenizer("龘[7]", add_special_tokens=False)["input_ids"]
    assert len(ids) == 5  # the character is two tokens
    text, spans = token_spans(tokenizer, ids)
    assert text == "龘[7]"
    assert spans == ((0, 0), (0, 1), (1, 2), (2, 3), (3, 4))


def test_fused_punctuation_is_one_span() -> None:
    tokenizer = qwen_tokenizer()
    ids = tokenizer('"bbox_2d": [[12', add_special_tokens=False)["input_ids"]
    text, spans = token_spans(tokenizer, ids)
    pieces = [text[a:b] for a, b in spans]
    assert pieces == ['"', "bbox", "_", "2", "d", '":', " [[", "1", "2"]


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_coordinate_is_found_by_its_place_and_not_by_its_digits(name: str) -> None:
    tokenizer = TOKENIZERS[name]()
    written = '200 杯: {"label": "200, 40", "bbox_2d": [200, 40, 400, 200]}'
    ids = tokenizer(written, add_special_tokens=False)["input_ids"]
    text, spans = token_spans(tokenizer, ids)
    [box] = scan(text).boxes
    tokens = tokens_of(box, text, spans)
    start = written.index("[200")
    places = [start + 1, start + 6, start + 10, start + 15]
    assert tokens is not None
    assert all(spans[token][0] <= place < spans[token][1] for token, place in zip(tokens, places, strict=True))
    assert [text[slice(*spans[token])].strip(" [")[:1] for token in tokens] == ["2", "4", "4", "2"]


def test_a_number_that_is_one_token_with_what_stands_before_it_is_found() -> None:
    core = Tokenizer(models.WordLevel({"[UNK]": 0, "Ġ[": 1, "200": 2, ",Ġ40": 3, ",Ġ": 4, "]": 5}, unk_token="[UNK]"))
    core.decoder = decoders.ByteLevel()
    tokenizer: Any = transformers.PreTrainedTokenizerFast(tokenizer_object=core)
    text, spans = token_spans(tokenizer, [1, 2, 3, 4, 2, 3, 5])
    [box] = scan(text).boxes
    assert text == " [200, 40, 200, 40]"
    assert tokens_of(box, text, spans) == (1, 2, 4, 5)


def test_special_tokens_are_kept_but_for_the_end() -> None:
    tokenizer = qwen_tokenizer()
    written = "<|box_start|>(1,2)<|box_end|><|im_end|>"
    ids = tokenizer(written, add_special_tokens=False)["input_ids"]
    text, spans = token_spans(tokenizer, ids)
    assert text == "<|box_start|>(1,2)<|box_end|>"
    assert [text[a:b] for a, b in spans] == ["<|box_start|>", "(", "1", ",", "2", ")", "<|box_end|>", ""]
    kept, _ = token_spans(tokenizer, [*ids, 1], eos=())
    assert kept == written + '"'  # an end in the middle is text


def test_every_end_mark_of_a_list_ends_the_text() -> None:
    tokenizer = qwen_tokenizer()
    ids = tokenizer("no<|endoftext|>", add_special_tokens=False)["input_ids"]
    assert token_spans(tokenizer, ids)[0] == "no<|endoftext|>"
    assert token_spans(tokenizer, ids, eos=(151643, 151645)) == ("no", ((0, 2), (2, 2)))


def test_an_incomplete_character_at_the_end_is_marked() -> None:
    tokenizer = qwen_tokenizer()
    first = tokenizer("龘", add_special_tokens=False)["input_ids"][0]
    assert token_spans(tokenizer, [first]) == ("�", ((0, 1),))


def test_the_space_that_sentencepiece_puts_first_is_taken_off_once() -> None:
    tokenizer = llama_tokenizer()
    ids = tokenizer("the box", add_special_tokens=False)["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids)[0].startswith("▁")
    text, spans = token_spans(tokenizer, ids)
    assert text == "the box"
    assert tiles(text, spans)


def test_ids_beyond_the_vocabulary_write_nothing() -> None:
    tokenizer = qwen_tokenizer()
    assert token_spans(tokenizer, [16, 151_900, 17]) == ("12", ((0, 1), (1, 1), (1, 2)))


def test_a_tokenizer_of_another_kind_is_refused() -> None:
    core = Tokenizer(models.WordPiece({"[UNK]": 0, "box": 1}, unk_token="[UNK]"))
    core.decoder = decoders.WordPiece()
    tokenizer: Any = transformers.PreTrainedTokenizerFast(tokenizer_object=core)
    with pytest.raises(BadContract, match=r"expected a byte-level or sentencepiece-like tokenizer, got .*WordPiece"):
        token_spans(tokenizer, [1])


def test_time_is_linear_in_tokens() -> None:
    tokenizer = byte_level_tokenizer()
    ids = [number % 256 for number in range(1000)]

    def seconds(count: int) -> float:
        started = time.process_time()
        token_spans(tokenizer, (ids * 16)[:count])
        return time.process_time() - started

    few, many = min(seconds(1000) for _ in range(3)), min(seconds(16000) for _ in range(3))
    assert many < 16 * few * 4  # quadratic would be 256 times as long
