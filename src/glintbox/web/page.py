"""What the page shows, as plain data and files: functions of what was found. Knows no server, no browser and no model.

JSON has no NaN: what nobody read is null.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from glintbox.draw import grounding_figure, own_heads, save_figure
from glintbox.draw_locate import locate_figure
from glintbox.errors import BadInput
from glintbox.geometry import TokenGrid
from glintbox.images import open_image
from glintbox.localize import METHOD
from glintbox.lvlm.api import ModelCard
from glintbox.records import COORDS, Candidate, Grounding, HeadMap, Response, to_json
from glintbox.web.asking import LOOKED, NAMES, Choice, Found, Limits

PREVIEW = 1600
"""Longest side (px) of the picture that a browser gets."""


def about(
    card: ModelCard, limits: Limits, *, localization: HeadMap | None, examples: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """What the page says before anything is asked. examples: file name and query."""
    return {
        "model": card.id,
        "layers": card.layers,
        "heads": card.heads,
        "selectors": list(NAMES),
        "limits": limits._asdict(),
        "examples": [{"name": name, "query": query} for name, query in examples],
        "localization": list(map(str, localization.heads["text"])) if localization else None,
    }


def choice(found: Found, temperature: str, selector: str, multiple: str) -> Choice:
    """The choice that a page's words name; the temperature that was asked for first stands for an empty word.

    Raises:
        BadInput: no such temperature was sampled, or there is no such selector.
    """
    if LOOKED in found.results:
        return LOOKED
    wanted = [at for at in found.read if f"{at:g}" == temperature or not temperature]
    if not wanted:
        raise BadInput(
            f"expected a temperature that was sampled ({', '.join(f'{at:g}' for at in found.read)}), got "
            f"{temperature[:20]!r}; another has to be sampled first"
        )
    made = Choice(wanted[0], selector or "auto", multiple == "1")
    if made not in found.results:
        raise BadInput(f"expected a selector of {', '.join(NAMES)}, got {selector[:40]!r}")
    return made


def shown(found: Found, made: Choice) -> dict[str, Any]:
    """A result as the page draws it, boxes in px of the upright picture, and which other choices there are."""
    result = chosen(found, made)
    record = result.found
    return {
        "choice": made._asdict(),
        "choices": _choices(found, made),
        "image": record.image._asdict(),
        "query": record.query,
        "method": result.method,
        "score_kind": result.score_kind,
        "boxes": [{"box": list(b.box), "score": b.score, "candidate": b.candidate} for b in result.boxes],
        "greedy": [list(box) for box in result.greedy],
        "candidates": [
            _row(number, one, record.responses[one.response]) for number, one in _in_order(record.candidates)
        ],
        "answers": {kind: record.readings.count(kind) for kind in ("boxes", "none", "unreadable")},
        "seconds": {stage: round(seconds, 3) for stage, seconds in record.timing.items()},
        "notes": list(record.notes),
        "looked": _looked(result),
    }


def closer(found: Found, made: Choice, number: int, heads: HeadMap | None) -> dict[str, Any]:
    """One candidate: the attention behind its four numbers, its answer with the tokens marked, each head's entropy.

    Each map is the mean over the heads that the figure of this choice shows for its coordinate.

    Raises:
        BadInput: no such candidate.
    """
    result, read = chosen(found, made), found.read.get(made.temperature)
    candidates = result.found.candidates
    if not 0 <= number < len(candidates):
        raise BadInput(f"expected a candidate from 0 to {len(candidates) - 1}, got {number}")
    one = candidates[number]
    stats = read.stats if read else None
    return {
        "candidate": _row(number, one, result.found.responses[one.response]),
        "parts": [part._asdict() for part in marked(result.found.responses[one.response], one)],
        "maps": _maps(result, number, heads),
        "heads": [list(head) for head in stats.heads] if stats else [],
        "entropy": _numbers(stats.entropy[number]) if stats else [],
        "share": _numbers(stats.share[number]) if stats else [],
    }


def chosen(found: Found, made: Choice) -> Grounding:
    """The result of a choice; raises BadInput with the reason where the model at hand has none."""
    result = found.results[made]
    if isinstance(result, str):
        raise BadInput(result)
    return result


def download(found: Found, made: Choice) -> bytes:
    """The line that `glintbox ground --json`, or `locate --json`, prints for this picture."""
    return to_json(chosen(found, made)).encode() + b"\n"


def figure(found: Found, made: Choice, heads: HeadMap | None) -> bytes:
    """The picture that `glintbox ground --out`, or `locate --out`, writes, PNG. Not for two threads at once."""
    result, image, file = chosen(found, made), open_image(found.picture), BytesIO()
    if made == LOOKED:
        save_figure(locate_figure(image, result), file)
    else:
        save_figure(grounding_figure(image, result, heads=own_heads(result, heads)), file)
    return file.getvalue()


def preview(found: Found) -> bytes:
    """The picture as every browser can show it: upright, JPEG, at most `PREVIEW` px long."""
    image, file = open_image(found.picture), BytesIO()
    image.thumbnail((PREVIEW, PREVIEW), Image.Resampling.LANCZOS)
    image.save(file, "JPEG", quality=90)
    return file.getvalue()


class Part(NamedTuple):
    """A stretch of an answer. box: it belongs to the candidate; mark: the token that was read for this coordinate."""

    text: str
    box: bool
    mark: str | None


def marked(response: Response, one: Candidate) -> list[Part]:
    """The answer cut where the candidate's box and its four coordinate tokens begin and end."""
    tokens = [response.spans[token] for token in one.tokens] if one.tokens else []
    marks = {span: name for span, name in zip(tokens, COORDS, strict=False)}
    cuts = sorted({0, len(response.text), *one.span, *(end for span in tokens for end in span)})
    return [
        Part(response.text[a:b], one.span[0] <= a and b <= one.span[1], marks.get((a, b))) for a, b in pairwise(cuts)
    ]


