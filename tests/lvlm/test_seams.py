from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForImageTextToText
from transformers.cache_utils import DynamicLayer

from glintbox.errors import BadContract, BadInput
from glintbox.lvlm import seams
from glintbox.lvlm.decode import answer
from glintbox.lvlm.reading import NOBODY
from glintbox.records import Watch
from tests.lvlm.asked import (
    FREE,
    asked,
    decoder_of,
    live_rows_off,
    only,
    plain_greedy,
    tiny_model_once,
)
from tests.lvlm.tiny import _make_peaky, tiny_config
from tests.lvlm.tiny_text import QWEN

pytestmark = pytest.mark.filterwarnings("ignore:.*torchvision.*")


def test_a_growing_layer_holds_what_a_dynamic_layer_holds(monkeypatch):
    monkeypatch.setattr(seams, "SPARE", 3)
    draw = torch.Generator().manual_seed(0)
    ours, theirs = seams.GrowingLayer(), DynamicLayer()
    for tokens in (5, 1, 1, 4, 1, 9):
        keys, values = torch.randn(2, 1, 2, tokens, 4, generator=draw)
        grown, expected = ours.update(keys, values), theirs.update(keys, values)
        assert all(torch.equal(a, b) for a, b in zip(grown, expected, strict=True))
    assert ours.get_seq_length() == theirs.get_seq_length() == 21
    assert ours.get_mask_sizes(3) == theirs.get_mask_sizes(3)


def test_a_cut_layer_forgets_the_rest_and_grows_on():
    layer = seams.GrowingLayer()
    keys = torch.arange(6.0).reshape(1, 1, 6, 1)
    layer.update(keys, -keys)
    layer.cut(2)
    assert layer.get_seq_length() == 2
    grown, values = layer.update(keys[:, :, 5:], keys[:, :, 5:])
    assert grown.flatten().tolist() == [0.0, 1.0, 5.0]
    assert values.flatten().tolist() == [0.0, -1.0, 5.0]


def test_a_layer_survives_memory_running_out_while_it_moves(monkeypatch):
    layer = seams.GrowingLayer()
    keys = torch.arange(6.0).reshape(1, 1, 6, 1)
    layer.update(keys, keys)
    many = torch.zeros(1, 1, 400, 1)
    moved, calls = layer._moved, []

    def fails_at_the_second(old, room):
        calls.append(room)
        if len(calls) == 2:
            raise torch.OutOfMemoryError("injected")
        return moved(old, room)

    monkeypatch.setattr(layer, "_moved", fails_at_the_second)
    with pytest.raises(torch.OutOfMemoryError, match="injected"):
        layer.update(many, many)
    layer.cut(6)
    grown, values = layer.update(many, many)
    assert grown.shape == values.shape == (1, 1, 406, 1)
    assert grown[0, 0, :6, 0].tolist() == values[0, 0, :6, 0].tolist() == list(range(6))


def test_growing_within_its_room_copies_nothing():
    layer = seams.GrowingLayer()
    one = torch.zeros(1, 1, 1, 4)
    layer.update(one, one)
    places = {layer.update(one, one)[0].data_ptr() for _ in range(seams.SPARE)}
    assert len(places) == 1


def test_bytes_per_token_of_a_hand_computed_cache():
    cache = seams.new_cache()
    for layer in range(3):
        cache.update(torch.zeros(1, 2, 5, 16), torch.zeros(1, 2, 5, 16), layer)
    assert seams.bytes_per_token(cache) == 3 * 2 * 2 * 16 * 4


def test_tree_mask_of_three_answers_by_hand():
    owner, depth = torch.tensor([[0, 1, 2, 0, 2]]), torch.tensor([[0, 0, 0, 1, 1]])
    [mask] = seams.tree_mask([2], owner, depth, asking=2)
    assert mask.int().tolist() == [[1, 1, 1, 0, 0, 1, 0], [1, 1, 0, 0, 1, 0, 1]]


def test_tree_mask_within_one_pass_is_causal():
    owner, depth = torch.tensor([[0, 0, 1]]), torch.tensor([[0, 1, 0]])
    [mask] = seams.tree_mask([1], owner, depth, asking=3)
    assert mask.int().tolist() == [[1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 1]]


def test_a_window_counts_back_along_the_answers_own_path():
    owner, depth = torch.tensor([[0, 1, 0, 1, 0]]), torch.tensor([[0, 0, 1, 1, 2]])
    [mask] = seams.tree_mask([3], owner, depth, asking=1, window=4)
    assert mask.int().tolist() == [[0, 0, 1, 1, 0, 1, 0, 1]]


