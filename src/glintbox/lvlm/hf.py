"""A checkpoint of a real transformers class as an `LVLM`: joins loading, prompting and decoding; decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from PIL.Image import Image

from glintbox.errors import BadInput
from glintbox.lvlm import decode
from glintbox.lvlm.api import Answered, Prompt
from glintbox.lvlm.decoder import Decoder
from glintbox.lvlm.loading import Loaded, eos_ids, load
from glintbox.lvlm.prompting import make_prompt
from glintbox.lvlm.spans import token_spans
from glintbox.records import Response, Sampling, Watch


class HuggingFaceLVLM:
    """An `api.LVLM` over loaded weights; see `from_pretrained`."""

    def __init__(self, loaded: Loaded, *, batch: int = 1) -> None:
        if batch < 1:
            raise BadInput(f"expected a batch of at least one prompt, got {batch}")
        self.loaded = loaded
        self.card = loaded.card
        self.default_prompt = loaded.prompt
        self.eos = eos_ids(loaded)
        self._decoder = Decoder(
            model=loaded.model,
            card=loaded.card,
            eos=self.eos,
            spans=self.spans,
            batch=batch,
        )

    @classmethod
    def from_pretrained(
        cls,
        name_or_folder: str | Path,
        *,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype = "auto",
        revision: str | None = None,
        weights: bool = True,
        batch: int = 1,
    ) -> HuggingFaceLVLM:
        """Load a hub name or a checkpoint folder; options and errors as in `loading.load`.

        Without weights it makes prompts and reads the ids of a server's answers; it answers and replays nothing.
        batch: prompts that `answer` takes at a time; their answers stay the same, up to rounding. It pays on a GPU,
        and takes the memory of as many prompts (docs/throughput.md).

        Raises:
            BadInput: a batch of less than one prompt; or as `loading.load`.
        """
        return cls(load(name_or_folder, device=device, dtype=dtype, revision=revision, weights=weights), batch=batch)

    def prompt(self, image: Image, query: str, *, id: str, text: str | None = None) -> Prompt:
        """Make an upright RGB image and a query ready; errors as in `prompting.make_prompt`."""
        return make_prompt(self.loaded, image, query, id=id, text=text)

    def answer(self, prompts: Iterable[Prompt], sampling: Sampling, watch: Watch | None) -> Iterator[Answered]:
        """Write greedy and N sampled answers per prompt; see `api.LVLM.answer`."""
        return decode.answer(self._decoder, prompts, sampling, watch)

    def answer_together(
        self, prompts: Iterable[Prompt], samplings: Sequence[Sampling], watch: Watch | None
    ) -> Iterator[tuple[Answered, ...]]:
        """Write the answers of several samplings in one decoding; see `api.LVLM.answer_together`."""
        return decode.answer_together(self._decoder, prompts, samplings, watch)

    def replay(self, told: Iterable[tuple[Prompt, tuple[Response, ...]]], watch: Watch | None) -> Iterator[Answered]:
        """Read the attention of answers that exist already; see `api.LVLM.replay`."""
        return decode.replay(self._decoder, told, watch)

    def spans(self, ids: Sequence[int]) -> tuple[str, tuple[tuple[int, int], ...]]:
        """Text of an answer's ids and the characters of each; see `spans.token_spans`."""
        return token_spans(self.loaded.tokenizer, ids, eos=self.eos)
