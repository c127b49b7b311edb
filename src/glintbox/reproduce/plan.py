"""What the tables and figures are made from: which cases, drawn how, and which answers each of them needs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from glintbox.datasets.draws import draw
from glintbox.datasets.resolve import SCENES, data_name, resolve
from glintbox.errors import BadInput, UnknownName
from glintbox.records import Moment, Sample

TEMPERATURES = (0.5, 0.7, 1.0)
ANSWERS = 10
"""Sampled answers per case, but for Table 4."""

Part = Literal["learn", "learn-quarter", "choose", "choose-many", "report", "large", "many", "style-b"]


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much is done: cases of each part, most answers of Table 4, epochs; `name` is that of the work folder."""

    name: str
    learn: int
    choose: int
    report: int
    many: int
    most: int
    epochs: int


FULL = Amounts("full", learn=5000, choose=500, report=2225, many=759, most=30, epochs=100)
"""The paper's numbers of cases; it does not say how many chose its temperature."""

QUICK = Amounts("quick", learn=160, choose=40, report=40, many=20, most=30, epochs=4)
"""Shows that everything runs; its numbers mean nothing."""


class Cases(NamedTuple):
    """What the cases of a part are: for which purpose, of which size, one object or many, and how many cases."""

    purpose: Literal["learn", "choose", "report", "transfer"]
    size: str
    instances: Literal["one", "many"]
    amount: Callable[[Amounts], int]


PARTS: Mapping[Part, Cases] = {
    "learn": Cases("learn", "small", "one", lambda a: a.learn),
    "learn-quarter": Cases("learn", "small", "one", lambda a: max(a.learn // 4, min(a.learn, 16))),
    "choose": Cases("choose", "small", "one", lambda a: a.choose),
    "choose-many": Cases("choose", "small", "many", lambda a: a.choose // 2),
    "report": Cases("report", "small", "one", lambda a: a.report),
    "large": Cases("report", "large", "one", lambda a: a.report),
    "many": Cases("report", "small", "many", lambda a: a.many),
    "style-b": Cases("transfer", "small", "one", lambda a: a.report),
}
"""learn: regressor and heads; learn-quarter: of another moment, for comparison.
choose: temperature and decisions. The rest is what tables report on."""


class Need(NamedTuple):
    """Answers that a table needs: n samples to every case of a part."""

    part: Part
    temperature: float
    n: int = ANSWERS
    moment: Moment = "predicting"


@dataclass(frozen=True, slots=True)
class Data:
    """A dataset as it is named on the command line; split: the one that is reported on, None = test."""

    dataset: str
    images: Path | None = None
    split: str | None = None

    @property
    def reported(self) -> str:
        """The split that tables report on, in words."""
        return self.split or "test"


def needs(part: Part, amounts: Amounts) -> tuple[Need, ...]:
    """The answers of a part; those of Table 4 serve for every smaller N, as the first ones are the same."""
    if PARTS[part].purpose == "learn":
        return (Need(part, 1.0),)
    most = {1.0: max(ANSWERS, amounts.most)} if part == "report" else {}
    return tuple(Need(part, temperature, most.get(temperature, ANSWERS)) for temperature in TEMPERATURES)


def together(need: Need, amounts: Amounts) -> tuple[Need, ...]:
    """The answers that are drawn with those of a need, as long as the picture is in memory."""
    whole = needs(need.part, amounts)
    return whole if need in whole else (need,)


def cases(data: Data, part: Part, amounts: Amounts, *, tick: Callable[[], None] = lambda: None) -> list[Sample]:
    """The cases of a part; nothing that is reported on is ever learned or chosen from.

    Scenes have splits for each purpose. COCO and Objects365 learn on their training pictures and are reported on their
    validation pictures; of a lone JSON three tenths of the pictures, by sha256 of their names, are reported on. There
    the temperature is chosen on learning pictures that nothing was learned from.

    Raises:
        BadInput: no such cases, or a transfer that the dataset does not have.
    """
    wanted = PARTS[part]
    count = wanted.amount(amounts)
    if data.dataset == SCENES:
        return _resolved(data, wanted, split=scene_split(data, part), limit=count, tick=tick)
    check_part(data, part)
    found = _of_purpose(data, wanted, tick)
    if wanted.purpose == "choose":
        learned = _drawn(_of_purpose(data, PARTS["learn"], tick), amounts.learn)
        seen = {sample.image for sample in learned}
        found = [sample for sample in found if sample.image not in seen]
    if not found:
        raise BadInput(f"expected cases of {data.dataset} to {wanted.purpose} from, got none; learn from fewer")
    return _drawn(found, count)


def check_part(data: Data, part: Part) -> None:
    """Pictures of style b are scenes, and exist for testing alone.

    Raises:
        BadInput: a transfer of another dataset, or beside another split than test.
    """
    if PARTS[part].purpose != "transfer":
        return
    if data.dataset != SCENES:
        raise BadInput(f"expected scenes for a transfer to another style, got {data.dataset}")
    if data.reported != "test":
        raise BadInput(f"expected --split test for a transfer to style b, which has no other split, got {data.split!r}")


def scene_split(data: Data, part: Part) -> str:
    """The split of scenes that serves for a part; errors as in `check_part`."""
    check_part(data, part)
    purpose = PARTS[part].purpose
    of = {"learn": "calibration", "choose": "validation", "report": data.reported, "transfer": "test-style-b"}
    return of[purpose]


def data_of(data: Data, part: Part) -> str:
    """A name that tells the content of the data of a part, as `data_name`."""
    split = scene_split(data, part) if data.dataset == SCENES else None
    reports = PARTS[part].purpose == "report"
    split = data.split if reports and data.dataset != SCENES else split
    return data_name(data.dataset, split=split, default_split="test" if reports else "train")


def _of_purpose(data: Data, wanted: Cases, tick: Callable[[], None]) -> list[Sample]:
    """All cases of a dataset on disk that may serve for a purpose."""
    reports = wanted.purpose == "report"
    found = _resolved(data, wanted, split=data.split if reports else None, limit=None, tick=tick)
    return [sample for sample in found if data.images is None or (_lot(sample) < 0.3) == reports]


def _resolved(
    data: Data, wanted: Cases, *, split: str | None, limit: int | None, tick: Callable[[], None]
) -> list[Sample]:
    purpose = "test" if wanted.purpose == "report" else "train"
    return resolve(
        data.dataset, images=data.images, split=split, size=wanted.size, limit=limit, instances=wanted.instances,
        default_split=purpose, tick=tick,
    )  # fmt: skip


def _drawn(found: Sequence[Sample], count: int) -> list[Sample]:
    """All cases, or a sample of them that others can draw again (docs/datasets.md)."""
    chosen = set(draw([sample.id for sample in found], min(count, len(found)), seed=0))
    return [sample for sample in found if sample.id in chosen]


def _lot(sample: Sample) -> float:
    """A number in [0, 1) that a picture draws by its name."""
    return int.from_bytes(hashlib.sha256(sample.image.name.encode()).digest()[:8]) / 2**64


def check_split(data: Data) -> None:
    """Refuse to report on pictures that something is learned from.

    Raises:
        UnknownName, BadInput: a split of scenes that is not for reporting.
    """
    if data.dataset == SCENES and data.reported not in {"test", "validation"}:
        raise UnknownName("split to report on", data.reported, ("test", "validation"))
