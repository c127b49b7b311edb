"""Draw the training scenes once and keep them on disk as plain arrays, one file per chunk and picture shape."""

from __future__ import annotations

import argparse
from multiprocessing import Pool
from pathlib import Path

import numpy as np

from glintbox.datasets.scenes import SHAPES, categories, draw_scene, scene_seed

CHUNK = 1000  # scenes


def draw_chunk(folder: Path, split: str, chunk: int) -> None:
    """Draw one chunk; a finished chunk is left as it is."""
    done = folder / f"{split}-{chunk:04d}.done"
    if done.exists():
        return
    labels = {label: k for k, label in enumerate(categories())}
    pictures: dict[tuple[int, int], list[np.ndarray]] = {shape: [] for shape in SHAPES}
    objects: dict[tuple[int, int], list[tuple[float, ...]]] = {shape: [] for shape in SHAPES}
    for index in range(chunk * CHUNK, (chunk + 1) * CHUNK):
        scene = draw_scene(scene_seed(split, index))
        shape = scene.image.size
        row = len(pictures[shape])
        pictures[shape].append(np.asarray(scene.image))
        objects[shape] += [(row, labels[found.label], *found.box) for found in scene.objects]
    for width, height in SHAPES:
        stem = f"{split}-{chunk:04d}-{width}x{height}"
        np.save(folder / f"{stem}-pictures.npy", np.stack(pictures[width, height]))
        np.save(folder / f"{stem}-objects.npy", np.array(objects[width, height], dtype=np.float32))
    done.touch()


def main() -> None:
    """Draw scenes 0..N-1 of a split in parallel."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", default="train")
    parser.add_argument("--scenes", type=int, default=36_000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with Pool(options.workers) as pool:
        chunks = range(-(-options.scenes // CHUNK))
        pool.starmap(draw_chunk, [(options.folder, options.split, chunk) for chunk in chunks], chunksize=1)


if __name__ == "__main__":
    main()
