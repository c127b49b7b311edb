"""What is peculiar to Objects365's annotations, and how they become plain COCO (docs/acs.md 28).

The files (`zhiyuan_objv2_val.json`, `zhiyuan_objv2_train.json`) are COCO's format with differences that matter here:

- many annotations stand there twice, with the same box to the last digit: "exactly one object" would never be met
- category names are written as titles, some with a slash and stray blanks: "Cabinet/shelf", "Cigar/Cigarette "
- pictures are named "images/v1/patch8/objects365_v1_00411425.jpg", but unpack into patch8/ alone
- boxes leave the picture by a pixel or so; `iscrowd` marks a box around many
- `isfake` marks a picture of a thing, `isreflected` a thing in a mirror; who looks for things finds these as well
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

REPEATED = "annotations that repeat another, taken as one"

FILE = re.compile(r"objects365_v\d+_\d+\.\w+$")


def is_objects365(content: Any) -> bool:
    """Whether the content of a COCO file is Objects365's, by the name of its first picture."""
    images = content.get("images") if isinstance(content, Mapping) else None
    first = images[0] if isinstance(images, list) and images else None
    return isinstance(first, Mapping) and bool(FILE.search(str(first.get("file_name"))))


def as_coco(content: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, int]]:
    """The same content with every object once and names as one says them; and how many annotations were repeats."""
    once: dict[tuple[object, ...], Any] = {}
    for annotation in content["annotations"]:
        what = (annotation["image_id"], annotation["category_id"], *annotation["bbox"])
        once.setdefault(what, annotation)
    repeats = len(content["annotations"]) - len(once)
    names = [{**category, "name": spoken(category["name"])} for category in content["categories"]]
    return {**content, "categories": names, "annotations": list(once.values())}, {REPEATED: repeats}


def spoken(name: str) -> str:
    """A category as one asks for it: "Cabinet/shelf" is "cabinet or shelf"; abbreviations such as TV stay.

    Spelling is left as it is ("Extention Cord"): the published names are what others ask for too.
    """
    words = re.sub(r"\s*/\s*", " or ", name).split()
    return " ".join(word if word.isupper() and len(word) > 1 else word.lower() for word in words)
