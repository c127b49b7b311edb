"""Batches of cached scenes: pictures cut into patches, and what each cell and each picture holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from model import MEAN, PATCH, SPREAD
from torch import Tensor

from glintbox.boxes import Size
from glintbox.datasets.scenes import SHAPES


class Batch(NamedTuple):
    """Pictures of one shape."""

    patches: Float[Tensor, "picture cell pixel"]
    objects: Float[np.ndarray, "object 7"]  # picture, label, color (-1: natural), x1, y1, x2, y2 in shares
    owner: Int[np.ndarray, "picture cell"]  # row of objects that a cell shows, -1 where it shows none
    rows: int
    cols: int


class CachedScenes:
    """All cached chunks of a split for one picture shape, memory-mapped."""

    def __init__(self, folder: Path, size: Size, split: str = "train") -> None:
        stems = sorted(folder.glob(f"{split}-*-{size.width}x{size.height}-pictures.npy"))
        if not stems:
            raise SystemExit(f"expected cached scenes in {folder}, found none; run cache.py first")
        self.size = size
        self.chunks = [np.load(path, mmap_mode="r") for path in stems]
        self.objects: list[np.ndarray] = []
        self.owners = np.concatenate([np.load(str(path).replace("-pictures", "-owners")) for path in stems])
        for path, pictures in zip(stems, self.chunks, strict=True):
            rows = np.load(str(path).replace("-pictures", "-objects"))
            rows[:, 3:] /= [size.width, size.height] * 2
            self.objects += np.split(rows[:, 1:], np.searchsorted(rows[:, 0], np.arange(1, len(pictures))))
        self.starts = np.cumsum([0] + [len(chunk) for chunk in self.chunks])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def picture(self, index: int) -> np.ndarray:
        """Pixels of one picture, rows × cols × 3."""
        chunk = int(np.searchsorted(self.starts, index, side="right")) - 1
        return self.chunks[chunk][index - self.starts[chunk]]

    def batch(self, indices: np.ndarray, random: np.random.Generator | None) -> Batch:
        """The pictures of some indices; where `random` is given, half are mirrored and all get another light."""
        pictures = np.stack([self.picture(int(index)) for index in indices])
        objects = [np.insert(self.objects[index], 0, row, axis=1) for row, index in enumerate(indices)]
        rows, cols = self.size.height // PATCH, self.size.width // PATCH
        owners = self.owners[indices].astype(np.int64).reshape(-1, rows, cols)
        starts = np.cumsum([0] + [len(each) for each in objects[:-1]])[:, None, None]
        owners = np.where(owners >= 0, owners + starts, -1)
        light, shift = np.ones(len(indices)), np.zeros(len(indices))
        if random is not None:
            for row in np.flatnonzero(random.random(len(indices)) < 0.5):
                pictures[row] = pictures[row, :, ::-1]
                owners[row] = owners[row, :, ::-1]
                objects[row][:, [3, 5]] = 1 - objects[row][:, [5, 3]]
            light, shift = random.uniform(0.8, 1.2, len(indices)), random.uniform(-0.2, 0.2, len(indices))
        patches = cut(torch.from_numpy(pictures)) * torch.tensor(light[:, None, None]).float()
        patches += torch.tensor(shift[:, None, None]).float()
        return Batch(patches, np.concatenate(objects), owners.reshape(len(indices), -1), rows, cols)


def cut(pictures: Tensor) -> Float[Tensor, "picture cell pixel"]:
    """Patches as the image processor makes them: row-major cells, each channel × row × column, normalised."""
    count, height, width, _ = pictures.shape
    cells = pictures.reshape(count, height // PATCH, PATCH, width // PATCH, PATCH, 3).permute(0, 1, 3, 5, 2, 4)
    return (cells.reshape(count, -1, 3 * PATCH * PATCH).float() / 255 - MEAN) / SPREAD


def endless(folder: Path, count: int, seed: int) -> Iterator[Batch]:
    """Shuffled, augmented batches of `count` pictures; each batch has one shape, all shapes take turns."""
    random = np.random.default_rng(seed)
    scenes = [CachedScenes(folder, size) for size in SHAPES]
    orders = [random.permutation(len(each)) for each in scenes]
    spots = [0] * len(scenes)
    while True:
        for k, each in enumerate(scenes):
            if spots[k] + count > len(each):
                orders[k], spots[k] = random.permutation(len(each)), 0
            yield each.batch(np.sort(orders[k][spots[k] : spots[k] + count]), random)
            spots[k] += count
