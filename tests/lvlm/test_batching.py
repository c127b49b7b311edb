from __future__ import annotations

import gc
import weakref
from collections.abc import Generator, Iterator
from dataclasses import replace

import pytest
import torch
from transformers.cache_utils import Cache

from glintbox.errors import Closed, OutOfMemory
from glintbox.lvlm import batching, decode, seams
from glintbox.lvlm import decoder as decoder_module
from glintbox.lvlm.api import Prompt
from glintbox.lvlm.batching import read_ahead
from glintbox.lvlm.decode import answer, answer_together
from glintbox.lvlm.packing import grow
from glintbox.lvlm.prefill import prefill
from glintbox.records import Sampling, Site, Watch
from tests.lvlm.asked import FREE, WIDE, all_sites, asked, decoder_of, ids_of, rows_off
from tests.lvlm.test_seams import WINDOWED, windowed
from tests.lvlm.tiny import MODEL_TYPES

pytestmark = pytest.mark.filterwarnings("ignore:.*torchvision.*")

EOS = tuple(range(20, 60))
"""Enough ids that answers end at different lengths."""
LONGER = replace(FREE, max_new_tokens=9)


def mixed(model_type: str) -> list[Prompt]:
    """Prompts of different lengths, one picture twice."""
    return [
        asked(model_type),
        asked(model_type, "a dog on the left", size=WIDE),
        asked(model_type, "a dog", size=WIDE),
        asked(model_type, seed=1),
        asked(model_type, "the thing that nobody sees", seed=2),
    ]


@pytest.mark.parametrize(
    ("model_type", "moment"), [*((one, "predicting") for one in MODEL_TYPES), ("qwen2_5_vl", "predicted")]
)
def test_several_prompts_at_a_time_are_answered_and_read_as_each_alone(model_type, moment):
    alone = decoder_of(model_type, eos=EOS)
    watch, prompts = Watch(moment=moment), mixed(model_type)[:3]
    batch = answer(alone._replace(batch=3), prompts, LONGER, watch)
    lengths = set()
    for prompt, single, together in zip(prompts, answer(alone, prompts, LONGER, watch), batch, strict=True):
        assert together.prompt is prompt
        assert ids_of(together) == ids_of(single)
        assert [r.ended for r in together.responses] == [r.ended for r in single.responses]
        for a, b in zip(together.responses, single.responses, strict=True):
            assert a.entropy == pytest.approx(b.entropy, abs=1e-4)
        sites = all_sites(single)
        if sites:
            assert torch.allclose(together.read(sites, watch), single.read(sites, watch), atol=1e-5)
        lengths |= {len(response.ids) for response in together.responses}
    assert len(lengths) > 1, "or no step had to be filled up"


def test_rows_of_several_prompts_at_a_time_equal_eager_attention():
    batch, prompts = decoder_of("qwen2_5_vl", eos=EOS)._replace(batch=3), mixed("qwen2_5_vl")[:3]
    for prompt, together in zip(prompts, answer(batch, prompts, LONGER, Watch()), strict=True):
        assert rows_off(batch, prompt, together) < 1e-5


@pytest.mark.parametrize("kind", sorted(WINDOWED))
def test_a_sliding_window_counts_from_each_prompts_own_end(kind):
    decoder = decoder_of(kind, model=windowed(kind, **WINDOWED[kind]))
    prompts = mixed(kind)
    for single, together in zip(
        answer(decoder, prompts, FREE, Watch()), answer(decoder._replace(batch=4), prompts, FREE, Watch()), strict=True
    ):
        assert ids_of(together) == ids_of(single)
        sites = all_sites(single)
        assert torch.allclose(together.read(sites, Watch()), single.read(sites, Watch()), atol=1e-5)


def test_samplings_drawn_together_and_prompts_at_a_time_go_together():
    decoder, prompts = decoder_of("qwen2_5_vl", eos=EOS), mixed("qwen2_5_vl")
    samplings = [LONGER, replace(LONGER, temperature=0.5, greedy_too=False)]
    single = [[ids_of(part) for part in parts] for parts in answer_together(decoder, prompts, samplings, None)]
    batch = answer_together(decoder._replace(batch=2), prompts, samplings, None)
    assert [[ids_of(part) for part in parts] for parts in batch] == single


