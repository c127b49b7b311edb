from __future__ import annotations

import gc
from collections.abc import Generator
from dataclasses import replace

import pytest
import torch

from glintbox.errors import BadContract, BadInput, Closed, OutOfMemory, UnknownName
from glintbox.lvlm import reading
from glintbox.lvlm.api import Answered
from glintbox.lvlm.decode import answer, answer_together, replay
from glintbox.lvlm.tap import Tap
from glintbox.records import Head, Sampling, Site, Watch
from tests.lvlm.asked import (
    FREE,
    WIDE,
    all_sites,
    asked,
    decoder_of,
    ids_of,
    only,
    plain_greedy,
    plain_logits,
    rows_off,
    tiny_model_once,
)
from tests.lvlm.tiny import MODEL_TYPES, tiny_model

pytestmark = pytest.mark.filterwarnings("ignore:.*torchvision.*")

EOS = tuple(range(20, 60))
"""Enough ids that answers end at different lengths."""


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_greedy_is_what_generate_answers_token_for_token(model_type):
    decoder, prompt = decoder_of(model_type), asked(model_type)
    sampling = replace(FREE, max_new_tokens=12)
    first = only(answer(decoder, [prompt], sampling, Watch())).responses[0]
    assert first.source == "greedy" and first.ended == "length"
    assert list(first.ids) == plain_greedy(decoder.model, prompt, 12)


def test_an_answer_ends_at_any_of_the_eos_ids_and_leaves_it_out():
    prompt = asked("qwen2_5_vl")
    free = plain_greedy(tiny_model_once("qwen2_5_vl"), prompt, 12)
    at = next(i for i in range(3, 12) if free[i] not in free[:i])
    decoder = decoder_of("qwen2_5_vl", eos=(1_000_000, free[at]))
    response = only(answer(decoder, [prompt], replace(FREE, max_new_tokens=12), None)).responses[0]
    assert response.ended == "stop"
    assert list(response.ids) == free[:at]
    assert response.entropy is not None
    assert len(response.entropy) == len(response.spans) == at


def test_an_answer_that_is_long_enough_ends_by_length_even_if_eos_would_follow():
    prompt = asked("qwen2_5_vl")
    free = plain_greedy(tiny_model_once("qwen2_5_vl"), prompt, 4)
    decoder = decoder_of("qwen2_5_vl", eos=free[3:])
    response = only(answer(decoder, [prompt], replace(FREE, max_new_tokens=3), None)).responses[0]
    assert (response.ended, list(response.ids)) == ("length", free[:3])


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_rows_are_exact_when_answers_end_at_different_lengths(model_type):
    decoder, prompt = decoder_of(model_type, eos=EOS), asked(model_type)
    sampling = Sampling(n=9, temperature=1.5, top_p=1.0, top_k=0, max_new_tokens=14)
    answers = answer(decoder, [prompt], sampling, Watch())
    answered = only(answers)
    assert len({len(ids) for ids in ids_of(answered)}) > 3
    assert {"stop", "length"} >= {response.ended for response in answered.responses}
    assert rows_off(decoder, prompt, answered) < 1e-5


