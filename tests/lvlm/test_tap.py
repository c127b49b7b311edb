from __future__ import annotations

import pytest
import torch

from glintbox.errors import BadContract
from glintbox.lvlm.decode import answer, replay
from glintbox.lvlm.families import FAMILIES
from glintbox.lvlm.prefill import prefill
from glintbox.lvlm.tap import NAME, Tap, _folded, scores, tapped
from glintbox.records import Site, Watch
from tests.lvlm.asked import (
    FREE,
    asked,
    decoder_of,
    eager_attention,
    ids_of,
    live_rows_off,
    only,
    padding_off,
    plain_logits,
    tiny_model_once,
)
from tests.lvlm.tiny import MODEL_TYPES, tiny_model

pytestmark = pytest.mark.filterwarnings("ignore:.*torchvision.*")


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_rows_of_answers_equal_eager_attention(model_type):
    assert live_rows_off(decoder_of(model_type), asked(model_type)) < 1e-5


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_rows_of_the_predicted_tokens_equal_eager_attention_also_at_a_cut_answers_last_token(model_type):
    assert live_rows_off(decoder_of(model_type), asked(model_type), "predicted") < 1e-5


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_rows_of_the_prompts_own_words_equal_eager_attention(model_type):
    decoder, prompt = decoder_of(model_type), asked(model_type)
    answers = replay(decoder, [(prompt, ())], Watch())
    read = only(answers).read([Site(-1, token) for token in prompt.said], Watch()).flatten(2)
    eager = eager_attention(decoder.model, prompt, ()).unflatten(0, (decoder.card.layers, -1))
    eager = eager[list(decoder.card.usable)].flatten(0, 1)[:, prompt.said.start : prompt.said.stop]
    assert len(prompt.said) > 3
    assert torch.allclose(read, eager[..., prompt.views["default"].columns].transpose(0, 1), atol=1e-5)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_the_tap_leaves_logits_and_answers_untouched(model_type):
    decoder, prompt = decoder_of(model_type), asked(model_type)
    with tapped(decoder.model), torch.no_grad():
        with_tap = prefill(decoder.model, prompt, decoder.card.usable).logits
        without = prefill(decoder.model, prompt, ()).logits
    assert torch.equal(with_tap, without)
    assert torch.allclose(with_tap, plain_logits(decoder.model, prompt, ())[0], atol=1e-5)
    watched, free = (only(answer(decoder, [prompt], FREE, watch)) for watch in (Watch(), None))
    assert ids_of(watched) == ids_of(free)
    assert len(set(ids_of(free))) == 4


def test_a_row_over_all_prompt_tokens_sums_to_one_and_over_the_image_to_less():
    decoder, prompt = decoder_of("qwen2_5_vl"), asked("qwen2_5_vl")
    answers = answer(decoder, [prompt], FREE, Watch())
    answered = only(answers)
    share = answered.read([Site(-1, prompt.said[-1]), Site(0, 0), Site(1, 4)], Watch()).sum((-1, -2))
    assert bool((share > 0).all()) and bool((share < 1).all())
    total = scores_of_everything(decoder, prompt)
    assert torch.allclose(total, torch.ones_like(total), atol=1e-6)


def scores_of_everything(decoder, prompt):
    view = prompt.views["default"]._replace(columns=torch.arange(len(prompt.ids)))
    view = view._replace(grid=view.grid._replace(rows=1, cols=len(prompt.ids)))
    whole = type(prompt)(**{name: getattr(prompt, name) for name in prompt.__slots__} | {"views": {"default": view}})
    answers = answer(decoder, [whole], FREE, Watch())
    return only(answers).read([Site(-1, prompt.said[-1]), Site(0, 0)], Watch()).sum((-1, -2))


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_bfloat16_rows_are_near_eager_float32_rows(model_type):
    model = tiny_model(model_type, dtype=torch.bfloat16)
    decoder, prompt = decoder_of(model_type, model=model), asked(model_type)
    answers = answer(decoder, [prompt], FREE, Watch())
    answered = only(answers)
    read = answered.read([Site(1, token) for token in range(6)], Watch())
    assert read.dtype == torch.float32
    exact = eager_attention(tiny_model_once(model_type), prompt, answered.responses[1].ids)
    exact = exact.unflatten(0, (decoder.card.layers, -1))[list(decoder.card.usable)].flatten(0, 1)
    rows = exact[:, len(prompt.ids) - 1 : -1][..., prompt.views["default"].columns].transpose(0, 1)
    off = (read.flatten(2) - rows).abs()
    assert float(off.mean()) < 2e-3 and float(off.max()) < 0.15


