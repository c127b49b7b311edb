from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from glintbox.errors import Closed, OutOfMemory
from glintbox.lvlm import packing
from glintbox.lvlm.decode import answer, replay
from glintbox.records import Head, Response, Sampling, Site, Watch
from tests.lvlm.asked import FREE, all_sites, asked, decoder_of, eager_attention, plain_logits, rows_off
from tests.lvlm.tiny import MODEL_TYPES, tiny_model

pytestmark = pytest.mark.filterwarnings("ignore:.*torchvision.*")

RAGGED = Sampling(n=7, temperature=1.5, top_p=1.0, top_k=0, max_new_tokens=12)
EOS = tuple(range(20, 60))


@pytest.mark.parametrize("moment", ["predicting", "predicted"])
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_replayed_rows_and_entropies_are_those_of_the_live_answers(model_type, moment):
    decoder, prompt, watch = decoder_of(model_type, eos=EOS), asked(model_type), Watch(moment=moment)
    answers = answer(decoder, [prompt], RAGGED, watch)
    live = next(answers)
    told = tuple(replace(response, entropy=None) for response in live.responses)
    replays = replay(decoder, [(prompt, told)], watch)
    again = next(replays)
    sites = all_sites(live)
    assert len(sites) > 15
    assert torch.allclose(again.read(sites, watch), live.read(sites, watch), atol=1e-5)
    for before, after in zip(live.responses, again.responses, strict=True):
        assert after.entropy == pytest.approx(before.entropy, abs=1e-4)
        assert replace(after, entropy=before.entropy) == before


def test_given_tokens_are_fed_in_bounded_pieces(monkeypatch):
    decoder, prompt = decoder_of("qwen2_5_vl"), asked("qwen2_5_vl")
    told = tuple(Response("", "given", "stop", tuple(range(start, start + 9)), ((0, 0),) * 9) for start in (10, 40, 90))
    whole = next(keep := replay(decoder, [(prompt, told)], Watch()))
    monkeypatch.setattr(packing, "FORCED", 4)
    pieces = next(keep_too := replay(decoder, [(prompt, told)], Watch()))
    sites = all_sites(whole)
    assert torch.allclose(pieces.read(sites, Watch()), whole.read(sites, Watch()), atol=1e-5)
    assert rows_off(decoder, prompt, pieces) < 1e-5
    expected = torch.distributions.Categorical(logits=plain_logits(decoder.model, prompt, told[1].ids)[:-1]).entropy()
    assert pieces.responses[1].entropy == pytest.approx(expected.tolist(), abs=1e-4)
    del keep, keep_too


def test_a_replay_without_answers_reads_the_prompt():
    decoder, prompt = decoder_of("internvl"), asked("internvl")
    replays = replay(decoder, [(prompt, ())], Watch())
    answered = next(replays)
    assert answered.responses == ()
    row = answered.read([Site(-1, prompt.said[-1])], Watch())[0].flatten(1)
    eager = eager_attention(decoder.model, prompt, ())[:, prompt.said[-1]]
    assert torch.allclose(row, eager[:, prompt.views["default"].columns], atol=1e-5)


TOLD = (Response("", "given", "length", (30, 31, 32), ((0, 0),) * 3),)


@contextmanager
def layers_that_attend(model):
    """Numbers of the text layers whose attention is computed, as they are; and -1 for the vocabulary."""
    seen = []
    hooks = [
        module.register_forward_hook(lambda module, args, output: seen.append(module.layer_idx))
        for name, module in model.get_decoder().named_modules()
        if name.endswith("self_attn")
    ]
    vocabulary = model.get_output_embeddings()
    hooks.append(vocabulary.register_forward_hook(lambda module, args, output: seen.append(-1)))
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_prompt_that_is_only_read_ends_at_the_last_watched_layer_with_the_rows_of_a_whole_run(model_type):
    decoder, prompt = decoder_of(model_type), asked(model_type)
    watch, sites = Watch(heads=(Head(1, 2), Head(0, 3))), [Site(-1, token) for token in asked(model_type).said]
    with layers_that_attend(decoder.model) as seen:
        whole = next(keep := replay(decoder, [(prompt, TOLD)], watch)).read(sites, watch)
        assert set(seen) == {-1, 0, 1, 2}
        seen.clear()
        read = next(keep_too := replay(decoder, [(prompt, ())], watch)).read(sites, watch)
        assert seen == [0], "layer 1 has its queries and keys, and need not attend"
    assert torch.equal(read, whole)
    eager = eager_attention(decoder.model, prompt, ()).unflatten(0, (3, 4))[[1, 0], [2, 3]]
    columns = prompt.views["default"].columns
    assert torch.allclose(read.flatten(2), eager[:, prompt.said][..., columns].transpose(0, 1), atol=1e-5)
    del keep, keep_too


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_reading_a_prompt_leaves_the_model_as_it_was(model_type):
    decoder, prompt = decoder_of(model_type, model=tiny_model(model_type)), asked(model_type)
    before = plain_logits(decoder.model, prompt, (30, 31))
    list(replay(decoder, [(prompt, ())], Watch(heads=(Head(0, 0),))))
    assert torch.equal(plain_logits(decoder.model, prompt, (30, 31)), before)
    assert decoder.model.config.get_text_config()._attn_implementation == "sdpa"


