"""What greedy gets for the same money without sampling: the picture enlarged, or a crop of it asked about again."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from PIL.Image import Image, Resampling

from glintbox.artifacts import write_whole
from glintbox.boxes import Box, Size
from glintbox.errors import BadInput, UnknownName
from glintbox.images import open_image
from glintbox.lvlm.api import LVLM, Prompt
from glintbox.parsing import read_response
from glintbox.records import Sample, Sampling, Setting, from_json, to_json

ALONE = "greedy"
"""The base of all costs: one greedy answer to the picture as it is."""

FACTOR = 2
"""How much `upscale` enlarges each side."""

GREEDY = Sampling(n=1, temperature=0, greedy_too=False)


class Question(NamedTuple):
    """A case as it is put to a model, and the setting that it is evaluated under."""

    id: str
    image: Image
    query: str
    setting: Setting


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of a case: the box in pixels of the picture (None: none found).

    prompts: how many were run, each with one answer; image_tokens: in all of them.
    """

    id: str
    query: str
    image: Size
    setting: Setting
    box: Box | None
    unreadable: bool
    prompts: int
    image_tokens: int


Ask = Callable[[Question, Asked], Asked]
"""Ask about a case, given what greedy alone said."""


def alone(lvlm: LVLM, question: Question) -> Asked:
    """One greedy answer; its first box in text order counts, as for greedy everywhere (docs/acs.md 25)."""
    prompt = lvlm.prompt(question.image, question.query, id=question.id, text=question.setting.prompt)
    for answered in lvlm.answer([prompt], GREEDY, None):
        [response] = answered.responses
        policy = prompt.coordinate_token
        reading, found = read_response(
            response, 0, frame=prompt.frame, image=prompt.image, thinking=prompt.thinking, policy=policy
        )
        box = found[0].box if found else None
    size, unreadable = Size(*question.image.size), reading == "unreadable"
    tokens = image_tokens(prompt)
    return Asked(question.id, question.query, size, question.setting, box, unreadable, 1, tokens)


def image_tokens(prompt: Prompt) -> int:
    """Tokens that show the picture: those of the widest view."""
    return max(view.grid.cells for view in prompt.views.values())


def upscale(lvlm: LVLM) -> Ask:
    """Greedy on the picture enlarged twice (bicubic), shown to the model in four times the tokens.

    The model's own pixel bounds are widened by the same factor, or its processor would shrink the picture back.

    Raises:
        BadInput: when asked, a model that shows every picture in the same number of tokens.
    """
    wide = widened(lvlm, FACTOR)

    def ask(question: Question, first: Asked) -> Asked:
        image = question.image
        large = image.resize((FACTOR * image.width, FACTOR * image.height), Resampling.BICUBIC)
        asked = alone(wide, question._replace(image=large))
        if asked.image_tokens < 0.75 * FACTOR**2 * first.image_tokens:
            raise BadInput(
                f"expected about {FACTOR**2} times the {first.image_tokens} image tokens for a picture enlarged "
                f"{FACTOR}x, got {asked.image_tokens}: {lvlm.card.id} shows every picture in a fixed size; leave "
                "upscale out, crop works with every model"
            )
        box = asked.box and moved(asked.box, Box.whole(asked.image), Box.whole(first.image))
        return replace(asked, image=first.image, box=box)

    return ask


def widened(lvlm: LVLM, factor: int) -> LVLM:
    """The same weights behind a processor whose bounds on a picture's pixels are factor² as large.

    A model without such bounds comes back as it is.
    """
    from glintbox.lvlm.hf import HuggingFaceLVLM  # the extra weight of transformers, only where it is needed
    from glintbox.lvlm.loading import assemble

    if not isinstance(lvlm, HuggingFaceLVLM):
        return lvlm
    processor = copy.copy(lvlm.loaded.processor)
    processor.image_processor = copy.deepcopy(processor.image_processor)
    bounds = dict(processor.image_processor.size)
    if not bounds.get("shortest_edge") or not bounds.get("longest_edge"):
        return lvlm
    edges = ("shortest_edge", "longest_edge")  # px in all, in the families that have both
    processor.image_processor.size = {edge: factor**2 * bounds[edge] for edge in edges}
    return HuggingFaceLVLM(assemble(lvlm.loaded.model, processor, id=lvlm.card.id, revision=lvlm.card.revision))


