"""A family known by name alone, for servers whose checkpoint is not here: in which units it writes boxes."""

from __future__ import annotations

import torch
from PIL.Image import Image

from glintbox.boxes import Size
from glintbox.errors import BadInput
from glintbox.lvlm.api import ModelCard, Prompt
from glintbox.lvlm.families import FAMILIES, family_of
from glintbox.lvlm.grids import per_mille, unit_square
from glintbox.prompts import tell

ALIKE = (per_mille, unit_square)
"""Frames that depend on nothing but the picture's size."""


class Unseen:
    """A family known by name alone: in which units it writes, and nothing else; `ids` of its prompts are empty.

    Raises:
        UnknownName, BadContract: no such family, or one of those that can never be one.
        BadInput: a family whose units depend on how its processor resizes or crops the picture.
    """

    def __init__(self, family: str, *, served: str) -> None:
        known = family_of(family)
        if known.frame not in ALIKE:
            able = [name for name, one in sorted(FAMILIES.items()) if one.frame in ALIKE]
            raise BadInput(
                f"expected a family that writes in shares of the picture ({', '.join(able)}), got {family}, which "
                f"writes {known.units}: name a checkpoint of which the processor files are read (--processor)"
            )
        self._family = known
        self.default_prompt = known.prompt
        self.card = ModelCard(
            id=served,
            revision="unknown",
            model_type=family,
            layers=0,
            heads=0,
            usable=(),
            excluded={},
            views=(),
            pixels="unknown",
        )

    def prompt(self, image: Image, query: str, *, id: str, text: str | None = None) -> Prompt:
        """What is known of a prompt without tokenizer and processor; errors as in `prompts.tell`."""
        tell(text or self.default_prompt, query)
        size = Size(*image.size)
        return Prompt(
            id=id,
            image=size,
            query=query,
            ids=torch.empty(0, dtype=torch.long),
            tensors={},
            shared=0,
            said=range(0),
            frame=self._family.frame({}, size, None, None),
            views={},
            fingerprint="",
            coordinate_token=self._family.coordinate_token,
        )
