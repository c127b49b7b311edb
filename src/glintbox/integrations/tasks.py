"""Grounding tasks of evaluation harnesses: how each asks for a box, and how it wants it. Knows no harness."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import NamedTuple

from glintbox.boxes import Box, Size
from glintbox.errors import BadInput
from glintbox.records import Grounding


class Task(NamedTuple):
    """How one kind of task asks and is answered.

    asks: finds the expression in the prompt, its one group. write: the answer for a box (px) of a picture.
    nothing: the answer that the task itself wants where there is no such object, if it knows that.
    """

    asks: re.Pattern[str]
    write: Callable[[Box, Size], str]
    nothing: str | None = None


def fractions(box: Box, image: Size) -> str:
    """x1, y1, x2, y2 as shares of width and height, in brackets."""
    shares = (box.x1 / image.width, box.y1 / image.height, box.x2 / image.width, box.y2 / image.height)
    return "[" + ", ".join(f"{share:.6f}" for share in shares) + "]"


def pixels(box: Box, image: Size) -> str:
    """The four numbers in px of the picture, as `bbox_2d` in JSON."""
    return json.dumps({"bbox_2d": [round(value, 2) for value in box]})


TASKS = {
    # refcoco*_bbox_rec of lmms-eval and RefCOCO of VLMEvalKit, which alone puts the expression into <ref>
    "comprehension": Task(
        re.compile(r"the region this sentence describes: (?:<ref>)?(.+?)(?:</ref>)?\s*\Z"), fractions
    ),
    # refcoco*_grounding of lmms-eval: one or several expressions of one object
    "location": Task(re.compile(r'matches the description "(.+)" in the image\. Report bbox'), pixels),
    # GroundingME of both
    "groundingme": Task(
        re.compile(r"the following statement describes:\n(.+)\nEnsure that all details", re.DOTALL),
        pixels,
        json.dumps({"bbox_2d": None}),
    ),
}


class Question(NamedTuple):
    """What a prompt asks for, and in which task."""

    task: Task
    expression: str


def question(prompt: str) -> Question:
    """The question of a harness' prompt.

    Raises:
        BadInput: it is none of a grounding task that is known.
    """
    for task in TASKS.values():
        if asked := task.asks.search(prompt):
            return Question(task, asked[1].replace('", "', ", ").strip())
    raise BadInput(
        "expected a prompt that asks for the box of an expression, as the tasks refcoco*_bbox_rec, refcoco*_grounding, "
        f"RefCOCO and GroundingME do, got {prompt[:80]!r}; glintbox answers no others, leave that task out"
    )


def answer(task: Task, result: Grounding) -> str:
    """The best box as the task wants it; without any box the model's first answer, word for word.

    Where that first answer says that there is no such object, the task's own words for it, if it has any.
    """
    if result.boxes:
        return task.write(result.boxes[0].box, result.found.image)
    if task.nothing and result.found.readings[0] == "none":
        return task.nothing
    return result.found.responses[0].text