def test_dot_products_and_shares_of_bfloat16_are_computed_in_float32():
    draw = torch.Generator().manual_seed(0)
    query, keys = torch.randn(5, 6, 8, generator=draw).bfloat16(), torch.randn(2, 7, 8, generator=draw).bfloat16()
    for heads in (torch.arange(6), torch.tensor([4, 1])):
        exact = scores(query[:, heads].float(), keys.float(), heads, 3)
        assert scores(query[:, heads], keys, heads, 3).dtype == torch.float32
        assert torch.equal(scores(query[:, heads], keys, heads, 3), exact)
    total = scores_of_everything(
        decoder_of("qwen2_5_vl", model=tiny_model("qwen2_5_vl", dtype=torch.bfloat16)), asked("qwen2_5_vl")
    )
    assert torch.allclose(total, torch.ones_like(total), atol=1e-6), "bfloat16 shares would be off by 1e-3"


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_the_first_token_of_every_answer_is_predicted_by_the_last_token_of_the_prompt(model_type):
    decoder, prompt = decoder_of(model_type), asked(model_type)
    answers = answer(decoder, [prompt], FREE, Watch())
    read = only(answers).read([Site(-1, len(prompt.ids) - 1), *(Site(r, 0) for r in range(4))], Watch())
    assert torch.equal(read, read[:1].expand_as(read))
    assert float(read.std()) > 0


def test_only_the_text_decoder_runs_through_the_tap_and_everything_is_restored():
    model = tiny_model_once("llava")
    before = (model.config.vision_config._attn_implementation, model.config._attn_implementation)
    with pytest.raises(ZeroDivisionError), tapped(model):
        assert model.config.text_config._attn_implementation == NAME
        assert (model.config.vision_config._attn_implementation, model.config._attn_implementation) == before
        raise ZeroDivisionError
    assert model.config.text_config._attn_implementation == "sdpa"


def test_what_was_set_before_comes_back_also_where_it_was_not_sdpa():
    model = tiny_model("llava")
    model.set_attn_implementation({"text_config": "eager"})
    with tapped(model):
        pass
    assert model.config.text_config._attn_implementation == "eager"


@pytest.mark.parametrize("model_type", [name for name in MODEL_TYPES if not FAMILIES[name].prefix])
def test_masked_tokens_are_not_seen_under_the_tap(model_type):
    assert padding_off(tiny_model_once(model_type), asked(model_type)) < 1e-4


def test_folding_heads_into_rows_equals_repeating_the_keys():
    draw = torch.Generator().manual_seed(0)
    query = torch.randn(1, 6, 3, 8, generator=draw)
    key, value = torch.randn(2, 1, 2, 5, 8, generator=draw)
    mask = torch.rand(1, 1, 3, 5, generator=draw) > 0.3
    mask[..., 0] = True
    repeated = torch.nn.functional.scaled_dot_product_attention(
        query, key.repeat_interleave(3, 1), value.repeat_interleave(3, 1), attn_mask=mask, scale=0.4
    )
    assert torch.allclose(_folded(query, key, value, mask, 0.4), repeated.transpose(1, 2), atol=1e-6)


def test_scores_of_some_heads_are_those_of_all_heads():
    draw = torch.Generator().manual_seed(0)
    query, keys = torch.randn(5, 6, 8, generator=draw), torch.randn(2, 7, 8, generator=draw)
    every = scores(query, keys, torch.arange(6), 3)
    some = torch.tensor([4, 1])
    assert torch.allclose(scores(query[:, some], keys, some, 3), every[:, some], atol=1e-5)
    assert float(every[3, 4, 2]) == pytest.approx(float(query[3, 4] @ keys[1, 2]), abs=1e-5)


def test_kept_queries_are_copies_of_the_last_tokens():
    query = torch.arange(24.0).reshape(1, 2, 4, 3)
    tap = Tap([7], last=2)
    tap.keep(7, query, 0.5)
    tap.keep(3, query, 0.5)
    query.zero_()
    tap.keep(7, query[:, :, :1], 0.5)
    assert tap.queries(7)[0, 1].tolist() == [[18.0, 19.0, 20.0], [21.0, 22.0, 23.0], [0.0, 0.0, 0.0]]
    assert tap.silent() == []
    assert Tap([3]).silent() == [3]


def test_a_layer_that_never_calls_the_tap_is_refused():
    decoder, prompt = decoder_of("llava"), asked("llava")
    with (
        pytest.raises(BadContract, match=r"layers \[9\] of LlavaFor.* do not hand their queries"),
        tapped(decoder.model),
    ):
        prefill(decoder.model, prompt, (0, 9))
