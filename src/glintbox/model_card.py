"""Model cards for the Hugging Face Hub, made from what an artefact says of itself; a regressor as a folder for it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

from glintbox.artifacts import HEADS_FILE, LOCALIZATION_FILE, write_whole
from glintbox.errors import BadInput
from glintbox.records import Calibration, HeadMap, Selection, Setting, to_json
from glintbox.regressor import CONFIG, WEIGHTS, Amount, RegressorBundle, RegressorCard, Training, weights_of

README = "README.md"


def save_folder(bundle: RegressorBundle, folder: Path) -> None:
    """Write `model.safetensors`, `config.json` and `README.md`; `load_regressor` reads the folder back.

    `AttentionIoURegressor.from_pretrained` and the Hub read it too: the config is the card, and `channels`.

    Raises:
        BadInput: a file cannot be written.
    """
    config = {"channels": len(bundle.card.heads)} | json.loads(to_json(bundle.card))
    files = {
        WEIGHTS: weights_of(bundle),
        CONFIG: json.dumps(config, indent=2).encode() + b"\n",
        README: model_card(bundle.card).encode(),
    }
    try:
        for name, content in files.items():
            write_whole(folder / name, content)
    except OSError as error:
        raise BadInput(f"expected a folder for the regressor that can be written at {folder}, got: {error}") from error


def model_card(card: RegressorCard) -> str:
    """Markdown with the Hub's front matter: what it is for, what it was trained on, what it is worth there."""
    parts = [
        f"{_front(card.setting)}# Attention-IoU regressor for {card.setting.model}",
        "Predicts the IoU of a box that a vision-language model wrote, from the attention that the model paid to the "
        "picture while it wrote x1, y1, x2 and y2 (*Self-Improving Small Object Grounding in LVLMs*, arXiv 2606.01612, "
        "section 4.2). It holds for this setting only:",
        _settings(card.setting),
        _use(card),
        "## Network",
        f"{len(card.heads)} heads of {len({head.layer for head in card.heads})} layers as channels, maps on "
        f"{card.rows} x {card.cols} cells, order {card.order}, dropout {card.dropout:g}, input scale "
        f"{card.input_scale}. Channel order: {', '.join(map(str, card.heads))}.",
    ]
    if card.training is None:
        parts += ["## Training", "Nothing is known."]
    else:
        parts += [*_training(card.training), *_worth(card.training)]
    return "\n\n".join(parts) + "\n"


def headmap_card(heads: HeadMap) -> str:
    """Markdown with the Hub's front matter: which heads are read where, how they were found, what they are worth."""
    localizes = bool(heads.heads.get("text"))
    kind, option, call = (
        ("Localization heads", "localization", 'selector="heads-overlap"')
        if localizes
        else ("Head map", "heads", 'selector="acs-free"')
    )
    model = heads.setting.model
    parts = [
        f"{_front(heads.setting)}# {kind} for {model}",
        "Which attention heads to read, best first; layers and heads count from 0. It holds for this setting only:",
        _settings(heads.setting),
        "```python\n"
        "from glintbox import Grounder\n\n"
        f'grounder = Grounder.from_pretrained("{model}", {option}="this-folder/{_named(localizes)}")\n'
        f'print(grounder("street.jpg", "bicycle", {call}).boxes)\n'
        "```",
        _table((place, ", ".join(map(str, chosen))) for place, chosen in heads.heads.items()),
        "## How they were found",
        f"By {heads.made_by}.",
    ]
    if heads.calibration:
        parts.append(_table(_calibration(heads.calibration)))
    if heads.selection:
        parts.append(_table(_selection(heads.selection)))
    return "\n\n".join(parts) + "\n"


def _named(localizes: bool) -> str:
    return LOCALIZATION_FILE if localizes else HEADS_FILE


