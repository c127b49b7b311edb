"""glintbox as a model of VLMEvalKit: its grounding tasks are answered with the selected box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from glintbox import embedded
from glintbox.errors import BadInput
from glintbox.ground import Grounder
from glintbox.integrations.tasks import answer, question

try:
    from vlmeval.config import supported_VLM
    from vlmeval.vlm.base import BaseModel
except ModuleNotFoundError as error:
    raise BadInput(
        f"expected VLMEvalKit and what it needs, got no package {error.name}; it is not on PyPI, run: "
        "pip install git+https://github.com/open-compass/VLMEvalKit"
    ) from error


class GlintboxVLM(BaseModel):
    """Answers grounding tasks with the box that a selector chooses.

    model_path: a hub name or checkpoint folder; grounder: a Grounder, in place of it. device, dtype, heads, regressor,
    localization: as `Grounder.from_pretrained`; options: as those of `Grounder.ground`.
    """

    INTERLEAVE = False

    def __init__(
        self,
        model_path: str = embedded.NAME,
        *,
        grounder: Grounder | None = None,
        device: str = "auto",
        dtype: str = "auto",
        heads: str | None = None,
        regressor: str | None = None,
        localization: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        own: dict[str, Any] = dict(heads=heads, regressor=regressor, localization=localization)
        self.grounder = grounder or Grounder.from_pretrained(model_path, device=device, dtype=dtype, **own)
        self.options = options

    def generate_inner(self, message: Sequence[Mapping[str, str]], dataset: str | None = None) -> str:
        """The answer to one picture and prompt, in the frame of its task.

        Raises:
            BadInput: a prompt of another kind of task, or several pictures or a video.
        """
        pictures = [part["value"] for part in message if part["type"] != "text"]
        if len(pictures) != 1 or any(part["type"] not in {"text", "image"} for part in message):
            told = ", ".join(part["type"] for part in message)
            raise BadInput(
                f"expected one picture and a text, got {told}; glintbox takes no videos and no several pictures"
            )
        kind, expression = question("\n".join(part["value"] for part in message if part["type"] == "text"))
        name = f"{dataset}-{Path(pictures[0]).stem}"
        [found] = self.grounder.ground([(pictures[0], expression)], ids=[name], **self.options)
        return answer(kind, found)


def register(name: str = "glintbox", **options: Any) -> None:
    """Let VLMEvalKit know a model of this name; options are those of `GlintboxVLM`."""
    supported_VLM[name] = partial(GlintboxVLM, **options)
