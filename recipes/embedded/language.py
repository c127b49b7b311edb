"""Stage 2: the language model alone learns to match and to read on ideal image tokens, several instances first."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from ideal import BOX_WAVES, BOX_WIDTH, NAMES_WIDTH, cells_of, ideal_code
from model import PATCH, fresh_model
from optimizers import Optimizers
from progress import Progress
from sequences import (
    ABRUPT_KIND,
    FOUND_KIND,
    IGNORED,
    NEXT_KIND,
    NONE_KIND,
    OTHER_KIND,
    Line,
    Packed,
    Shares,
    Writer,
    questions,
)
from tokenizer import make_tokenizer
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import Qwen3VLForConditionalGeneration

from glintbox.boxes import Size
from glintbox.datasets.scenes import COLORS, categories

WATCHED = {"x1": 0, "y1": 10, "x2": 20, "y2": 30, "x1'": 1, "y1'": 11, "x2'": 21, "y2'": 31}
WATCHED |= {"at once": ABRUPT_KIND, "found": FOUND_KIND, "none": NONE_KIND, "next": NEXT_KIND, "other": OTHER_KIND}


class Level(NamedTuple):
    """One step of the curriculum; it is left when the digit `watch` costs less than `until` nats."""

    categories: int
    instances: int  # of one category, at most
    abrupt: float  # share of the questions whose answer is x1, straight after the name
    rows: int
    cols: int
    batch: int
    room: int  # text tokens per picture
    watch: str
    until: float


# Matching first: x1 straight after the name, learned in minutes. Then x1 behind the opening of an answer too, then
# whole answers; several instances of a category, so that no name carries the answer and every box is looked up while it
# is written. Few cells, because every text token counts and a cell does not.
LEVELS = (
    Level(1, 1, 1.0, 4, 4, 128, 8, "at once", 0.6),
    Level(2, 1, 1.0, 4, 4, 96, 16, "at once", 0.7),
    Level(4, 1, 1.0, 5, 5, 96, 32, "at once", 0.5),
    Level(4, 2, 0.5, 6, 6, 40, 120, "x1", 0.8),
    Level(2, 1, 0.1, 4, 4, 96, 56, "y1", 0.9),
    Level(3, 2, 0.1, 5, 5, 64, 100, "y1", 0.8),
)


def imagine(random: np.random.Generator, level: Level) -> np.ndarray:
    """Rows (label, color, x1, y1, x2, y2 in shares) of objects that do not overlap."""
    rows: list[list[float]] = []
    count = math.ceil(level.categories * random.random() ** 0.3)
    for label in random.permutation(len(categories()))[:count]:
        for _ in range(random.integers(1, level.instances + 1)):
            for _ in range(10):
                area = math.exp(random.uniform(math.log(0.002), math.log(0.2)))
                aspect = math.exp(random.normal(0, 0.35))
                wide, high = min(0.95, math.sqrt(area * aspect)), min(0.95, math.sqrt(area / aspect))
                x, y = random.uniform(0, 1 - wide), random.uniform(0, 1 - high)
                if all(x > r[4] or x + wide < r[2] or y > r[5] or y + high < r[3] for r in rows):
                    rows.append([float(label), random.integers(-2, len(COLORS)), x, y, x + wide, y + high])
                    break
    return np.array(rows, dtype=np.float32)


def owners(objects: np.ndarray, pictures: int, rows: int, cols: int) -> np.ndarray:
    """Which object each cell of imagined pictures belongs to, -1 for none.

    One that covers a fifth of the cell, or a fifth of whose box lies in it; where two do, the smaller one.
    """
    picture, box = objects[:, 0].astype(int), objects[:, 3:]
    left, top = np.arange(cols) / cols, np.arange(rows) / rows
    wide = np.minimum(box[:, 2:3], left + 1 / cols) - np.maximum(box[:, 0:1], left)
    high = np.minimum(box[:, 3:4], top + 1 / rows) - np.maximum(box[:, 1:2], top)
    shared = high.clip(0)[:, :, None] * wide.clip(0)[:, None, :]
    area = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
    inside = (shared >= 0.2 * np.minimum(1 / (rows * cols), area)[:, None, None]).reshape(len(objects), -1)
    owner = np.full((pictures, rows * cols), -1)
    for k in np.argsort(-area):
        owner[picture[k], inside[k]] = k
    return owner


def imperfect(random: np.random.Generator, code: Tensor) -> Tensor:
    """An ideal code as an imperfect tower would say it: fine waves faint, names faint, noise on top."""
    code = code.clone()
    unsure = torch.from_numpy(random.uniform(0, 0.02, size=(len(code), 1, 1, 1))).float()
    faint = torch.exp(-((2 * math.pi * torch.tensor(BOX_WAVES) * unsure) ** 2) / 2)
    ends = code[..., -BOX_WIDTH:].view(*code.shape[:2], 8, -1)
    code[..., -BOX_WIDTH:] = (ends * faint).flatten(2)
    code[..., :NAMES_WIDTH] *= torch.from_numpy(random.uniform(0.5, 1, size=(len(code), 1, 1))).float()
    return code + 0.2 * torch.from_numpy(random.standard_normal(code.shape, dtype=np.float32))


def read(
    model: Qwen3VLForConditionalGeneration, pictures: Tensor, packed: Packed, watched: Mapping[str, int] = WATCHED
) -> tuple[Tensor, dict[str, float]]:
    """Weighted loss of the answers given image tokens, and the losses of single kinds of tokens in nats."""
    embedded = model.get_input_embeddings()(packed.ids)
    start = int((packed.ids[0] == model.config.image_token_id).nonzero()[0])
    stop = start + pictures.shape[1]
    embedded = torch.cat([embedded[:, :start], pictures.to(embedded.dtype), embedded[:, stop:]], dim=1)
    hidden = model.model.language_model(
        inputs_embeds=embedded, attention_mask=packed.mask, position_ids=packed.positions, use_cache=False
    ).last_hidden_state
    learned = packed.targets != IGNORED
    logits = model.lm_head(hidden[learned]).float()
    cost = cross_entropy(logits, packed.targets[learned], reduction="none")
    weights, kinds = packed.weights[learned], packed.kinds[learned]
    watch = {name: cost[kinds == kind].mean().item() for name, kind in watched.items() if (kinds == kind).any()}
    return (cost * weights).sum() / weights.sum(), watch


def main() -> None:
    """Climb the levels by loss; a second start resumes."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=30, help="give up after these")
    parser.add_argument("--rate", type=float, default=0.02)
    options = parser.parse_args()
    progress, level = Progress(options.out, minutes=options.minutes), 0
    tokenizer = make_tokenizer()
    writer, model = Writer(tokenizer), fresh_model(tokenizer)
    model.model.visual.requires_grad_(False)
    model.get_input_embeddings().requires_grad_(False)  # names keep the directions that image tokens speak
    optimizers = Optimizers([model], rate=options.rate)
    if progress.saved:
        model.load_state_dict(progress.saved["model"])
        optimizers.load_state_dict(progress.saved["optimizers"])
        level = progress.saved["level"]

    def parts() -> dict[str, Any]:
        return {"model": model.state_dict(), "optimizers": optimizers.state_dict(), "level": level}

    random = np.random.default_rng(progress.steps + 1_000_000 * progress.rank)
    entered = progress.steps
    while progress.done < 1 and level < len(LEVELS):
        now = LEVELS[level]

        def ask(objects: np.ndarray, size: Size, abrupt: float = now.abrupt) -> list[Line]:
            return questions(writer, random, objects, size, Shares(0.0, 1.0, 0.0, abrupt))

        packed, pictures = imagined_batch(writer, random, now, ask)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss, watch = read(model, pictures, packed)
        loss.backward()
        optimizers.step(done=0.0)
        progress.step(watch, packed.queries, parts)
        if progress.steps - entered > 50 and progress.watched[LEVELS[level].watch] < LEVELS[level].until:
            level, entered, progress.watched = level + 1, progress.steps, {}
    progress.save(parts())


def imagined_batch(
    writer: Writer, random: np.random.Generator, level: Level, ask: Callable[[np.ndarray, Size], list[Line]]
) -> tuple[Packed, Tensor]:
    """Ideal image tokens of imagined scenes, and what is asked about the objects that show in each."""
    scenes = [imagine(random, level) for _ in range(level.batch)]
    objects = np.concatenate([np.insert(scene, 0, row, axis=1) for row, scene in enumerate(scenes)])
    owner = owners(objects, level.batch, level.rows, level.cols)
    shown = np.isin(np.arange(len(objects)), owner)
    lines, size = [], Size(level.cols * PATCH, level.rows * PATCH)
    for row in range(level.batch):
        seen = objects[shown & (objects[:, 0] == row), 1:]
        lines.append(ask(seen, size))
    code = ideal_code(cells_of(objects, owner), level.rows, level.cols)
    return writer.pack(lines, level.rows, level.cols, level.room), imperfect(random, code)


if __name__ == "__main__":
    main()
