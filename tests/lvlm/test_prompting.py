"""Prompts: the whole of the token ids, where picture and query stand in them, and what is refused."""

from __future__ import annotations

import pickle
import unicodedata
from typing import Any

import pytest
import torch

from glintbox.boxes import Size
from glintbox.errors import BadContract, BadInput, UnknownName
from glintbox.lvlm.grids import image_columns
from glintbox.lvlm.loading import Loaded
from glintbox.lvlm.processors import without_video
from glintbox.lvlm.prompting import make_prompt
from glintbox.prompts import PROMPTS
from tests.lvlm.tiny import MODEL_TYPES, picture, tiny_loaded, tiny_model, tiny_processor
from tests.lvlm.tiny_text import CHATML, DATA, QWEN, TEMPLATES, qwen_tokenizer

QUERIES = ["red box", "红色的杯子", "the 🦊 at “home”", 'a "cup" & <b>', "cafe\u0301 table", "image", "x"]


def templated(model_type: str, template: str) -> Loaded:
    """A tiny model with another chat template."""
    processor = tiny_processor(model_type)
    processor.chat_template = template
    return tiny_loaded(model_type)._replace(processor=processor)


def real_qwen() -> Loaded:
    """The tiny Qwen2.5-VL behind the released tokenizer, template and image processor."""
    loaded = tiny_loaded("qwen2_5_vl")
    pictures = tiny_processor("qwen2_5_vl", min_pixels=3136, max_pixels=12_845_056).image_processor
    template = (DATA / "configs" / "qwen2.5-vl-3b" / "chat_template.jinja").read_text()
    processor = type(loaded.processor)(pictures, qwen_tokenizer(), chat_template=template)
    model = tiny_model("qwen2_5_vl")
    model.config.image_token_id = 151655
    return loaded._replace(model=model, processor=processor, tokenizer=processor.tokenizer)


def test_every_token_of_a_real_prompt() -> None:
    loaded = real_qwen()
    prompt = make_prompt(loaded, picture(640, 480), "red mug", id="a", text="short")
    # <|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<|vision_start|>
    front = [151644, 8948, 198, 2610, 525, 264, 10950, 17847, 13, 151645, 198, 151644, 872, 198, 151652]
    words = loaded.tokenizer("Detect red mug in the image.", add_special_tokens=False)["input_ids"]
    behind = [151653, *words, 151645, 198, 151644, 77091, 198]  # <|vision_end|>…<|im_end|>\n<|im_start|>assistant\n
    assert prompt.ids.tolist() == [*front, *[151655] * 391, *behind]
    assert prompt.shared == len(front) + 391 + 1
    assert [loaded.tokenizer.decode([int(i)]) for i in prompt.ids[prompt.said.start : prompt.said.stop]] == [
        " red",
        " mug",
    ]
    assert prompt.views["default"].columns.tolist() == list(range(15, 15 + 391))
    assert prompt.frame.size == Size(644, 476)


@pytest.mark.parametrize("text", ["short", "paper", "internvl"])
@pytest.mark.parametrize("query", QUERIES)
def test_the_last_place_of_the_query_is_found_in_real_tokens(query: str, text: str) -> None:
    loaded = real_qwen()
    prompt = make_prompt(loaded, picture(60, 90), query, id="a", text=text)
    inside = loaded.tokenizer.decode(prompt.ids[prompt.said.start : prompt.said.stop])
    normal = loaded.tokenizer.decode(loaded.tokenizer(query, add_special_tokens=False)["input_ids"])
    assert normal in inside
    assert len(inside) <= len(normal) + 3  # a neighbour's space, quote or bracket may be fused with it
    behind = PROMPTS[text].split("{query}")[-1]
    assert loaded.tokenizer.decode(prompt.ids[prompt.said.stop :]).count(normal) == behind.count(normal)


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_the_query_is_found_in_every_family(model_type: str, query: str) -> None:
    loaded = tiny_loaded(model_type)
    prompt = make_prompt(loaded, picture(120, 70), query, id="a", text="short")
    inside = loaded.tokenizer.decode(prompt.ids[prompt.said.start : prompt.said.stop])
    normal = loaded.tokenizer.decode(loaded.tokenizer(query, add_special_tokens=False)["input_ids"][-60:])
    assert inside.strip() == normal.removeprefix("<s>").strip()


