"""`glintbox parse`: one raw answer of a model → its boxes in pixels of the original picture, as JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from glintbox.boxes import Size
from glintbox.errors import BadInput, UnknownName
from glintbox.geometry import CoordFrame
from glintbox.parsing import FRAME_OF_FAMILY, FRAMES, frame_of, read_response
from glintbox.records import Response


def parse(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="The raw answer as UTF-8 text; - reads stdin.")],
    *,
    image: Annotated[str, typer.Option(metavar="WxH", help="Size of the original, upright picture.")],
    family: Annotated[str | None, typer.Option(help="Model type of the writer: qwen2_5_vl, internvl, …")] = None,
    frame: Annotated[str | None, typer.Option(metavar="pixels|1000|999|1", help="Or the units of its numbers.")] = None,
    model_input: Annotated[
        str | None,
        typer.Option("--input", metavar="WxH", help="Size as the model saw it, for pixels; default: the original."),
    ] = None,
) -> None:
    """glintbox parse --family qwen2_5_vl --image 640x480 --input 644x476 answer.txt

    Read the boxes of a model's answer, whoever asked for it, in pixels of the original picture.

    Prints {"boxes": [{"bbox": [x1, y1, x2, y2], "label": …, "span": [a, b]}], "reading": "boxes"|"none"|"unreadable"}:
    bbox in pixels of the original picture, span in characters of the answer. Boxes with swapped corners or far outside
    the picture are left out. The units are taken to cover the whole picture, which holds for LLaVA without centre crop.
    """
    size = _size("--image", image)
    units = _frame(family, frame, image=size, model_input=model_input)
    answer = Response(_text(file), source="given", ended="stop", ids=(), spans=())
    reading, candidates = read_response(answer, 0, frame=units, image=size)
    boxes = [{"bbox": [round(v, 2) for v in c.box], "label": c.label, "span": list(c.span)} for c in candidates]
    typer.echo(json.dumps({"boxes": boxes, "reading": reading}))


def _size(option: str, text: str) -> Size:
    """Read WxH."""
    match = re.fullmatch(r"([1-9][0-9]{0,5})x([1-9][0-9]{0,5})", text, re.ASCII | re.IGNORECASE)
    if match is None:
        raise BadInput(f"expected {option} WxH in pixels, got {text!r}; write for example {option} 640x480")
    return Size(int(match[1]), int(match[2]))


def _frame(family: str | None, frame: str | None, *, image: Size, model_input: str | None) -> CoordFrame:
    """The units of the answer, from exactly one of --family and --frame."""
    if (family is None) == (frame is None):
        given = "neither" if family is None else "both"
        raise BadInput(f"expected one of --family and --frame, got {given}; say who wrote the answer, or its units")
    if family is not None and family not in FRAME_OF_FAMILY:
        raise UnknownName("family", family, FRAME_OF_FAMILY)
    if frame is not None and frame not in FRAMES:
        raise UnknownName("frame", frame, FRAMES)
    seen = None if model_input is None else _size("--input", model_input)
    if frame is not None:
        return frame_of(frame, image=image, seen=seen)
    written = FRAME_OF_FAMILY[str(family)]
    if written == "pixels" and seen is None:
        raise BadInput(
            f"expected --input WxH, for {family} writes pixels of the picture as it saw it, got none; add it"
        )
    return frame_of(written, image=image, seen=seen)


def _text(file: str) -> str:
    """The answer from a file or stdin."""
    try:
        raw = typer.get_binary_stream("stdin").read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise BadInput(
            f"expected a file with one raw answer, got {file!r}: {error.strerror}; check the path"
        ) from error
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"expected UTF-8 text, got other bytes in {file!r}; save the answer as UTF-8") from error
