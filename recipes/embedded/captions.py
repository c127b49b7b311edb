"""The language model of the box learns from words alone, behind the box's own tower: no line says where anything is.

Do localization heads need boxes? A phrase is read, then words say what it means looks like: how large it is, in what
colour, what is next to it, or that it is not there. Without --scenes: the curriculum on imagined scenes.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joint import Average
from language import Level, imagined_batch, read
from model import PATCH, fresh_model
from optimizers import Optimizers
from pictures import Batch, endless
from progress import Progress
from sequences import OTHER_KIND, Line, Packed, Writer, told
from tokenizer import NONE, make_tokenizer
from torch import Tensor
from transformers import Qwen3VLForConditionalGeneration
from vision import look

from glintbox.boxes import Size
from glintbox.datasets.meanings import Described
from glintbox.datasets.scenes import COLORS, categories

BOXED = Path(__file__).resolve().parents[2] / "src/glintbox/embedded/qwen3_vl_scenes"
ROOM = 120  # text tokens per picture: about ten lines
ABSENT = 0.7  # share of the pictures with a line about an absent category
CAPTION = 0.3  # and with a caption of the whole
SIZES = {0.003: "tiny", 0.015: "small", 0.075: "big", 1.0: "large"}  # up to these shares of the picture
FILLER = 0.2  # weight of the words that can be said without looking
WATCHED = {"at once": 0, "stopped": 1, "color": 2, "size": 3, "beside": 4, "nothing": 5, "caption": 6}
AT_ONCE, STOPPED, COLOR, SIZE, BESIDE, NOTHING, CAPTIONED = WATCHED.values()

# As in language.py, matching first: the paint of one of up to three things, straight after its name or the full stop.
MATCHING = Level(3, 1, 1.0, 4, 4, 24, 18, "stopped", 0.6)


class Teller(Writer):
    """Writes lines of words, without numbers: a phrase, then what it means looks like."""

    def told(self, phrase: str, objects: np.ndarray, meant: int | None) -> Line:
        """ "the owl. small red, next to the chair", or that there is none."""
        line = _prompt(self.encode(f"{phrase}."))
        if meant is None:
            self._say(line, NONE, 1.0, NOTHING)
        else:
            self._describe(line, objects[meant])
            near = neighbour(objects, meant)
            if near is not None:
                self._say(line, ", next to the")
                self._say(line, f" {named(objects[near])}", 1.0, BESIDE)
        self._say(line, "<|im_end|>")
        return line

    def caption(self, objects: np.ndarray) -> Line:
        """Everything in the picture, largest first, and nothing asked."""
        line = _prompt(self.close)
        for place, k in enumerate(sorted(range(len(objects)), key=lambda k: -area(objects[k]))):
            self._say(line, ", the" if place else "the")
            self._describe(line, objects[k])
            self._say(line, f" {named(objects[k])}", 0.5, CAPTIONED)
        self._say(line, "<|im_end|>")
        return line

    def at_once(self, row: np.ndarray, *, stop: bool) -> Line:
        """Curriculum only: the paint straight after the name, or after its full stop."""
        line = _prompt(self.encode(Described(named(row)).text + "." * stop))
        self._say(line, f" {list(COLORS)[int(row[1])]}", 1.0, STOPPED if stop else AT_ONCE)
        return line

    def _describe(self, line: Line, row: np.ndarray) -> None:
        """Its size, and its paint if any."""
        self._say(line, " " + next(word for most, word in SIZES.items() if area(row) <= most), 1.0, SIZE)
        if row[1] >= 0:
            self._say(line, f" {list(COLORS)[int(row[1])]}", 1.0, COLOR)

    def _say(self, line: Line, text: str, weight: float = FILLER, kind: int = OTHER_KIND) -> None:
        for token in self.encode(text):
            line.add(token, weight, kind)


def _prompt(ids: list[int]) -> Line:
    return Line(list(ids), [0.0] * len(ids), [OTHER_KIND] * len(ids))


def named(row: np.ndarray) -> str:
    """The category of an object (label, color, x1, y1, x2, y2 in shares)."""
    return categories()[int(row[0])]


def area(row: np.ndarray) -> float:
    """The share of the picture that an object's box takes."""
    return float((row[4] - row[2]) * (row[5] - row[3]))


def neighbour(objects: np.ndarray, k: int) -> int | None:
    """The object of another category nearest to number k: by the gap between boxes, then by their middles."""
    others = [j for j in range(len(objects)) if objects[j, 0] != objects[k, 0]]
    if not others:
        return None
    own, box = objects[k, 2:], objects[others, 2:]
    gap = np.maximum(np.maximum(own[:2] - box[:, 2:], box[:, :2] - own[2:]), 0.0)
    apart = (own[:2] + own[2:] - box[:, :2] - box[:, 2:]) / 2
    return others[int(np.argmin(np.hypot(*gap.T) + 0.1 * np.hypot(*apart.T)))]


