"""Loading: an ordinary checkpoint folder becomes what was saved, and whatever is wrong with one is said plainly."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from glintbox.errors import BadContract, BadInput, UnknownName
from glintbox.lvlm.loading import Loaded, assemble, eos_ids, load, setting_of
from glintbox.lvlm.prompting import make_prompt
from tests.lvlm.tiny import MODEL_TYPES, Layout, picture, tiny_checkpoint, tiny_loaded, tiny_model, tiny_processor
from tests.lvlm.tiny_text import DATA, qwen_tokenizer


def joined(model: Any, model_type: str) -> Loaded:
    return assemble(model, tiny_processor(model_type), id="changed", revision="none")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A fresh checkpoint folder that a test may spoil."""
    return tiny_checkpoint(tmp_path / "mine", "qwen3_vl")


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_saved_checkpoint_is_loaded_as_it_was(tmp_path: Path, model_type: str) -> None:
    loaded, saved = load(tiny_checkpoint(tmp_path / "mine", model_type)), tiny_loaded(model_type)
    assert type(loaded.model) is type(saved.model)
    assert type(loaded.processor).__name__ == type(saved.processor).__name__
    for name, weight in saved.model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], weight)
    one, other = (make_prompt(it, picture(200, 120), "red box 天", id="a") for it in (loaded, saved))
    assert torch.equal(one.ids, other.ids)
    assert one.fingerprint == other.fingerprint
    assert (one.said, one.shared, one.frame) == (other.said, other.shared, other.frame)
    names = ("model_type", "layers", "heads", "usable", "excluded", "views", "pixels")
    assert [getattr(loaded.card, name) for name in names] == [getattr(saved.card, name) for name in names]
    assert eos_ids(loaded) == eos_ids(saved)
    setting = loaded.card.setting(prompt=loaded.prompt, view="default", moment="predicting")
    assert setting_of(tmp_path / "mine") == setting, "known without the weights"


@pytest.mark.parametrize("layout", ["json", "tokenizer_config"])
@pytest.mark.parametrize("model_type", ["qwen2_5_vl", "internvl", "llava"])
def test_every_layout_of_the_chat_template_gives_the_same_prompt(
    tmp_path: Path, model_type: str, layout: Layout
) -> None:
    loaded = load(tiny_checkpoint(tmp_path / "mine", model_type, layout))
    prompt = make_prompt(loaded, picture(200, 120), "red box 天", id="a")
    assert torch.equal(prompt.ids, make_prompt(tiny_loaded(model_type), picture(200, 120), "red box 天", id="a").ids)


@pytest.mark.parametrize("model_type", ["qwen3_vl", "internvl", "llava_onevision"])
def test_settings_of_torchvision_processors_and_nested_settings_are_read(tmp_path: Path, model_type: str) -> None:
    folder = tiny_checkpoint(tmp_path / "mine", model_type)
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    settings["image_processor_type"] += "Fast"  # as many released checkpoints say
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    expected = make_prompt(tiny_loaded(model_type), picture(200, 120), "box", id="a")
    assert make_prompt(load(folder), picture(200, 120), "box", id="a").fingerprint == expected.fingerprint
    (folder / "preprocessor_config.json").unlink()
    rest = json.loads((folder / "processor_config.json").read_text())
    video = {"video_processor_type": "Qwen3VLVideoProcessor"}
    nested = rest | {"image_processor": settings, "video_processor": video}
    (folder / "processor_config.json").write_text(json.dumps(nested))
    prompt = make_prompt(load(folder), picture(200, 120), "box", id="a")
    assert prompt.fingerprint == expected.fingerprint
    assert torch.equal(prompt.ids, expected.ids)


def test_a_model_is_loaded_to_be_asked_and_not_trained(folder: Path) -> None:
    loaded = load(str(folder), dtype=torch.bfloat16)
    assert not loaded.model.training
    assert not any(weight.requires_grad for weight in loaded.model.parameters())
    assert loaded.model.config._attn_implementation == "sdpa"
    assert loaded.model.dtype == torch.bfloat16
    assert load(folder, device="auto").model.dtype == torch.float32  # the checkpoint's own


def test_a_folder_is_known_by_its_name_and_content_wherever_it_lies(folder: Path, tmp_path: Path) -> None:
    card = load(folder).card
    assert card.id == f"mine@{card.revision}"
    moved = shutil.copytree(folder, tmp_path / "elsewhere" / "mine")
    save_file({"fusion": torch.ones(1)}, moved / "glintbox_regressor.safetensors")
    (moved / "glintbox_heads.json").write_text("{}")
    assert load(moved).card == card, "artefacts beside the weights are not the model"
    template = moved / "chat_template.jinja"
    kept = template.read_text()
    template.write_text(kept + " ")
    assert load(moved).card.revision != card.revision, "what frames the question decides the answer"
    template.write_text(kept)
    assert load(moved).card == card
    weights = load_file(moved / "model.safetensors")
    weights["model.language_model.norm.weight"][3] += 0.25
    save_file(weights, moved / "model.safetensors", {"format": "pt"})
    assert load(moved).card.revision != card.revision
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"glintbox_prompt": "short"}))
    other = load(folder)
    assert other.card.revision != card.revision
    assert other.prompt == "short"


