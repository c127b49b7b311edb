"""Results for tests of exports: 100 x 60 px, boxes that leave no side alone, one with a mask, one not found."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from glintbox.boxes import Box
from glintbox.datasets.coco import Annotations, Picture
from glintbox.jobs import Job
from glintbox.masks import encode
from glintbox.records import Grounding, Rle, ScoredBox
from glintbox.runs import Failure, Kept, Run
from tests.sets import IMAGE, Corners, a_set

NEAR, FAR = Box(10, 5, 35.5, 20), Box(60, 30, 100, 60)


def mask() -> Rle:
    """A bar inside NEAR."""
    pixels = np.zeros((IMAGE.height, IMAGE.width), dtype=bool)
    pixels[6:19, 12:30] = True
    return encode(pixels)


def result(
    *boxes: ScoredBox, id: str = "a", query: str = "cup", kind: str = "iou", answers: Sequence[Corners] = ()
) -> Grounding:
    found = replace(a_set(list(answers), id=id), query=query)
    return Grounding(id, "acs-learned", kind, boxes, (), found)  # type: ignore[arg-type]  # a word of the table


TWO = result(ScoredBox(NEAR, 0.75, 0), ScoredBox(FAR, 0.5, 1))
NONE = result(id="b", query="dog")
BARE = result(ScoredBox(NEAR, None, None), id="c", kind="none")
MASKED = result(ScoredBox(NEAR, 0.25, None, mask()), id="d", kind="share")

KEPT = tuple(Kept(one, f"pictures/{one.id}.png") for one in (TWO, NONE, BARE, MASKED))
ANNOTATIONS = Annotations(
    {number: Picture(f"{name}.png", IMAGE) for number, name in enumerate("abcd", start=40)}, {7: "cup", 3: "dog"}, {}
)


def folder(place: Path) -> Path:
    """What a run leaves: the four results, a job that failed, and one that it did not come to."""
    run = Run(place, {})
    ids = {one.result.id: one.result.found.query for one in KEPT} | {"e": "cup", "f": "cup"}
    run.pending([Job(id, f"pictures/{id}.png", query) for id, query in ids.items()])
    for one in KEPT:
        run.save(one.result, picture=None)
    run.finish([Failure("e", "pictures/e.png", "empty file")])
    return place
