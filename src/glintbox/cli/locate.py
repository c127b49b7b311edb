"""`glintbox locate`: pictures and an expression in; boxes and masks out, without a word written by the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import typer
from PIL.Image import Image

from glintbox import embedded
from glintbox.assembly import Assembly
from glintbox.cli.ground import AsJson, Device, Dtype, Images, Model, Out
from glintbox.cli.working import open_run, pending, work
from glintbox.draw import save_figure
from glintbox.draw_locate import locate_figure
from glintbox.jobs import Job, read_jobs
from glintbox.localize import localization_heads, localize_each, required, text_heads
from glintbox.localize_spans import localize_spans_each, spoken
from glintbox.lvlm.api import LVLM
from glintbox.records import Grounding, Head, Setting

Expression = Annotated[
    str | None, typer.Option("--expression", "-e", help="What to find; lines of a list may name their own query.")
]
Heads = Annotated[
    Path | None,
    typer.Option(help="Localization heads, a file or its folder (default: the model's own, if it has any)."),
]
Largest = Annotated[
    Literal["hull", "cells", "all"],
    typer.Option(help="The part with the largest convex hull, of most cells, or all that is above the mean."),
]
Mask = Annotated[
    str | None,
    typer.Option(help="A SAM, SAM 2 or SAM 3 checkpoint for the mask; without, it is the region's tokens."),
]
Several = Annotated[
    bool,
    typer.Option(
        "--several",
        help='A box for each thing between commas, "and" or "or", or for what stands in [brackets] instead.',
    ),
]


class Asked(NamedTuple):
    """With what every job is done. several: each span by itself. finish: puts the mask of another model in."""

    lvlm: LVLM
    setting: Setting
    heads: tuple[Head, ...]
    assembly: Assembly
    several: bool
    finish: Callable[[Image, Grounding], Grounding]

    def results(self, image: Image, jobs: Sequence[Job]) -> Iterator[Grounding]:
        """One prefill per expression, of which the picture's part is done once."""
        prompt = self.setting.prompt
        how: dict[str, Any] = dict(heads=self.heads, setting=self.setting, assembly=self.assembly)
        if self.several:
            asked = (spoken(self.lvlm, image, job.query, id=job.id, prompt=prompt) for job in jobs)
            results = localize_spans_each(self.lvlm, asked, **how)
        else:
            prompts = (self.lvlm.prompt(image, job.query, id=job.id, text=prompt) for job in jobs)
            results = localize_each(self.lvlm, prompts, **how)
        for found in results:
            yield self.finish(image, found)

    def drawn(self, image: Image, grounding: Grounding) -> bytes:
        """The picture of a result, PNG."""
        buffer = BytesIO()
        save_figure(locate_figure(image, grounding, assembly=self.assembly), buffer)
        return buffer.getvalue()


def locate(
    images: Images,
    *,
    expression: Expression = None,
    several: Several = False,
    model: Model = embedded.NAME,
    heads: Heads = None,
    k: Annotated[int | None, typer.Option(help="How many heads (default: as many as the head map names).")] = None,
    sigma: Annotated[float, typer.Option(help="Of the Gaussian over each head's map, in cells; 0 = none.")] = 1.0,
    kernel: Annotated[int, typer.Option(help="Its taps, an odd number.")] = 7,
    largest: Largest = "hull",
    mask: Mask = None,
    out: Out = None,
    as_json: AsJson = False,
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """glintbox locate street.jpg --expression "the bicycle on the left" --out found

    Find one object without any answer, or --several of them: read where the model's localization heads look while it
    reads the expression.
    """
    from glintbox.lvlm.hf import HuggingFaceLVLM  # the weight of transformers, only where a model is loaded

    assembly = Assembly(sigma, kernel, largest)  # refuses bad numbers before anything is loaded
    jobs = read_jobs(images, expression)
    said = dict(model=model, heads=heads, k=k, mask=mask, dtype=dtype, several=several)
    run = open_run(out, said | asdict(assembly)) if out else None
    if rest := pending(run, jobs):
        folder = Path(source := embedded.source(model)).expanduser()
        lvlm = HuggingFaceLVLM.from_pretrained(source, device=device, dtype=dtype)
        found = required(localization_heads(lvlm.card, heads, checkpoint=folder if folder.is_dir() else None))
        asked = Asked(lvlm, found.setting, text_heads(found, k), assembly, several, _masks(mask, device, dtype))
        if run:
            run.agree({"setting": asdict(found.setting), "localization heads": list(map(str, asked.heads))})
        if work(rest, asked.results, asked.drawn, run=run, as_json=as_json, doing="locating"):
            raise typer.Exit(1)


def _masks(name: str | None, device: str, dtype: str) -> Callable[[Image, Grounding], Grounding]:
    """What puts the masks of a mask model, asked by box, in place of the regions of tokens."""
    if name is None:
        return lambda image, grounding: grounding
    from glintbox.lvlm.sam import load_sam, sam_masks

    sam = load_sam(name, device=device, dtype=dtype)

    def masked(image: Image, grounding: Grounding) -> Grounding:
        masks = sam_masks(image, [best.box for best in grounding.boxes], model=sam)
        boxes = tuple(best._replace(mask=mask) for best, mask in zip(grounding.boxes, masks, strict=True))
        return replace(grounding, boxes=boxes)

    return masked
