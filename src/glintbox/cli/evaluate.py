"""`glintbox evaluate`: how often the chosen box is right, selector by selector, over the same answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from glintbox import embedded
from glintbox.artifacts import write_whole
from glintbox.calibrate import labelled_sets, work_folder
from glintbox.cli.console import errors, progress, results
from glintbox.cli.ground import AsJson, Device, Dtype, Heads, Model, known_selector
from glintbox.cli.heads import Data, Images, cases_of
from glintbox.errors import BadInput
from glintbox.evaluate import Case, Report, by_size, judged, summarised
from glintbox.ground import Grounder, grounding
from glintbox.records import CandidateSet, Grounding, Sample, Sampling, ScoredBox, Selector, to_json

GREEDY = "greedy"


def evaluate(
    *,
    data: Data,
    images: Images,
    model: Model = embedded.NAME,
    selector: Annotated[str, typer.Option(help="Names with commas between; greedy and auto are among them.")] = "auto",
    limit: Annotated[int | None, typer.Option(help="Use at most so many cases.")] = None,
    small: Annotated[bool, typer.Option(help="Only boxes of 0.1-1 % of the picture, as the paper.")] = False,
    n: Annotated[int, typer.Option(help="Sampled answers per case.")] = 10,
    temperature: Annotated[float, typer.Option(help="Of the samples.")] = 0.7,
    seed: int = 0,
    heads: Heads = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for report.md and one JSON each.")] = None,
    work: Annotated[Path | None, typer.Option(help="Folder that keeps finished cases, for resuming.")] = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    as_json: AsJson = False,
) -> None:
    """glintbox evaluate --data scenes/instances.json --images scenes/images --selector greedy,acs-free,consensus

    Answers are drawn once and kept; every selector chooses among the same ones. Pictures with one object of the query.
    """
    names = _names(selector)
    cases = cases_of(data, images, small=small, limit=limit)
    grounder = Grounder.from_pretrained(model, device=device, dtype=dtype, heads=heads)
    chosen = _selectors(grounder, names)
    sampling = Sampling(n=n, temperature=temperature, seed=seed)
    reports = _reports(grounder, cases, chosen, sampling=sampling, work=work, data=data)
    table = markdown(reports)
    if out:
        _save(out, dict(zip(names, reports, strict=True)), _heading(model, data, sampling, len(cases)) + table)
        errors.print(f"report.md and {len(reports)} JSON files lie in {out}", soft_wrap=True)
    text = "\n".join(to_json(report) for report in reports) if as_json else table
    results.print(text, soft_wrap=True)


def _names(selector: str) -> list[str]:
    names = [name.strip() for name in selector.split(",") if name.strip()]
    for name in names:
        known_selector(name, GREEDY)
    if not names:
        raise BadInput(f"expected names of selectors, got {selector!r}; for instance greedy,acs-free,consensus")
    return list(dict.fromkeys(names))


def _reports(
    grounder: Grounder,
    cases: Sequence[Sample],
    selectors: Sequence[Selector | None],
    *,
    sampling: Sampling,
    work: Path | None,
    data: Path,
) -> list[Report]:
    """One report per selector over the same answers, kept ones where they lie there already; one case at a time."""
    setting = grounder.setting
    folder = work or work_folder(setting, sampling, data)
    judgements: list[list[Case]] = [[] for _ in selectors]
    with progress() as bar:
        task = bar.add_task("answering", total=len(cases))
        sets = labelled_sets(
            grounder.lvlm, cases, sampling=sampling, setting=setting, work=folder,
            tick=lambda: bar.update(task, advance=1),
        )  # fmt: skip
        for sample, labelled in zip(cases, sets, strict=True):
            for judgement, by in zip(judgements, selectors, strict=True):
                judgement.append(judged(sample, _chosen(labelled.found, by)))
    methods = [by.name if by else GREEDY for by in selectors]
    return [summarised(method, judgement) for method, judgement in zip(methods, judgements, strict=True)]


def _selectors(grounder: Grounder, names: Sequence[str]) -> list[Selector | None]:
    """The selectors in order, None for greedy; one that cannot be is refused before the answers are drawn."""
    made: list[Selector | None] = []
    for name in names:
        one = None if name == GREEDY else grounder.choice(name)[0]
        if one and one.needs and one.needs.maps:
            raise BadInput(
                f"{name} needs attention maps, and kept answers hold none; name other selectors, e.g. acs-free"
            )
        made.append(replace(one, name=f"auto, {one.name}") if one and name == "auto" else one)
    return made


def _chosen(found: CandidateSet, by: Selector | None) -> Grounding:
    if by is not None:
        return grounding(found, by)
    greedy = [c.box for c in found.candidates if found.responses[c.response].source == "greedy"]
    boxes = tuple(ScoredBox(box, None, None) for box in greedy[:1])
    return Grounding(found.id, GREEDY, "none", boxes, tuple(greedy), found)


def _save(out: Path, reports: Mapping[str, Report], text: str) -> None:
    try:
        write_whole(out / "report.md", text.encode())
        for name, report in reports.items():
            write_whole(out / f"{name}.json", to_json(report, indent=1).encode() + b"\n")
    except OSError as error:
        raise BadInput(
            f"could not write the reports into {out}: {error}; the answers are kept, name another --out and run again"
        ) from error


def _heading(model: str, data: Path, sampling: Sampling, count: int) -> str:
    return (
        f"Model {model}; {data.name}, {count} pictures with one object of the query; N={sampling.n}, "
        f"T={sampling.temperature}, top-p {sampling.top_p}, top-k {sampling.top_k}, seed {sampling.seed}; "
        "Acc@0.5 and mIoU in %, 95 % bootstrap intervals, gain over greedy paired.\n\n"
    )


def markdown(reports: Sequence[Report]) -> str:
    """One table: a line per target size and method."""
    lines = [
        "| targets | method | n | Acc@0.5 | mIoU | gain over greedy | oracle | gap closed | no box | unreadable |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    sizes = [{"all": report} | by_size(report) for report in reports]
    for size in sizes[0]:
        lines += [_row(size, sized[size]) for sized in sizes]
    return "\n".join(lines) + "\n"


def _row(size: str, report: Report) -> str:
    closed = "-" if report.gap_closed is None or report.method == GREEDY else f"{100 * report.gap_closed:.0f} %"
    acc, iou, gain = (
        f"{100 * value:.1f} ({100 * low:.1f}–{100 * high:.1f})"
        for value, (low, high) in (
            (report.acc_at_50, report.acc_interval),
            (report.mean_iou, report.iou_interval),
            (report.gain, report.gain_interval),
        )
    )
    cells = [size, report.method, report.n, acc, iou, "-" if report.method == GREEDY else gain]
    cells += [f"{100 * report.oracle:.1f}", closed, report.missing, f"{100 * report.unreadable:.1f} %"]
    return f"| {' | '.join(map(str, cells))} |"
