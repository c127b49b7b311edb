"""Three pictures as a COCO folder, a bench of canned answers on them, and answers for real tiny models."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from glintbox.boxes import Box, Size
from glintbox.lvlm.api import LVLM, Answered, Prompt
from glintbox.lvlm.hf import HuggingFaceLVLM
from glintbox.lvlm.loading import eos_ids
from glintbox.lvlm.scripted import Script, ScriptedLVLM
from glintbox.lvlm.spans import token_spans
from glintbox.records import Response, Sampling, Watch
from glintbox.reproduce.bench import Bench
from glintbox.reproduce.plan import Amounts, Data
from tests.lvlm.tiny import picture

COCO = Path(__file__).parents[1] / "data" / "coco" / "instances.json"
PICTURES = (790, 175364, 229358)
"""Of the lots that cases draw, four fall on the last two; the first one is left to choose on."""

TINY = Amounts("tiny", learn=4, choose=4, report=3, many=2, most=15, epochs=1)
SHRUNK = 2


def three_pictures(folder: Path) -> Path:
    """A COCO folder whose training and validation pictures are the same three, of noise, half their size."""
    whole = json.loads(COCO.read_text())
    images = [_shrunk(one) for one in whole["images"] if one["id"] in PICTURES]
    size = {one["id"]: Size(one["width"], one["height"]) for one in images}
    found = [
        one | {"bbox": [value / SHRUNK for value in one["bbox"]], "area": one["area"] / SHRUNK**2}
        for one in whole["annotations"]
        if one["image_id"] in size
    ]
    content = whole | {"images": images, "annotations": found}
    for split in ("train2017", "val2017"):
        (folder / split).mkdir(parents=True)
        (folder / f"instances_{split}.json").write_text(json.dumps(content))
        for one in images:
            picture(*size[one["id"]], seed=one["id"]).save(folder / split / one["file_name"])
    return folder


def _shrunk(image: Mapping[str, Any]) -> dict[str, Any]:
    return dict(image) | {side: -(-image[side] // SHRUNK) for side in ("width", "height")}


def truths(folder: Path) -> dict[tuple[Size, str], Box]:
    """The first true box of every pair; the three pictures differ in size."""
    content = json.loads((folder / "instances_val2017.json").read_text())
    names = {one["id"]: one["name"] for one in content["categories"]}
    sizes = {one["id"]: Size(one["width"], one["height"]) for one in content["images"]}
    found: dict[tuple[Size, str], Box] = {}
    for one in content["annotations"]:
        x, y, wide, high = one["bbox"]
        found.setdefault((sizes[one["image_id"]], names[one["category_id"]]), Box(x, y, x + wide, y + high))
    return found


def where(known: Mapping[tuple[Size, str], Box], image: Size, query: str) -> Box:
    """The true box, also in a picture that was enlarged twice."""
    if (image, query) in known:
        return known[image, query]
    small = known[Size(image.width // 2, image.height // 2), query]
    return Box(*(2 * value for value in small))


def near(truth: Box, number: int, size: Size) -> tuple[Box, ...]:
    """What the answer of this number finds: a box that is right or nearly so, a poor one, and one far away.

    Greedy's answer lacks the first.
    """
    wide, high = truth.width, truth.height
    off, poor = 0.05 * (number % 4) * wide, (0.6 + 0.05 * (number % 3)) * wide
    way = 1 if truth.x2 + poor + 1 < size.width else -1
    far = (
        Box(1, 1, 1 + wide, 1 + high)
        if truth.x1 > size.width / 2
        else Box(size.width - wide - 1, 1, size.width, 1 + high)
    )
    return Box(truth.x1 + way * off, truth.y1, truth.x2 + way * off, truth.y2), moved(truth, way * poor), far


def moved(box: Box, by: float) -> Box:
    return Box(box.x1 + by, box.y1, box.x2 + by, box.y2)


class Canned(ScriptedLVLM):
    """Writes what `near` says, for every query of the folder in the picture where it is; counts what it was asked."""

    asked = 0

    def __init__(self, folder: Path) -> None:
        self._truth = truths(folder)
        super().__init__({query: Script("", ("[]",), truth) for (_, query), truth in self._truth.items()})

    def prompt(self, image: Any, query: str, *, id: str, text: str | None = None) -> Prompt:
        made = super().prompt(image, query, id=id, text=text)
        truth, frame = where(self._truth, made.image, query), made.frame
        found = [[[round(v) for v in frame.written(box)] for box in near(truth, k, made.image)] for k in range(12)]
        self._scripts[query] = Script(str(found[0][1:]), tuple(map(str, found)), truth)
        return made

    def answer(self, prompts: Iterable[Prompt], sampling: Sampling, watch: Watch | None) -> Iterator[Any]:
        for prompt in prompts:  # one after the other: the same query is written otherwise in the next picture
            self.asked += 1
            yield from super().answer([prompt], sampling, watch)


@contextmanager
def no_bar(words: str, total: float | None) -> Iterator[Callable[[float], None]]:
    yield lambda more: None


def bench(folder: Path, work: Path, *, load: Callable[[], LVLM] | None = None, amounts: Amounts = TINY) -> Bench:
    lvlm = Canned(folder)
    setting = lvlm.card.setting(prompt="scripted", view="default", moment="predicting")
    return Bench(load or (lambda: lvlm), setting, Data(str(folder)), amounts=amounts, work=work, bars=no_bar)


def answer_near(folder: Path) -> Callable[..., Iterator[Answered]]:
    """An `answer` for real models: the text is that of `near`, the attention while it is written is their own."""
    known = truths(folder)

    def answer(
        self: HuggingFaceLVLM, prompts: Iterable[Prompt], sampling: Sampling, watch: Watch | None
    ) -> Iterator[Answered]:
        def told() -> Iterator[tuple[Prompt, tuple[Response, ...]]]:
            for prompt in prompts:
                truth = where(known, prompt.image, prompt.query)
                drawn = [near(truth, k, prompt.image) for k in range(-int(sampling.greedy_too), sampling.n)]
                first = -int(sampling.greedy_too)
                said = (boxes[1:] if k < 0 else boxes for k, boxes in enumerate(drawn, first))
                yield prompt, tuple(_said(self, prompt, boxes, k) for k, boxes in enumerate(said, first))

        return self.replay(told(), watch)

    return answer


def _said(lvlm: HuggingFaceLVLM, prompt: Prompt, boxes: Iterable[Box], number: int) -> Response:
    text = str([[round(value) for value in prompt.frame.written(box)] for box in boxes])
    ids = tuple(lvlm.loaded.tokenizer.encode(text, add_special_tokens=False))
    text, spans = token_spans(lvlm.loaded.tokenizer, ids, eos=eos_ids(lvlm.loaded))
    doubt = tuple(torch.rand(len(ids), generator=torch.Generator().manual_seed(number + 1)).tolist())
    return Response(text, "greedy" if number < 0 else "sampled", "stop", ids, spans, doubt)
