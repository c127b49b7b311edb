"""`glintbox evaluate`: how often the chosen box is right, selector by selector, over the same answers."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from glintbox import embedded
from glintbox.artifacts import write_whole
from glintbox.cli.console import errors, progress, results
from glintbox.cli.ground import AsJson, Device, Dtype, Heads, Model, known_selector
from glintbox.compare import Plan, collect, compare, costs, share_of
from glintbox.datasets.resolve import data_name, resolve
from glintbox.draw import Figure, require_matplotlib, save_figure
from glintbox.draw_gallery import Shown, gallery_figure
from glintbox.draw_report import report_figure, sizes_figure
from glintbox.errors import BadInput
from glintbox.evaluate import GREEDY, Evaluation, Judged, outcomes
from glintbox.evaluate import evaluate as evaluated
from glintbox.ground import Grounder
from glintbox.images import open_image
from glintbox.records import Sample, Sampling, Selector, to_json
from glintbox.rivals import rivals
from glintbox.tables import as_csv, markdown

SPLIT = "validation"
EACH = 4
"""Pictures per outcome in the gallery: the first ones, nobody picks."""

Dataset = Annotated[str, typer.Argument(help="scenes, a folder of glintbox scenes make, or a COCO instances JSON.")]
Images = Annotated[Path | None, typer.Option(help="Folder of the pictures of a COCO file.")]
Split = Annotated[str | None, typer.Option(help=f"Of scenes; {SPLIT} unless said otherwise.")]
SizeNames = Annotated[str, typer.Option(help="small (0.1-1 % of the picture), medium, large, any; or several: a,b.")]
Limit = Annotated[int | None, typer.Option(help="At most so many cases of each size (default: all; of scenes 500).")]


def evaluate(
    dataset: Dataset,
    *,
    images: Images = None,
    split: Split = None,
    size: SizeNames = "small",
    limit: Limit = None,
    model: Model = embedded.NAME,
    selector: Annotated[str, typer.Option(help="Names a,b,c; greedy and auto are among them.")] = "greedy,auto",
    temperature: Annotated[str, typer.Option(help="Of the samples; several: a,b,c.")] = "0.7",
    n: Annotated[int, typer.Option(help="Sampled answers per case.")] = 10,
    seed: int = 0,
    others: Annotated[str, typer.Option("--rivals", help="upscale,crop: what greedy gets for the same money.")] = "",
    shard: Annotated[str | None, typer.Option(help="i/k: only draw this part of the answers, no report.")] = None,
    heads: Heads = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for tables and pictures.")] = None,
    work: Annotated[Path | None, typer.Option(help="Folder that keeps the answers, for resuming.")] = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    as_json: AsJson = False,
) -> None:
    """glintbox evaluate scenes --selector greedy,acs-free,consensus --temperature 0.5,0.7,1.0 --out report

    How often the chosen box is right: every selector chooses among the same answers, drawn once and kept.
    """
    names, samplings = _names(selector), tuple(Sampling(n, t, seed=seed) for t in _numbers(temperature))
    if out:
        require_matplotlib()
    samples = _cases(dataset, images, split, sizes=_words(size), limit=limit)
    grounder = Grounder.from_pretrained(model, device=device, dtype=dtype, heads=heads)
    selectors, asks = _selectors(grounder, names), rivals(grounder.lvlm, _words(others))
    data = data_name(dataset, split=split, default_split=SPLIT)
    plan = Plan(grounder.setting, samplings, selectors, asks, data, work)
    if shard:
        _collect(grounder, share_of(samples, shard), plan)
        return
    methods, found = _compare(grounder, samples, plan, size)
    if out:
        _save(out, found, _gallery(methods, samples))
    results.print(to_json(found) if as_json else markdown(found), soft_wrap=True)


def _words(text: str) -> list[str]:
    """Words with commas between, each once."""
    return list(dict.fromkeys(word for part in text.split(",") if (word := part.strip())))


def _names(selector: str) -> list[str]:
    names = _words(selector)
    for name in names:
        known_selector(name, GREEDY)
    if not names:
        raise BadInput(f"expected names of selectors, got {selector!r}; for instance greedy,acs-free,consensus")
    return names


def _numbers(temperature: str) -> list[float]:
    try:
        numbers = [float(word) for word in _words(temperature)]
    except ValueError as error:
        raise BadInput(f"expected temperatures like 0.5,0.7,1.0, got {temperature!r}") from error
    if not numbers:
        raise BadInput(f"expected at least one temperature, got {temperature!r}")
    return list(dict.fromkeys(numbers))


def _cases(
    dataset: str, images: Path | None, split: str | None, *, sizes: Sequence[str], limit: int | None
) -> list[Sample]:
    """The cases of each size, one after the other; none twice, where sizes meet."""
    if not sizes:
        raise BadInput("expected names of sizes, got none; for instance --size small,large")
    with progress() as bar:
        task = bar.add_task("reading cases", total=None)
        found = [
            sample
            for size in sizes
            for sample in resolve(
                dataset, images=images, split=split, size=size, limit=limit, default_split=SPLIT,
                tick=lambda: bar.update(task, advance=1),
            )
        ]  # fmt: skip
    return list({sample.id: sample for sample in found}.values())


def _selectors(grounder: Grounder, names: Sequence[str]) -> dict[str, Selector | None]:
    """Selectors by the name to show, None for greedy; one that cannot be is refused before the answers are drawn."""
    made: dict[str, Selector | None] = {}
    for name in names:
        one = None if name == GREEDY else grounder.choice(name)[0]
        if one and one.needs and one.needs.maps:
            raise BadInput(
                f"{name} needs attention maps, and kept answers hold none; name other selectors, e.g. acs-free"
            )
        made[f"auto, {one.name}" if one and name == "auto" else name] = one
    return made


def _collect(grounder: Grounder, samples: Sequence[Sample], plan: Plan) -> None:
    with progress() as bar:
        task = bar.add_task("answering", total=plan.steps(len(samples)))
        collect(grounder.lvlm, samples, plan, tick=lambda: bar.update(task, advance=1))
    told = f"the answers to {len(samples)} cases are kept; run without --shard, once all parts are done, for the report"
    errors.print(told, soft_wrap=True)


def _compare(grounder: Grounder, samples: Sequence[Sample], plan: Plan, size: str) -> tuple[list[Judged], Evaluation]:
    with progress() as bar:
        task = bar.add_task("answering", total=plan.steps(len(samples)))
        methods = compare(grounder.lvlm, samples, plan, tick=lambda: bar.update(task, advance=1))
        task = bar.add_task("timing", total=None, visible=bool(plan.asks))
        measured = costs(grounder.lvlm, samples, plan) if plan.asks else ()
    like = plan.samplings[0]
    about = {
        "model": plan.setting.model, "prompt": plan.setting.prompt, "data": plan.data, "size": size,
        "cases": len(samples), "N": like.n, "top-p": like.top_p, "top-k": like.top_k, "seed": like.seed,
    }  # fmt: skip
    return methods, evaluated(methods, about={name: str(value) for name, value in about.items()}, costs=measured)


def _gallery(methods: Sequence[Judged], samples: Sequence[Sample]) -> Figure | None:
    """Cases of the first method that chooses; None where greedy is alone, or nothing differs from it."""
    method = next((method for method in methods if method.method != GREEDY), None)
    if method is None:
        return None
    of = {sample.id: sample for sample in samples}
    shown = {
        outcome: [
            Shown(open_image(of[case.id].image), of[case.id].query, of[case.id].truth, case) for case in cases[:EACH]
        ]
        for outcome, cases in outcomes(method).items()
    }
    counts = {outcome: len(cases) for outcome, cases in outcomes(method).items()}
    title = f"{method.method}, T={method.temperature:g}"
    return gallery_figure(shown, title=title, counts=counts) if any(shown.values()) else None


def _save(out: Path, found: Evaluation, gallery: Figure | None) -> None:
    """report.md, .csv, .json and .png; sizes.png where small and large targets were asked for; gallery.png."""
    figures = {"report.png": report_figure(found), "sizes.png": sizes_figure(found), "gallery.png": gallery}
    texts = {"report.md": markdown(found), "report.csv": as_csv(found), "report.json": to_json(found, indent=1) + "\n"}
    files = {name: text.encode() for name, text in texts.items()}
    files |= {name: _png(figure) for name, figure in figures.items() if figure is not None}
    try:
        for name, content in files.items():
            write_whole(out / name, content)
    except OSError as error:
        raise BadInput(
            f"could not write the report into {out}: {error}; the answers are kept, name another --out and run again"
        ) from error
    errors.print(f"{', '.join(files)} lie in {out}", soft_wrap=True)


def _png(figure: Figure) -> bytes:
    written = io.BytesIO()
    save_figure(figure, written)
    return written.getvalue()
