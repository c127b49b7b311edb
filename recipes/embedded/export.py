"""Write a trained model as an ordinary checkpoint folder: bf16 weights, tokenizer, processor, chat template."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from model import MEAN, PATCH, SPREAD, fresh_model
from tokenizer import make_tokenizer
from transformers import GenerationConfig

CELLS = 144


def export(weights: dict[str, torch.Tensor], folder: Path) -> None:
    """Write everything that `from_pretrained`, `AutoTokenizer` and `AutoImageProcessor` read."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer()
    model = fresh_model(tokenizer)
    model.load_state_dict(weights)
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    model.generation_config = GenerationConfig(do_sample=False, eos_token_id=end, pad_token_id=pad)
    model.config.glintbox_prompt = "short"  # the one it was trained on
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"  # older releases do not know the name that is written
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor(), indent=2) + "\n")


def preprocessor() -> dict[str, object]:
    """Pictures of any size become 120 to 144 cells of 24 px."""
    return {
        "processor_class": "Qwen3VLProcessor",
        "image_processor_type": "Qwen2VLImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "rescale_factor": 1 / 255,
        "resample": 3,
        "image_mean": [MEAN] * 3,
        "image_std": [SPREAD] * 3,
        "patch_size": PATCH,
        "temporal_patch_size": 1,
        "merge_size": 1,
        "size": {"shortest_edge": 120 * PATCH * PATCH, "longest_edge": CELLS * PATCH * PATCH},
    }


def main() -> None:
    """Export the averaged weights of a training file."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("trained", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    saved = torch.load(options.trained, weights_only=False)
    export(saved.get("average", saved["model"]), options.folder)


if __name__ == "__main__":
    main()
