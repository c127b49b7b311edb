"""Several things that one expression names: each span read at its own last token, all of them in one prefill."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import tee
from time import perf_counter
from typing import NamedTuple

from PIL.Image import Image

from glintbox.assembly import Assembly
from glintbox.errors import BadContract, BadInput
from glintbox.localize import METHOD, NOTHING, boxed, rows_of, unwritten
from glintbox.lvlm.api import LVLM, Prompt
from glintbox.phrases import Phrase, phrased
from glintbox.prompts import BEGUN, CLOSED, EXPRESSION
from glintbox.records import CandidateSet, Grounding, Head, Setting, SpanMaps, TextMaps, Watch


class Spoken(NamedTuple):
    """A prompt about an expression, and the spans of it."""

    prompt: Prompt
    phrases: tuple[Phrase, ...]


def localize_spans(
    lvlm: LVLM,
    image: Image,
    expression: str,
    *,
    heads: Sequence[Head],
    assembly: Assembly = Assembly(),  # noqa: B008  # frozen
    id: str = "",
    prompt: str = EXPRESSION,
    view: str = "default",
) -> Grounding:
    """Where some heads look at the end of each span of an expression: a labelled box for each, in its order.

    Spans are those of `phrases.phrased`: in brackets, else between commas and "and". A span of which nothing stands out
    has no box, which the notes say. An expression of one span gives the box of `localize`, which errors are as well.

    Raises:
        BadInput: brackets that do not match, a span without words.
    """
    setting = lvlm.card.setting(prompt=prompt, view=view, moment=Watch().moment)
    asked = spoken(lvlm, image, expression, id=id, prompt=prompt)
    [found] = localize_spans_each(lvlm, [asked], heads=heads, setting=setting, assembly=assembly)
    return found


def spoken(lvlm: LVLM, image: Image, expression: str, *, id: str = "", prompt: str = EXPRESSION) -> Spoken:
    """The prompt of an expression, whose marks it does not hold, and its spans; errors as in `localize_spans`."""
    if prompt in BEGUN:
        raise BadInput(f"expected heads that are read at words to ask for each span, got prompt {prompt!r}")
    text, phrases = phrased(expression)
    return Spoken(lvlm.prompt(image, text, id=id, text=prompt), phrases)


def localize_spans_each(
    lvlm: LVLM,
    asked: Iterable[Spoken],
    *,
    heads: Sequence[Head],
    setting: Setting,
    assembly: Assembly = Assembly(),  # noqa: B008  # frozen
) -> Iterator[Grounding]:
    """As `localize_spans` for prompts made before, in order; those on the same picture in a row prefill it once."""
    if not heads:
        raise BadInput("expected at least one localization head, got none; find some with: glintbox heads find")
    watch = Watch(heads=tuple(heads), view=setting.view)
    ahead, behind = tee(asked)
    answers = lvlm.replay(((prompt, ()) for prompt, _ in ahead), watch)
    for answered, (prompt, phrases) in zip(answers, behind, strict=True):
        tokens = [last_token(prompt, phrase) for phrase in phrases]
        grid = prompt.views[setting.view].grid
        spans = tuple(
            SpanMaps(phrase.text, (phrase.start, phrase.end), token, TextMaps(setting, tuple(heads), grid, maps))
            for phrase, token, maps in zip(phrases, tokens, rows_of(answered, tokens, watch), strict=True)
        )
        yield spans_localized(replace(unwritten(answered, setting), span_maps=spans), assembly)


def last_token(prompt: Prompt, phrase: Phrase) -> int:
    """The token that holds the last character of a span; of one that ends the expression, that of its full stop.

    Raises:
        BadContract: a prompt that does not say of which characters its tokens are.
    """
    rest = prompt.query.strip()[phrase.end :]
    if not rest or CLOSED.fullmatch(rest):
        return prompt.said[-1]
    begun = [token for token, (start, _) in zip(prompt.said, prompt.spans, strict=False) if start < phrase.end]
    if not begun:
        raise BadContract(
            f"expected a token that ends {phrase.text!r} in prompt {prompt.id!r}, got none; the tokenizer does not say "
            "of which characters its tokens are: ask for each thing by itself"
        )
    return begun[-1]


def spans_localized(found: CandidateSet, assembly: Assembly = Assembly()) -> Grounding:  # noqa: B008  # frozen
    """The labelled boxes of span maps that were kept: another smoothing, or other parts, cost no model.

    Raises:
        BadInput: a set without span maps.
    """
    if not found.span_maps:
        raise BadInput(f"expected the maps of an expression's spans for {found.id!r}, got none; localize it first")
    began = perf_counter()
    of = [(span.text, boxed(span.maps, found.image, assembly)) for span in found.span_maps]
    boxes = tuple(box._replace(label=text) for text, box in of if box)
    timing = {**found.timing, "assemble": perf_counter() - began}
    notes = (*found.notes, *(f"{text!r}: {NOTHING}" for text, box in of if not box))
    return Grounding(found.id, METHOD, "share", boxes, (), replace(found, timing=timing, notes=notes))