@pytest.mark.parametrize("query", ["the red box", "the red box. ", "  boxes of red?"])
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_an_expression_ends_with_its_full_stop_and_with_no_blank_token(model_type: str, query: str) -> None:
    loaded = tiny_loaded(model_type)
    for text in ("expression", "expression-as-given"):
        prompt = make_prompt(loaded, picture(120, 70), query, id="a", text=text)
        last, behind = (loaded.tokenizer.decode([int(prompt.ids[k])]) for k in (prompt.said[-1], prompt.said.stop))
        closed = query.strip() if query.strip()[-1] in ".?" or text != "expression" else f"{query.strip()}."
        inside = loaded.tokenizer.decode(prompt.ids[prompt.said.start : prompt.said.stop])
        assert inside.strip() == closed
        assert last.strip() and closed.endswith(last), (
            "not the blank of the template, which LLaVA's tokenizer splits off"
        )
        assert behind != last


@pytest.mark.parametrize("query", [*QUERIES, "  the red box, a cup & the owl"])
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_every_character_of_a_query_belongs_to_a_token_that_writes_it(model_type: str, query: str) -> None:
    loaded = tiny_loaded(model_type)
    prompt = make_prompt(loaded, picture(120, 70), query, id="a", text="expression")
    query = query.strip()
    assert len(prompt.spans) == len(prompt.said) and prompt.spans == tuple(sorted(prompt.spans))
    assert prompt.spans[0][0] == 0 and prompt.spans[-1][1] == len(query) + 1, "the full stop is said too"
    for at, character in enumerate(query):
        if not character.strip() or unicodedata.combining(character):
            continue  # a tokenizer may leave it to the token before
        holds = [token for token, (a, b) in zip(prompt.said, prompt.spans, strict=True) if a <= at < b]
        assert character in unicodedata.normalize("NFD", loaded.tokenizer.decode(prompt.ids[holds])), (at, character)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_begun_answer_is_the_end_of_the_prompt_and_is_what_is_read(model_type: str) -> None:
    loaded = tiny_loaded(model_type)
    begun, plain = (make_prompt(loaded, picture(120, 70), "red box", id="a", text=text) for text in ("begun", "short"))
    closing = len(loaded.tokenizer(loaded.family.closing, add_special_tokens=False)["input_ids"])
    assert begun.said.stop == len(begun.ids) - closing
    assert loaded.tokenizer.decode(begun.ids[begun.said.start : begun.said.stop]).strip() == '[{"bbox_2d": ['
    until = begun.said.start - 1  # a blank before the answer may be fused with its first token
    assert begun.ids[:until].tolist() == plain.ids[:until].tolist() and begun.shared == plain.shared


def test_a_model_that_thinks_first_cannot_have_its_answer_begun() -> None:
    loaded = templated("qwen2_5_vl", TEMPLATES["qwen2_5_vl"].removesuffix("{% endif %}") + "<think>\n{% endif %}")
    with pytest.raises(
        BadInput, match="expected a model that answers at once to begin its answer, got one that thinks"
    ):
        make_prompt(loaded, picture(60, 90), "red box", id="a", text="begun")


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_queries_on_one_picture_share_the_tokens_up_to_its_end(model_type: str) -> None:
    loaded = tiny_loaded(model_type)
    one, other = (make_prompt(loaded, picture(120, 70), query, id="a") for query in ("red box", "green cup"))
    last = int(image_columns({"input_ids": one.ids[None]}, loaded.model.config)[-1])
    marks = ("<|vision_end|>", "</img>", "<fake_token_around_image>", "<end_of_image>", "<|end_of_image|>")
    end = last + 1 + (loaded.tokenizer.decode(one.ids[last + 1]) in marks)
    assert one.shared == other.shared == (0 if loaded.family.prefix else end)
    assert torch.equal(one.ids[: one.shared], other.ids[: one.shared])
    assert one.said.start >= one.shared
    assert one.fingerprint == other.fingerprint
    assert make_prompt(loaded, picture(120, 70, seed=1), "red box", id="a").fingerprint != one.fingerprint


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_prompt_holds_all_that_the_model_takes_and_can_be_sent_away(model_type: str) -> None:
    loaded = tiny_loaded(model_type)
    prompt = make_prompt(loaded, picture(70, 120), "box", id="seven", text="short")
    assert (prompt.id, prompt.image, prompt.query) == ("seven", Size(70, 120), "box")
    assert set(loaded.family.needs) <= set(prompt.tensors)
    assert all(value.device.type == "cpu" for value in prompt.tensors.values())
    assert prompt.tensors["attention_mask"].tolist() == [[1] * len(prompt.ids)]
    again = pickle.loads(pickle.dumps(prompt))
    assert torch.equal(again.ids, prompt.ids)
    assert again.said == prompt.said
    if model_type in QWEN:
        marked = prompt.tensors["mm_token_type_ids"][0].nonzero()[:, 0]
        assert torch.equal(marked, prompt.views["default"].columns)
    assert loaded.model(input_ids=prompt.ids[None], **prompt.tensors).logits.shape[1] == len(prompt.ids)


