"""What a kept case costs on disk and in time: python -m benchmarks.kept --layers 28 --heads 28 --n 10 [--maps]

The entropies and shares of every head, and their maps, are made up; everything else is what Qwen2.5-VL writes about one
object in a picture of 640 x 480 px.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from glintbox.boxes import Box, Size
from glintbox.geometry import CoordFrame, TokenGrid
from glintbox.records import (
    AttentionMaps,
    Candidate,
    CandidateSet,
    Head,
    HeadStats,
    Response,
    Sample,
    Sampling,
    Setting,
)
from glintbox.store import Store, StoreCard, StoreWriter

ANSWER = '```json\n[\n\t{"bbox_2d": [375, 245, 534, 374], "label": "bicycle"}\n]\n```'
TOKENS = 40  # of the answer, in Qwen2.5's tokenizer


def made_up(layers: int, heads: int, n: int) -> CandidateSet:
    """One case: n answers with a box each, statistics of all heads."""
    generator = torch.Generator().manual_seed(0)
    frame = CoordFrame(Size(644, 476), Box(0, 0, 640, 480))
    written = (375.0, 245.0, 534.0, 374.0)
    spans = tuple((k, k + 1) for k in range(TOKENS))
    entropy = tuple(torch.rand(TOKENS, generator=generator).tolist())
    response = Response(ANSWER, "sampled", "stop", tuple(range(1000, 1000 + TOKENS)), spans, entropy)
    box = frame.box(written, Size(640, 480))
    assert box is not None
    every = tuple(Head(layer, index) for layer in range(layers) for index in range(heads))
    sharp = 3 + 3 * torch.rand(n, 4, len(every), generator=generator)
    share = torch.rand(n, 4, len(every), generator=generator).square()
    return CandidateSet(
        id="285-23",
        image=Size(640, 480),
        query="bicycle",
        setting=Setting(
            "Qwen/Qwen2.5-VL-7B-Instruct", "0" * 40, "qwen2_5_vl", "paper", "default", "max_pixels=1003520"
        ),
        sampling=Sampling(n=n, temperature=1.0, greedy_too=False),
        frame=frame,
        responses=(response,) * n,
        readings=tuple("boxes" for _ in range(n)),
        candidates=tuple(Candidate(box, written, "bicycle", k, (10, 60), (12, 17, 22, 27)) for k in range(n)),
        stats=HeadStats(every, sharp, share),
        timing={"prefill": 0.1, "decode": 2.0, "read": 0.1},
    )


def with_maps(case: CandidateSet) -> CandidateSet:
    """The same case with maps of all heads on 17 x 23 cells."""
    assert case.stats is not None
    values = torch.rand(*case.stats.share.shape, 17, 23, generator=torch.Generator().manual_seed(1)) / 1000
    return replace(case, maps=AttentionMaps(case.stats.heads, TokenGrid(17, 23, Box.whole(case.image)), values))


def keep(case: CandidateSet, folder: Path) -> int:
    """Bytes that the case takes in a store in `folder`, with its maps if it has any."""
    card = StoreCard(case.setting, case.sampling, "made up", case.maps.heads if case.maps else ())
    sample = Sample(case.id, Path("val2017/000000000285.jpg"), case.image, case.query, (case.candidates[0].box,))
    with StoreWriter(folder, card) as writer:
        writer.add(sample, case)
    return sum(path.stat().st_size for path in folder.iterdir() if path.name != "card.json")


def main() -> None:
    """Print one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("--layers", 28), ("--heads", 28), ("--n", 10)):
        parser.add_argument(name, type=int, default=default)
    parser.add_argument("--maps", action="store_true", help="maps of all heads too")
    options = parser.parse_args()
    case = made_up(options.layers, options.heads, options.n)
    case = with_maps(case) if options.maps else case
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        size = keep(case, Path(folder))
        half = time.process_time()
        _ = Store(Path(folder)).with_maps(0) if options.maps else Store(Path(folder))[0]
        seconds = f"{half - began:.2f} s to write, {time.process_time() - half:.2f} s to read"
    print(f"{size / 1000:.0f} kB a case; {seconds} (CPU)")


if __name__ == "__main__":
    main()
