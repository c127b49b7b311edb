"""Token sequences of training: one picture, several prompts with their answers, each as inference would see it alone.

The prompts of a picture share its tokens to save work. The mask lets every prompt see the picture and itself and
nothing of its neighbours, and positions restart after the picture, so each is word for word the single sequence that
processor and chat template give.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from PIL import Image
from tokenizer import COMMA, FIRST, LAST, NEXT, NONE, PROMPT, TITLE
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from glintbox.boxes import Box, Size
from glintbox.datasets.expressions import expressions
from glintbox.datasets.scenes import COLORS, Scene, SceneObject, categories

IGNORED = -100
BEFORE_PICTURE = "<|im_start|>user\n<|vision_start|>"
AFTER_PICTURE = "<|vision_end|>"
DIGIT_WEIGHTS = (1.0, 1.0, 0.3, 0.3)  # the third digit is a tenth of a percent of the image
FOUND_WEIGHT = 1.0  # of the token that says whether there is anything
OTHER_WEIGHT = 0.5
OTHER_KIND, FOUND_KIND, NONE_KIND, NEXT_KIND, ABRUPT_KIND = 90, 91, 92, 93, 94
NOWHERE = np.zeros((1, 1), dtype=bool)  # masks say nothing here


class Packed(NamedTuple):
    """One batch of sequences; kind = 10 × coordinate + digit for the first box of an answer, 90 and more elsewhere."""

    ids: Int[Tensor, "sequence token"]
    targets: Int[Tensor, "sequence token"]  # what the token predicts, or -100
    weights: Float[Tensor, "sequence token"]
    kinds: Int[Tensor, "sequence token"]
    positions: Int[Tensor, "axis=3 sequence token"]
    mask: Bool[Tensor, "sequence one=1 token token"]
    queries: int


class Line(NamedTuple):
    """A prompt with its answer as tokens; weight 0 where nothing is learned."""

    ids: list[int]
    weights: list[float]
    kinds: list[int]

    def add(self, token: int, weight: float = OTHER_WEIGHT, kind: int = OTHER_KIND) -> None:
        """One more token to learn."""
        self.ids.append(token)
        self.weights.append(weight)
        self.kinds.append(kind)


class Asked(NamedTuple):
    """A query, a category or an expression, with the category and the boxes (shares) of what it means."""

    query: str
    label: str
    boxes: list[tuple[float, ...]]


class Writer:
    """Writes lines and packs them behind pictures."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        def encode(text: str) -> list[int]:
            return list(tokenizer.encode(text, add_special_tokens=False))

        self.before, self.after = encode(BEFORE_PICTURE), encode(AFTER_PICTURE)
        self.encode, self.close = encode, encode("<|im_end|>\n<|im_start|>assistant\n")
        self.names = {label: encode(label)[0] for label in categories()}
        self.digits = [encode(str(digit))[0] for digit in range(10)]
        self.first, self.next, self.title, self.last, self.none, self.comma, self.end, self.picture = (
            encode(piece)[0] for piece in (FIRST, NEXT, TITLE, LAST, NONE, COMMA, "<|im_end|>", "<|image_pad|>")
        )

    def line(self, asked: Asked, *, hurried: bool = False) -> Line:
        """The prompt for a query and the answer that lists its boxes (shares), left to right.

        A `hurried` line is for the curriculum only: the prompt stops at the query, and the answer has no labels.
        """
        before, after = PROMPT.split("{query}")
        prompt = (
            self.encode(before + asked.query) if hurried else self.encode(before + asked.query + after) + self.close
        )
        line = Line(prompt, [0.0] * len(prompt), [OTHER_KIND] * len(prompt))
        for k, box in enumerate(sorted(asked.boxes, key=lambda box: (box[0], box[1]))):
            line.add(self.next, kind=NEXT_KIND) if k else line.add(self.first, FOUND_WEIGHT, FOUND_KIND)
            self._write_box(line, box, first=not k)
            if not hurried:
                line.add(self.title)
                line.add(self.names[asked.label])
        if asked.boxes:
            line.add(self.last, kind=NEXT_KIND)
        else:
            line.add(self.none, FOUND_WEIGHT, NONE_KIND)
        if not hurried:
            line.add(self.end)
        return line

    def abrupt_line(self, asked: Asked) -> Line:
        """Curriculum only: the prompt up to the query, and x1 of the first box straight after."""
        prompt = self.encode(PROMPT.split("{query}")[0] + asked.query)
        line = Line(prompt, [0.0] * len(prompt), [OTHER_KIND] * len(prompt))
        for place, digit in enumerate(str(round(min(asked.boxes)[0] * 1000))):
            line.add(self.digits[int(digit)], DIGIT_WEIGHTS[place], OTHER_KIND if place else ABRUPT_KIND)
        return line

    def _write_box(self, line: Line, box: Sequence[float], *, first: bool) -> None:
        """Four numbers 0 to 1000, digit by digit."""
        for coord, share in enumerate(box):
            if coord:
                line.add(self.comma)
            for place, digit in enumerate(str(round(share * 1000))):
                line.add(self.digits[int(digit)], DIGIT_WEIGHTS[place], 10 * coord + place if first else OTHER_KIND)

    def pack(self, lines: Sequence[Sequence[Line]], rows: int, cols: int, room: int) -> Packed:
        """Sequences of one length: picture, then as many of each picture's lines as `room` tokens hold."""
        prefix = [*self.before, *[self.picture] * (rows * cols), *self.after]
        length, start = len(prefix) + room, len(self.before)
        ids = np.zeros((len(lines), length), dtype=np.int64)
        weights = np.zeros((len(lines), length), dtype=np.float32)
        kinds = np.full((len(lines), length), OTHER_KIND)
        segments = np.full((len(lines), length), -1)
        positions = np.zeros((3, len(lines), length), dtype=np.int64)
        ids[:, : len(prefix)], segments[:, : len(prefix)] = prefix, 0
        positions[:, :, : len(prefix)] = self._prefix_positions(rows, cols)[:, None]
        after = start + max(rows, cols) + len(self.after)
        queries = 0
        for row, own in enumerate(lines):
            spot = len(prefix)
            for k, line in enumerate(own, start=1):
                stop = spot + len(line.ids)
                if stop > length:
                    break
                ids[row, spot:stop], weights[row, spot:stop], kinds[row, spot:stop] = line
                segments[row, spot:stop] = k
                positions[:, row, spot:stop] = after + np.arange(stop - spot)
                spot, queries = stop, queries + 1
        same = (segments[:, :, None] == segments[:, None, :]) | (segments[:, None, :] == 0)
        mask = same & np.tri(length, dtype=bool)
        targets = np.where(weights > 0, ids, IGNORED)
        targets, weights, kinds = (np.roll(each, -1, axis=1) for each in (targets, weights, kinds))
        tensors = (torch.from_numpy(each) for each in (ids, targets, weights, kinds, positions, mask[:, None]))
        return Packed(*tensors, queries=queries)

    def _prefix_positions(self, rows: int, cols: int) -> Int[np.ndarray, "axis=3 token"]:
        """Multimodal positions up to the picture's end: the picture takes max(rows, cols) steps."""
        start = len(self.before)
        text = np.tile(np.arange(start), (3, 1))
        row, col = np.divmod(np.arange(rows * cols), cols)
        picture = start + np.stack([np.zeros_like(row), row, col])
        after = start + max(rows, cols) + np.tile(np.arange(len(self.after)), (3, 1))
        return np.concatenate([text, picture, after], axis=1)


