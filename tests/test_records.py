"""Records: what exists is valid, and JSON out is JSON in."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from glintbox.boxes import Box, Size
from glintbox.errors import BadInput
from glintbox.geometry import CoordFrame, TokenGrid
from glintbox.records import (
    AttentionMaps,
    Candidate,
    CandidateSet,
    Grounding,
    Head,
    HeadMap,
    HeadStats,
    Response,
    Rle,
    Sample,
    Sampling,
    ScoredBox,
    Setting,
    SpanMaps,
    TextMaps,
    from_json,
    sampled,
    to_json,
)

SIZE = Size(60, 40)
SETTING = Setting("tiny", "main", "qwen3_vl", "short", "default", "min=1 max=9")


def found() -> CandidateSet:
    box = Box(6, 4, 12, 8)
    heads = (Head(0, 1), Head(2, 0))
    return CandidateSet(
        id="a",
        image=SIZE,
        query="cup",
        setting=SETTING,
        sampling=Sampling(n=1),
        frame=CoordFrame(Size(1000, 1000), Box.whole(SIZE)),
        responses=(
            Response("[1]", "greedy", "stop", (1,), ((0, 3),)),
            Response("[2]", "sampled", "stop", (2,), ((0, 3),), (0.25,)),
        ),
        readings=("boxes", "boxes"),
        candidates=tuple(Candidate(box, (100, 100, 200, 200), "cup", r, (0, 3), (0, 0, 0, 0)) for r in (0, 1)),
        stats=HeadStats(heads, torch.rand(2, 4, 2), torch.rand(2, 4, 2)),
        maps=AttentionMaps(heads, TokenGrid(2, 3, Box.whole(SIZE)), torch.rand(2, 4, 2, 2, 3)),
    )


def test_statistics_of_a_box_whose_tokens_are_unknown_survive_json() -> None:
    entropy = torch.tensor([[[0.5]] * 4, [[torch.nan]] * 4])
    stats = HeadStats((Head(0, 1),), entropy, torch.ones(2, 4, 1))
    read = from_json(HeadStats, to_json(stats))
    assert torch.equal(read.entropy.isnan(), entropy.isnan())
    assert read.entropy[0].tolist() == entropy[0].tolist()


def test_a_grounding_read_back_is_the_grounding_but_for_maps() -> None:
    written = Grounding("a", "acs-free", "rank", (ScoredBox(Box(6, 4, 12, 8), 0.5, 1),), (Box(6, 4, 12, 8),), found())
    read = from_json(Grounding, to_json(written))
    assert read.found.maps is None
    assert read.boxes == written.boxes and read.greedy == written.greedy and read.method == "acs-free"
    assert read.found.stats is not None and written.found.stats is not None
    assert torch.allclose(read.found.stats.entropy, written.found.stats.entropy, atol=1e-6)
    assert read.found.frame == written.found.frame and read.found.candidates == written.found.candidates
    assert to_json(read) == to_json(from_json(Grounding, to_json(read)))


def test_a_head_map_survives_json() -> None:
    heads = HeadMap(SETTING, "labels", {"x1": (Head(3, 4),), "y1": (Head(0, 0),)})
    assert from_json(HeadMap, to_json(heads)) == heads
    assert str(Head(14, 24)) == "L14H24"


def test_a_localization_head_map_names_only_the_text() -> None:
    heads = HeadMap(SETTING, "localization", {"text": (Head(2, 7), Head(14, 24))})
    assert from_json(HeadMap, to_json(heads)) == heads
    with pytest.raises(ValidationError, match=r"heads\.word"):
        from_json(HeadMap, to_json(heads).replace('"text"', '"word"'))


def test_what_was_kept_before_localization_is_still_read() -> None:
    told = json.loads(to_json(Grounding("a", "x", "none", (ScoredBox(Box(6, 4, 12, 8), 0.5, 1),), (), found())))
    del told["found"]["text_map"], told["found"]["span_maps"]
    told["boxes"] = [scored[:3] for scored in told["boxes"]]
    kept = from_json(Grounding, json.dumps(told))
    assert kept.boxes == (ScoredBox(Box(6, 4, 12, 8), 0.5, 1),) and kept.boxes[0].mask is None
    assert kept.found.text_map is None and kept.found.span_maps == () and kept.boxes[0].label is None
    old = {
        "id": "a",
        "image": "a.png",
        "size": [60, 40],
        "query": "cup",
        "truth": [{"x1": 6, "y1": 4, "x2": 12, "y2": 8}],
    }
    assert from_json(Sample, json.dumps(old)) == Sample("a", Path("a.png"), SIZE, "cup", (Box(6, 4, 12, 8),))


def test_a_mask_and_the_text_map_survive_json() -> None:
    mask = Rle(Size(3, 2), (1, 2, 3))
    values = torch.rand(1, 2, 3).round(decimals=6)
    looked = replace(found(), text_map=TextMaps(SETTING, (Head(1, 1),), TokenGrid(2, 3, Box.whole(SIZE)), values))
    written = Grounding("a", "x", "none", (ScoredBox(Box(6, 4, 12, 8), 0.5, None, mask),), (), looked)
    read = from_json(Grounding, to_json(written))
    assert read.boxes == written.boxes and read.boxes[0].mask == mask
    assert read.found.text_map is not None and looked.text_map is not None
    assert torch.equal(read.found.text_map.values, looked.text_map.values)
    assert read.found.text_map.grid == looked.text_map.grid and read.found.text_map.heads == looked.text_map.heads


def test_labels_and_the_maps_of_spans_survive_json() -> None:
    maps = TextMaps(SETTING, (Head(1, 1),), TokenGrid(2, 3, Box.whole(SIZE)), torch.rand(1, 2, 3).round(decimals=6))
    looked = replace(found(), span_maps=(SpanMaps("a cup", (0, 5), 7, maps), SpanMaps("a bowl", (10, 16), 9, maps)))
    boxes = (ScoredBox(Box(6, 4, 12, 8), 0.5, None, label="a bowl"),)
    read = from_json(Grounding, to_json(Grounding("a", "x", "none", boxes, (), looked)))
    assert read.boxes == boxes and [span.text for span in read.found.span_maps] == ["a cup", "a bowl"]
    assert (read.found.span_maps[1].span, read.found.span_maps[1].token) == ((10, 16), 9)
    assert torch.equal(read.found.span_maps[0].maps.values, maps.values)


@pytest.mark.parametrize("counts", [(1, 2), (7,), (-1, 7), ()])
def test_run_lengths_that_do_not_fill_the_picture_are_refused(counts: tuple[int, ...]) -> None:
    with pytest.raises(BadInput, match="run lengths >= 0 that fill 3x2 px"):
        Rle(Size(3, 2), counts)


def test_greedy_is_never_among_the_sampled() -> None:
    assert sampled(found()) == (1,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "expected n >= 1 sampled answers, got 0"),
        ({"n": -3}, "expected n >= 1 sampled answers, got -3"),
        ({"temperature": -0.1}, "expected a temperature >= 0"),
        ({"temperature": math.nan}, "expected a temperature >= 0, got nan"),
        ({"temperature": math.inf}, "expected a temperature >= 0, got inf"),
        ({"top_p": math.nan}, "0 < top_p <= 1, got nan"),
        ({"top_k": -1}, "top_k >= 0"),
        ({"temperature": 0, "n": 2}, "same answer 2 times"),
        ({"top_p": 0}, "0 < top_p <= 1"),
        ({"max_new_tokens": 0}, "max_new_tokens >= 1"),
    ],
)
def test_sampling_out_of_range_is_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Sampling(**options)  # type: ignore[arg-type]  # the point of the test
