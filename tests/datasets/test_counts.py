"""Counts: the known forty under the default reading, and what every other reading gives."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from glintbox.datasets.cases import SIZES, Rule, fitting
from glintbox.datasets.coco import Annotations, read_coco
from glintbox.datasets.counts import Counts, counts, expect, rules, steps
from glintbox.errors import BadInput
from tests.datasets.test_coco import FACTS, written


def counted(annotations: Annotations, **options: str) -> Counts:
    return counts(annotations, **options, tick=lambda: None)  # type: ignore[arg-type]


def test_the_default_reading_comes_first_and_gives_the_known_forty() -> None:
    found = counted(read_coco(FACTS))
    assert found.variants[0] == (Rule(), 40)
    assert (found.pictures, found.categories, found.annotations) == (28, 80, 355)
    assert found.sets["one"] == {"small": 40, "medium": 18, "large": 29, "any": 93}
    assert found.sets["many"] == {"small": 4, "medium": 1, "large": 7, "any": 52}


def test_every_reading_is_counted_once() -> None:
    variants = dict(counted(read_coco(FACTS)).variants)
    assert len(variants) == 2 * 2 * 3 * 2
    assert {rule.area: number for rule, number in variants.items() if replace(rule, area="box") == Rule()} == {
        "box": 40,
        "mask": 36,
    }
    assert variants[Rule("first")] == 59 and variants[Rule("first", crowd="refused")] == 57


def test_areas_of_masks_are_those_of_the_file() -> None:
    rows = json.loads(FACTS.read_bytes())
    size = {image["id"]: image["width"] * image["height"] for image in rows["images"]}
    single: dict[tuple[int, int], list[float]] = {}
    for row in rows["annotations"]:
        if not row["iscrowd"]:
            single.setdefault((row["image_id"], row["category_id"]), []).append(row["area"] / size[row["image_id"]])
    count = sum(len(areas) == 1 and 0.001 <= areas[0] <= 0.01 for areas in single.values())
    assert count == sum(1 for _ in fitting(read_coco(FACTS), Rule(area="mask"), size="small")) == 36


def test_only_readings_that_can_differ_are_asked(tmp_path: Path) -> None:
    plain = read_coco(written(tmp_path, [30, 40, 10, 5]))
    assert rules(plain, "many") == [Rule("many"), Rule("many", ends=False)]
    assert {rule.instances for rule in rules(plain, "one")} == {"one", "first"}
    ticks: list[int] = []
    counts(plain, instances="many", tick=lambda: ticks.append(1))
    assert len(ticks) == steps(plain, "many") == 2 * len(SIZES) + 2


def test_another_number_than_expected_tells_which_reading_gives_it() -> None:
    found = counted(read_coco(FACTS))
    expect(found, 40, where="x")
    with pytest.raises(
        BadInput, match=r"expected 36 small cases of x \(exactly one, area of the box, crowds ignored, "
    ):
        expect(found, 36, where="x")
    with pytest.raises(
        BadInput, match=r"got 40; these give it: exactly one, area of the mask, crowds ignored, ends in;"
    ):
        expect(found, 36, where="x")
    with pytest.raises(BadInput, match=r"got 40; the nearest is 59: the first, area of the box"):
        expect(found, 2225, where="x")
