"""From an expression to a box without a word written: one prefill, read at the expression's last token.

The localization-heads paper (CVPR 2025, arXiv 2503.06287), for every family of the house.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import torch
from jaxtyping import Float
from PIL.Image import Image
from torch import Tensor

from glintbox.artifacts import LOCALIZATION_FILE, find, read_record, require_equal, require_places
from glintbox.assembly import Assembly, assemble
from glintbox.boxes import Size
from glintbox.errors import BadContract, BadInput, NoArtifact
from glintbox.lvlm.api import LVLM, Answered, ModelCard, Prompt
from glintbox.masks import in_pixels
from glintbox.prompts import EXPRESSION
from glintbox.records import (
    Candidate,
    CandidateSet,
    Grounding,
    Head,
    HeadMap,
    Response,
    Sampling,
    ScoredBox,
    Setting,
    Site,
    TextMaps,
    Watch,
)

METHOD = "localization-heads"
NOTHING = "nothing stands out of the attention of the localization heads"

UNSAMPLED = Sampling(n=1, temperature=0, greedy_too=False)
"""Nothing is written, so nothing is drawn; a record has to say something."""


def localize(
    lvlm: LVLM,
    image: Image,
    query: str,
    *,
    heads: Sequence[Head],
    assembly: Assembly = Assembly(),  # noqa: B008  # frozen
    id: str = "",
    prompt: str = EXPRESSION,
    view: str = "default",
) -> Grounding:
    """Where some heads look while the model reads an expression: one box with its token mask, or none.

    image: RGB, upright. heads: the localization heads, best first (the paper takes three). The score is the share of
    the heads' attention on the picture that falls into the region. The box is clipped to the picture.

    Raises:
        BadInput: an expression that is empty or longer than the context, no heads, heads that cannot be read.
        BadContract: attention that is no number.
        OutOfMemory: the prompt does not fit.
    """
    asked = lvlm.prompt(image, query, id=id, text=prompt)
    setting = lvlm.card.setting(prompt=prompt, view=view, moment=Watch().moment)
    [found] = localize_each(lvlm, [asked], heads=heads, setting=setting, assembly=assembly)
    return found


def localize_each(
    lvlm: LVLM,
    prompts: Iterable[Prompt],
    *,
    heads: Sequence[Head],
    setting: Setting,
    assembly: Assembly = Assembly(),  # noqa: B008  # frozen
) -> Iterator[Grounding]:
    """As `localize` for prompts made before, in order; those on the same picture in a row prefill it once."""
    if not heads:
        raise BadInput("expected at least one localization head, got none; find some with: glintbox heads find")
    for answered, maps in read_texts(lvlm, prompts, tuple(heads), view=setting.view):
        grid = answered.prompt.views[setting.view].grid
        looked = TextMaps(setting, tuple(heads), grid, maps)
        found = replace(unwritten(answered, setting), text_map=looked)
        yield localized(found, assembly)


def unwritten(answered: Answered, setting: Setting) -> CandidateSet:
    """The set of a prompt that was only read: no answers, no candidates, no maps yet."""
    prompt = answered.prompt
    return CandidateSet(
        id=prompt.id,
        image=prompt.image,
        query=prompt.query,
        setting=setting,
        sampling=UNSAMPLED,
        frame=prompt.frame,
        responses=(),
        readings=(),
        candidates=(),
        timing=answered.timing,
    )


def localized(found: CandidateSet, assembly: Assembly = Assembly()) -> Grounding:  # noqa: B008  # frozen
    """The region in maps that were kept: another smoothing, or other parts, cost no model.

    Raises:
        BadInput: a set without text maps.
    """
    if (looked := found.text_map) is None:
        raise BadInput(f"expected the maps of localization heads for {found.id!r}, got none; localize it first")
    began = perf_counter()
    box = boxed(looked, found.image, assembly)
    boxes = (box,) if box else ()
    timing = {**found.timing, "assemble": perf_counter() - began}
    notes = found.notes if box else (*found.notes, NOTHING)
    return Grounding(found.id, METHOD, "share", boxes, (), replace(found, timing=timing, notes=notes))


def boxed(looked: TextMaps, image: Size, assembly: Assembly = Assembly()) -> ScoredBox | None:  # noqa: B008  # frozen
    """Box, mask and score of the region that some maps make; None where nothing stands out."""
    region = assemble(looked.values, looked.grid, assembly, image=image)
    return region and ScoredBox(region.box, region.score, None, in_pixels(region.mask, looked.grid, image))


def text_heads(headmap: HeadMap, k: int | None = None) -> tuple[Head, ...]:
    """The localization heads of a head map, best first: those it names, or the k best that it knows.

    Raises:
        BadInput: a head map without heads for the text, or fewer than k of them.
    """
    require_places(headmap, "text")
    named = headmap.heads["text"]
    ranked = tuple(dict.fromkeys((*named, *(headmap.selection.heads if headmap.selection else ()))))
    if k is not None and not 1 <= k <= len(ranked):
        raise BadInput(f"expected 1 <= k <= {len(ranked)}, the localization heads that are known, got {k}")
    return named if k is None else ranked[:k]


def fit_localization(card: ModelCard, headmap: HeadMap) -> None:
    """Refuse localization heads of another model or pixel budget, and head maps of coordinates.

    Raises:
        BadInput: no heads for the text.
        SettingMismatch: names every difference.
    """
    require_places(headmap, "text")
    made = headmap.setting
    here = card.setting(prompt=made.prompt, view=made.view, moment=made.moment)
    require_equal(made, here, what="map of localization heads")


def localization_heads(
    card: ModelCard, given: str | Path | HeadMap | None, *, checkpoint: Path | None
) -> HeadMap | None:
    """The localization heads that are given, their file or its folder; None looks in the user's cache, then beside the
    checkpoint.

    Raises:
        NoArtifact, BadInput: the file is missing, or is no head map for the text.
        SettingMismatch: they belong to another model.
    """
    setting = card.setting(prompt=EXPRESSION, view=Watch().view, moment=Watch().moment)
    found = given or find(LOCALIZATION_FILE, setting=setting, checkpoint=checkpoint)
    headmap = _read(Path(found)) if isinstance(found, str | Path) else found
    if headmap is not None:
        fit_localization(card, headmap)
    return headmap


def _read(path: Path) -> HeadMap:
    file = path / LOCALIZATION_FILE if path.is_dir() else path
    hint = "find some with: glintbox heads find DATASET --by localization"
    return read_record(HeadMap, file, what="a map of localization heads", hint=hint)


def required(headmap: HeadMap | None) -> HeadMap:
    """The localization heads; raises NoArtifact where a model has none."""
    if headmap is None:
        raise NoArtifact(
            "expected the localization heads of this model, got none; find some with: "
            "glintbox heads find DATASET --by localization"
        )
    return headmap


def with_text_map(lvlm: LVLM, image: Image, found: CandidateSet, headmap: HeadMap) -> CandidateSet:
    """The set with what the localization heads look at for its query: one more prefill, of the expression alone.

    The rows are read under the prompt that the heads were found with, not under the one that asks for boxes.

    Raises:
        BadInput, BadContract, OutOfMemory: as `localize`.
    """
    setting, heads = headmap.setting, text_heads(headmap)
    prompt = lvlm.prompt(image, found.query, id=found.id, text=setting.prompt)
    [(answered, maps)] = read_texts(lvlm, [prompt], heads, view=setting.view)
    looked = TextMaps(setting, heads, prompt.views[setting.view].grid, maps)
    return replace(found, text_map=looked, timing={**found.timing, "look": sum(answered.timing.values())})


def with_located(found: CandidateSet, assembly: Assembly = Assembly()) -> CandidateSet:  # noqa: B008  # frozen
    """The set with the box of its text map as one more candidate, of a response of source "given", if there is one.

    Nobody wrote it, so it has no coordinate tokens and no statistics: selectors that read attention while writing leave
    it out, the others may choose it.

    Raises:
        BadInput: a set without a text map.
    """
    located = localized(found, assembly).boxes
    if not located:
        return replace(found, notes=(*found.notes, NOTHING))
    box = located[0].box
    text = f"{METHOD}: [{', '.join(f'{value:.1f}' for value in box)}]"
    response = Response(text, "given", "stop", (), ())
    written = found.frame.written(box)
    candidate = Candidate(box, written, None, len(found.responses), (0, len(text)), None)
    stats, maps = found.stats, found.maps
    return replace(
        found,
        responses=(*found.responses, response),
        readings=(*found.readings, "boxes"),
        candidates=(*found.candidates, candidate),
        stats=stats and replace(stats, entropy=_and_unknown(stats.entropy), share=_and_unknown(stats.share)),
        maps=maps and replace(maps, values=_and_unknown(maps.values)),
    )


def _and_unknown(values: Tensor) -> Tensor:
    """One more row that nobody read."""
    return torch.cat([values, values.new_full((1, *values.shape[1:]), torch.nan)])


def text_maps(
    lvlm: LVLM,
    image: Image,
    query: str,
    heads: Sequence[Head] | None = None,
    *,
    id: str = "",
    prompt: str = EXPRESSION,
    view: str = "default",
) -> tuple[Prompt, Float[Tensor, "head row col"]]:
    """Attention shares of the expression's last token over the picture's cells; None reads every usable head.

    Raises:
        BadInput, BadContract, OutOfMemory: as `localize`.
    """
    asked = lvlm.prompt(image, query, id=id, text=prompt)
    [(answered, maps)] = read_texts(lvlm, [asked], heads, view=view)
    return answered.prompt, maps


def read_texts(
    lvlm: LVLM, prompts: Iterable[Prompt], heads: Sequence[Head] | None, *, view: str = "default"
) -> Iterator[tuple[Answered, Float[Tensor, "head row col"]]]:
    """The text maps of each prompt, on the CPU, while what was answered is open (it holds the timing).

    Nothing is written: a prefill may end at the last layer that is read.

    Raises:
        BadContract: attention that is no number.
    """
    watch = Watch(heads=None if heads is None else tuple(heads), view=view)
    for answered in lvlm.replay(((prompt, ()) for prompt in prompts), watch):
        yield answered, rows_of(answered, [answered.prompt.said[-1]], watch)[0]


def rows_of(answered: Answered, tokens: Sequence[int], watch: Watch) -> Float[Tensor, "token head row col"]:
    """Attention shares of some tokens of the prompt over the picture's cells, on the CPU.

    Raises:
        BadContract: attention that is no number.
    """
    maps = answered.read([Site(-1, token) for token in tokens], watch).cpu()
    if not bool(maps.isfinite().all()):
        raise BadContract(
            f"expected attention that is a number for prompt {answered.prompt.id!r}, got NaN or infinity; load the "
            "model in bfloat16 or float32 (float16 overflows)"
        )
    return maps
