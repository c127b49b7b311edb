"""Better, scored boxes for small objects from a frozen vision-language model. `import glintbox` costs no torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for type checkers and editors; at run time names are loaded when first asked for
    from glintbox.boxes import Box as Box
    from glintbox.boxes import Size as Size
    from glintbox.errors import GlintboxError as GlintboxError
    from glintbox.ground import Grounder as Grounder
    from glintbox.records import CandidateSet as CandidateSet
    from glintbox.records import Grounding as Grounding
    from glintbox.records import HeadMap as HeadMap
    from glintbox.records import Selector as Selector

__version__ = "0.1.0"

_WHERE = {
    "Box": "boxes",
    "CandidateSet": "records",
    "GlintboxError": "errors",
    "Grounder": "ground",
    "Grounding": "records",
    "HeadMap": "records",
    "Selector": "records",
    "Size": "boxes",
}

__all__ = ["Box", "CandidateSet", "GlintboxError", "Grounder", "Grounding", "HeadMap", "Selector", "Size"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'glintbox' has no attribute {name!r}; public names: {', '.join(__all__)}")
    return getattr(import_module(f"glintbox.{_WHERE[name]}"), name)