def test_a_checkpoint_that_names_an_unknown_prompt_is_refused(folder: Path) -> None:
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"glintbox_prompt": "shrt"}))
    with pytest.raises(UnknownName, match=r"unknown prompt 'shrt'. Did you mean 'short'\?"):
        load(folder)


@pytest.mark.parametrize("name", ["nowhere", "/no/such/folder", "a/b/c"])
def test_what_is_no_folder_and_no_hub_name_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match=f"expected a checkpoint folder or a hub name like owner/name, got '{name}'"):
        load(name)


def test_a_folder_without_a_part_is_refused_by_its_name(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=r"expected a checkpoint folder with a config.json, got .*empty"):
        load(tmp_path / "empty")
    (folder / "model.safetensors").unlink()
    with pytest.raises(BadInput, match=r"expected weights \(\*.safetensors\) in .*mine, got none"):
        load(folder)


def test_a_broken_configuration_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    with pytest.raises(BadInput, match=r"expected a config.json with a model_type in mine@.*, got JSONDecodeError"):
        load(folder)
    (folder / "config.json").write_text("{}")
    with pytest.raises(BadInput, match=r"expected a config.json with a model_type in mine@.*, got KeyError"):
        load(folder)


def test_a_hub_name_that_cannot_be_reached_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(BadInput, match="expected glintbox/none-such on the Hugging Face hub or in its cache, got: "):
        load("glintbox/none-such")


def test_a_hub_name_is_known_by_its_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "hub" / "models--owner--tiny"
    shutil.copytree(folder, cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    for revision in (None, "main", commit):
        card = load("owner/tiny", revision=revision).card
        assert (card.id, card.revision) == ("owner/tiny", commit)
    (cached / "snapshots" / commit / "model.safetensors").unlink()
    with pytest.raises(BadInput, match="expected weights of owner/tiny, got: "):
        load("owner/tiny")


def test_a_family_whose_checkpoints_have_no_chat_template_brings_its_own(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "mine", "paligemma")
    (folder / "chat_template.jinja").unlink()
    ours, saved = (
        make_prompt(loaded, picture(90, 60), "box", id="") for loaded in (load(folder), tiny_loaded("paligemma"))
    )
    assert torch.equal(ours.ids, saved.ids)


def test_an_unsupported_model_type_is_refused_with_the_list(folder: Path) -> None:
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"model_type": "fuyu"}))
    with pytest.raises(UnknownName, match=r"unknown model type 'fuyu'. Known: deepseek_vl, deepseek_vl_hybrid, gemma3"):
        load(folder)


