"""What a kept case costs on disk and in time: python -m benchmarks.kept --layers 28 --heads 28 --n 10

The entropies and shares of every head are made up and random in every digit that is kept, which is the worst case for
compression; everything else is what Qwen2.5-VL writes about one object.
"""

from __future__ import annotations

import argparse
import gzip
import time

import torch

from glintbox.boxes import Box, Size
from glintbox.geometry import CoordFrame
from glintbox.records import (
    Candidate,
    CandidateSet,
    Head,
    HeadStats,
    Response,
    Sampling,
    Setting,
    from_json,
    to_json,
)

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


def kept(case: CandidateSet) -> bytes:
    """What lies in a work folder: compressed as `glintbox.calibrate` does it."""
    return gzip.compress(to_json(case).encode(), 1)


def main() -> None:
    """Print one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("--layers", 28), ("--heads", 28), ("--n", 10)):
        parser.add_argument(name, type=int, default=default)
    case = made_up(**vars(parser.parse_args()))
    began = time.process_time()
    written = kept(case)
    half = time.process_time()
    from_json(CandidateSet, gzip.decompress(written))
    seconds = f"{half - began:.2f} s to write, {time.process_time() - half:.2f} s to read"
    print(f"{len(written) / 1000:.0f} kB a case; {seconds} (CPU)")


if __name__ == "__main__":
    main()
