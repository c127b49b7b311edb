"""`glintbox evaluate`: how often the chosen box is right, selector by selector, over the same answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from glintbox import embedded
from glintbox.cli.cases import Dataset, Ids, Images, Multiple, SkipMissing, Wanted, read_cases
from glintbox.cli.console import errors, progress, results
from glintbox.cli.evaluate_many import CLUSTERS, clusters, compared, written
from glintbox.cli.ground import AsJson, Batch, Device, Dtype, Heads, Model, Regressor, known_selector
from glintbox.cli.options import words
from glintbox.cli.reports import gallery, save_report
from glintbox.compare import Plan, collect, compare, costs, share_of
from glintbox.datasets.resolve import data_name
from glintbox.draw import Figure, require_matplotlib
from glintbox.draw_report import report_figure, sizes_figure
from glintbox.errors import BadInput
from glintbox.evaluate import GREEDY, Evaluation, Judged
from glintbox.evaluate import evaluate as evaluated
from glintbox.ground import Grounder
from glintbox.records import Sample, Sampling, Selector, to_json
from glintbox.rivals import rivals
from glintbox.selectors.base import Clusters
from glintbox.tables import as_csv, markdown
from glintbox.tables_many import markdown_many

SPLIT = "validation"
Split = Annotated[str | None, typer.Option(help=f"Of the dataset; what serves for {SPLIT} unless said otherwise.")]
SizeNames = Annotated[str, typer.Option(help="small (0.1-1 % of the picture), medium, large, any; or several: a,b.")]
Limit = Annotated[int | None, typer.Option(help="At most so many cases of each size (default: all; of scenes 500).")]
Grouping = Annotated[str, typer.Option("--clusters", help="With --multiple: IoU that joins boxes, fewest members.")]


class Output(NamedTuple):
    """What is to come out, and where: a report of `size` into `out` and onto stdout, or, of a shard, answers alone."""

    size: str
    multiple: bool
    shard: str | None
    out: Path | None
    as_json: bool


def evaluate(
    dataset: Dataset,
    *,
    images: Images = None,
    split: Split = None,
    size: SizeNames = "small",
    limit: Limit = None,
    multiple: Multiple = False,
    grouping: Grouping = CLUSTERS,
    ids: Ids = None,
    skip_missing: SkipMissing = False,
    model: Model = embedded.NAME,
    selector: Annotated[str, typer.Option(help="Names a,b,c; greedy and auto are among them.")] = "greedy,auto",
    temperature: Annotated[str, typer.Option(help="Of the samples; several: a,b,c.")] = "0.7",
    n: Annotated[int, typer.Option(help="Sampled answers per case.")] = 10,
    seed: int = 0,
    others: Annotated[str, typer.Option("--rivals", help="upscale,crop: what greedy gets for the same money.")] = "",
    shard: Annotated[str | None, typer.Option(help="i/k: only draw this part of the answers, no report.")] = None,
    heads: Heads = None,
    regressor: Regressor = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for tables and pictures.")] = None,
    work: Annotated[Path | None, typer.Option(help="Folder that keeps the answers, for resuming.")] = None,
    device: Device = "auto", dtype: Dtype = "auto", batch: Batch = 1,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """glintbox evaluate scenes --selector greedy,acs-free,consensus --temperature 0.5,0.7,1.0 --out report

    How often the chosen box is right: every selector chooses among the same answers, drawn once and kept.
    """
    names, samplings, grouped = _names(selector), _samplings(n, temperature, seed), multiple and clusters(grouping)
    if out:
        require_matplotlib()
    wanted = Wanted(dataset, images, split, words(size), limit, multiple, ids, skip_missing)
    samples = read_cases(wanted, default_split=SPLIT)
    own: dict[str, Any] = dict(batch=batch, heads=heads, regressor=regressor)
    grounder = Grounder.from_pretrained(model, device=device, dtype=dtype, **own)
    selectors, asks = _selectors(grounder, names, grouped), rivals(grounder.lvlm, words(others))
    plan = Plan(grounder.setting, samplings, selectors, asks, data_name(dataset, split=split), work)
    _answer(grounder, samples, plan, Output(f"of {ids.name}" if ids else size, multiple, shard, out, as_json))


def _answer(grounder: Grounder, samples: Sequence[Sample], plan: Plan, output: Output) -> None:
    if output.multiple and plan.asks:
        raise BadInput("expected no --rivals with --multiple, they find one box only; leave them out")
    if output.shard:
        _collect(grounder, share_of(samples, output.shard), plan)
        return
    about = _about(plan, len(samples), output.size)
    if output.multiple:
        several = compared(grounder, samples, plan, about)
        told, record, files = markdown_many(several), to_json(several), written(several, picture=bool(output.out))
    else:
        methods, found = _compare(grounder, samples, plan, about)
        told, record = markdown(found), to_json(found)
        files = _files(found, gallery(_first(methods), samples)) if output.out else {}
    if output.out:
        save_report(output.out, files)
    results.print(record if output.as_json else told, soft_wrap=True)


def _names(selector: str) -> list[str]:
    names = words(selector)
    for name in names:
        known_selector(name, GREEDY)
    if not names:
        raise BadInput(f"expected names of selectors, got {selector!r}; for instance greedy,acs-free,consensus")
    return names


def _numbers(temperature: str) -> list[float]:
    try:
        numbers = [float(word) for word in words(temperature)]
    except ValueError as error:
        raise BadInput(f"expected temperatures like 0.5,0.7,1.0, got {temperature!r}") from error
    if not numbers:
        raise BadInput(f"expected at least one temperature, got {temperature!r}")
    return list(dict.fromkeys(numbers))


def _samplings(n: int, temperature: str, seed: int) -> tuple[Sampling, ...]:
    return tuple(Sampling(n, number, seed=seed) for number in _numbers(temperature))


def _selectors(grounder: Grounder, names: Sequence[str], grouped: bool | Clusters) -> dict[str, Selector | None]:
    """Selectors by the name to show, None for greedy; one that cannot be is refused before the answers are drawn."""
    made: dict[str, Selector | None] = {}
    for name in names:
        one = None if name == GREEDY else grounder.choice(name, multiple=grouped)[0]
        made[f"auto, {one.name}" if one and name == "auto" else name] = one
    return made


def _collect(grounder: Grounder, samples: Sequence[Sample], plan: Plan) -> None:
    with progress() as bar:
        task = bar.add_task("answering", total=plan.steps(len(samples)))
        collect(grounder.lvlm, samples, plan, tick=lambda: bar.update(task, advance=1))
    told = f"the answers to {len(samples)} cases are kept; run without --shard, once all parts are done, for the report"
    errors.print(told, soft_wrap=True)


def _about(plan: Plan, cases: int, size: str) -> dict[str, str]:
    """What was asked, in words."""
    like = plan.samplings[0]
    about = {
        "model": plan.setting.model, "prompt": plan.setting.prompt, "data": plan.data, "size": size,
        "cases": cases, "N": like.n, "top-p": like.top_p, "top-k": like.top_k, "seed": like.seed,
    }  # fmt: skip
    return {name: str(value) for name, value in about.items()}


def _compare(
    grounder: Grounder, samples: Sequence[Sample], plan: Plan, about: Mapping[str, str]
) -> tuple[list[Judged], Evaluation]:
    with progress() as bar:
        task = bar.add_task("answering", total=plan.steps(len(samples)))
        choosing = bar.add_task("choosing", total=len(samples) * len(plan.samplings))
        methods = compare(
            grounder.lvlm, samples, plan,
            tick=lambda: bar.update(task, advance=1), chosen=lambda: bar.update(choosing, advance=1),
        )  # fmt: skip
        task = bar.add_task("timing", total=None, visible=bool(plan.asks))
        measured = costs(grounder.lvlm, samples, plan) if plan.asks else ()
    return methods, evaluated(methods, about=about, costs=measured)


def _first(methods: Sequence[Judged]) -> Judged | None:
    """The first method that chooses; None where greedy is alone."""
    return next((method for method in methods if method.method != GREEDY), None)


def _files(found: Evaluation, shown: Figure | None) -> dict[str, str | Figure]:
    """Report.md, .csv, .json and .png; sizes.png where small and large targets were asked for; gallery.png."""
    figures = {"report.png": report_figure(found), "sizes.png": sizes_figure(found), "gallery.png": shown}
    texts = {"report.md": markdown(found), "report.csv": as_csv(found), "report.json": to_json(found, indent=1) + "\n"}
    return texts | {name: figure for name, figure in figures.items() if figure is not None}
