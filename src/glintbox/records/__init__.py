"""The records that everything exchanges: frozen, plain, JSON in and out. No plotting, saving or loading on them.

Pixels are of the original EXIF-turned image; heads and layers count from 0; attention is a share, entropy in nats.
"""

from glintbox.records.answers import (
    AttentionMaps,
    Candidate,
    CandidateSet,
    HeadStats,
    Labelled,
    Reading,
    Response,
    SpanMaps,
    TextMaps,
    sampled,
)
from glintbox.records.headmaps import (
    COORDS,
    Calibration,
    Coord,
    HeadMap,
    HeadSeparation,
    Place,
    Search,
    Selection,
)
from glintbox.records.results import (
    Grounding,
    Rle,
    Sample,
    ScoredBox,
    Selector,
)
from glintbox.records.serial import (
    T,
    from_json,
    to_json,
)
from glintbox.records.setting import (
    Head,
    Moment,
    Sampling,
    Setting,
    Site,
    Watch,
)

__all__ = [
    "COORDS",
    "AttentionMaps",
    "Calibration",
    "Candidate",
    "CandidateSet",
    "Coord",
    "Grounding",
    "Head",
    "HeadMap",
    "HeadSeparation",
    "HeadStats",
    "Labelled",
    "Moment",
    "Place",
    "Reading",
    "Response",
    "Rle",
    "Sample",
    "Sampling",
    "ScoredBox",
    "Search",
    "Selection",
    "Selector",
    "Setting",
    "Site",
    "SpanMaps",
    "T",
    "TextMaps",
    "Watch",
    "from_json",
    "sampled",
    "to_json",
]