def test_an_answer_may_be_empty():
    decoder, prompt = decoder_of("llava", eos=range(400)), asked("llava")
    answers = answer(decoder, [prompt], FREE, Watch())
    answered = only(answers)
    assert [(r.text, r.ids, r.spans, r.entropy, r.ended) for r in answered.responses] == [("", (), (), (), "stop")] * 4
    assert answered.read([], Watch()).shape == (0, 12, *answered.prompt.views["default"].grid[:2])


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_draws_do_not_depend_on_how_many_others_are_drawn(model_type):
    decoder, prompt = decoder_of(model_type, eos=EOS), asked(model_type)
    sampling = Sampling(temperature=1.0, top_p=0.95, max_new_tokens=8)
    drawn = {n: ids_of(only(answer(decoder, [prompt], replace(sampling, n=n), None)))[1:] for n in (1, 10, 30)}
    assert drawn[1] == drawn[30][:1] and drawn[10] == drawn[30][:10]
    assert len(set(drawn[30])) > 15


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_samplings_that_are_drawn_together_write_what_each_writes_alone(model_type):
    decoder, prompt = decoder_of(model_type, eos=EOS), asked(model_type)
    low = Sampling(n=3, temperature=0.3, top_p=0.95, max_new_tokens=8, greedy_too=False)
    samplings = (low, replace(low, n=5, temperature=1.5), replace(low, n=2, seed=3, greedy_too=True))
    both = answer_together(decoder, [prompt], samplings, Watch())
    together = next(both)
    for sampling, part in zip(samplings, together, strict=True):
        alone = answer(decoder, [prompt], sampling, Watch())
        whole = only(alone)
        assert ids_of(part) == ids_of(whole)
        assert [r.source for r in part.responses] == ["greedy"] * sampling.greedy_too + ["sampled"] * sampling.n
        sites = all_sites(part)
        assert torch.allclose(part.read(sites, Watch()), whole.read(sites, Watch()), atol=1e-6)
        for strange in (Site(len(part.responses), 0), Site(-2, 0)):
            with pytest.raises(BadInput, match=f"expected a token of responses 0..{len(part.responses) - 1}"):
                part.read([strange], Watch())
    assert next(both, None) is None
    with pytest.raises(Closed, match="read what you need before asking for the next"):
        together[0].read([], Watch())


def test_samplings_of_other_lengths_are_drawn_apart():
    decoder, prompt = decoder_of("llava"), asked("llava")
    with pytest.raises(BadInput, match=r"expected samplings of one max_new_tokens .* got \[6, 7\]; draw them apart"):
        next(answer_together(decoder, [prompt], (FREE, replace(FREE, max_new_tokens=7)), None))
    with pytest.raises(BadInput, match=r"got \[\]"):
        next(answer_together(decoder, [prompt], (), None))


def test_draws_do_not_depend_on_greedy_beside_them_or_on_the_order_of_prompts():
    decoder = decoder_of("qwen2_5_vl")
    a, b = asked("qwen2_5_vl"), asked("qwen2_5_vl", "a dog", size=WIDE)
    forth = [ids_of(answered) for answered in answer(decoder, [a, b], FREE, None)]
    back = [ids_of(answered) for answered in answer(decoder, [b, a], FREE, None)]
    samples = [ids_of(answered) for answered in answer(decoder, [a, b], replace(FREE, greedy_too=False), None)]
    assert forth == back[::-1]
    assert samples == [ids[1:] for ids in forth]
    assert {r.source for r in only(answer(decoder, [a], replace(FREE, greedy_too=False), None)).responses} == {
        "sampled"
    }


def test_another_seed_id_or_query_draws_other_answers():
    decoder, prompt = decoder_of("llava"), asked("llava")
    first, again, seed, name, query = (
        ids_of(only(answer(decoder, [p], s, None)))
        for p, s in (
            (prompt, FREE),
            (prompt, FREE),
            (prompt, replace(FREE, seed=1)),
            (replace(prompt, id="other"), FREE),
            (replace(prompt, query="other"), FREE),
        )
    )
    assert first == again
    assert first[0] == seed[0] == name[0] == query[0]
    assert len({first[1], seed[1], name[1], query[1]}) == 4


def test_entropy_is_that_of_the_models_own_distribution_before_warping():
    decoder, prompt = decoder_of("internvl"), asked("internvl")
    answered = only(answer(decoder, [prompt], replace(FREE, temperature=0.3, top_k=5), None))
    for response in answered.responses:
        logits = plain_logits(decoder.model, prompt, response.ids)[:-1]
        expected = torch.distributions.Categorical(logits=logits).entropy()
        assert response.entropy == pytest.approx(expected.tolist(), abs=1e-4)


