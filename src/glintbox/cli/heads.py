"""`glintbox heads calibrate|show`: find the heads that tell good boxes from poor ones, and look at any head map."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Annotated

import typer
from pydantic import TypeAdapter

from glintbox import artifacts, embedded
from glintbox.calibrate import Calibrated
from glintbox.calibrate import calibrate as run_calibration
from glintbox.cli.console import errors, progress, results, table
from glintbox.cli.ground import AsJson, Batch, Device, Dtype
from glintbox.cli.ground import Model as ModelOption
from glintbox.datasets.resolve import SCENES, data_name, resolve
from glintbox.draw import require_matplotlib, save_figure
from glintbox.draw_heads import frequency_figure
from glintbox.draw_report import separation_figure
from glintbox.errors import BadInput, NoArtifact
from glintbox.lvlm.api import LVLM
from glintbox.lvlm.hf import HuggingFaceLVLM
from glintbox.lvlm.loading import setting_of
from glintbox.prompts import EXPRESSION
from glintbox.records import HeadMap, Sample, Sampling, Selection, to_json
from glintbox.selectors import best_selector

SPLIT = "calibration"
MOST = 10
"""Localization heads that are printed with their frequency."""

Model = Annotated[str, typer.Argument(help="Hub name or checkpoint folder.")]
Dataset = Annotated[str, typer.Option(help="scenes, a folder of glintbox scenes make, or a COCO instances JSON.")]
Images = Annotated[Path | None, typer.Option(help="Folder of the pictures of a COCO file.")]
Split = Annotated[str | None, typer.Option(help=f"Of scenes; {SPLIT} unless said otherwise.")]
SizeName = Annotated[
    str, typer.Option(help="small (boxes of 0.1-1 % of the picture, as the paper), medium, large, any.")
]
Limit = Annotated[int | None, typer.Option(help="Use at most so many cases (default: all; of scenes 500).")]


def calibrate(
    model: Model = embedded.NAME,
    *,
    dataset: Dataset = SCENES,
    images: Images = None,
    split: Split = None,
    size: SizeName = "small",
    limit: Limit = None,
    n: Annotated[int, typer.Option(help="Sampled answers per case.")] = 10,
    temperature: Annotated[float, typer.Option(help="Of the samples; the paper calibrates at 1.0.")] = 1.0,
    heads: Annotated[int, typer.Option(help="Heads per coordinate.")] = 3,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File, or folder for it (default: your cache).")
    ] = None,
    work: Annotated[Path | None, typer.Option(help="Folder that keeps finished cases, for resuming.")] = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    batch: Batch = 1,
) -> None:
    """glintbox heads calibrate Qwen/Qwen2.5-VL-7B-Instruct --dataset instances_val2017.json --images val2017

    Find the heads whose attention is sharp when a box is good; needs pictures with true boxes, trains nothing. Stopped,
    it goes on where it was.
    """
    sampling = Sampling(n=n, temperature=temperature, greedy_too=False)
    cases = _cases(dataset, images, split, size, limit)
    if dataset == SCENES and model != embedded.NAME:
        errors.print(
            "calibrating on drawn scenes; for photographs, --dataset with a COCO file is nearer", soft_wrap=True
        )
    # the model alone: an old head map of another setting must not stand in the way of a new one
    lvlm = HuggingFaceLVLM.from_pretrained(embedded.source(model), device=device, dtype=dtype, batch=batch)
    setting = lvlm.card.setting(prompt=lvlm.default_prompt, view="default", moment="predicting")
    name = data_name(dataset, split=split, default_split=SPLIT)
    words = f"{name}, {len(cases)} cases, size {size}"
    found = _calibrated(lvlm, cases, sampling=sampling, work=work, data=name, words=words, n=heads)
    path = file_of(out) if out else artifacts.cache_folder(setting) / artifacts.HEADS_FILE
    artifacts.save_heads(found.heads, path, separation=found.separation)
    print_heads(found.heads)
    errors.print(f"head map written to {path}", soft_wrap=True)


def _calibrated(
    lvlm: LVLM, cases: Sequence[Sample], *, sampling: Sampling, work: Path | None, data: str, words: str, n: int
) -> Calibrated:
    with progress() as bar:
        task = bar.add_task("calibrating", total=len(cases))
        tick = partial(bar.update, task, advance=1)
        return run_calibration(lvlm, cases, sampling=sampling, work=work, data=data, words=words, n=n, tick=tick)


def _cases(dataset: str, images: Path | None, split: str | None, size: str, limit: int | None) -> list[Sample]:
    with progress() as bar:
        task = bar.add_task("reading cases", total=None)
        return resolve(
            dataset,
            images=images,
            split=split,
            size=size,
            limit=limit,
            default_split=SPLIT,
            tick=lambda: bar.update(task, advance=1),
        )


def file_of(out: Path) -> Path:
    """The head map's file, where `out` may be a folder for it."""
    return out if out.suffix == ".json" else out / artifacts.HEADS_FILE