def test_prompts_side_by_side_hide_the_gap_after_the_shorter_one():
    owner, depth = torch.tensor([[0, 1], [0, NOBODY]]), torch.tensor([[0, 0], [0, 0]])
    mask = seams.tree_mask([1, 3], owner, depth, asking=2)
    assert mask[0].int().tolist() == [[1, 0, 0, 1, 0], [1, 0, 0, 0, 1]]
    assert mask[1].int().tolist() == [[1, 1, 1, 1, 0], [1, 1, 1, 0, 1]]
    near = seams.tree_mask([1, 3], owner, depth, asking=2, window=2)
    assert near[0].int().tolist() == [[1, 0, 0, 1, 0], [1, 0, 0, 0, 1]]
    assert near[1].int().tolist() == [[0, 0, 1, 1, 0], [0, 0, 1, 0, 1]]


def windowed(kind: str, **own: object) -> object:
    config = tiny_config(kind)
    for name, value in own.items():
        setattr(config.text_config, name, value)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForImageTextToText.from_config(config, attn_implementation="sdpa")
        _make_peaky(model)
    return model.eval().requires_grad_(False)


MIXED = ["full_attention", "sliding_attention", "full_attention"]
WINDOWED = {
    "qwen2_5_vl": {"sliding_window": 20, "use_sliding_window": True, "layer_types": MIXED},
    "llava_onevision": {"sliding_window": 20, "use_sliding_window": True, "layer_types": MIXED},
    "internvl": {"sliding_window": 20, "use_sliding_window": True, "layer_types": MIXED},
}


@pytest.mark.parametrize("model_type", WINDOWED)
def test_models_with_sliding_layers_answer_as_generate_does_and_their_full_layers_read_as_eager(model_type):
    model = windowed(model_type, **WINDOWED[model_type])
    decoder, prompt = decoder_of(model_type, model=model), asked(model_type)
    assert decoder.card.usable == (0, 2)
    greedy = list(only(answer(decoder, [prompt], FREE, None)).responses[0].ids)
    assert greedy == plain_greedy(model, prompt, 6)
    assert greedy != plain_greedy(tiny_model_once(model_type), prompt, 6)
    assert live_rows_off(decoder, prompt) < 1e-5


def test_a_model_whose_layers_all_slide_answers_as_generate_does():
    model = windowed("llava_next", sliding_window=20)
    decoder, prompt = decoder_of("llava_next", model=model), asked("llava_next")
    ids = only(answer(decoder, [prompt], FREE, None)).responses[0].ids
    assert list(ids) == plain_greedy(model, prompt, 6)
    assert list(ids) != plain_greedy(tiny_model_once("llava_next"), prompt, 6)


def test_decoding_refuses_a_model_that_cannot_be_packed(monkeypatch):
    decoder, prompt = decoder_of("internvl"), asked("internvl")
    monkeypatch.setattr(decoder.model.config.text_config, "layer_types", ["linear_attention"] * 3)
    with pytest.raises(BadContract, match="has linear_attention layers; packed decoding needs"):
        next(answer(decoder, [prompt], FREE, Watch()))


@pytest.mark.parametrize("model_type", QWEN)
def test_rotary_positions_have_three_axes_and_end_before_the_prompts_length(model_type):
    prompt = asked(model_type)
    positions = seams.prompt_positions(tiny_model_once(model_type), prompt)
    image = positions[:, 0, prompt.views["default"].columns]
    grid = prompt.tensors["image_grid_thw"][0] // 2
    assert positions.shape == (3, 1, len(prompt.ids))
    assert int(image[1].max() - image[1].min()) + 1 == int(grid[1])
    assert int(image[2].max() - image[2].min()) + 1 == int(grid[2])
    assert int(positions.max()) + 1 < len(prompt.ids)


def test_rotary_positions_of_other_models_count_the_tokens():
    prompt = asked("llava")
    positions = seams.prompt_positions(tiny_model_once("llava"), prompt)
    assert positions.tolist() == [[list(range(len(prompt.ids)))]]


def test_inputs_without_token_types_are_refused():
    prompt = asked("qwen2_5_vl")
    tensors = {name: value for name, value in prompt.tensors.items() if name != "mm_token_type_ids"}
    with pytest.raises(BadContract, match=r"needs mm_token_type_ids to place image tokens, got \['attention_mask'"):
        seams.prompt_positions(tiny_model_once("qwen2_5_vl"), replace(prompt, tensors=tensors))


def test_a_padded_prompt_is_refused():
    prompt = asked("llava")
    mask = torch.ones(1, len(prompt.ids), dtype=torch.long)
    mask[0, :3] = 0
    with pytest.raises(BadInput, match="without padding, got 3 masked tokens"):
        seams.prompt_tensors(replace(prompt, tensors={**prompt.tensors, "attention_mask": mask}))


def test_which_errors_mean_that_memory_ran_out():
    assert seams.ran_out(torch.OutOfMemoryError("CUDA out of memory"))
    assert seams.ran_out(RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 9"))
    assert not seams.ran_out(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_free_memory_of_the_cpu_is_some_and_of_an_unknown_device_unknown():
    free = seams.free_bytes(torch.device("cpu"))
    assert free is None or 0 < free < 2**50
    assert seams.free_bytes(torch.device("meta")) is None
