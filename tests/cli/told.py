"""A real checkpoint that writes what a test wants: the answers are given, the attention while writing is its own."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from glintbox.boxes import Box, Size
from glintbox.lvlm.api import Answered, Prompt
from glintbox.lvlm.hf import HuggingFaceLVLM
from glintbox.lvlm.loading import eos_ids
from glintbox.lvlm.spans import token_spans
from glintbox.records import Response, Sampling, Watch
from tests.lvlm.tiny import picture

PICTURE = Size(140, 84)  # px; 5 x 3 cells for Qwen2.5-VL
TRUTH, POOR = Box(28, 14, 84, 56), Box(70, 42, 126, 84)  # px


def tell(*, pause: float = 0.0) -> None:
    """From now on every loaded model writes the true box and a poor one in turn, `pause` seconds for each picture."""

    def answer(
        self: HuggingFaceLVLM, prompts: Iterable[Prompt], sampling: Sampling, watch: Watch | None
    ) -> Iterator[Answered]:
        def told() -> Iterator[tuple[Prompt, tuple[Response, ...]]]:
            for prompt in prompts:
                time.sleep(pause)
                yield prompt, tuple(_response(self, prompt, POOR if k % 2 else TRUTH) for k in range(sampling.n))

        return self.replay(told(), watch)

    HuggingFaceLVLM.answer = answer  # type: ignore[method-assign]


def _response(lvlm: HuggingFaceLVLM, prompt: Prompt, box: Box) -> Response:
    numbers = ", ".join(f"{value:.0f}" for value in prompt.frame.written(box))
    ids = tuple(lvlm.loaded.tokenizer.encode(f"[{numbers}]", add_special_tokens=False))
    text, spans = token_spans(lvlm.loaded.tokenizer, ids, eos=eos_ids(lvlm.loaded))
    return Response(text, "sampled", "stop", ids, spans)


def dataset(folder: Path, count: int) -> Path:
    """A COCO file with one cup per picture, beside its pictures; returns its path."""
    folder.mkdir()
    for k in range(count):
        picture(*PICTURE, seed=k).save(folder / f"{k}.png")
    x, y, width, height = TRUTH.x1, TRUTH.y1, TRUTH.width, TRUTH.height
    content = {
        "images": [
            {"id": k, "file_name": f"{k}.png", "width": PICTURE.width, "height": PICTURE.height} for k in range(count)
        ],
        "categories": [{"id": 3, "name": "cup"}],
        "annotations": [
            {"id": k, "image_id": k, "category_id": 3, "bbox": [x, y, width, height]} for k in range(count)
        ],
    }
    path = folder / "cups.json"
    path.write_text(json.dumps(content))
    return path