def test_a_checkpoints_generation_config_never_leaks_in():
    prompt, sampling = asked("qwen2_5_vl"), replace(FREE, max_new_tokens=12)
    clean = ids_of(only(answer(decoder_of("qwen2_5_vl"), [prompt], sampling, None)))
    model = tiny_model("qwen2_5_vl")
    model.generation_config.update(repetition_penalty=1.5, temperature=0.01, top_k=1, do_sample=True)
    assert ids_of(only(answer(decoder_of("qwen2_5_vl", model=model), [prompt], sampling, None))) == clean


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_two_prompts_interleaved_on_one_model_answer_as_each_alone(model_type):
    decoder = decoder_of(model_type)
    prompts = [asked(model_type), asked(model_type, "a dog", size=WIDE, seed=1)]
    alone = [ids_of(only(answer(decoder, [prompt], FREE, Watch()))) for prompt in prompts]
    iterators = [answer(decoder, [prompt, other], FREE, Watch()) for prompt, other in (prompts, prompts[::-1])]
    for turn in (prompts, prompts[::-1]):
        answered = [next(iterator) for iterator in iterators]
        assert [ids_of(one) for one in answered] == [alone[prompts.index(prompt)] for prompt in turn]
        assert max(rows_off(decoder, one.prompt, one) for one in answered) < 1e-5
    assert decoder.model.config.get_text_config()._attn_implementation == "sdpa"


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_queries_on_one_image_prefill_it_once_and_answer_as_if_they_had_not(model_type):
    decoder = decoder_of(model_type)
    prompts = [asked(model_type, query) for query in ("the red box", "a dog", "the smallest cat of all")]
    separate = [ids_of(only(answer(decoder, [prompt], FREE, None))) for prompt in prompts]
    fed: list[int] = []
    hook = decoder.model.register_forward_pre_hook(
        lambda module, args, kwargs: fed.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    try:
        assert [ids_of(answered) for answered in answer(decoder, prompts, FREE, None)] == separate
    finally:
        hook.remove()
    lengths, shared = [len(prompt.ids) for prompt in prompts], prompts[0].shared
    assert [tokens for tokens in fed if tokens > 4] == [lengths[0], lengths[1] - shared, lengths[2] - shared]
    for prompt, answered in zip(prompts, answer(decoder, prompts, FREE, Watch()), strict=True):
        assert rows_off(decoder, prompt, answered) < 1e-5


def test_other_pixels_other_tokens_or_words_before_the_image_share_no_prefill():
    decoder, prompt = decoder_of("llava"), asked("llava")
    fed: list[int] = []
    hook = decoder.model.register_forward_pre_hook(
        lambda module, args, kwargs: fed.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    ids = prompt.ids.clone()
    ids[1] += 1
    others = [
        replace(prompt, fingerprint="other"),
        replace(prompt, fingerprint="other", ids=ids),
        replace(prompt, fingerprint="other", ids=ids, said=range(1, 3)),
        replace(prompt, fingerprint="other", ids=ids, shared=0),
        replace(prompt, fingerprint="other", ids=ids),
    ]
    try:
        list(answer(decoder, [prompt, *others], FREE, None))
    finally:
        hook.remove()
    assert [tokens for tokens in fed if tokens > 4] == [len(prompt.ids)] * 6


def test_an_answer_is_closed_once_its_iterator_moves_on_ends_or_is_closed():
    decoder, prompt = decoder_of("llava"), asked("llava")
    answers = answer(decoder, [prompt, prompt, prompt], FREE, Watch())
    assert isinstance(answers, Generator)
    first = next(answers)
    assert isinstance(first, Answered)
    assert first.read([Site(0, 0)], Watch()).shape[0] == 1
    second = next(answers)
    with pytest.raises(Closed, match="'the red box/0' were read after their iterator had moved on"):
        first.read([Site(0, 0)], Watch())
    assert second.read([Site(0, 0)], Watch()).shape[0] == 1
    answers.close()
    with pytest.raises(Closed, match="moved on"):
        second.read([Site(0, 0)], Watch())
    (last,) = answer(decoder, [prompt], FREE, Watch())
    with pytest.raises(Closed, match="moved on"):
        last.read([Site(0, 0)], Watch())


def test_nothing_kept_of_a_prompt_outlives_it():
    def taps():
        gc.collect()
        return sum(type(thing) is Tap for thing in gc.get_objects())

    before, alive = taps(), []

    def prompts():
        yield asked("qwen3_vl")
        alive.append(taps() - before)
        yield asked("qwen3_vl", seed=1)

    for _ in answer(decoder_of("qwen3_vl"), prompts(), replace(FREE, n=2), Watch()):
        alive.append(taps() - before)
    assert alive == [2, 0, 2]


def test_heads_are_read_in_the_order_of_the_watch():
    decoder, prompt = decoder_of("qwen2_vl"), asked("qwen2_vl")
    heads = (Head(2, 3), Head(0, 1), Head(2, 0))
    answers, few = answer(decoder, [prompt], FREE, Watch()), answer(decoder, [prompt], FREE, Watch(heads))
    every, some = next(answers), next(few)
    sites = all_sites(every)[::-1]
    channels = [decoder.card.all_heads().index(head) for head in heads]
    expected = every.read(sites, Watch())[:, channels]
    assert torch.allclose(some.read(sites, Watch(heads)), expected, atol=1e-6)
    assert torch.allclose(every.read(sites, Watch(heads)), expected, atol=1e-6)
    assert len({float(row.sum()) for row in expected[0]}) == 3


def test_reading_in_chunks_changes_nothing(monkeypatch):
    decoder, prompt = decoder_of("qwen2_5_vl"), asked("qwen2_5_vl")
    answers = answer(decoder, [prompt], FREE, Watch())
    answered = next(answers)
    sites = [*all_sites(answered), Site(-1, prompt.said[-1])]
    whole = answered.read(sites, Watch())
    monkeypatch.setattr(reading, "CHUNK", 1)
    assert torch.allclose(answered.read(sites, Watch()), whole, atol=1e-6)


def test_timing_says_how_long_prefill_decoding_and_reading_took():
    decoder, prompt = decoder_of("llava"), asked("llava")
    answers = answer(decoder, [prompt], FREE, Watch())
    answered = next(answers)
    assert set(answered.timing) == {"prefill", "decode"}
    answered.read(all_sites(answered), Watch())
    assert all(0 < answered.timing[stage] < 60 for stage in ("prefill", "decode", "read"))


def test_heads_that_do_not_exist_or_have_no_map_are_refused():
    decoder, prompt = decoder_of("llava"), asked("llava")
    card = replace(decoder.card, usable=(0, 2), excluded={1: "sliding window of 4096"})
    decoder = decoder._replace(card=card)
    with pytest.raises(
        BadInput, match=r"L1H0 cannot be watched: sliding window of 4096; choose heads of layers \[0, 2\]"
    ):
        next(answer(decoder, [prompt], FREE, Watch((Head(1, 0),))))
    with pytest.raises(BadInput, match="L0H4 cannot be watched: the model has 3 layers of 4 heads"):
        next(answer(decoder, [prompt], FREE, Watch((Head(0, 4),))))


def test_reading_what_was_not_watched_is_refused():
    decoder, prompt = decoder_of("llava"), asked("llava")
    answers = answer(decoder, [prompt], FREE, Watch((Head(0, 1),)))
    answered = next(answers)
    with pytest.raises(BadInput, match=r"L2H1 was not watched .* watched were layers \[0\]"):
        answered.read([Site(0, 0)], Watch((Head(2, 1),)))
    with pytest.raises(UnknownName, match=r"unknown view 'tiles'\. Known: default"):
        answered.read([Site(0, 0)], Watch((Head(0, 1),), view="tiles"))
    first, last = prompt.said.start, len(prompt.ids) - 1
    for site in (Site(4, 0), Site(0, 6), Site(-1, first - 1), Site(-1, last + 1), Site(-2, last), Site(0, -1)):
        with pytest.raises(BadInput, match=f"or response -1 and a prompt token in {first}..{last}"):
            answered.read([site], Watch((Head(0, 1),)))
    with pytest.raises(BadInput, match='"predicted" row only if the Watch given to answer asks for it'):
        answered.read([Site(0, 5)], Watch((Head(0, 1),), moment="predicted"))
    unwatched = answer(decoder, [prompt], FREE, None)
    with pytest.raises(BadInput, match="was not watched"):
        next(unwatched).read([Site(0, 0)], Watch())


def test_logits_that_are_not_finite_are_refused():
    model = tiny_model("llava")
    model.lm_head.weight[3] = torch.nan
    with pytest.raises(BadContract, match="expected finite logits"):
        next(answer(decoder_of("llava", model=model), [asked("llava")], FREE, None))


def failing(model, rows, error):
    """Memory that holds a step of at most `rows` answers."""

    def check(module, args, kwargs):
        if rows < kwargs["input_ids"].shape[1] < 20 or rows == 0:
            raise error

    return model.register_forward_pre_hook(check, with_kwargs=True)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: not enough memory")]
)
def test_when_memory_runs_out_fewer_answers_are_drawn_together_and_nothing_else_changes(error):
    decoder, prompt = decoder_of("qwen2_5_vl", eos=EOS), asked("qwen2_5_vl")
    sampling = Sampling(n=10, temperature=1.5, top_p=1.0, top_k=0, max_new_tokens=8)
    calm = answer(decoder, [prompt], sampling, Watch(moment="predicted"))
    expected = next(calm)
    hook = failing(decoder.model, 3, error)
    try:
        tight = answer(decoder, [prompt], sampling, Watch(moment="predicted"))
        answered = next(tight)
    finally:
        hook.remove()
    assert answered.notes == ("memory ran out: answers were drawn 3 at a time, not 11",)
    assert expected.notes == ()
    assert ids_of(answered) == ids_of(expected)
    for moment in ("predicting", "predicted"):
        watch, sites = Watch(moment=moment), all_sites(expected)
        assert torch.allclose(answered.read(sites, watch), expected.read(sites, watch), atol=1e-5)


def test_the_next_prompt_after_a_tight_one_is_answered_in_full():
    decoder = decoder_of("llava")
    prompts = [asked("llava"), asked("llava", "a dog")]
    expected = [ids_of(answered) for answered in answer(decoder, prompts, FREE, None)]
    hook = failing(decoder.model, 2, torch.OutOfMemoryError("CUDA out of memory"))
    answers = answer(decoder, prompts, FREE, None)
    try:
        assert ids_of(next(answers)) == expected[0]
    finally:
        hook.remove()
    second = next(answers)
    assert ids_of(second) == expected[1] and second.notes == ()


def test_a_picture_that_does_not_fit_is_named_with_its_tokens_and_budget():
    decoder, prompt = decoder_of("llava"), asked("llava")
    hook = failing(decoder.model, 0, torch.OutOfMemoryError("CUDA out of memory"))
    message = (
        r"cpu does not hold 4 answers to a picture of 112x168 px in 64 image tokens "
        r"\(pixel budget: max_pixels=1003520\); "
        "no n fits: lower the pixel budget so that the picture takes about 32 image tokens"
    )
    try:
        with pytest.raises(OutOfMemory, match=message):
            next(answer(decoder, [prompt], FREE, None))
        with pytest.raises(OutOfMemory, match="does not hold 1 answers"):
            next(replay(decoder, [(prompt, ())], None))
    finally:
        hook.remove()


def test_answers_that_do_not_fit_one_by_one_name_an_n_that_would(monkeypatch):
    decoder, prompt = decoder_of("llava"), asked("llava")
    calls = []

    def only_the_prompt_fits(module, args, kwargs):
        calls.append(kwargs["input_ids"].shape[1])
        if len(calls) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")

    each = 3 * 2 * 2 * 16 * 4 * FREE.max_new_tokens
    monkeypatch.setattr("glintbox.lvlm.seams.free_bytes", lambda device: 5 * each)
    hook = decoder.model.register_forward_pre_hook(only_the_prompt_fits, with_kwargs=True)
    try:
        with pytest.raises(OutOfMemory, match=r"4 answers .* 64 image tokens .* about n=2 would fit"):
            next(answer(decoder, [prompt], FREE, None))
    finally:
        hook.remove()
    assert calls == [len(prompt.ids), 4, 2, 1]


def test_rows_that_do_not_fit_are_refused_in_the_same_words(monkeypatch):
    answers = answer(decoder_of("llava"), [asked("llava")], FREE, Watch())
    answered = next(answers)

    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(reading, "scores", full)
    with pytest.raises(OutOfMemory, match=r"cpu does not hold 2 rows of \d+ heads beside 4 answers; lower n"):
        answered.read([Site(0, 0), Site(1, 0)], Watch())


def test_other_errors_of_the_model_are_not_taken_for_memory():
    decoder, prompt = decoder_of("llava"), asked("llava")
    for rows in (0, 2):
        hook = failing(decoder.model, rows, RuntimeError("device-side assert"))
        try:
            with pytest.raises(RuntimeError, match="device-side assert"):
                next(answer(decoder, [prompt], FREE, None))
        finally:
            hook.remove()