def test_one_picture_is_prefilled_once_within_a_batch_and_from_one_to_the_next(monkeypatch):
    shared = []

    def counting(*args, **options):
        shared.append(options["shared"] is not None)
        return prefill(*args, **options)

    monkeypatch.setattr(decoder_module, "prefill", counting)
    prompts = [asked("qwen2_5_vl", query) for query in ("a dog", "the cat", "a bird", "one")]
    decoder = decoder_of("qwen2_5_vl")
    single = [ids_of(one) for one in answer(decoder, prompts, FREE, None)]
    shared.clear()
    assert [ids_of(one) for one in answer(decoder._replace(batch=3), prompts, FREE, None)] == single
    assert shared == [False, True, True, False]  # the last one comes alone


def test_what_was_yielded_is_closed_when_the_next_comes():
    batch = decoder_of("llava")._replace(batch=2)
    answers = answer(batch, mixed("llava"), FREE, Watch())
    first, second = next(answers), next(answers)
    with pytest.raises(Closed, match="had moved on"):
        first.read([Site(0, 0)], Watch())
    assert second.read([Site(0, 0)], Watch()).shape[0] == 1
    assert isinstance(answers, Generator)
    answers.close()
    with pytest.raises(Closed, match="had moved on"):
        second.read([Site(0, 0)], Watch())


@pytest.mark.parametrize("fits", [1, 2])
def test_where_memory_runs_out_fewer_are_answered_at_a_time_and_none_is_lost(monkeypatch, fits, caplog):
    decoder, prompts = decoder_of("qwen2_5_vl"), mixed("qwen2_5_vl")
    single = [ids_of(one) for one in answer(decoder, prompts, FREE, None)]
    tried: list[int] = []

    def fitting(model, starts, *args, **options):
        tried.append(len(starts))
        if len(starts) > fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return grow(model, starts, *args, **options)

    monkeypatch.setattr(batching, "grow", fitting)
    found = answer(decoder._replace(batch=4), prompts, FREE, None)
    assert [ids_of(one) for one in found] == single
    assert tried == ([4, 2, 2] if fits == 2 else [4, 2])
    assert "answering 2 prompts at a time" in caplog.text


def test_a_prompt_that_is_answered_alone_has_the_memory_for_itself(monkeypatch):
    made: list[weakref.ref[Cache]] = []
    alive: list[int] = []
    new_cache = seams.new_cache

    def noted():
        cache = new_cache()
        made.append(weakref.ref(cache))
        return cache

    def counting(*args, **options):
        gc.collect()
        alive.append(sum(one() is not None for one in made))
        return grow(*args, **options)

    monkeypatch.setattr(seams, "new_cache", noted)
    monkeypatch.setattr(decode, "grow", counting)
    for _ in answer(decoder_of("llava")._replace(batch=2), mixed("llava")[:3], FREE, None):
        pass
    assert len(made) == 4 and alive == [1]


def test_a_prompt_that_does_not_even_fit_alone_is_an_error(monkeypatch):
    def failing(*args, **options):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(decoder_module, "prefill", failing)
    with pytest.raises(OutOfMemory, match="does not hold 4 answers to a picture of 112x168"):
        list(answer(decoder_of("llava")._replace(batch=3), mixed("llava"), FREE, None))


def test_prompts_before_one_that_cannot_be_made_are_answered():
    def failing() -> Iterator[Prompt]:
        yield from mixed("llava")[:2]
        raise ValueError("no picture")

    answers = answer(decoder_of("llava")._replace(batch=4), failing(), Sampling(n=1, max_new_tokens=2), None)
    assert [next(answers).prompt.query for _ in range(2)] == ["the red box", "a dog on the left"]
    with pytest.raises(ValueError, match="no picture"):
        next(answers)


@pytest.mark.parametrize(
    ("count", "groups"), [(2, [[0, 1], [2, 3], [4]]), (5, [[0, 1, 2, 3, 4]]), (9, [[0, 1, 2, 3, 4]])]
)
def test_reading_ahead_keeps_the_order(count, groups):
    assert list(read_ahead(range(5), count)) == groups
    assert list(read_ahead([], count)) == []


def test_each_is_told_its_own_prefill_and_an_equal_part_of_the_decoding():
    batch = decoder_of("llava")._replace(batch=3)
    timings = [one.timing for one in answer(batch, mixed("llava")[:3], FREE, None)]
    assert all(timing["prefill"] > 0 for timing in timings)
    assert len({timing["decode"] for timing in timings}) == 1