def crop(lvlm: LVLM) -> Ask:
    """Greedy, then greedy again on a part of the picture around that box, enlarged to the picture's size.

    Where greedy finds nothing there is nowhere to look again; where the crop gives no box, greedy's stays.
    """

    def ask(question: Question, first: Asked) -> Asked:
        if first.box is None:
            return first
        part = window(first.box, first.image)
        near = question.image.resize(question.image.size, Resampling.BICUBIC, box=(part.x1, part.y1, part.x2, part.y2))
        again = alone(lvlm, question._replace(image=near))
        box = moved(again.box, Box.whole(first.image), part) if again.box else first.box
        prompts, tokens = first.prompts + again.prompts, first.image_tokens + again.image_tokens
        return replace(again, box=box, prompts=prompts, image_tokens=tokens)

    return ask


def window(around: Box, image: Size) -> Box:
    """Half of each of the picture's sides around a box, inside the picture; more where the box needs it.

    At least twice the box's own sides, so that a large object is not cut; the picture's shape is kept.
    """
    share = min(1.0, max(0.5, 2 * around.width / image.width, 2 * around.height / image.height))
    wide, high = share * image.width, share * image.height
    left = min(max((around.x1 + around.x2 - wide) / 2, 0.0), image.width - wide)
    top = min(max((around.y1 + around.y2 - high) / 2, 0.0), image.height - high)
    return Box(left, top, left + wide, top + high)


def moved(box: Box, shown: Box, part: Box) -> Box:
    """A box of a picture that fills `shown` and shows `part` of another one, in pixels of that one."""
    x, y = part.width / shown.width, part.height / shown.height
    return Box(part.x1 + box.x1 * x, part.y1 + box.y1 * y, part.x1 + box.x2 * x, part.y1 + box.y2 * y)


RIVALS: Mapping[str, Callable[[LVLM], Ask]] = {"upscale": upscale, "crop": crop}


def rivals(lvlm: LVLM, names: Sequence[str]) -> dict[str, Ask]:
    """The rivals of those names for a model.

    Raises:
        UnknownName: lists those there are.
    """
    for name in names:
        if name not in RIVALS:
            raise UnknownName("rival", name, RIVALS)
    return {name: RIVALS[name](lvlm) for name in names}


def rival_answers(
    lvlm: LVLM, samples: Sequence[Sample], asks: Mapping[str, Ask], *, setting: Setting, work: Path
) -> Iterator[dict[str, Asked]]:
    """For each sample in order what greedy alone (`ALONE`) and each of the rivals said, kept in `work` one by one.

    Raises:
        BadInput: kept answers of another setting, query or picture; a work folder that cannot be written.
    """
    for sample in samples:
        yield _answers(lvlm, sample, asks, setting=setting, work=work)


def _answers(lvlm: LVLM, sample: Sample, asks: Mapping[str, Ask], *, setting: Setting, work: Path) -> dict[str, Asked]:
    kept = {name: path for name in (ALONE, *asks) if (path := work / name / f"{sample.id}.json").is_file()}
    said = {name: _kept(path, sample, setting) for name, path in kept.items()}
    missing = [name for name in (ALONE, *asks) if name not in said]
    if missing:
        question = Question(sample.id, open_image(sample.image), sample.query, setting)
    for name in missing:
        said[name] = asks[name](question, said[ALONE]) if name in asks else alone(lvlm, question)
        try:
            write_whole(work / name / f"{sample.id}.json", to_json(said[name]).encode())
        except OSError as error:
            raise BadInput(
                f"could not keep case {sample.id} in {work}: {error}; make room and run again to go on"
            ) from error
    return said


def _kept(path: Path, sample: Sample, setting: Setting) -> Asked:
    asked = from_json(Asked, path.read_bytes())
    if (asked.query, asked.image, asked.setting) != (sample.query, sample.size, setting):
        raise BadInput(f"{path} is of another query, picture or setting; remove {path.parent} or name another --work")
    return asked
