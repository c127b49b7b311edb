"""Checkpoints, devices and dtypes that cannot work are refused in plain words, before anything is answered wrongly."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from glintbox.errors import BadContract, BadInput, OutOfMemory
from glintbox.lvlm.loading import assemble, load
from glintbox.lvlm.prompting import make_prompt
from tests.lvlm.tiny import picture, tiny_checkpoint, tiny_loaded, tiny_model, tiny_processor


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("refusals") / "mine", "internvl")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A checkpoint folder that a test may spoil."""
    return shutil.copytree(saved, tmp_path / "mine")


@pytest.mark.parametrize("device", ["gpu", "cpu:x", "cuda:99"])
def test_a_device_that_is_not_there_is_refused_before_anything_is_loaded(folder: Path, device: str) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(BadInput, match=rf"a device that this machine has \(auto, cpu, cuda, .*\), got '{device}': "):
        load(folder, device=device)


@pytest.mark.parametrize("dtype", ["float61", "float8_e4m3fn", torch.int8, torch.float64])
def test_a_dtype_in_which_no_model_runs_here_is_refused(folder: Path, dtype: str | torch.dtype) -> None:
    name = str(dtype).removeprefix("torch.")
    with pytest.raises(BadInput, match=f"expected dtype auto, float32, bfloat16, float16, got '{name}'; choose one"):
        load(folder, dtype=dtype)


def changed(folder: Path, file: str, **settings: Any) -> None:
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def test_a_checkpoint_of_such_a_dtype_is_refused_and_its_neighbours_named(folder: Path) -> None:
    changed(folder, "config.json", dtype="float8_e4m3fn")
    with pytest.raises(BadInput, match="expected dtype auto, float32, bfloat16, float16, got 'float8_e4m3fn'"):
        load(folder)


def cut(folder: Path, file: str) -> None:
    """Leave the first half, as an interrupted download does."""
    content = (folder / file).read_bytes()
    (folder / file).write_bytes(content[: len(content) // 2])


def emptied(folder: Path, file: str) -> None:
    (folder / file).write_bytes(b"")


def removed(folder: Path, file: str) -> None:
    (folder / file).unlink()


@pytest.mark.parametrize(
    ("spoil", "file", "part"),
    [
        (cut, "model.safetensors", "weights"),
        (emptied, "model.safetensors", "weights"),
        (cut, "tokenizer.json", "tokenizer and processor settings"),
        (cut, "tokenizer_config.json", "tokenizer and processor settings"),
        (removed, "tokenizer_config.json", "tokenizer and processor settings"),
        (cut, "processor_config.json", "tokenizer and processor settings"),
        (cut, "preprocessor_config.json", "tokenizer and processor settings"),
        (removed, "preprocessor_config.json", "tokenizer and processor settings"),
    ],
)
def test_a_missing_or_damaged_part_is_named(
    folder: Path, spoil: Callable[[Path, str], None], file: str, part: str
) -> None:
    spoil(folder, file)
    with pytest.raises(BadInput, match=f"expected {part} of mine@[0-9a-f]{{12}}, got: "):
        load(folder)


def test_a_configuration_of_wrong_types_is_refused_by_its_field(folder: Path) -> None:
    text = json.loads((folder / "config.json").read_text())["text_config"] | {"num_hidden_layers": "three"}
    changed(folder, "config.json", text_config=text)
    with pytest.raises(BadInput, match=r"expected a configuration of mine@.*, got: .*num_hidden_layers"):
        load(folder)


def test_a_package_that_quantised_weights_need_is_named(folder: Path) -> None:
    changed(folder, "config.json", quantization_config={"quant_method": "awq", "bits": 4})
    with pytest.raises(BadInput, match=r"expected weights of mine@.*, got: .*AWQ"):
        load(folder)


def test_a_checkpoint_whose_vocabulary_is_missing_is_refused_when_asked(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()  # transformers then makes an empty tokenizer without a word
    loaded = load(folder)
    with pytest.raises(
        BadContract, match=r"expected image tokens of id \d+ in the prompt, got none; a file of the tok"
    ):
        make_prompt(loaded, picture(100, 60), "box", id="a")


def test_a_processor_without_a_patch_size_is_refused() -> None:
    processor = tiny_processor("llava")
    processor.patch_size = None  # as where processor_config.json is missing
    with pytest.raises(BadContract, match=r"expected a patch_size with mine, got none in processor_config\.json; put"):
        assemble(tiny_model("llava"), processor, id="mine", revision="")


def test_a_model_that_caps_its_attention_scores_is_refused() -> None:
    model: Any = tiny_model("paligemma")
    model.config.text_config.attn_logit_softcapping = 50.0
    with pytest.raises(
        BadContract, match=r"attention of capped as a plain softmax, got scores that are capped at 50.0"
    ):
        assemble(model, tiny_processor("paligemma"), id="capped", revision="")


def test_weights_that_a_device_does_not_hold_are_told_with_their_size(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: torch.nn.Module, device: torch.device) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(type(tiny_loaded("internvl").model), "to", full)
    with pytest.raises(OutOfMemory, match=r"cpu does not hold the weights of mine@.*, 0\.0 GiB in torch\.float32; use"):
        load(folder)


def test_other_errors_while_moving_a_model_are_not_taken_for_memory(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: torch.nn.Module, device: torch.device) -> None:
        raise RuntimeError("device-side assert")

    monkeypatch.setattr(type(tiny_loaded("internvl").model), "to", broken)
    with pytest.raises(RuntimeError, match="device-side assert"):
        load(folder)


def test_whatever_attention_a_checkpoint_asks_for_it_is_loaded_under_sdpa(folder: Path) -> None:
    text = json.loads((folder / "config.json").read_text())["text_config"] | {"_attn_implementation": "eager"}
    wanted = {"_attn_implementation": "flash_attention_2", "attn_implementation": "flash_attention_2"}
    changed(folder, "config.json", text_config=text, **wanted)
    config = load(folder).model.config
    parts = (config, config.text_config, config.vision_config)
    assert {part._attn_implementation for part in parts} == {"sdpa"}
