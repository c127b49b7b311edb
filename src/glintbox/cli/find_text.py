"""`glintbox heads find --by localization`: the heads that look at what an expression means, by frequency over cases."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from PIL.Image import Image

from glintbox import artifacts, embedded
from glintbox.cli.console import errors, progress
from glintbox.cli.heads import print_heads
from glintbox.compare import share_of
from glintbox.datasets.refer import Source, expressions_of, source
from glintbox.datasets.resolve import SCENES
from glintbox.draw import Figure, require_matplotlib, save_figure
from glintbox.draw_heads import Looked, by_criterion, frequency_figure, maps_figure, of_heads, sums_figure
from glintbox.errors import BadInput, UnknownName
from glintbox.finding import Table, drawn, select, table
from glintbox.images import open_image
from glintbox.localize import read_texts
from glintbox.lvlm.api import LVLM
from glintbox.lvlm.hf import HuggingFaceLVLM
from glintbox.prompts import EXPRESSION, PROMPTS
from glintbox.records import HeadMap, Sample, Search, to_json
from glintbox.text_stats import TextCard, TextCase, TextStats, TextWriter, fill

SPLIT = "calibration"
CRITERIA, ELBOWS = ("both", "sum", "entropy"), ("chord", "curvature")
ENTROPIES: Mapping[str, Mapping[str, Any]] = {"paper": {}, "code": {"weight": "mass", "factor": 2.0, "floor": 0.001}}
"""Spatial entropy as the paper has it (area above the mean) and as its public code (mass above twice the mean)."""

GALLERY = 4
"""Cases in a picture of maps."""


EXPRESSIONS = "scenes, refcoco, refcoco+, refcocog, reasonseg, a folder of one of them, or rows of expressions"

Images = Annotated[Path | None, typer.Option(help="Folder of the pictures of rows.")]
Split = Annotated[str | None, typer.Option(help="Of the dataset; what serves for calibration unless said otherwise.")]
Limit = Annotated[
    int | None, typer.Option(help="Draw from the first so many cases (default: all; of scenes as many as all draws).")
]
Samples = Annotated[int | None, typer.Option(help="Cases of a draw (default: 1000).")]
Draws = Annotated[int | None, typer.Option(help="Draws whose selection frequencies are averaged (default: 5).")]
K = Annotated[int | None, typer.Option(help="Localization heads that are kept (default: 3).")]
Criteria = Annotated[str | None, typer.Option(help="both (default), sum or entropy alone.")]
Tau = Annotated[str | None, typer.Option(help="Threshold of the sums: chord (default), curvature, or a share.")]
OwnTau = Annotated[bool, typer.Option("--own-tau", help="Every case's own sums and threshold, as the public code.")]
Bottom = Annotated[float | None, typer.Option(help="Leave out heads with a larger share in a cell of the lowest row.")]
Entropy = Annotated[str | None, typer.Option(help="paper (default): area above the mean; code: mass above twice it.")]
Prompt = Annotated[
    str | None, typer.Option(help="expression (default): read at its last token; begun: where the answer begins.")
]
Maps = Annotated[bool, typer.Option("--maps", help="Keep the maps too: for glintbox heads ablate.")]
Pictures = Annotated[Path | None, typer.Option(help="Folder for pictures of sums, frequencies and maps.")]
Work = Annotated[Path | None, typer.Option(help="Folder that keeps finished cases (default: in your cache).")]
Model = Annotated[str | None, typer.Option(help="Hub name or checkpoint folder (default: the model in the box).")]
Shard = Annotated[str | None, typer.Option(help="i/k: only read this part of the cases; several fill one folder.")]

OPTIONS = (
    "images", "split", "limit", "samples", "draws", "k", "criteria", "tau", "own_tau", "bottom", "entropy", "prompt",
    "maps", "pictures", "work", "model", "shard",
)  # fmt: skip
"""Those that the other ways to find heads have no use for."""


class TextWanted(NamedTuple):
    """What `heads find --by localization` was asked for; None = its own default."""

    dataset: str
    search: Search
    images: Path | None = None
    split: str | None = None
    limit: int | None = None
    entropy: str = "paper"
    prompt: str = EXPRESSION
    maps: bool = False
    work: Path | None = None
    pictures: Path | None = None
    out: Path | None = None
    model: str = embedded.NAME
    shard: str | None = None
    device: str = "auto"
    dtype: str = "auto"


def wanted(dataset: str, given: Mapping[str, Any], *, device: str, dtype: str, out: Path | None) -> TextWanted:
    """The request that options of the command line make; given: those of `OPTIONS` that were.

    Raises:
        UnknownName: no such criterion, or no such way to find tau.
        BadInput: rules that mean nothing, or no such part.
    """
    rules = {name: given[name] for name in ("samples", "draws", "k", "bottom") if name in given}
    if (criteria := given.get("criteria", "both")) not in CRITERIA:
        raise UnknownName("criterion", criteria, CRITERIA)
    if (limit := given.get("limit")) is not None and limit < 1:
        raise BadInput(f"expected limit >= 1, got {limit}")
    share_of((), given.get("shard", "1/1"))
    search = Search(criteria=criteria, tau=_tau(given.get("tau", "chord")), each="own_tau" in given, **rules)
    rest = {name: given[name] for name in TextWanted._fields if name in given}
    return TextWanted(dataset, search, device=device, dtype=dtype, out=out, **rest)


def _tau(words: str) -> Any:
    try:
        return words if words in ELBOWS else float(words)
    except ValueError as error:
        raise UnknownName("way to find tau", words, (*ELBOWS, "a share such as 0.24")) from error


def find_text(wanted: TextWanted) -> None:
    """Read the cases that the draws need and that are not kept yet; choose; write the head map. Of a part only read."""
    if wanted.entropy not in ENTROPIES:
        raise UnknownName("spatial entropy", wanted.entropy, ENTROPIES)
    if wanted.prompt not in PROMPTS:
        raise UnknownName("prompt", wanted.prompt, PROMPTS)
    if wanted.pictures:
        require_matplotlib()
    told = source(wanted.dataset, images=wanted.images, split=wanted.split, default_split=SPLIT)
    pool = _pool(wanted, told)
    samples = _samples(wanted, {id for ids in drawn(pool, wanted.search) for id in ids})
    lvlm = HuggingFaceLVLM.from_pretrained(embedded.source(wanted.model), device=wanted.device, dtype=wanted.dtype)
    setting = lvlm.card.setting(prompt=wanted.prompt, view="default", moment="predicting")
    card = TextCard(setting, told.name, lvlm.card.all_heads(), wanted.maps, **ENTROPIES[wanted.entropy])
    folder = wanted.work or work_folder(card)
    if wanted.shard:
        _part(lvlm, share_of(samples, wanted.shard), folder, card)
        return
    _fill(lvlm, samples, folder, card)
    kept = TextStats(folder)
    found = _table(kept, samples)
    heads = select(found, wanted.search, setting=setting, data=told.name, pool=len(pool))
    path = _file(wanted.out) if wanted.out else artifacts.cache_folder(setting) / artifacts.LOCALIZATION_FILE
    artifacts.save_heads(heads, path)
    print_heads(heads)
    if wanted.pictures:
        shown = [
            _with_maps(lvlm, kept[sample.id], setting.prompt)
            for sample in samples[:: max(1, len(samples) // GALLERY)][:GALLERY]
        ]
        _draw(wanted.pictures, found, heads, shown)
    errors.print(f"head map written to {path}; the numbers of all heads are kept in {folder}", soft_wrap=True)


def _part(lvlm: LVLM, samples: Sequence[Sample], folder: Path, card: TextCard) -> None:
    _fill(lvlm, samples, folder, card)
    told = f"the numbers of {len(samples)} cases are kept; run without --shard, once all parts are done, for the heads"
    errors.print(told, soft_wrap=True)


def work_folder(card: TextCard) -> Path:
    """Where numbers are kept by default: a folder of the user's cache per card."""
    digest = hashlib.sha256(to_json(card).encode()).hexdigest()
    return artifacts.cache_folder(card.setting) / "text" / f"{card.data}-{digest[:8]}"


