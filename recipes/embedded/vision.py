"""Stage 1: the vision tower alone learns to say the ideal code of every cell (auxiliary losses on features only)."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from ideal import BOX_WIDTH, CLASS_WIDTH, PARTS, Cells, cells_of, class_directions, ideal_code
from jaxtyping import Float
from model import fresh_model
from optimizers import Optimizers
from pictures import endless
from progress import Progress
from tokenizer import make_tokenizer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear, scaled_dot_product_attention
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLVisionModel, apply_rotary_pos_emb_vision
from transformers.vision_utils import get_vision_interpolation_indices_and_weights, get_vision_position_ids


def look(tower: Qwen3VLVisionModel, patches: Float[Tensor, "picture cell pixel"], rows: int, cols: int) -> Tensor:
    """What `tower(...).pooler_output` gives for pictures of one shape: the same numbers, several times faster."""
    count, cells, _ = patches.shape
    grid = torch.tensor([[1, rows, cols]])
    spots, shares = get_vision_interpolation_indices_and_weights(grid, tower.num_grid_per_side, align_corners=True)
    table = (tower.pos_embed(spots) * shares[:, :, None]).sum(1)
    embed = tower.patch_embed.proj
    hidden = linear(patches, embed.weight.flatten(1), embed.bias) + table
    cos, sin = tower.rotary_pos_emb(hidden, get_vision_position_ids(grid, 1))
    for block in tower.blocks:
        parts = block.attn.qkv(block.norm1(hidden)).view(count, cells, 3, block.attn.num_heads, -1)
        query, key = apply_rotary_pos_emb_vision(parts[:, :, 0], parts[:, :, 1], cos, sin)
        mixed = scaled_dot_product_attention(query.transpose(1, 2), key.transpose(1, 2), parts[:, :, 2].transpose(1, 2))
        hidden = hidden + block.attn.proj(mixed.transpose(1, 2).flatten(2))
        hidden = hidden + block.mlp(block.norm2(hidden))
    return tower.merger(hidden.flatten(0, 1)).view(count, cells, -1)


class Auxiliary(nn.Module):
    """Losses between the tower's output and the ideal code; only the background's bias is learned."""

    directions: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("directions", class_directions(), persistent=False)
        self.background = nn.Parameter(torch.tensor(3.0))

    def forward(self, said: Tensor, cells: Cells, rows: int, cols: int) -> tuple[Tensor, dict[str, float]]:
        """Sum of the losses, and the numbers to watch."""
        said = said.float()
        ideal = ideal_code(cells, rows, cols)
        weight = torch.from_numpy(cells.weight)
        weight = weight / weight.sum()
        label = torch.from_numpy(cells.label)
        logits = said[..., :CLASS_WIDTH] @ self.directions.T / CLASS_WIDTH**0.5
        logits = torch.cat([logits, self.background.expand(*logits.shape[:-1], 1)], dim=-1)
        wanted = torch.where(label >= 0, label, logits.shape[-1] - 1)
        name = (cross_entropy(logits.transpose(1, 2), wanted, reduction="none") * weight).sum()
        apart = (said - ideal).square().split(PARTS, dim=-1)
        what, paint, where, ends = ((part.mean(-1) * weight).sum() for part in apart)
        there = label >= 0
        known = ideal[..., -BOX_WIDTH:].view(*label.shape, 4, 2, -1).abs().sum((-2, -1)) > 0
        per_wave = apart[3].view(*label.shape, 4, 2, -1)[known].mean(dim=(0, 1))
        watch = {
            "name": name.item(),
            "what": what.item(),
            "paint": paint.item(),
            "where": where.item(),
            "ends": ends.item(),
        }
        hit = (logits.argmax(-1) == wanted).float()
        watch["named"] = ((hit * weight)[there].sum() / weight[there].sum()).item()
        watch |= {f"wave{k}": value.item() for k, value in enumerate(per_wave)}
        return name + 0.5 * what + 0.3 * paint + 0.3 * where + 5 * ends, watch


def main() -> None:
    """Train until the minutes are over; a second start resumes."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", type=Path, help="a file of this stage to go on from, with a new schedule")
    parser.add_argument("--minutes", type=float, default=65)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=0.01)
    options = parser.parse_args()
    progress = Progress(options.out, minutes=options.minutes)
    tower, auxiliary = fresh_model(make_tokenizer()).model.visual, Auxiliary()
    optimizers = Optimizers([tower, auxiliary], rate=options.rate)
    if options.weights:
        start = torch.load(options.weights, weights_only=False)
        tower.load_state_dict(start["tower"])
        auxiliary.load_state_dict(start["auxiliary"])
    learners = {"tower": tower, "auxiliary": auxiliary, "optimizers": optimizers}
    if progress.saved:
        for name, learner in learners.items():
            learner.load_state_dict(progress.saved[name])
    batches = endless(options.scenes, options.batch, seed=progress.steps + 1_000_000 * progress.rank)

    def parts() -> dict[str, Any]:
        return {name: each.state_dict() for name, each in learners.items()}

    while optimizers.done < 1:
        batch = next(batches)
        cells = cells_of(batch.objects, batch.owner)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            said = look(tower, batch.patches, batch.rows, batch.cols)
        loss, watch = auxiliary(said, cells, batch.rows, batch.cols)
        loss.backward()
        optimizers.step(done=progress.done)
        progress.step(watch, options.batch, parts)
    progress.save(parts())


if __name__ == "__main__":
    main()
