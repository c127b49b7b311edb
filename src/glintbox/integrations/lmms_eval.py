"""glintbox as a model of lmms-eval: `lmms-eval --model glintbox` scores the selected box on its grounding tasks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
from PIL.Image import Image

from glintbox import embedded
from glintbox.errors import BadInput, MissingExtra
from glintbox.ground import Grounder
from glintbox.integrations.tasks import Question, answer, question

try:
    from lmms_eval.api.model import lmms
    from lmms_eval.models.registry_v2 import ModelManifest
except ModuleNotFoundError as error:
    raise MissingExtra("lmms-eval", "lmms-eval") from error
from tqdm import tqdm


def manifest() -> ModelManifest:
    """The entry point `lmms_eval.models`, by which lmms-eval knows the name glintbox."""
    return ModelManifest("glintbox", simple_class_path=f"{__name__}.{GlintboxModel.__name__}")


class GlintboxModel(lmms):
    """Answers grounding tasks with the box that a selector chooses; the sampling of the task's own file is not used.

    pretrained: a hub name or checkpoint folder; grounder: a Grounder, in place of it. heads, regressor, localization,
    dtype: as `Grounder.from_pretrained`, batch_size: as its `batch`; options: as those of `Grounder.ground`.

    Raises:
        BadInput: more than one process, or a batch size that is no number, such as auto.
    """

    def __init__(
        self,
        pretrained: str = embedded.NAME,
        *,
        grounder: Grounder | None = None,
        device: str | None = None,
        dtype: str = "auto",
        heads: str | None = None,
        regressor: str | None = None,
        localization: str | None = None,
        batch_size: int | str = 1,
        max_batch_size: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        processes = os.environ.get("WORLD_SIZE", "1")
        if processes != "1" or not str(batch_size).isdecimal() or not int(batch_size):
            raise BadInput(
                f"expected one process and a number for --batch_size, got {processes} and {batch_size!r}; --offset "
                "with --limit shares out a task"
            )
        self.batch = int(batch_size)
        own: dict[str, Any] = dict(heads=heads, regressor=regressor, localization=localization, batch=self.batch)
        self.grounder = grounder or Grounder.from_pretrained(pretrained, device=device or "auto", dtype=dtype, **own)
        self.options = options

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """One answer for each request, in the frame of its task.

        Raises:
            BadInput: a request of another kind of task, before any is answered, or with several pictures or a video.
        """
        asked = [question(one.args[0]) for one in requests]
        starts = tqdm(range(0, len(requests), self.batch), desc="glintbox", disable=self.rank != 0)
        parts = (slice(start, start + self.batch) for start in starts)
        return [told for part in parts for told in self._answers(asked[part], requests[part])]

    def _answers(self, asked: Sequence[Question], requests: Sequence[Any]) -> list[str]:
        pairs, ids = [], []
        for one, request in zip(asked, requests, strict=True):
            visuals_of, number, task, split = request.args[2:]
            pairs.append((_only_picture(visuals_of(self.task_dict[task][split][number])), one.expression))
            ids.append(f"{task}-{split}-{number}")
        found = self.grounder.ground(pairs, ids=ids, **self.options)
        return [answer(one.task, result) for one, result in zip(asked, found, strict=True)]

    def generate_until_multi_round(self, requests: Sequence[Any]) -> NoReturn:
        """Refused."""
        raise BadInput("expected a task that is asked in one round, got several; glintbox finds boxes, leave it out")

    def loglikelihood(self, requests: Sequence[Any]) -> NoReturn:
        """Refused."""
        raise BadInput("expected a task that generates text, got likelihoods; glintbox finds boxes, leave it out")


def _only_picture(visuals: Sequence[Any]) -> npt.NDArray[np.uint8]:
    """As stored: lmms-eval measures boxes in pictures that no EXIF has turned."""
    if len(visuals) != 1 or not isinstance(visuals[0], Image):
        told = ", ".join(type(one).__name__ for one in visuals) or "nothing"
        raise BadInput(f"expected one picture, got {told}; glintbox takes no videos and no several pictures")
    return np.asarray(visuals[0].convert("RGB"))
