"""What answering must leave alone: other models of the process, the vision tower, the model's settings, its memory."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from glintbox.errors import BadContract
from glintbox.lvlm.decode import answer, replay
from glintbox.lvlm.doctor import examine
from glintbox.lvlm.families import FAMILIES
from glintbox.lvlm.hf import HuggingFaceLVLM
from glintbox.lvlm.loading import assemble
from glintbox.lvlm.prefill import prefill
from glintbox.lvlm.tap import NAME, tapped
from glintbox.records import Sampling, Site, Watch
from tests.lvlm.asked import FREE, asked, decoder_of, ids_of, in_two_passes, only, tiny_model_once
from tests.lvlm.tiny import MODEL_TYPES, tiny_model, tiny_processor

pytestmark = pytest.mark.filterwarnings("ignore:.*torchvision.*")


def test_other_models_of_the_process_keep_their_attention():
    other = tiny_model_once("llava")
    before = torch.get_default_dtype(), AttentionInterface()["sdpa"], AttentionMaskInterface()["sdpa"]
    with tapped(tiny_model_once("internvl")):
        assert (torch.get_default_dtype(), AttentionInterface()["sdpa"], AttentionMaskInterface()["sdpa"]) == before
        assert AttentionInterface()["sdpa"] is sdpa_attention_forward
        assert AttentionMaskInterface()["sdpa"] is sdpa_mask
        assert other.config.get_text_config()._attn_implementation == "sdpa"


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_the_tap_is_called_by_every_layer_of_the_text_decoder_and_never_by_the_vision_tower(monkeypatch, model_type):
    decoder, prompt = decoder_of(model_type), asked(model_type)
    called = []
    ours = AttentionInterface()[NAME]

    def watched(module, *tensors, **options):
        called.append(module)
        return ours(module, *tensors, **options)

    monkeypatch.setitem(AttentionInterface._global_mapping, NAME, watched)
    with tapped(decoder.model), torch.no_grad():
        prefill(decoder.model, prompt, decoder.card.usable)
    inside = {id(module) for module in decoder.model.get_decoder().modules()}
    assert [module.layer_idx for module in called] == list(range(decoder.card.layers))
    assert all(id(module) in inside for module in called)


def test_an_error_while_answering_leaves_the_settings_as_they_were():
    model, prompt = tiny_model("llava"), asked("llava")
    model.set_attn_implementation({"text_config": "eager"})

    def fail(module, args):
        raise ZeroDivisionError

    for part in (model.lm_head, model.model.vision_tower):
        hook = part.register_forward_pre_hook(fail)
        try:
            with pytest.raises(ZeroDivisionError):
                next(answer(decoder_of("llava", model=model), [prompt], FREE, Watch()))
        finally:
            hook.remove()
        assert model.config.text_config._attn_implementation == "eager"
        assert model.config.vision_config._attn_implementation == "sdpa"
        assert torch.is_grad_enabled()


@pytest.mark.parametrize("model_type", [name for name in MODEL_TYPES if not FAMILIES[name].prefix])
def test_the_picture_is_given_to_the_model_once_whatever_is_asked_about_it(model_type):
    decoder = decoder_of(model_type)
    prompts = [asked(model_type, query) for query in ("the red box", "a dog")]
    given = []
    hook = decoder.model.register_forward_pre_hook(
        lambda module, args, options: given.append("pixel_values" in options), with_kwargs=True
    )
    try:
        list(answer(decoder, prompts, FREE, Watch()))
    finally:
        hook.remove()
    assert len(given) > 2 * FREE.max_new_tokens - 2
    assert given == [True, *[False] * (len(given) - 1)]


def test_nothing_of_a_checkpoints_generation_settings_changes_an_answer():
    prompt, sampling = asked("llava"), replace(FREE, max_new_tokens=8)
    clean = ids_of(only(answer(decoder_of("llava"), [prompt], sampling, None)))
    model = tiny_model("llava")
    model.generation_config.update(
        repetition_penalty=1.5, no_repeat_ngram_size=1, min_new_tokens=4, max_new_tokens=2, num_beams=3, top_p=0.1,
        temperature=0.01, top_k=1, suppress_tokens=[clean[0][0]], cache_implementation="quantized", use_cache=False,
    )  # fmt: skip
    assert ids_of(only(answer(decoder_of("llava", model=model), [prompt], sampling, None))) == clean


def test_draws_leave_torchs_own_random_numbers_alone_and_do_not_depend_on_them():
    decoder, prompt = decoder_of("llava"), asked("llava")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        before = torch.get_rng_state()
        first = ids_of(only(answer(decoder, [prompt], FREE, None)))
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(2)
        assert ids_of(only(answer(decoder, [prompt], FREE, None))) == first


def test_transformers_gives_no_attention_under_sdpa_which_is_why_it_is_never_asked():
    model, prompt = tiny_model_once("llava"), asked("llava")
    (output,) = in_two_passes(model, prompt, (), output_attentions=True)
    assert not output.attentions
    answers = replay(decoder_of("llava"), [(prompt, ())], Watch())
    read = only(answers).read([Site(-1, len(prompt.ids) - 1)], Watch())
    assert read.shape[:2] == (1, 12) and bool((read.sum((-1, -2)) > 0).all())


def lvlm() -> HuggingFaceLVLM:
    return HuggingFaceLVLM(assemble(tiny_model("llava"), tiny_processor("llava"), id="tiny", revision=""))


def test_the_doctor_refuses_to_compare_with_no_attention_and_restores_what_was_set(monkeypatch):
    patient = lvlm()
    model = patient.loaded.model
    switch = type(model).set_attn_implementation
    monkeypatch.setattr("glintbox.lvlm.doctor.ONE", Sampling(n=1, max_new_tokens=2))

    def never_eager(self, wanted):
        switch(self, {"text_config": "sdpa"} if wanted == {"text_config": "eager"} else wanted)

    monkeypatch.setattr(type(model), "set_attn_implementation", never_eager)
    findings = {finding.check: finding for finding in examine(patient)}
    eager = findings["tapped attention equals eager"]
    assert eager.ok is False
    assert "expected eager attention of LlavaForConditionalGeneration to compare with, got none" in eager.seen
    assert model.config.text_config._attn_implementation == "sdpa"


def test_the_doctor_restores_the_settings_also_when_the_model_fails(monkeypatch):
    patient = lvlm()
    model = patient.loaded.model

    def fail(module, args, options):
        if options.get("output_attentions"):
            raise BadContract("no such thing")

    hook = model.register_forward_pre_hook(fail, with_kwargs=True)
    monkeypatch.setattr("glintbox.lvlm.doctor.ONE", Sampling(n=1, max_new_tokens=2))
    try:
        findings = {finding.check: finding for finding in examine(patient)}
    finally:
        hook.remove()
    assert findings["tapped attention equals eager"] == ("tapped attention equals eager", False, "no such thing")
    assert findings["live reading equals replay"].ok is True
    assert model.config.text_config._attn_implementation == "sdpa"
