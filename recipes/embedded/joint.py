"""Stages 3 and 4: the language model on ideal codes of drawn scenes, then tower and language model together."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ideal import cells_of, ideal_code
from language import imperfect, read
from model import PATCH, fresh_model
from optimizers import Optimizers
from pictures import Batch, endless
from progress import Progress
from sequences import Packed, Shares, Writer, questions
from tokenizer import make_tokenizer
from torch import Tensor, nn
from transformers import Qwen3VLForConditionalGeneration
from vision import Auxiliary, look

from glintbox.boxes import Size

ROOM = 240  # text tokens per picture: about five questions
ABSENT = 0.5  # share of the pictures with a question for an absent category
AUXILIARY = 2.0  # keeps the tower where stage 1 left it


class Average:
    """Running mean of the weights, the ones that are exported."""

    def __init__(self, model: nn.Module) -> None:
        self.weights = {name: weight.detach().clone() for name, weight in model.state_dict().items()}
        self.steps = 0

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights, under the model's own names."""
        return self.weights

    def load_state_dict(self, weights: dict[str, Tensor]) -> None:
        """Go on from weights averaged before."""
        self.weights, self.steps = weights, 1000

    def update(self, model: nn.Module) -> None:
        """Move a little towards the current weights, faster at the beginning."""
        self.steps += 1
        keep = min(0.998, (self.steps + 1) / (self.steps + 10))
        for name, weight in model.state_dict().items():
            self.weights[name].lerp_(weight, 1 - keep)


def ask(batch: Batch, writer: Writer, random: np.random.Generator, shares: Shares) -> Packed:
    """Questions about the pictures of a batch."""
    lines, size = [], Size(batch.cols * PATCH, batch.rows * PATCH)
    for row in range(len(batch.patches)):
        own = batch.objects[batch.objects[:, 0] == row, 1:]
        lines.append(questions(writer, random, own, size, shares))
    return writer.pack(lines, batch.rows, batch.cols, ROOM)


def main() -> None:
    """Train until the minutes are over; a second start resumes."""
    options = arguments()
    progress = Progress(options.out, minutes=options.minutes)
    writer = Writer(make_tokenizer())
    model, auxiliary = started(options)
    slow = [model.model.visual, auxiliary]
    optimizers = Optimizers([model, auxiliary], rate=options.rate, slow=slow, share_of_rate=options.tower_rate)
    average = Average(model)
    learners = {"model": model, "auxiliary": auxiliary, "optimizers": optimizers, "average": average}
    if progress.saved:
        for name, learner in learners.items():
            learner.load_state_dict(progress.saved[name])
    seed = progress.steps + options.seed + 1_000_000 * progress.rank
    random, shares = np.random.default_rng(seed), Shares(ABSENT, options.hurry, options.told)
    batches = endless(options.scenes, options.batch, seed=seed)

    def parts() -> dict[str, Any]:
        return {name: each.state_dict() for name, each in learners.items()}

    while optimizers.done < 1:
        batch = next(batches)
        packed = ask(batch, writer, random, shares)
        cells = cells_of(batch.objects, batch.owner)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            if options.ideal:
                said = imperfect(random, ideal_code(cells, batch.rows, batch.cols))
            else:
                said = look(model.model.visual, batch.patches, batch.rows, batch.cols)
            loss, watch = read(model, said, packed)
        if not options.ideal:
            helped, seen = auxiliary(said, cells, batch.rows, batch.cols)
            loss = loss + AUXILIARY * helped
            watch |= {name: seen[name] for name in ("named", "wave1", "wave2", "wave3", "wave4")}
        loss.backward()
        optimizers.step(done=progress.done)
        average.update(model)
        progress.step(watch, packed.queries, parts)
    progress.save(parts())


def started(options: argparse.Namespace) -> tuple[Qwen3VLForConditionalGeneration, Auxiliary]:
    """The model with the weights it goes on from, and the auxiliary losses."""
    model, auxiliary = fresh_model(make_tokenizer()), Auxiliary()
    saved = torch.load(options.weights, weights_only=False)
    model.load_state_dict(saved.get("average", saved["model"]))
    auxiliary.load_state_dict(saved.get("auxiliary", auxiliary.state_dict()))
    if options.fresh_tower:
        stage = torch.load(options.fresh_tower, weights_only=False)
        model.model.visual.load_state_dict(stage["tower"])
        auxiliary.load_state_dict(stage["auxiliary"])
    model.model.visual.requires_grad_(not options.ideal)
    model.get_input_embeddings().requires_grad_(False)  # names keep the directions that image tokens speak
    return model, auxiliary


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True, help="a file of stage 2 to 4, averaged where it can be")
    parser.add_argument("--ideal", action="store_true", help="ideal codes, made imperfect, instead of a tower's output")
    parser.add_argument("--fresh-tower", type=Path, help="file of stage 1 from which a tower that learns on starts")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--rate", type=float, default=0.01)
    parser.add_argument("--tower-rate", type=float, default=0.15, help="share of the rate for the tower")
    parser.add_argument("--hurry", type=float, default=0.0, help="share of lines without chat after the name")
    parser.add_argument("--told", type=float, default=0.0, help="share of pictures with referring expressions")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