class Shares(NamedTuple):
    """Of the pictures: those with a question for an absent category, with expressions. Of the lines: those in a hurry.

    abrupt: of those in a hurry, the ones that give x1 alone.
    """

    absent: float
    hurried: float
    told: float
    abrupt: float = 0.0


def questions(
    writer: Writer, random: np.random.Generator, objects: Float[np.ndarray, "object 6"], size: Size, shares: Shares
) -> list[Line]:
    """Lines for the categories of a picture (rows label, color, x1, y1, x2, y2 in shares), absent ones, expressions."""
    names = np.array(categories())
    labels = names[objects[:, 0].astype(int)]
    asked = [Asked(str(one), str(one), [tuple(row[2:]) for row in objects[labels == one]]) for one in np.unique(labels)]
    if random.random() < shares.absent:
        missing = str(random.choice(np.setdiff1d(names, labels)))
        asked.append(Asked(missing, missing, []))
    if random.random() < shares.told:
        asked += told(random, objects, size)
    return [_line(writer, random, asked[k], shares) for k in random.permutation(len(asked))]


def _line(writer: Writer, random: np.random.Generator, asked: Asked, shares: Shares) -> Line:
    hurried = random.random() < shares.hurried
    if hurried and asked.boxes and random.random() < shares.abrupt:
        return writer.abrupt_line(asked)
    return writer.line(asked, hurried=hurried)


def told(random: np.random.Generator, objects: Float[np.ndarray, "object 6"], size: Size) -> list[Asked]:
    """Expressions that mean one object of a picture."""
    names, colors = categories(), [*COLORS, None]
    boxes = [
        Box(x1 * size.width, y1 * size.height, x2 * size.width, y2 * size.height) for *_, x1, y1, x2, y2 in objects
    ]
    found = tuple(
        SceneObject(names[int(label)], box, box.area / (size.width * size.height), colors[int(color)], NOWHERE)
        for (label, color, *_), box in zip(objects, boxes, strict=True)
    )
    scene = Scene(0, Image.new("1", size), found, "a")
    phrases = expressions(scene, random=random)
    return [Asked(one.text, found[one.target].label, [tuple(objects[one.target, 2:])]) for one in phrases]
