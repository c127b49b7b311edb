"""What the rest of the house knows of a vision-language model: prompt, answer, replay. Knows no transformers.

Owner of the cache: `answer` and `replay` yield `Answered` objects; each is valid until its iterator advances, because
that iterator's frame owns the key cache and the kept queries. A later `read` raises `Closed`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from jaxtyping import Float, Int
from PIL.Image import Image
from torch import Tensor

from glintbox.boxes import Size
from glintbox.geometry import CoordFrame, View
from glintbox.records import Head, Moment, Response, Sampling, Setting, Site, Watch


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Facts of a loaded model. usable: layers that have a global softmax map; the others are named in `excluded`."""

    id: str
    revision: str
    model_type: str
    layers: int
    heads: int
    usable: tuple[int, ...]
    excluded: Mapping[int, str]
    views: tuple[str, ...]
    pixels: str

    def all_heads(self) -> tuple[Head, ...]:
        """Every usable head, layer by layer: the channel order of full maps."""
        return tuple(Head(layer, index) for layer in self.usable for index in range(self.heads))

    def setting(self, *, prompt: str, view: str, moment: Moment) -> Setting:
        """The setting under which this model's artefacts hold."""
        return Setting(self.id, self.revision, self.model_type, prompt, view, self.pixels, moment)


@dataclass(frozen=True, slots=True)
class Prompt:
    """One image and query made ready for a model; tensors on the CPU, picklable.

    ids: the whole prompt. tensors: everything else that the model's forward takes (pixel values, grids, masks).
    shared: number of leading tokens (up to and with the image's end) that other queries on the same image share.
    said: token positions of the query's own words, or of the answer where the prompt begins it; its last one is where
    localization heads are read. spans: for each token of the query's words the characters [a, b) of the query, blanks
    around it taken off, that it stands for. frame: units of written boxes. views: image tokens as grids.
    fingerprint: of the pixels as the model gets them; prompts of equal fingerprint and equal first `shared` ids share a
    prefill. thinking: boxes count only after the model's end-of-thought mark. prefix: every token of the prompt sees
    all of it, not only what comes before; then nothing is shared.
    """

    id: str
    image: Size
    query: str
    ids: Int[Tensor, " token"]
    tensors: Mapping[str, Tensor]
    shared: int
    said: range
    frame: CoordFrame
    views: Mapping[str, View]
    fingerprint: str
    thinking: bool = False
    coordinate_token: Literal["first_digit", "first_significant_digit"] = "first_digit"
    prefix: bool = False
    spans: tuple[tuple[int, int], ...] = ()


@runtime_checkable
class Answered(Protocol):
    """A prompt with its answers and, while it is open, their attention."""

    @property
    def prompt(self) -> Prompt:
        """What was asked."""
        ...

    @property
    def responses(self) -> tuple[Response, ...]:
        """Greedy first, if asked for, then the sampled ones; or the ones that were told."""
        ...

    @property
    def timing(self) -> Mapping[str, float]:
        """Seconds by stage."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of how the answers came about."""
        ...

    def read(self, sites: Sequence[Site], watch: Watch) -> Float[Tensor, "site head row col"]:
        """Attention shares of the watched heads on the view's grid for each site, float32.

        Head order is `watch.heads`, or `ModelCard.all_heads()` where that is None.

        Raises:
            Closed: the iterator that gave this object has advanced.
            BadInput: a site or head that does not exist or was not watched while answering.
            UnknownName: a view that the prompt does not have.
        """
        ...


@runtime_checkable
class LVLM(Protocol):
    """A frozen vision-language model that writes boxes as text."""

    @property
    def card(self) -> ModelCard:
        """Facts of the model."""
        ...

    @property
    def default_prompt(self) -> str:
        """The prompt that is used where none is named."""
        ...

    def prompt(self, image: Image, query: str, *, id: str, text: str | None = None) -> Prompt:
        """Make `image` (RGB, upright) and `query` ready; `text` names a prompt of `prompts.PROMPTS`."""
        ...

    def answer(self, prompts: Iterable[Prompt], sampling: Sampling, watch: Watch | None) -> Iterator[Answered]:
        """Write greedy (first, if `sampling.greedy_too`) and N sampled answers per prompt, in the prompts' order."""
        ...

    def answer_together(
        self, prompts: Iterable[Prompt], samplings: Sequence[Sampling], watch: Watch | None
    ) -> Iterator[tuple[Answered, ...]]:
        """As `answer` for several samplings, one `Answered` each per prompt, all open until it advances."""
        ...

    def replay(self, told: Iterable[tuple[Prompt, tuple[Response, ...]]], watch: Watch | None) -> Iterator[Answered]:
        """As `answer`, for answers that exist already; `read` gives what live reading would have given."""
        ...
