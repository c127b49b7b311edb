"""Deliberately broken engines: each has to break a law that a named test holds, or that test proves nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import AttentionMaskInterface

from glintbox.geometry import View
from glintbox.lvlm import decode, packing, prefill, reading, seams, tap
from glintbox.lvlm import decoder as decoder_module
from glintbox.lvlm.decode import answer
from glintbox.records import Site, Watch
from tests.lvlm.asked import (
    FREE,
    WIDE,
    asked,
    decoder_of,
    ids_of,
    live_rows_off,
    padding_off,
    plain_greedy,
    rows_off,
    tiny_model_once,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*torchvision.*")

FAR = 1e-2
"""How far a mutant has to be from what the laws allow (1e-5)."""


def test_without_the_mask_registration_masked_tokens_are_seen(monkeypatch):
    """Breaks test_tap.py::test_masked_tokens_are_not_seen_under_the_tap."""
    model, prompt = tiny_model_once("llava"), asked("llava")
    sound = padding_off(model, prompt)
    monkeypatch.delitem(AttentionMaskInterface._global_mapping, tap.NAME)
    assert sound < 1e-4
    assert padding_off(model, prompt) > FAR


def test_a_tap_that_does_not_copy_reads_other_tokens(monkeypatch):
    """Breaks test_tap.py::test_kept_queries_are_copies_of_the_last_tokens."""
    query = torch.ones(1, 2, 4, 3)
    monkeypatch.setattr(torch.Tensor, "clone", lambda self: self)
    kept = tap.Tap([0])
    kept.keep(0, query, 1.0)
    query.zero_()
    assert float(kept.queries(0).sum()) == 0


def test_rows_and_columns_swapped_in_a_view_read_other_cells():
    """Breaks test_tap.py::test_rows_of_answers_equal_eager_attention."""
    decoder, prompt = decoder_of("qwen2_5_vl"), asked("qwen2_5_vl")
    columns, grid = prompt.views["default"]
    swapped = View(columns.reshape(grid.rows, grid.cols).T.flatten(), grid)
    answers = answer(decoder, [replace(prompt, views={"default": swapped})], FREE, Watch())
    assert rows_off(decoder, prompt, next(answers)) > FAR


@pytest.mark.parametrize(("asked_for", "given"), [("predicting", "predicted"), ("predicted", "predicting")])
def test_the_moment_shifted_by_one_reads_other_rows(monkeypatch, asked_for, given):
    """Breaks test_tap.py::test_rows_of_answers_equal_eager_attention and its predicted twin."""
    decoder, prompt = decoder_of("llava"), asked("llava")
    spot = reading.PackedAnswered._spot
    monkeypatch.setattr(
        reading.PackedAnswered, "_spot", lambda self, start, site, moment: spot(self, start, site, given)
    )
    monkeypatch.setattr(decode, "grow", lambda *a, **options: packing.grow(*a, **options | {"last_too": True}))
    assert live_rows_off(decoder, prompt, asked_for) > FAR


@pytest.mark.parametrize("model_type", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def test_one_rotary_axis_for_all_reads_other_rows(monkeypatch, model_type):
    """Breaks test_tap.py::test_rows_of_answers_equal_eager_attention, as forgetting mm_token_type_ids would."""
    decoder, prompt = decoder_of(model_type), asked(model_type)
    flat = torch.arange(len(prompt.ids)).expand(3, 1, -1)
    monkeypatch.setattr(seams, "prompt_positions", lambda model, prompt: flat)
    assert live_rows_off(decoder, prompt) > FAR


@pytest.mark.parametrize("model_type", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def test_positions_from_what_the_model_remembers_are_another_prompts(monkeypatch, model_type):
    """Breaks test_decode.py::test_two_prompts_interleaved_on_one_model_answer_as_each_alone."""
    decoder, prompt, other = decoder_of(model_type), asked(model_type), asked(model_type, "a dog", size=WIDE)
    plain_greedy(decoder.model, other, 1)
    stale = int(decoder.model.model.rope_deltas)

    def remembering(*args, **options):
        start = prefill.prefill(*args, **options)
        return replace(start, next_position=start.length + stale)

    monkeypatch.setattr(decoder_module, "prefill", remembering)
    assert stale + len(prompt.ids) != int(seams.prompt_positions(decoder.model, prompt).max()) + 1
    assert live_rows_off(decoder, prompt) > FAR


def test_answers_that_see_each_other_read_other_rows(monkeypatch):
    """Breaks test_tap.py::test_rows_of_answers_equal_eager_attention."""
    decoder, prompt = decoder_of("internvl"), asked("internvl")
    tree_mask = seams.tree_mask
    monkeypatch.setattr(
        seams,
        "tree_mask",
        lambda prompt, owner, depth, **options: tree_mask(prompt, torch.zeros_like(owner), depth, **options),
    )
    assert live_rows_off(decoder, prompt) > FAR


def test_reading_over_all_answers_keys_makes_other_rows(monkeypatch):
    """Breaks test_tap.py::test_rows_of_answers_equal_eager_attention."""
    decoder, prompt = decoder_of("internvl"), asked("internvl")
    everything = lambda self: {owner: list(range(len(self.owner))) for owner in self.owner}  # noqa: E731
    monkeypatch.setattr(reading.Branches, "places", everything)
    assert live_rows_off(decoder, prompt) > FAR


def test_a_window_left_out_reads_other_rows(monkeypatch):
    """Breaks test_seams.py::test_models_with_sliding_layers_answer_as_generate_does_and_…"""
    from tests.lvlm.test_seams import WINDOWED, windowed

    model = windowed("internvl", **WINDOWED["internvl"])
    tree_mask = seams.tree_mask
    monkeypatch.setattr(seams, "tree_mask", lambda *a, **options: tree_mask(*a, **options | {"window": None}))
    assert live_rows_off(decoder_of("internvl", model=model), asked("internvl")) > FAR


def test_a_prefill_shared_by_tokens_alone_answers_about_another_picture(monkeypatch):
    """Breaks test_decode.py::test_other_pixels_other_tokens_or_words_before_the_image_share_no_prefill."""
    decoder, prompts = decoder_of("llava"), [asked("llava", seed=seed) for seed in (0, 1)]
    alone = ids_of(next(answer(decoder, prompts[1:], FREE, None)))
    assert [ids_of(one) for one in answer(decoder, prompts, FREE, None)][1] == alone
    monkeypatch.setattr(decoder_module, "shares", lambda before, prompt: True)
    assert [ids_of(one) for one in answer(decoder, prompts, FREE, None)][1] != alone


def test_noise_from_one_running_stream_depends_on_how_many_are_drawn(monkeypatch):
    """Breaks test_decode.py::test_draws_do_not_depend_on_how_many_others_are_drawn."""
    decoder, prompt = decoder_of("llava"), asked("llava")

    def drawn(n):
        stream = torch.Generator().manual_seed(0)
        monkeypatch.setattr(packing, "noise", lambda *counter: float(torch.rand((), generator=stream)))
        return ids_of(next(answer(decoder, [prompt], replace(FREE, n=n), None)))

    assert drawn(1)[1] != drawn(3)[1]


def test_keys_of_parked_answers_that_are_views_are_overwritten(monkeypatch):
    """Breaks test_decode.py::test_when_memory_runs_out_fewer_answers_are_drawn_together_and_nothing_else_changes."""
    decoder, prompt = decoder_of("llava"), asked("llava")
    to = torch.Tensor.to
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *a, **options: to(self, *a, **options | {"copy": False}))

    def check(module, args, kwargs):
        if 2 < kwargs["input_ids"].shape[1] < 20:
            raise torch.OutOfMemoryError("CUDA out of memory")

    hook = decoder.model.register_forward_pre_hook(check, with_kwargs=True)
    answers = answer(decoder, [prompt], FREE, Watch())
    answered = next(answers)
    hook.remove()
    assert answered.notes
    assert rows_off(decoder, prompt, answered) > FAR
    assert answered.read([Site(0, 0)], Watch()).isfinite().all()


def test_rows_of_another_prompt_of_the_batch_are_other_rows(monkeypatch):
    """Breaks test_batching.py::test_several_prompts_at_a_time_are_answered_and_read_as_each_alone."""
    batch, prompts = decoder_of("llava")._replace(batch=2), [asked("llava", seed=seed) for seed in (0, 1)]
    monkeypatch.setattr(reading.Branches, "queries", lambda self, start, layer: self.tap.queries(layer)[0])
    off = [
        rows_off(batch, prompt, one) for prompt, one in zip(prompts, answer(batch, prompts, FREE, Watch()), strict=True)
    ]
    assert off[0] < 1e-4 < FAR < off[1]


def test_a_gap_after_the_shorter_prompt_that_is_seen_changes_its_rows(monkeypatch):
    """Breaks test_batching.py::test_several_prompts_at_a_time_are_answered_and_read_as_each_alone."""
    batch, prompts = decoder_of("internvl")._replace(batch=2), [asked("internvl"), asked("internvl", size=WIDE)]
    tree_mask = seams.tree_mask
    monkeypatch.setattr(
        seams, "tree_mask", lambda lengths, *a, **options: tree_mask([max(lengths)] * len(lengths), *a, **options)
    )
    off = [
        rows_off(batch, prompt, one) for prompt, one in zip(prompts, answer(batch, prompts, FREE, Watch()), strict=True)
    ]
    assert len(prompts[0].ids) != len(prompts[1].ids)
    assert min(off) < 1e-4 < FAR < max(off)