def show(
    file: Annotated[Path | None, typer.Argument(help="A head map's file (default: the model's own).")] = None,
    *,
    model: ModelOption = embedded.NAME,
    localization: Annotated[bool, typer.Option("--localization", help="The model's localization heads.")] = False,
    picture: Annotated[
        Path | None, typer.Option(help="Draw how well every head separates, or how often it counts, as PNG.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """glintbox heads show --model embedded --picture heads.png

    Print a head map: its heads, how well each separates or how often it counts, and the setting it holds for. Loads no
    weights.
    """
    path = file or _own(model, localization)
    found = artifacts.load_heads(path)
    if picture:
        _draw(found, path, picture)
    if as_json:
        results.print_json(to_json(found))
        return
    print_heads(found)
    for name in ("model", "revision", "model_type", "prompt", "view", "pixels", "moment"):
        results.print(f"{name}: {getattr(found.setting, name)}", soft_wrap=True)


def schema() -> None:
    """glintbox heads schema > headmap.schema.json

    Print the JSON schema of a head map's file, for other tools.
    """
    results.print_json(json.dumps(TypeAdapter(HeadMap).json_schema()))


def _own(model: str, localization: bool) -> Path:
    """The head map that grounding with this model would take, or locating."""
    source = embedded.source(model)
    setting, checkpoint = setting_of(source), Path(source).expanduser()
    if localization:
        setting = replace(setting, prompt=EXPRESSION)
    file = artifacts.LOCALIZATION_FILE if localization else artifacts.HEADS_FILE
    path = artifacts.find(file, setting=setting, checkpoint=checkpoint if checkpoint.is_dir() else None)
    if path is None:
        how = f"find DATASET --by localization --model {model}" if localization else f"calibrate {model}"
        kind = "map of localization heads" if localization else "head map"
        raise NoArtifact(f"{model} has no {kind}; make one with: glintbox heads {how}")
    made = artifacts.load_heads(path).setting
    here = replace(setting, view=made.view, moment=made.moment)
    artifacts.require_equal(made, here, what=f"head map in {path}")
    return path


def _draw(found: HeadMap, path: Path, picture: Path) -> None:
    require_matplotlib()
    if found.selection:
        figure = frequency_figure(found.selection)
    else:
        figure = separation_figure(artifacts.load_separation(artifacts.separation_file(path)), found)
    try:
        picture.parent.mkdir(parents=True, exist_ok=True)
        save_figure(figure, picture)
    except OSError as error:
        raise BadInput(f"expected a place for the picture that can be written at {picture}, got: {error}") from error
    errors.print(f"picture written to {picture}", soft_wrap=True)


def print_heads(found: HeadMap) -> None:
    """The heads of each place, what they were found on, and whether choosing by them pays there."""
    made = found.calibration
    rows = [
        (place, ", ".join(map(str, heads)), *([", ".join(f"{v:.3f}" for v in made.delta[place])] if made else []))
        for place, heads in found.heads.items()
    ]
    results.print(table(("read at", "heads", "ΔH (nats)")[: 3 if made else 2], rows))
    if made:
        groups = f"{made.high} boxes of IoU > {made.tau_high}, {made.low} of 0 < IoU <= {made.tau_low}"
        results.print(f"calibrated on {made.data}: {groups}", soft_wrap=True)
    if made and made.sampling:
        drawn = made.sampling
        how = f"{drawn.n} answers each at temperature {drawn.temperature}, top-p {drawn.top_p}, top-k {drawn.top_k}"
        results.print(f"{how}, seed {drawn.seed}", soft_wrap=True)
    if made and made.acs_free is not None and made.consensus is not None:
        results.print(
            f"right box (Acc@0.5) on these cases: acs-free {made.acs_free:.1%}, consensus {made.consensus:.1%}; "
            f"auto takes {best_selector(found, None).name}",
            soft_wrap=True,
        )
    if found.selection:
        _print_selection(found.selection)


def _print_selection(made: Selection) -> None:
    """How localization heads were found, and what there is to be wary of."""
    search, tau = made.search, fmean(made.taus)
    rows = [
        (
            head, "kept" if k < search.k else "", f"{made.frequency[k]:.1%} ± {made.spread[k]:.1%}",
            "-" if made.iou is None else f"{made.iou[k]:.3f}",
        )
        for k, head in enumerate(made.heads[:MOST])
    ]  # fmt: skip
    results.print(table(("head", "", "selection frequency", "IoU with the true mask"), rows))
    how = {"both": f"sum >= {tau:.3f} and least entropy", "sum": "largest sum", "entropy": "least entropy"}
    results.print(
        f"found on {made.data}: {search.draws} draws of {search.samples} out of {made.pool} cases, in each of which "
        f"{search.best} heads count ({how[search.criteria]}; tau: {search.tau}{', of each case' * search.each})",
        soft_wrap=True,
    )
    if made.rho is not None:
        results.print(f"Spearman's correlation of frequency and IoU over {len(made.heads)} heads: {made.rho:+.2f}")
    for warning in made.warnings:
        results.print(f"warning: {warning}", soft_wrap=True)