def matching(teller: Teller, random: np.random.Generator, objects: np.ndarray) -> list[Line]:
    """Curriculum: two lines about everything painted."""
    painted = [row for row in objects if row[1] >= 0]
    lines = [teller.at_once(row, stop=stop) for row in painted for stop in (False, True)]
    return [lines[k] for k in random.permutation(len(lines))]


def descriptions(teller: Teller, random: np.random.Generator, objects: np.ndarray, size: Size) -> list[Line]:
    """Lines about what is alone of its category, every referring expression, what is absent, and the whole."""
    labels, lines = objects[:, 0].astype(int), []
    for k in np.flatnonzero(np.bincount(labels)[labels] == 1):
        lines.append(teller.told(Described(named(objects[k])).text, objects, k))
    for one in told(random, objects, size):
        if one.query != Described(one.label).text:
            boxes = np.array(one.boxes, dtype=objects.dtype)
            meant = int(np.flatnonzero((objects[:, 2:] == boxes).all(1))[0])
            lines.append(teller.told(one.query, objects, meant))
    if random.random() < ABSENT:
        [missing] = random.choice(np.setdiff1d(np.arange(len(categories())), labels), size=1)
        lines.append(teller.told(Described(categories()[missing]).text, objects, None))
    if random.random() < CAPTION:
        lines.append(teller.caption(objects))
    return [lines[k] for k in random.permutation(len(lines))]


@torch.no_grad()
def seen(model: Qwen3VLForConditionalGeneration, teller: Teller, random: Any, batch: Batch) -> tuple[Packed, Tensor]:
    """Lines about drawn scenes, and what the tower says of them."""
    size = Size(batch.cols * PATCH, batch.rows * PATCH)
    own = [batch.objects[batch.objects[:, 0] == row, 1:] for row in range(len(batch.patches))]
    packed = teller.pack([descriptions(teller, random, objects, size) for objects in own], batch.rows, batch.cols, ROOM)
    return packed, look(model.model.visual, batch.patches, batch.rows, batch.cols)


def started(weights: Path | None) -> Qwen3VLForConditionalGeneration:
    """Fresh weights, or those of the curriculum, behind the tower of the model in the box; only the rest learns."""
    model = fresh_model(make_tokenizer())
    if weights:
        model.load_state_dict(torch.load(weights, weights_only=False)["model"])
    boxed = Qwen3VLForConditionalGeneration.from_pretrained(BOXED, dtype=torch.float32)
    model.model.visual.load_state_dict(boxed.model.visual.state_dict())
    model.model.visual.requires_grad_(False)
    model.get_input_embeddings().requires_grad_(False)  # names keep the directions that image tokens speak
    return model


def main() -> None:
    """Learn to match by imagined scenes until it is learned, or to describe drawn ones; a second start resumes."""
    options = arguments()
    progress, model = Progress(options.out, minutes=options.minutes), started(options.weights)
    teller = Teller(make_tokenizer())
    optimizers, average = Optimizers([model], rate=options.rate, warm_up=20), Average(model)
    learners = {"model": model, "optimizers": optimizers, "average": average}
    if progress.saved:
        for name, learner in learners.items():
            learner.load_state_dict(progress.saved[name])
    random = np.random.default_rng(progress.steps + 1)
    batches = endless(options.scenes, options.batch, seed=progress.steps + 1) if options.scenes else None

    def parts() -> dict[str, Any]:
        return {name: each.state_dict() for name, each in learners.items()}

    while progress.done < 1 and (batches or progress.watched.get(MATCHING.watch, 9.0) > MATCHING.until):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            if batches:
                packed, pictures = seen(model, teller, random, next(batches))
            else:
                packed, pictures = imagined_batch(
                    teller, random, MATCHING, lambda objects, size: matching(teller, random, objects)
                )
            loss, watch = read(model, pictures, packed, WATCHED)
        loss.backward()
        optimizers.step(done=progress.done if batches else 0.0)
        average.update(model)
        progress.step(watch, packed.queries, parts)
    progress.save(parts())


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--scenes", type=Path, help="drawn scenes (cache.py); without them scenes are imagined")
    parser.add_argument("--weights", type=Path, help="a file of the curriculum to go on from")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rate", type=float, default=0.02)
    return parser.parse_args()


if __name__ == "__main__":
    main()
