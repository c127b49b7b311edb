"""A store from which something can be learned: the attention of one head is the sharper, the better the box is."""

from pathlib import Path

import torch

from glintbox.boxes import Box
from glintbox.maps import entropy
from glintbox.predictions import Quality
from glintbox.records import Sample, Sampling
from glintbox.regressor import Amount, Recipe, Training
from glintbox.store import Store, StoreCard, StoreWriter
from tests.sets import HEADS, IMAGE, SETTING, Corners, a_set, with_entropy, with_maps

TRUTH = Box(10, 10, 50, 40)
TELLING = HEADS[1]
"""The head whose attention tells."""

TRAINING = Training(
    "scenes-style-a, 5000 cases", Sampling(n=10, temperature=1.0), Recipe(seed=3), Amount(900, 4500, 44_444),
    Amount(100, 500, 4_900), 40, 25, Quality(0.03, 0.14, 0.71, 0.6, None), 0.25, 0.62, 0.6, 0.8,
)  # fmt: skip
"""What a card may say; not of this store."""

EACH = 4
ROWS, COLS = 4, 6


def a_store(folder: Path, *, cases: int = 40, pictures: int = 20, seed: int = 0, rows: int = ROWS) -> Store:
    """A store of `cases` pairs with four boxes each; every picture has about cases/pictures queries."""
    generator = torch.Generator().manual_seed(seed)
    card: StoreCard | None = None
    for k in range(cases):
        shifts = torch.rand(EACH, generator=generator) * 35
        found = a_set(*[[_shifted(float(shift))] for shift in shifts], id=f"case-{k:03}", doubts=[0.1] * EACH)
        ious = torch.tensor([(40 - float(shift)) / (40 + float(shift)) for shift in shifts])
        maps = maps_of(ious, generator, rows=rows)
        found = with_entropy(with_maps(found, maps), entropy(maps))
        card = card or StoreCard(SETTING, found.sampling, "made up", HEADS, rows, COLS)
        sample = Sample(found.id, Path(f"picture-{k % pictures}.png"), IMAGE, "cup", (TRUTH,))
        with StoreWriter(folder, card) as store:
            store.add(sample, found)
    return Store(folder)


def maps_of(ious: torch.Tensor, generator: torch.Generator, *, rows: int = ROWS) -> torch.Tensor:
    """Maps of shares: the telling head looks at one cell, and the less so the worse the box; others look anywhere."""
    maps = torch.rand(len(ious), 4, len(HEADS), rows, COLS, generator=generator) / (rows * COLS)
    sharp = torch.zeros(rows, COLS)
    sharp[1, 2] = 0.5
    good = ious[:, None, None, None]
    maps[:, :, HEADS.index(TELLING)] = good * sharp + (1 - good) * maps[:, :, HEADS.index(TELLING)]
    return maps


def _shifted(by: float) -> Corners:
    """The true box, moved to the right; IoU (40 - by) / (40 + by)."""
    return (TRUTH.x1 + by, TRUTH.y1, TRUTH.x2 + by, TRUTH.y2)