def _calibration(made: Calibration) -> Iterable[tuple[str, object]]:
    yield "data", made.data
    yield "boxes", f"{made.high} of IoU > {made.tau_high:g}, {made.low} of 0 < IoU <= {made.tau_low:g}"
    if (drawn := made.sampling) is not None:
        yield "sampling", f"{drawn.n} answers each at temperature {drawn.temperature:g}, seed {drawn.seed}"
    for place, delta in made.delta.items():
        yield f"ΔH at {place}, nats", ", ".join(f"{value:.3f}" for value in delta)
    if made.acs_free is not None and made.consensus is not None:
        yield "Acc@0.5 of acs-free on these cases", f"{made.acs_free:.1%}"
        yield "Acc@0.5 of consensus on these cases", f"{made.consensus:.1%}"


def _selection(made: Selection) -> Iterable[tuple[str, object]]:
    search = made.search
    yield "data", made.data
    yield "draws", f"{search.draws} of {search.samples} out of {made.pool} cases"
    for head, often in list(zip(made.heads, made.frequency, strict=True))[: search.k]:
        yield f"selection frequency of {head}", f"{often:.1%}"
    for warning in made.warnings:
        yield "warning", warning


def _front(setting: Setting) -> str:
    """The Hub's front matter; a model that is no repository of the Hub is not linked."""
    base = f"base_model: {setting.model}\n" if re.fullmatch(r"[\w.-]+/[\w.-]+", setting.model) else ""
    return f"---\nlibrary_name: glintbox\n{base}tags:\n- visual-grounding\n- attention\n---\n"


def _settings(setting: Setting) -> str:
    return _table((field.name, getattr(setting, field.name)) for field in fields(Setting))


def _use(card: RegressorCard) -> str:
    model = card.setting.model
    return (
        "```python\n"
        "from glintbox import Grounder\n\n"
        f'grounder = Grounder.from_pretrained("{model}", regressor="this-folder")\n'
        'print(grounder("street.jpg", "bicycle", selector="acs-learned").boxes)\n'
        "```"
    )


def _training(made: Training) -> tuple[str, ...]:
    recipe, drawn = made.recipe, made.sampling
    answers = f"{drawn.n} answers each at temperature {drawn.temperature:g}, top-p {drawn.top_p:g}, top-k {drawn.top_k}"
    rows = (
        ("data", made.data),
        ("sampling", f"{answers}, seed {drawn.seed}"),
        ("trained on", _amount(made.trained_on)),
        ("held out", _amount(made.held_out)),
        ("optimiser", f"Adam, rate {recipe.rate:g} along a cosine, weight decay {recipe.decay:g}, MSE"),
        ("batch", f"{recipe.batch}, {recipe.precision}, seed {recipe.seed}"),
        (
            "stopped",
            f"after {made.epochs} of {recipe.epochs} epochs (patience {recipe.patience}, {recipe.min_delta:g})",
        ),
        ("weights", f"of epoch {made.best}, the lowest MSE on the held-out pictures"),
    )
    return ("## Training", _table(rows))


def _amount(amount: Amount) -> str:
    return (
        f"{amount.candidates:,} candidates of {amount.pairs:,} pairs of picture and query, {amount.pictures:,} pictures"
    )


def _worth(made: Training) -> tuple[str, ...]:
    found = made.quality
    rows = (
        ("MSE", f"{found.mse:.4f}"),
        ("MAE", f"{found.mae:.3f} (always saying the mean: {made.mean_mae:.3f})"),
        ("Pearson r", _number(found.r)),
        ("r over IoU > 0", _number(found.r_positive)),
        ("Spearman's rank correlation within a pair", _number(found.rank)),
        ("Acc@0.5 of acs-learned", f"{made.acs_learned:.1%}"),
        ("Acc@0.5 of consensus", f"{made.consensus:.1%}"),
        ("Acc@0.5 of the best candidate", f"{made.oracle:.1%}"),
    )
    told = (
        "Measured on the held-out pictures; the epoch was chosen on them too, so other pictures may give a little less."
    )
    return ("## Worth", told, _table(rows))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _table(rows: Iterable[tuple[str, object]]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])
