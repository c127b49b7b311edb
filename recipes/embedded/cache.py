"""Draw the training scenes once and keep them on disk as plain arrays, one file per chunk and picture shape."""

from __future__ import annotations

import argparse
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from jaxtyping import Int
from model import PATCH

from glintbox.datasets.scenes import COLORS, SHAPES, Scene, categories, draw_scene, scene_seed

CHUNK = 1000  # scenes


def owner(scene: Scene) -> Int[np.ndarray, " cell"]:
    """Index of the object that each cell shows, -1 for none, row-major.

    One that fills a tenth of the cell, or of which a quarter shows in it; where several do, the smallest.
    """
    rows, cols = scene.image.height // PATCH, scene.image.width // PATCH
    found = np.full(rows * cols, -1, dtype=np.int8)
    size = [int(each.mask.sum()) for each in scene.objects]
    for k in np.argsort(size)[::-1]:
        shown = scene.objects[k].mask.reshape(rows, PATCH, cols, PATCH).sum(axis=(1, 3)).ravel()
        found[shown >= min(0.1 * PATCH**2, 0.25 * size[k])] = k
    return found


def draw_chunk(folder: Path, split: str, chunk: int) -> None:
    """Draw one chunk; a finished chunk is left as it is."""
    done = folder / f"{split}-{chunk:04d}.done"
    if done.exists():
        return
    labels = {label: k for k, label in enumerate(categories())}
    colors = {None: -1} | {color: k for k, color in enumerate(COLORS)}
    pictures: dict[tuple[int, int], list[np.ndarray]] = {shape: [] for shape in SHAPES}
    objects: dict[tuple[int, int], list[tuple[float, ...]]] = {shape: [] for shape in SHAPES}
    owners: dict[tuple[int, int], list[np.ndarray]] = {shape: [] for shape in SHAPES}
    for index in range(chunk * CHUNK, (chunk + 1) * CHUNK):
        scene = draw_scene(scene_seed(split, index))
        shape = scene.image.size
        row = len(pictures[shape])
        pictures[shape].append(np.asarray(scene.image))
        objects[shape] += [(row, labels[found.label], colors[found.color], *found.box) for found in scene.objects]
        owners[shape].append(owner(scene))
    for width, height in SHAPES:
        stem = f"{split}-{chunk:04d}-{width}x{height}"
        np.save(folder / f"{stem}-pictures.npy", np.stack(pictures[width, height]))
        np.save(folder / f"{stem}-objects.npy", np.array(objects[width, height], dtype=np.float32))
        np.save(folder / f"{stem}-owners.npy", np.stack(owners[width, height]))
    done.touch()


def main() -> None:
    """Draw N scenes of a split in parallel."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", default="train")
    parser.add_argument("--scenes", type=int, default=60_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first scene, a multiple of 1,000")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with Pool(options.workers) as pool:
        chunks = range(options.first // CHUNK, -(-(options.first + options.scenes) // CHUNK))
        pool.starmap(draw_chunk, [(options.folder, options.split, chunk) for chunk in chunks], chunksize=1)


if __name__ == "__main__":
    main()