@pytest.mark.parametrize("told", [((), (), TOLD), (TOLD, (), TOLD), ((), TOLD, ())])
@pytest.mark.parametrize("model_type", ["qwen2_5_vl", "llava_next"])
def test_prompts_that_are_read_and_prompts_that_are_answered_share_a_picture_and_nothing_else(model_type, told):
    decoder, watch = decoder_of(model_type), Watch(heads=(Head(1, 2), Head(0, 3)))
    prompts = [asked(model_type, query) for query in ("the red box", "a dog", "the cat")]
    for answered, prompt, responses in zip(
        replay(decoder, zip(prompts, told, strict=True), watch), prompts, told, strict=True
    ):
        sites = [Site(-1, prompt.said[-1]), *all_sites(answered)]
        alone = next(keep := replay(decoder, [(prompt, responses)], watch))
        assert torch.allclose(answered.read(sites, watch), alone.read(sites, watch), atol=1e-5)
        assert [r.entropy for r in answered.responses] == [pytest.approx(r.entropy, abs=1e-4) for r in alone.responses]
        del keep


def test_prompts_that_are_read_prefill_their_picture_once():
    decoder = decoder_of("internvl")
    prompts = [asked("internvl", query) for query in ("the red box", "a dog")]
    given = []
    hook = decoder.model.register_forward_pre_hook(
        lambda module, args, options: given.append("pixel_values" in options), with_kwargs=True
    )
    try:
        list(replay(decoder, [(prompt, ()) for prompt in prompts], Watch(heads=(Head(1, 0),))))
    finally:
        hook.remove()
    assert given == [True, False]


def test_replays_of_several_prompts_close_one_by_one_and_share_the_image():
    decoder = decoder_of("llava_next")
    prompts = [asked("llava_next"), asked("llava_next", "a dog")]
    told = [(prompt, (Response("", "given", "length", (30, 31, 32), ((0, 0),) * 3),)) for prompt in prompts]
    seen = []
    for answered in replay(decoder, told, Watch()):
        assert rows_off(decoder, answered.prompt, answered) < 1e-5
        seen.append(answered)
    assert [one.prompt.query for one in seen] == ["the red box", "a dog"]
    for one in seen:
        with pytest.raises(Closed, match="moved on"):
            one.read([Site(0, 0)], Watch())


def test_who_wrote_an_answer_is_kept():
    decoder, prompt = decoder_of("qwen2_5_vl"), asked("qwen2_5_vl")
    live = next(answer(decoder, [prompt], FREE, None)).responses
    again = next(replay(decoder, [(prompt, (*live[:2], replace(live[2], source="given")))], None)).responses
    assert [response.source for response in again] == ["greedy", "sampled", "given"]


def test_given_answers_that_do_not_fit_are_refused_in_plain_words():
    decoder, prompt = decoder_of("llava"), asked("llava")
    told = (Response("", "given", "stop", (30, 31, 32), ((0, 0),) * 3),)

    def check(module, args, kwargs):
        if kwargs["input_ids"].shape[1] == 3:
            raise torch.OutOfMemoryError("CUDA out of memory")

    hook = decoder.model.register_forward_pre_hook(check, with_kwargs=True)
    try:
        with pytest.raises(OutOfMemory, match="cpu does not hold 1 answers to a picture of 112x168 px"):
            next(replay(decoder, [(prompt, told)], Watch()))
    finally:
        hook.remove()
