"""A second look: greedy says where, then the question is asked about an enlarged part of the picture around its box."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from time import perf_counter
from typing import NamedTuple

from jaxtyping import Float
from PIL.Image import Image, Resampling
from torch import Tensor

from glintbox.boxes import Box, Size
from glintbox.geometry import View
from glintbox.lvlm.api import LVLM, Answered, ModelCard, Prompt
from glintbox.records import Response, Sampling, Site, Watch
from glintbox.rivals import Question, alone, moved, window


class Zoomed:
    """An `LVLM` that makes its prompts about the part of a picture around greedy's first box (`rivals.window`).

    Frame and grids are those of the whole picture, so that boxes and attention lie where they belong, and everything
    that takes an `LVLM` takes this one: `grounder.over(Zoomed(grounder.lvlm))`. It finds one object. Where greedy finds
    nothing, the whole picture is asked about. Results say in a note which it was; timing["look"] is the first look's.
    """

    def __init__(self, lvlm: LVLM) -> None:
        self._lvlm = lvlm
        self._looks: dict[tuple[str, str], deque[Look]] = {}

    @property
    def card(self) -> ModelCard:
        """That of the model."""
        return self._lvlm.card

    @property
    def default_prompt(self) -> str:
        """That of the model."""
        return self._lvlm.default_prompt

    def prompt(self, image: Image, query: str, *, id: str, text: str | None = None) -> Prompt:
        """Look once, then make the part around what was found ready; errors as those of the model."""
        setting, began = (
            self.card.setting(prompt=self.default_prompt, view="default", moment="predicting"),
            perf_counter(),
        )
        first = alone(self._lvlm, Question(id, image, query, setting))
        seconds = perf_counter() - began
        if first.box is None:
            self._remember(id, query, Look(seconds, "zoom: greedy found no box, so the whole picture was asked about"))
            return self._lvlm.prompt(image, query, id=id, text=text)
        part = window(first.box, first.image)
        told = ", ".join(f"{value:.0f}" for value in part)
        self._remember(id, query, Look(seconds, f"zoom: asked about the part [{told}] around greedy's first box"))
        near = image.resize(image.size, Resampling.BICUBIC, box=(part.x1, part.y1, part.x2, part.y2))
        return placed(self._lvlm.prompt(near, query, id=id, text=text), part)

    def answer(self, prompts: Iterable[Prompt], sampling: Sampling, watch: Watch | None) -> Iterator[Answered]:
        """As the model, with what the first look took and gave."""
        for answered in self._lvlm.answer(prompts, sampling, watch):
            yield Looked.of(answered, self._look(answered.prompt))

    def answer_together(
        self, prompts: Iterable[Prompt], samplings: Sequence[Sampling], watch: Watch | None
    ) -> Iterator[tuple[Answered, ...]]:
        """As the model, with what the first look took and gave."""
        for together in self._lvlm.answer_together(prompts, samplings, watch):
            look = self._look(together[0].prompt)
            yield tuple(Looked.of(answered, look) for answered in together)

    def replay(self, told: Iterable[tuple[Prompt, tuple[Response, ...]]], watch: Watch | None) -> Iterator[Answered]:
        """As the model."""
        return self._lvlm.replay(told, watch)

    def _remember(self, id: str, query: str, look: Look) -> None:
        self._looks.setdefault((id, query), deque()).append(look)

    def _look(self, prompt: Prompt) -> Look | None:
        """What came before a prompt, told once; those of one name are answered in the order in which they were made."""
        looks = self._looks.get((prompt.id, prompt.query))
        look = looks.popleft() if looks else None
        if not looks:
            self._looks.pop((prompt.id, prompt.query), None)
        return look


class Look(NamedTuple):
    """What a first look took, and what a user should know of it."""

    seconds: float
    note: str


class Looked:
    """Answers to a prompt that a first look came before, as an `api.Answered`; open as long as they are."""

    def __init__(self, answered: Answered, look: Look) -> None:
        self.prompt: Prompt = answered.prompt
        self.responses = answered.responses
        self.notes = (*answered.notes, look.note)
        self._answered, self._look = answered, look

    @classmethod
    def of(cls, answered: Answered, look: Look | None) -> Answered:
        """The answers with a look, if there was one."""
        return cls(answered, look) if look else answered

    @property
    def timing(self) -> Mapping[str, float]:
        """Seconds by stage, those of the first look among them."""
        return {**self._answered.timing, "look": self._look.seconds}

    def read(self, sites: Sequence[Site], watch: Watch) -> Float[Tensor, "site head row col"]:
        """As the answers that this holds."""
        return self._answered.read(sites, watch)


def placed(prompt: Prompt, part: Box) -> Prompt:
    """A prompt about `part` of a picture (px), shown in the size of the whole, as one about the whole."""
    shown, size = Box.whole(prompt.image), Size(*prompt.image)
    views = {
        name: View(columns, grid._replace(region=moved(grid.region, shown, part)))
        for name, (columns, grid) in prompt.views.items()
    }
    frame = prompt.frame._replace(region=moved(prompt.frame.region, shown, part))
    return replace(prompt, image=size, frame=frame, views=views)