@pytest.mark.parametrize("template", [TEMPLATES["llava"], "{{ bos_token }}" + TEMPLATES["llava"]])
def test_a_prompt_begins_with_one_begin_token(template: str) -> None:
    loaded = templated("llava", template)
    prompt = make_prompt(loaded, picture(60, 90), "box", id="a", text="short")
    assert (prompt.ids == loaded.tokenizer.bos_token_id).nonzero()[:, 0].tolist() == [0]
    assert loaded.tokenizer.decode(prompt.ids[prompt.said.start : prompt.said.stop]) == "box"


@pytest.mark.parametrize(
    ("tail", "thinking"),
    [("<think>\n", True), ("<think>\n\n</think>\n\n", False), ("", False)],
    ids=["opened", "closed", "none"],
)
def test_a_template_that_opens_a_thought_makes_a_thinking_prompt(tail: str, thinking: bool) -> None:
    template = TEMPLATES["qwen3_vl"].replace("assistant\n{% endif", "assistant\n" + tail + "{% endif")
    prompt = make_prompt(templated("qwen3_vl", template), picture(60, 90), "box", id="a")
    assert prompt.thinking is thinking


def test_the_default_prompt_is_the_one_of_the_model() -> None:
    loaded = tiny_loaded("qwen3_vl")
    named = make_prompt(loaded, picture(60, 90), "box", id="a", text="short")
    assert torch.equal(make_prompt(loaded._replace(prompt="short"), picture(60, 90), "box", id="a").ids, named.ids)
    assert not torch.equal(make_prompt(loaded, picture(60, 90), "box", id="a").ids, named.ids)
    with pytest.raises(UnknownName, match=r"unknown prompt 'shrt'. Did you mean 'short'\?"):
        make_prompt(loaded, picture(60, 90), "box", id="a", text="shrt")


@pytest.mark.parametrize(
    ("model_type", "query", "token"),
    [
        ("qwen3_vl", "<|image_pad|>", r"<\|image_pad\|>"),
        ("llava", "an <image> box", "<image>"),
        ("llava", "a</s>", "</s>"),
    ],
)
def test_a_query_with_a_special_token_is_refused(model_type: str, query: str, token: str) -> None:
    with pytest.raises(BadInput, match=f"expected a query in plain words, got one with the special token '{token}'"):
        make_prompt(tiny_loaded(model_type), picture(60, 90), query, id="a")


@pytest.mark.parametrize("text", ["short", "expression"])
@pytest.mark.parametrize("query", ["", "  \n", "x" * 10_000])
def test_an_empty_or_endless_query_is_refused(query: str, text: str) -> None:
    with pytest.raises(BadInput, match="expected a query"):
        make_prompt(tiny_loaded("qwen3_vl"), picture(60, 90), query, id="a", text=text)


@pytest.mark.parametrize("text", ["short", "expression"])
def test_a_prompt_longer_than_the_model_reads_is_refused(text: str) -> None:
    model: Any = tiny_model("qwen3_vl")
    model.config.text_config.max_position_embeddings = 60
    with pytest.raises(
        BadInput, match=r"expected a prompt of at most 60 tokens, got \d+; show a smaller picture, or say"
    ):
        make_prompt(tiny_loaded("qwen3_vl")._replace(model=model), picture(300, 130), "box", id="a", text=text)


def test_a_picture_too_long_is_refused_before_it_is_resized() -> None:
    with pytest.raises(BadInput, match="expected a picture at most 200 times as long as wide, got 1x300"):
        make_prompt(tiny_loaded("llava"), picture(1, 300), "box", id="a")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (CHATML.replace("{{ c['text'] }}", "{{ c['text'] | upper }}"), "keeps the user's text as it is"),
        (
            CHATML.replace("m in messages", "m in messages + 1"),
            "a chat template for an image and a text, got one that f",
        ),
        (
            CHATML.replace("{% for m", "{% if %}{% for m"),
            "a chat template for an image and a text, got one that fails: E",
        ),
        (
            TEMPLATES["qwen3_vl"].replace("m['content'] %}{% if c", "m['content'] | reverse %}{% if c"),
            "behind the image",
        ),
    ],
    ids=["changes the text", "fails", "is broken", "puts the text first"],
)
def test_a_chat_template_that_does_not_keep_to_the_contract_is_refused(template: str, message: str) -> None:
    with pytest.raises(BadContract, match=f"expected .*{message}"):
        make_prompt(templated("qwen3_vl", template), picture(60, 90), "box", id="a", text="short")


def test_the_processor_class_of_a_prompt_is_the_real_one() -> None:
    kind = type(tiny_loaded("internvl").processor)
    assert kind.__mro__[1].__module__ == "transformers.models.internvl.processing_internvl"
    assert without_video(kind) is kind
