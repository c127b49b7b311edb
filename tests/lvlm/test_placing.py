"""Where weights lie: layers on two devices answer as on one; what is half on a device is refused."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from glintbox.errors import BadContract, BadInput, MissingExtra, OutOfMemory
from glintbox.lvlm import placing
from glintbox.lvlm.loading import assemble, load
from glintbox.lvlm.placing import BALANCED, device_of, over_gpus
from tests.lvlm.tiny import tiny_checkpoint, tiny_model, tiny_processor

pytestmark = pytest.mark.filterwarnings("ignore:.*torchvision.*")

FAMILIES = ("qwen2_5_vl", "qwen3_vl", "internvl", "gemma3", "llava_onevision")


@pytest.fixture(scope="module")
def said() -> dict[str, Any]:
    """What models say whose layers lie on two devices; accelerate carries the tokens from one to the other."""
    pytest.importorskip("accelerate")
    command = [sys.executable, "-W", "ignore", "-m", "tests.lvlm.split", *FAMILIES]
    told = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert told.returncode == 0, told.stderr
    found: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("model_type", FAMILIES)
def test_layers_on_two_devices_write_the_same_answers_with_the_same_attention(
    said: dict[str, Any], model_type: str
) -> None:
    found = said[model_type]
    assert {"pretend:0", "pretend:1"} <= set(found["places"]) and found["rows"] > 10
    assert found["same"]
    assert max(found[name] for name in ("live", "again", "words", "parked")) < 1e-5


@pytest.mark.slow
def test_the_doctor_compares_with_eager_attention_over_two_devices(said: dict[str, Any]) -> None:
    assert said["internvl"]["doctor"] is True


@pytest.mark.slow
def test_the_two_devices_of_these_tests_do_not_mix(said: dict[str, Any]) -> None:
    assert "expected all tensors on one device, got ['pretend:0', 'pretend:1'] in aten.add" in said["mixed"]


def test_weights_that_are_left_off_the_devices_are_refused() -> None:
    model = tiny_model("llava")
    model.model.language_model.layers[2].to("meta")  # as offloading leaves it
    with pytest.raises(
        OutOfMemory, match=r"expected the weights of mine on devices, got a part of them left in main m"
    ):
        assemble(model, tiny_processor("llava"), id="mine", revision="")


def test_a_model_of_which_each_device_has_some_heads_is_refused() -> None:
    model: Any = tiny_model("llava")
    model._tp_size = 2
    with pytest.raises(
        BadContract, match=r"expected every layer of mine whole, .* got 2 parts on cpu; load it without"
    ):
        assemble(model, tiny_processor("llava"), id="mine", revision="")


def test_balancing_without_a_gpu_is_refused_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(
        BadInput, match=r"expected GPUs to spread the layers over \(device balanced\), got none; use cpu"
    ):
        load(tiny_checkpoint(tmp_path / "mine", "llava"), device=BALANCED)
    assert device_of(BALANCED).type == "cpu", "for what is not split, such as a mask model"


def test_balancing_without_accelerate_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(placing, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r'accelerate is not installed; run: pip install "glintbox\[balanced\]"'):
        over_gpus()
