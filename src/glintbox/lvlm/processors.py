"""The checkpoint's own processor, built without torchvision, and the few rules of image processors that we must ask."""

from __future__ import annotations

from typing import Any


def without_video(kind: type[Any]) -> type[Any]:
    """The same processor class with no video part.

    Video processors import torchvision when their module loads, so a class that has one cannot be built without it. A
    processor asks `get_attributes` which parts it has; nothing else changes, with torchvision or without.
    """
    if "video_processor" not in kind.get_attributes():
        return kind

    class PicturesOnly(kind):
        video_processor = None

        @classmethod
        def get_attributes(cls) -> list[str]:
            return [name for name in kind.get_attributes() if name != "video_processor"]

    PicturesOnly.__name__ = kind.__name__
    return PicturesOnly
