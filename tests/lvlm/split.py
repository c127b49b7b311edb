"""What a model says whose layers lie on two devices: python -m tests.lvlm.split MODEL_TYPE… prints it as JSON.

A process of its own, for two devices that the machine has not change torch for good.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import torch
from accelerate import dispatch_model

from glintbox.lvlm.decode import answer, replay
from glintbox.lvlm.decoder import Decoder
from glintbox.lvlm.doctor import CHECKS
from glintbox.lvlm.hf import HuggingFaceLVLM
from glintbox.lvlm.loading import assemble
from glintbox.records import Sampling, Site, Watch
from tests.lvlm.asked import all_sites, asked, decoder_of
from tests.lvlm.pretend import FIRST, SECOND, two_devices
from tests.lvlm.test_decode import failing
from tests.lvlm.tiny import picture, tiny_model, tiny_processor

DRAWN = Sampling(n=3, temperature=1.0, top_p=0.9, top_k=100, max_new_tokens=6)
WATCH = Watch()
EXAMINED, TAPPED = "internvl", "tapped attention equals eager"
"""The one family, for the models of the others would place image tokens on a device, which takes a real one."""


def halves(model: Any) -> dict[str, torch.device]:
    """Eyes, words and the first layer on one device; the other layers and the vocabulary on another."""
    decoder = next(name for name, module in model.named_modules() if module is model.get_decoder())
    layers = [f"{decoder}.layers.{k}" for k in range(len(model.get_decoder().layers))]
    places = {f"{decoder}.{name}": FIRST for name, _ in model.get_decoder().named_children() if name != "layers"}
    places |= {f"model.{name}": FIRST for name, _ in model.model.named_children() if f"model.{name}" != decoder}
    places |= {f"model.{name}": FIRST for name, _ in model.model.named_parameters(recurse=False)}
    return places | dict.fromkeys(layers, SECOND) | {layers[0]: FIRST, f"{decoder}.norm": SECOND, "lm_head": SECOND}


def said(decoder: Decoder, model_type: str) -> dict[str, Any]:
    """Ids of live answers to two queries on one picture; rows: live, replayed, of the prompt's own words, put aside."""
    prompts = [asked(model_type), asked(model_type, "a blue cup")]
    found: dict[str, Any] = {"ids": [], "live": [], "again": []}
    for answered in answer(decoder, prompts, DRAWN, WATCH):
        found["ids"].append([response.ids for response in answered.responses])
        found["live"].append(answered.read(all_sites(answered), WATCH).cpu())
        told = answered.responses
    for answered in replay(decoder, [(prompts[1], told)], WATCH):
        found["again"].append(answered.read(all_sites(answered), WATCH).cpu())
    for answered in replay(decoder, [(prompts[0], ())], WATCH):  # this pass ends at the last watched layer
        found["words"] = [answered.read([Site(-1, token) for token in prompts[0].said], WATCH).cpu()]
    hook = failing(decoder.model, 2, torch.OutOfMemoryError("out of memory"))
    for answered in answer(decoder, prompts[:1], DRAWN, WATCH):  # two at a time; the first ones' keys are put aside
        found["parked"] = [answered.read(all_sites(answered), WATCH).cpu()]
    hook.remove()
    assert answered.notes == ("memory ran out: answers were drawn 2 at a time, not 4",)
    return found


def apart(one: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> float:
    """The largest difference between rows."""
    return max(float((a - b).abs().max()) for a, b in zip(one, other, strict=True))


def compared(model_type: str) -> dict[str, Any]:
    """How far the divided model is from the undivided one, and where its weights lie."""
    model = tiny_model(model_type)
    whole = said(decoder_of(model_type, model=model), model_type)
    with two_devices():
        split = dispatch_model(model, halves(model), skip_keys=model._skip_keys_device_placement)
        lvlm = HuggingFaceLVLM(assemble(split, tiny_processor(model_type), id="split", revision=""))
        doctor = model_type == EXAMINED and CHECKS[TAPPED](lvlm, lvlm.prompt(picture(140, 84), "cup", id="a"))[0]
        parts = said(decoder_of(model_type, model=split), model_type)
    distances = {name: apart(whole[name], parts[name]) for name in ("live", "again", "words", "parked")}
    places = sorted({str(weight.device) for weight in split.parameters()})
    return {
        "places": places,
        "same": whole["ids"] == parts["ids"],
        "rows": len(whole["live"][0]),
        "doctor": doctor,
    } | distances


def mixed() -> str:
    """What two devices say to an operation on both."""
    with two_devices():
        try:
            return str(torch.ones(2).to(FIRST) + torch.ones(2).to(SECOND))
        except RuntimeError as error:
            return str(error)


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = {model_type: compared(model_type) for model_type in sys.argv[1:]}
    print(json.dumps(found | {"mixed": mixed()}))  # noqa: T201
