"""A second look: greedy says where, then the question is asked about an enlarged part of the picture around its box."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from PIL.Image import Image, Resampling

from glintbox.boxes import Box, Size
from glintbox.geometry import View
from glintbox.lvlm.api import LVLM, Answered, ModelCard, Prompt
from glintbox.records import Response, Sampling, Watch
from glintbox.rivals import Question, alone, moved, window


class Zoomed:
    """An `LVLM` that makes its prompts about the part of a picture around greedy's first box (`rivals.window`).

    Frame and grids are those of the whole picture, so that boxes and attention lie where they belong, and everything
    that takes an `LVLM` takes this one: `grounder.over(Zoomed(grounder.lvlm))`. It finds one object. Where greedy finds
    nothing, the whole picture is asked about. The first look is one greedy answer more, not told in any timing.
    """

    def __init__(self, lvlm: LVLM) -> None:
        self._lvlm = lvlm

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
        setting = self.card.setting(prompt=self.default_prompt, view="default", moment="predicting")
        first = alone(self._lvlm, Question(id, image, query, setting))
        if first.box is None:
            return self._lvlm.prompt(image, query, id=id, text=text)
        part = window(first.box, first.image)
        near = image.resize(image.size, Resampling.BICUBIC, box=(part.x1, part.y1, part.x2, part.y2))
        return placed(self._lvlm.prompt(near, query, id=id, text=text), part)

    def answer(self, prompts: Iterable[Prompt], sampling: Sampling, watch: Watch | None) -> Iterator[Answered]:
        """As the model."""
        return self._lvlm.answer(prompts, sampling, watch)

    def answer_together(
        self, prompts: Iterable[Prompt], samplings: Sequence[Sampling], watch: Watch | None
    ) -> Iterator[tuple[Answered, ...]]:
        """As the model."""
        return self._lvlm.answer_together(prompts, samplings, watch)

    def replay(self, told: Iterable[tuple[Prompt, tuple[Response, ...]]], watch: Watch | None) -> Iterator[Answered]:
        """As the model."""
        return self._lvlm.replay(told, watch)


def placed(prompt: Prompt, part: Box) -> Prompt:
    """A prompt about `part` of a picture (px), shown in the size of the whole, as one about the whole."""
    shown, size = Box.whole(prompt.image), Size(*prompt.image)
    views = {
        name: View(columns, grid._replace(region=moved(grid.region, shown, part)))
        for name, (columns, grid) in prompt.views.items()
    }
    frame = prompt.frame._replace(region=moved(prompt.frame.region, shown, part))
    return replace(prompt, image=size, frame=frame, views=views)
