"""The doctor tells what it found, and goes on with the next check."""

import pytest
import torch

from glintbox.errors import BadContract
from glintbox.lvlm import doctor
from glintbox.lvlm.api import Prompt
from glintbox.lvlm.hf import HuggingFaceLVLM
from tests.lvlm.tiny import tiny_loaded


def failing(error: Exception) -> object:
    def check(lvlm: HuggingFaceLVLM, prompt: Prompt) -> tuple[bool, str]:
        raise error

    return check


def test_a_check_that_fails_or_does_not_fit_does_not_stop_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = {
        "broken": failing(BadContract("rows differ")),
        "large": failing(torch.OutOfMemoryError("tried to allocate 20 GiB")),
        "last": lambda lvlm, prompt: (True, f"{len(prompt.views)} view"),
    }
    monkeypatch.setattr(doctor, "CHECKS", checks)
    lvlm = HuggingFaceLVLM(tiny_loaded("qwen3_vl"))
    assert [tuple(finding) for finding in doctor.examine(lvlm)] == [
        ("broken", False, "rows differ"),
        ("large", None, "memory ran out: tried to allocate 20 GiB"),
        ("last", True, "1 view"),
    ]
    monkeypatch.setattr(doctor, "CHECKS", {"bug": failing(RuntimeError("shapes differ"))})
    with pytest.raises(RuntimeError, match="shapes differ"):
        list(doctor.examine(lvlm))
