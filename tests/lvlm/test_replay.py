from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from glintbox.errors import Closed, OutOfMemory
from glintbox.lvlm import packing
from glintbox.lvlm.decode import answer, replay
from glintbox.records import Response, Sampling, Site, Watch
from tests.lvlm.asked import FREE, all_sites, asked, decoder_of, eager_attention, plain_logits, rows_off
from tests.lvlm.tiny import MODEL_TYPES

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