def test_weights_that_do_not_fill_the_model_are_refused(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["model.language_model.layers.1.self_attn.q_proj.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        BadContract, match=r"expected weights for all of Qwen3VL.*, got none that fit for 1 of them: .*q_pro"
    ):
        load(folder)


def test_a_checkpoint_without_chat_template_is_refused(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(
        BadContract, match=r"expected a chat template with mine@.*, got none in chat_template.jinja, chat_t"
    ):
        load(folder)


def test_ends_are_taken_from_a_list_and_from_the_tokenizer(folder: Path) -> None:
    settings = json.loads((folder / "generation_config.json").read_text())
    tokenizer = tiny_loaded("qwen3_vl").tokenizer
    end, text_end = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    assert settings["eos_token_id"] == [end, text_end]
    assert eos_ids(load(folder)) == {end, text_end}
    (folder / "generation_config.json").write_text(json.dumps(settings | {"eos_token_id": text_end}))
    assert eos_ids(load(folder)) == {end, text_end}


def test_a_default_end_that_is_a_word_of_the_tokenizer_is_left_out() -> None:
    model = tiny_model("qwen3_vl")
    tokenizer = tiny_loaded("qwen3_vl").tokenizer
    model.generation_config.eos_token_id = 2  # LlamaConfig's default; here it is '#'
    model.config.text_config.eos_token_id = 2
    assert eos_ids(joined(model, "qwen3_vl")) == {tokenizer.eos_token_id}
    tokenizer.eos_token, kept = None, tokenizer.eos_token
    try:
        with pytest.raises(BadContract, match="expected an end-of-text token with changed, got none"):
            eos_ids(joined(model, "qwen3_vl"))
    finally:
        tokenizer.eos_token = kept


def text_settings(model: Any, **settings: Any) -> Any:
    for name, value in settings.items():
        setattr(model.config.get_text_config(), name, value)
    return model


def test_layers_without_a_global_map_are_named_and_left_out() -> None:
    kinds = ["full_attention", "sliding_attention", "linear_attention"]
    model = text_settings(tiny_model("qwen2_5_vl"), layer_types=kinds, sliding_window=64, use_sliding_window=True)
    card = joined(model, "qwen2_5_vl").card
    assert card.usable == (0,)
    assert card.excluded == {
        1: "sliding attention over the last 64 tokens",
        2: "linear attention, which has no attention map",
    }
    assert len(card.all_heads()) == card.heads == 4


def test_a_real_configuration_with_sliding_layers_names_them() -> None:
    settings = json.loads((DATA / "configs" / "qwen2.5-vl-3b" / "config.json").read_text())
    settings |= {"use_sliding_window": True, "sliding_window": 4096, "max_window_layers": 30}
    with torch.device("meta"):
        model = transformers.Qwen2_5_VLForConditionalGeneration(transformers.Qwen2_5_VLConfig(**settings))
    card = joined(model, "qwen2_5_vl").card
    assert (card.layers, card.heads) == (36, 16)
    assert card.usable == tuple(range(30))
    assert set(card.excluded.values()) == {"sliding attention over the last 4096 tokens"}


def test_a_window_as_long_as_the_longest_prompt_is_global() -> None:
    model = text_settings(tiny_model("llava_next"), sliding_window=4096)  # Mistral: all layers, no layer_types
    assert joined(model, "llava_next").card.usable == (0, 1, 2)


def test_a_model_with_only_local_layers_is_refused() -> None:
    model = text_settings(tiny_model("llava_next"), sliding_window=100)
    with pytest.raises(
        BadContract, match="a global attention map, got: sliding attention over the last 100 tokens, in ev"
    ):
        joined(model, "llava_next")
    model = text_settings(tiny_model("qwen2_5_vl"), layer_types=["chunked_attention"] * 3, attention_chunk_size=8)
    with pytest.raises(BadContract, match="got: chunked attention over 8 tokens, in every layer"):
        joined(model, "qwen2_5_vl")
    model = text_settings(tiny_model("qwen2_5_vl"), layer_types=["indexed_attention"] * 3)
    with pytest.raises(BadContract, match="got: indexed_attention, of which nothing is known here, in every layer"):
        joined(model, "qwen2_5_vl")


def real(name: str, tokenizer: Any, **settings: Any) -> Loaded:
    """A released configuration without weights, its released image processor, and a tokenizer."""
    folder = DATA / "configs" / name
    config = transformers.AutoConfig.from_pretrained(folder)
    with torch.device("meta"):
        model = transformers.AutoModelForImageTextToText.from_config(config)
    pictures = transformers.AutoImageProcessor.from_pretrained(folder)
    kind = type(tiny_processor(config.model_type))
    return assemble(model, kind(pictures, tokenizer, **settings), id=name, revision="real")


def test_the_real_qwen_configuration_gives_its_card() -> None:
    template = (DATA / "configs" / "qwen2.5-vl-3b" / "chat_template.jinja").read_text()
    loaded = real("qwen2.5-vl-3b", qwen_tokenizer(), chat_template=template)
    card = loaded.card
    assert (card.model_type, card.layers, card.heads, len(card.all_heads())) == ("qwen2_5_vl", 36, 16, 576)
    assert card.pixels == "size=longest_edge:12845056|shortest_edge:3136"
    assert eos_ids(loaded) == {151645}  # 151643 comes with the generation settings, which are not here


def test_the_real_llava_configuration_gives_its_card_and_as_many_features_as_tokens() -> None:
    tiny = tiny_processor("llava")
    loaded = real(
        "llava-1.5-7b-hf",
        tiny.tokenizer,
        chat_template=tiny.chat_template,
        patch_size=14,
        num_additional_image_tokens=1,
        vision_feature_select_strategy="default",
    )
    assert (loaded.card.layers, loaded.card.heads, loaded.card.usable) == (32, 32, tuple(range(32)))
    assert loaded.card.pixels == "size=shortest_edge:336 crop_size=height:336|width:336 do_center_crop=True"
    loaded.model.config.image_token_id = tiny.image_token_id  # the tiny tokenizer's, not 32000
    prompt = make_prompt(loaded, picture(640, 480), "box", id="a")
    assert (prompt.views["default"].grid.rows, prompt.views["default"].grid.cols) == (24, 24)
    features = loaded.model.model.get_image_features(prompt.tensors["pixel_values"].to("meta")).pooler_output
    assert tuple(features[0].shape) == (576, 4096)