def _in_order(candidates: Sequence[Candidate]) -> list[tuple[int, Candidate]]:
    """By answer, greedy's first, then as they stand in the text."""
    return sorted(enumerate(candidates), key=lambda pair: (pair[1].response, pair[1].span))


def _row(number: int, one: Candidate, response: Response) -> dict[str, Any]:
    return {
        "number": number,
        "box": list(one.box),
        "written": list(one.written),
        "label": one.label,
        "answer": one.response,
        "source": response.source,
        "ended": response.ended,
    }


def _choices(found: Found, made: Choice) -> dict[str, Any]:
    """Temperatures that were sampled, and each selector with null, or why it cannot choose here."""
    there = {name: found.results.get(made._replace(selector=name)) for name in NAMES}
    return {
        "temperatures": list(found.read),
        "selectors": {name: result if isinstance(result, str) else None for name, result in there.items()},
    }


def _maps(result: Grounding, number: int, heads: HeadMap | None) -> dict[str, Any] | None:
    maps = result.found.maps
    if maps is None or bool(maps.values[number].isnan().any()):
        return None
    own = own_heads(result, heads)
    shown = [own.heads[coord] if own else maps.heads for coord in COORDS]
    places = [[maps.heads.index(head) for head in of] for of in shown]
    values = torch.stack([maps.values[number, coord, at].mean(0) for coord, at in enumerate(places)])
    return {"heads": [list(map(str, of)) for of in shown], **_on(maps.grid, values)}


def _looked(result: Grounding) -> dict[str, Any] | None:
    """Where localization heads look, the mean of their maps, for the tab that asks them."""
    looked = result.found.text_map
    if looked is None or result.method != METHOD:
        return None
    return {"heads": list(map(str, looked.heads)), **_on(looked.grid, looked.values.mean(0))}


def _on(grid: TokenGrid, values: Tensor) -> dict[str, Any]:
    where = {"rows": grid.rows, "cols": grid.cols, "region": list(grid.region)}
    return {"grid": where, "values": _numbers(values)}


def _numbers(values: Tensor) -> Any:
    """Nested lists, six decimals, null for NaN."""

    def plain(part: Any) -> Any:
        return [plain(each) for each in part] if isinstance(part, list) else None if part != part else round(part, 6)

    return plain(values.tolist())
