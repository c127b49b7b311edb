"""A model for harnesses: it sees a cup and no dog, says what nobody can read about mud, and loads no weights."""

from io import BytesIO

from PIL import Image

from glintbox.boxes import Box
from glintbox.ground import Grounder
from glintbox.lvlm.scripted import Script, ScriptedLVLM
from glintbox.records import Grounding
from tests.web.scripted_page import HIGH, WIDE, a_picture

CUP = Box(12, 8, 36, 32)
"""px, in a picture of 120 x 80."""

BESIDE = '[{"bbox_2d": [600, 500, 900, 900], "label": "cup"}]'
THERE = '[{"bbox_2d": [100, 100, 300, 400], "label": "cup"}]'
SCRIPTS = {
    "the red cup": Script(BESIDE, (THERE,), CUP),
    "dog": Script("There is none.", ("There is none.",), CUP),
    "mud": Script("Somewhere, I am sure.", ("Somewhere, I am sure.",), CUP),
}
"""Greedy is wrong about the cup, the samples are right."""


def a_grounder() -> Grounder:
    return Grounder(ScriptedLVLM(SCRIPTS))


def picture() -> Image.Image:
    """120 x 80 px; its EXIF says that it lies on its side, which no harness looks at."""
    made, exif, file = Image.open(BytesIO(a_picture())), Image.Exif(), BytesIO()
    exif[0x0112] = 6
    made.save(file, "PNG", exif=exif)
    seen = Image.open(file)
    assert seen.size == (WIDE, HIGH) and seen.getexif()
    return seen


def found(query: str) -> Grounding:
    [one] = a_grounder().ground([(picture().convert("RGB"), query)], n=2)
    return one
