"""`glintbox refer`: how often the box of an expression is right, method by method, over the same expressions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from glintbox import embedded
from glintbox.cli.cases import Images, SkipMissing
from glintbox.cli.console import errors, progress, results
from glintbox.cli.ground import AsJson, Device, Dtype, Heads, Model, Regressor, known_selector
from glintbox.cli.options import words
from glintbox.cli.reports import gallery, save_report
from glintbox.compare import Plan, share_of
from glintbox.compare_refer import ReferPlan, Segment, collect_refer, compare_refer, steps_refer
from glintbox.datasets.refer import referred, source
from glintbox.datasets.referred import Referred
from glintbox.draw import require_matplotlib
from glintbox.draw_refer import refer_figure
from glintbox.errors import BadInput
from glintbox.evaluate import GREEDY
from glintbox.evaluate_refer import evaluate_refer
from glintbox.ground import Grounder
from glintbox.localize import METHOD as LOCALIZATION
from glintbox.localize import required
from glintbox.looks import by_looks
from glintbox.records import Sampling, Selector, to_json
from glintbox.tables_refer import markdown_refer, refer_as_csv

DATASETS = "scenes, refcoco, refcoco+, refcocog, reasonseg (below GLINTBOX_DATA), a folder of one, or rows as JSON."

Dataset = Annotated[str, typer.Argument(help=DATASETS)]
Split = Annotated[str | None, typer.Option(help="val, testA, google-val …; what serves for validation if not said.")]
SizeNames = Annotated[str, typer.Option(help="Of the target: small (0.1-1 % of the picture), medium, large, any; a,b.")]
Methods = Annotated[str, typer.Option(help="localization-heads, greedy, auto and names of selectors: a,b,c.")]
Category = Annotated[bool, typer.Option("--category/--no-category", help="Ask for the category alone too: a control.")]
Masks = Annotated[str | None, typer.Option("--mask", help="A SAM checkpoint that makes a mask of every chosen box.")]
Looks = Annotated[Path | None, typer.Option(help="Localization heads (default: the model's own, if it has any).")]


class _Wanted(NamedTuple):
    """Which expressions, as `referred` has it, of several sizes."""

    dataset: str
    images: Path | None
    split: str | None
    sizes: Sequence[str]
    limit: int | None
    sample: int | None
    seed: int
    skip_missing: bool


class _Output(NamedTuple):
    """What comes out, and where: a report, or, of a shard, what is kept alone."""

    shard: str | None
    out: Path | None
    as_json: bool


def refer(
    dataset: Dataset,
    *,
    images: Images = None,
    split: Split = None,
    size: SizeNames = "any",
    limit: Annotated[
        int | None, typer.Option(help="At most so many of each size (default: all; of scenes 500).")
    ] = None,
    sample: Annotated[int | None, typer.Option(help="Draw so many by their ids and --seed.")] = None,
    skip_missing: SkipMissing = False,
    model: Model = embedded.NAME,
    selector: Methods = "localization-heads,greedy,auto,heads-overlap",
    category: Category = True,
    temperature: Annotated[float, typer.Option(help="Of the samples.")] = 0.7,
    n: Annotated[int, typer.Option(help="Sampled answers per expression, where a selector chooses among them.")] = 10,
    seed: int = 0,
    mask: Masks = None,
    localization: Looks = None,
    heads: Heads = None,
    regressor: Regressor = None,
    shard: Annotated[str | None, typer.Option(help="i/k: only do this part of the cases, no report.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for tables and pictures.")] = None,
    work: Annotated[Path | None, typer.Option(help="Folder that keeps answers and looks, for resuming.")] = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    as_json: AsJson = False,
) -> None:
    """glintbox refer refcoco --split testA --selector localization-heads,greedy,acs-free,heads-overlap --out report

    How often the box of a referring expression is right, and how well its mask fits, method by method in one table.
    """
    names, sampling = _checked(selector, out), Sampling(n, temperature, seed=seed)
    cases = _cases(_Wanted(dataset, images, split, words(size), limit, sample, seed, skip_missing))
    artefacts: dict[str, Any] = dict(heads=heads, regressor=regressor, localization=localization)
    grounder = Grounder.from_pretrained(model, device=device, dtype=dtype, **artefacts)
    data = source(dataset, images=images, split=split).name
    plan = Plan(grounder.setting, (sampling,), _selectors(grounder, names), {}, data, work)
    asked = ReferPlan(plan, *_segment(mask, device, dtype), category)
    _answer(grounder, cases, asked, _Output(shard, out, as_json))


def _checked(selector: str, out: Path | None) -> list[str]:
    """The names of the methods; what cannot be done is refused before minutes are spent."""
    names = words(selector)
    if out:
        require_matplotlib()
    for name in names:
        known_selector(name, GREEDY, LOCALIZATION)
    if not names:
        raise BadInput(f"expected names of methods, got {selector!r}; for instance localization-heads,greedy")
    return names


def _cases(wanted: _Wanted) -> list[Referred]:
    """The expressions of each size, one after the other; none twice, where sizes meet."""
    if not wanted.sizes:
        raise BadInput("expected names of sizes, got none; for instance --size small,large")
    with progress() as bar:
        task = bar.add_task("reading expressions", total=None)
        found = [
            one
            for size in wanted.sizes
            for one in referred(
                wanted.dataset, images=wanted.images, split=wanted.split, size=size, limit=wanted.limit,
                sample=wanted.sample, seed=wanted.seed, skip_missing=wanted.skip_missing,
                tick=lambda: bar.update(task, advance=1),
            )
        ]  # fmt: skip
    return list({one.sample.id: one for one in found}.values())


def _selectors(grounder: Grounder, names: Sequence[str]) -> dict[str, Selector | None]:
    """Methods by the name to show, None for greedy; one that cannot be is refused before anything is asked."""
    made: dict[str, Selector | None] = {}
    for name in names:
        if name == LOCALIZATION:
            one: Selector | None = by_looks(required(grounder.localization))
        else:
            one = None if name == GREEDY else grounder.choice(name)[0]
        made[f"auto, {one.name}" if one and name == "auto" else name] = one
    return made


class _Masked(NamedTuple):
    """Who makes masks, and by which id: of its very weights."""

    segment: Segment | None
    masks: str | None


def _segment(mask: str | None, device: str, dtype: str) -> _Masked:
    if mask is None:
        return _Masked(None, None)
    from glintbox.lvlm.sam import load_sam, sam_masks  # the weight of transformers, only where a model is loaded

    sam = load_sam(mask, device=device, dtype=dtype)
    return _Masked(partial(sam_masks, model=sam), sam.id)


def _answer(grounder: Grounder, cases: Sequence[Referred], asked: ReferPlan, output: _Output) -> None:
    if output.shard:
        cases = share_of(cases, output.shard)
    with progress() as bar:
        task = bar.add_task("reading and answering", total=steps_refer(cases, asked))
        choosing = bar.add_task("choosing", total=len(cases), visible=not output.shard)
        tick, chosen = partial(bar.update, task, advance=1), partial(bar.update, choosing, advance=1)
        if output.shard:
            collect_refer(grounder.lvlm, cases, asked, tick=tick)
        else:
            methods, first = compare_refer(grounder.lvlm, cases, asked, tick=tick, chosen=chosen)
    if output.shard:
        told = (
            f"what {len(cases)} expressions need is kept; run without --shard, once all parts are done, for the report"
        )
        errors.print(told, soft_wrap=True)
        return
    found = evaluate_refer(methods, about=_about(asked, len(cases)))
    told, record = markdown_refer(found), to_json(found)
    if output.out:
        files = {"report.md": told, "report.csv": refer_as_csv(found), "report.json": to_json(found, indent=1) + "\n"}
        shown = gallery(first, [case.sample for case in cases])
        figures = {"report.png": refer_figure(found)} | ({"gallery.png": shown} if shown else {})
        save_report(output.out, files | figures)
    results.print(record if output.as_json else told, soft_wrap=True)


def _about(asked: ReferPlan, cases: int) -> dict[str, str]:
    """What was asked, in words."""
    plan = asked.plan
    like, looks = plan.samplings[0], plan.looks
    about = {"model": plan.setting.model, "data": plan.data, "expressions": str(cases)}
    if plan.writes:
        about |= {"prompt": plan.setting.prompt, "N": str(like.n), "T": f"{like.temperature:g}", "seed": str(like.seed)}
    if looks:
        about |= {"localization heads": ", ".join(map(str, looks.heads["text"])), "found on": looks.made_by}
    return about | ({"masks": asked.masks} if asked.masks else {})
