"""Which tokens look at the object: attention of every row of prompt and true answer, by stock eager attention."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from evaluate import PictureProcessor
from model import PATCH
from tokenizer import PROMPT, answer
from transformers import AutoImageProcessor, AutoTokenizer, Qwen3VLForConditionalGeneration

from glintbox.datasets.scenes import Scene, SceneObject, draw_scene, scene_seed

LEAST = 0.05  # of its attention that a head must give the picture to count


def rows_of(
    model: Qwen3VLForConditionalGeneration, processor: PictureProcessor, scene: Scene, found: SceneObject
) -> list[tuple[str, float, float]]:
    """For each token after the picture: its kind, the best head's share of image attention on the object, chance."""
    image, box = scene.image, found.box
    said = [{"type": "image"}, {"type": "text", "text": PROMPT.format(query=found.label)}]
    chat = processor.tokenizer.apply_chat_template(
        [{"role": "user", "content": said}], tokenize=False, add_generation_prompt=True
    )
    sides = (image.width, image.height, image.width, image.height)
    written = tuple(round(1000 * edge / side) for edge, side in zip(box, sides, strict=True))
    inputs = processor(text=[chat + answer(found.label, [written])], images=[image], return_tensors="pt")
    with torch.inference_mode():
        attention = torch.stack([layer[0] for layer in model(**inputs, output_attentions=True).attentions])
    ids = inputs["input_ids"][0].tolist()
    cells = [k for k, token in enumerate(ids) if token == model.config.image_token_id]
    rows, cols = image.height // PATCH, image.width // PATCH
    shown = found.mask.reshape(rows, PATCH, cols, PATCH).sum(axis=(1, 3)).ravel()
    on = torch.from_numpy(shown >= min(0.1 * PATCH**2, 0.25 * found.mask.sum()))
    seen = attention[..., cells]
    share = (seen * on).sum(-1) / seen.sum(-1) * (seen.sum(-1) > LEAST)
    kinds = []
    for k in range(cells[-1] + 1, len(ids)):
        word = processor.tokenizer.decode([ids[k]]).strip()
        kind = "name in the prompt" if word == found.label and k < cells[-1] + 6 else word or "line break"
        kinds.append(("digit" if word.isdigit() else kind, share[:, :, k].max().item(), on.float().mean().item()))
    return [("name in the answer" if kind == found.label else kind, best, chance) for kind, best, chance in kinds]


def main() -> None:
    """Print the mean over single targets of at least 1 % of the first validation scenes."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scenes", type=int, default=30)
    options = parser.parse_args()
    model = Qwen3VLForConditionalGeneration.from_pretrained(
        options.folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    processor = PictureProcessor(
        AutoImageProcessor.from_pretrained(options.folder), AutoTokenizer.from_pretrained(options.folder)
    )
    told: dict[str, list[tuple[float, float]]] = {}
    for index in range(options.scenes):
        scene = draw_scene(scene_seed("validation", index))
        for found in scene.objects:
            if len(scene.boxes(found.label)) == 1 and found.area >= 0.01:
                for kind, best, chance in rows_of(model, processor, scene, found):
                    told.setdefault(kind, []).append((best, chance))
    for kind, pairs in told.items():
        best, chance = np.mean(pairs, axis=0)
        print(f"{kind:20s} {len(pairs):5d} rows: best head {best:.2f} on the object, chance {chance:.2f}")


if __name__ == "__main__":
    main()