def _file(out: Path) -> Path:
    return out if out.suffix == ".json" else out / artifacts.LOCALIZATION_FILE


def _pool(wanted: TextWanted, told: Source) -> list[str]:
    """Ids of the cases to draw from: all there are, of scenes as many as the draws could need."""
    search = wanted.search
    most = wanted.limit or (search.samples * search.draws if wanted.dataset == SCENES else None)
    with progress() as bar:
        task = bar.add_task("listing expressions", total=None)
        return [one.id for one in islice(told.spoken(None, lambda: bar.update(task, advance=1)), most)]


def _samples(wanted: TextWanted, ids: set[str]) -> list[Sample]:
    with progress() as bar:
        task = bar.add_task("reading cases", total=None)
        return expressions_of(
            wanted.dataset, images=wanted.images, split=wanted.split, ids=sorted(ids), default_split=SPLIT,
            tick=lambda: bar.update(task, advance=1),
        )  # fmt: skip


def _fill(lvlm: LVLM, samples: Sequence[Sample], folder: Path, card: TextCard) -> None:
    """Read what is missing; what is there already stands at the bar's beginning and does not blur its rate."""
    with TextWriter(folder, card) as writer, progress() as bar:
        missing = [sample for sample in samples if sample.id not in writer.done]
        there = len(samples) - len(missing)
        if there:
            errors.print(f"{there} of {len(samples)} cases are there already", soft_wrap=True)
        task = bar.add_task("reading attention", total=len(samples), completed=there)
        fill(lvlm, missing, writer, tick=partial(bar.update, task, advance=1))


def _table(kept: TextStats, samples: Sequence[Sample]) -> Table:
    with progress() as bar:
        task = bar.add_task("choosing", total=len(samples))
        return table(kept, [sample.id for sample in samples], tick=partial(bar.update, task, advance=1))


def _with_maps(lvlm: LVLM, case: TextCase, prompt: str) -> tuple[Image, TextCase]:
    """A case with its picture and its maps, read again where they are not kept."""
    image, sample = open_image(case.sample.image), case.sample
    if case.maps is not None:
        return image, case
    asked = lvlm.prompt(image, sample.query, id=sample.id, text=prompt)
    [(_, maps)] = read_texts(lvlm, [asked], None)
    return image, case._replace(maps=maps)


def _draw(folder: Path, found: Table, heads: HeadMap, shown: Sequence[tuple[Image, TextCase]]) -> None:
    """Sums, frequencies, maps by criterion, and one map per selected head."""
    if heads.selection is None:
        raise BadInput("expected a head map with its selection, got one without")
    search = heads.selection.search
    chosen = [Looked(image, case, by_criterion(case, found.heads, search)) for image, case in shown]
    own = [Looked(image, case, of_heads(case, found.heads, heads.heads["text"])) for image, case in shown]
    figures: dict[str, Figure] = {
        "sums": sums_figure(found, search),
        "frequencies": frequency_figure(heads.selection),
        "criteria": maps_figure(chosen),
        "heads": maps_figure(own),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, figure in figures.items():
            save_figure(figure, folder / f"{name}.png")
    except OSError as error:
        raise BadInput(f"expected a folder for pictures that can be written at {folder}, got: {error}") from error
    errors.print(f"{', '.join(f'{name}.png' for name in figures)} written to {folder}", soft_wrap=True)
