"""`glintbox heads calibrate|show`: find the heads that tell good boxes from poor ones, and look at a head map."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glintbox import artifacts, embedded
from glintbox.calibrate import calibrate as run_calibration
from glintbox.calibrate import work_folder
from glintbox.cli.console import errors, progress, results, table
from glintbox.cli.ground import AsJson, Device, Dtype, Model
from glintbox.datasets.coco import SMALL, coco_samples
from glintbox.errors import BadInput, NoArtifact
from glintbox.ground import Grounder
from glintbox.lvlm.hf import HuggingFaceLVLM
from glintbox.records import HeadMap, Sample, Sampling, to_json
from glintbox.selectors import best_selector

Data = Annotated[Path, typer.Option(help="COCO-style instances JSON with true boxes.")]
Images = Annotated[Path, typer.Option(help="Folder of its pictures.")]


def calibrate(
    *,
    data: Data,
    images: Images,
    model: Model = embedded.NAME,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where to write it (default: your cache).")] = None,
    limit: Annotated[int | None, typer.Option(help="Use at most so many cases.")] = None,
    small: Annotated[bool, typer.Option(help="Only boxes of 0.1-1 % of the picture, as the paper.")] = True,
    heads: Annotated[int, typer.Option(help="Heads per coordinate.")] = 3,
    n: Annotated[int, typer.Option(help="Sampled answers per case.")] = 10,
    temperature: Annotated[float, typer.Option(help="Of the samples; the paper calibrates at 1.0.")] = 1.0,
    work: Annotated[Path | None, typer.Option(help="Folder that keeps finished cases, for resuming.")] = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """glintbox heads calibrate --model Qwen/Qwen2.5-VL-7B-Instruct --data instances.json --images val2017

    Find the heads whose attention is sharp when a box is good; needs pictures with true boxes, trains nothing.
    """
    sampling = Sampling(n=n, temperature=temperature, greedy_too=False)
    cases = cases_of(data, images, small=small, limit=limit)
    # the model alone: an old head map of another setting must not stand in the way of a new one
    lvlm = HuggingFaceLVLM.from_pretrained(embedded.source(model), device=device, dtype=dtype)
    setting = lvlm.card.setting(prompt=lvlm.default_prompt, view="default", moment="predicting")
    cache = artifacts.cache_folder(setting)
    with progress() as bar:
        task = bar.add_task("calibrating", total=len(cases))
        found = run_calibration(
            lvlm,
            cases,
            sampling=sampling,
            work=work or work_folder(setting, sampling, data),
            data=f"{data.parent.name}/{data.name}, {len(cases)} cases",
            n=heads,
            tick=lambda: bar.update(task, advance=1),
        )
    path = out or cache / artifacts.HEADS_FILE
    artifacts.save_heads(found, path)
    _print(found)
    errors.print(f"head map written to {path}", soft_wrap=True)


def cases_of(data: Path, images: Path, *, small: bool, limit: int | None) -> list[Sample]:
    """Pictures with exactly one object of a category, small ones only if asked for; refuses to go on with none."""
    cases = list(coco_samples(data, images, area=SMALL if small else None, limit=limit))
    if not cases:
        raise BadInput(
            f"expected cases with one object of its category in {data}, got none"
            + (" of 0.1-1 % of the picture; --no-small takes objects of any size" if small else "")
        )
    return cases


def show(
    heads: Annotated[Path | None, typer.Argument(help="A head map's file (default: the model's own).")] = None,
    model: Model = embedded.NAME,
    as_json: AsJson = False,
) -> None:
    """glintbox heads show --model embedded

    Print a head map: its heads per coordinate, how well each separates, and the setting it holds for.
    """
    found = artifacts.load_heads(heads) if heads else Grounder.from_pretrained(model).heads
    if found is None:
        raise NoArtifact(f"{model} has no head map; make one with: glintbox heads calibrate --model {model} --data …")
    if as_json:
        results.print_json(to_json(found))
        return
    _print(found)
    for name in ("model", "revision", "model_type", "prompt", "view", "pixels", "moment"):
        results.print(f"{name}: {getattr(found.setting, name)}", soft_wrap=True)


def _print(found: HeadMap) -> None:
    """The heads of each coordinate, what they were found on, and whether choosing by them pays there."""
    made = found.calibration
    rows = [
        (coord, ", ".join(map(str, heads)), ", ".join(f"{v:.3f}" for v in made.delta[coord]) if made else "-")
        for coord, heads in found.heads.items()
    ]
    results.print(table(("coordinate", "heads", "ΔH (nats)"), rows))
    if made:
        groups = f"{made.high} boxes of IoU > {made.tau_high}, {made.low} of 0 < IoU <= {made.tau_low}"
        results.print(f"calibrated on {made.data}: {groups}", soft_wrap=True)
    if made and made.acs_free is not None and made.consensus is not None:
        results.print(
            f"right box (Acc@0.5) on these cases: acs-free {made.acs_free:.1%}, consensus {made.consensus:.1%}; "
            f"auto takes {best_selector(found, None).name}",
            soft_wrap=True,
        )
