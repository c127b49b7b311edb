"""Expressions of scenes as cases: the same from the cache and from a folder, and never another split's."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glintbox.datasets.cases import SIZES
from glintbox.datasets.expressions import KINDS, expressions
from glintbox.datasets.refer import WORDS, expressions_of, referred, source
from glintbox.datasets.referred import Referred
from glintbox.datasets.scene_folder import fingerprint, write_scenes
from glintbox.datasets.scenes import draw_scene, scene_seed
from glintbox.errors import BadInput, UnknownName
from glintbox.masks import decode


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GLINTBOX_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GLINTBOX_DATA", raising=False)
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "scenes"
    write_scenes(path, split="validation", count=3, tick=lambda: None)
    return path


def plain(one: Referred) -> tuple[object, ...]:
    sample = one.sample
    told = (sample.id, sample.query, sample.size, sample.truth, sample.mask)
    return (*told, one.category, one.kind, one.needs_more, one.ignore)


def test_a_case_is_an_expression_its_object_and_its_mask() -> None:
    seed = scene_seed("validation", 0)
    scene = draw_scene(seed)
    said = expressions(scene)
    found = referred("scenes", limit=len(said))
    assert [one.sample.id for one in found] == [f"{seed}-{k}" for k in range(1, len(said) + 1)]
    for one, expression in zip(found, said, strict=True):
        target = scene.objects[expression.target]
        assert (one.sample.query, one.kind, one.needs_more) == (
            expression.text,
            expression.kind,
            expression.needs_more,
        )
        assert one.sample.truth == (target.box,) and one.category == target.label and one.kind in KINDS
        assert one.share == pytest.approx(target.area)
        assert one.sample.mask is not None and (decode(one.sample.mask) == target.mask).all()


def test_the_word_and_a_folder_of_the_same_seeds_give_the_same_cases(folder: Path) -> None:
    there = referred(str(folder))
    assert len(there) > 20
    assert list(map(plain, referred("scenes", limit=len(there)))) == list(map(plain, there))
    assert expressions_of(str(folder)) == [one.sample for one in there]


def test_scenes_are_drawn_as_far_as_they_are_needed(cache: Path) -> None:
    ticks: list[int] = []
    found = expressions_of("scenes", limit=3, tick=lambda: ticks.append(1))
    assert len(found) == 3 and len(list(cache.rglob("*.png"))) == len(ticks) + 1 == 1
    again = expressions_of("scenes", ids=[found[2].id])
    assert again == [found[2]]


def test_sizes_are_shares_of_the_picture(folder: Path) -> None:
    every = referred(str(folder))
    for size, share in SIZES.items():
        fits = [one for one in every if share is None or share.low <= one.share <= share.high]
        if fits:
            assert referred(str(folder), size=size) == fits
    assert referred(str(folder), size="large", limit=1)[0].share >= 0.05


def test_a_name_tells_the_content(folder: Path) -> None:
    assert source("scenes").name == f"scenes-validation-{fingerprint()}-expressions"
    assert source("scenes", default_split="calibration").name.startswith("scenes-calibration-")
    name = source(str(folder)).name
    assert name.startswith("scenes-") and name.endswith("-expressions")


def test_a_scene_of_another_split_is_refused(folder: Path) -> None:
    for options in ({"split": "test"}, {"default_split": "calibration"}):
        with pytest.raises(BadInput, match=r"got scene 11000000 of split 'validation'.*--split validation"):
            expressions_of(str(folder), **options)


def test_a_folder_whose_expressions_are_not_of_its_scenes_is_refused(folder: Path, tmp_path: Path) -> None:
    rows = json.loads((folder / "expressions.json").read_text())
    for odd, message in (
        ([rows[0] | {"ann_id": 5}], "expected annotation 5"),
        ([{"image_id": 3}], "expected expressions.json of `glintbox scenes make`"),
        (7, "expected expressions.json of `glintbox scenes make`"),
    ):
        (tmp_path / "instances.json").write_bytes((folder / "instances.json").read_bytes())
        (tmp_path / "expressions.json").write_text(json.dumps(odd))
        with pytest.raises(BadInput, match=message):
            expressions_of(str(tmp_path))
    (tmp_path / "expressions.json").write_text("{")
    with pytest.raises(BadInput, match="of `glintbox scenes make`, got"):
        expressions_of(str(tmp_path))


@pytest.mark.parametrize(
    ("dataset", "options", "message"),
    [
        ("scenes", {"limit": 0}, "expected limit >= 1, got 0"),
        ("scenes", {"sample": 0}, "expected sample >= 1, got 0"),
        ("scenes", {"sample": 5}, "scenes, which have no end; take a limit"),
        ("scenes", {"images": Path("a")}, "--images only with a COCO file"),
        ("scenes", {"ids": ["12000000-1"]}, "got 1 that are none"),
        *((word, {}, f"expected a folder '{word.replace('+', '[+]')}' here or in GLINTBOX_DATA") for word in WORDS),
    ],
)
def test_what_does_not_belong_together_is_refused(
    dataset: str, options: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=message):
        expressions_of(dataset, **options)


def test_names_that_mean_nothing_are_refused_with_what_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownName, match=r"dataset of expressions 'refcocos'. Did you mean 'refcoco'"):
        expressions_of("refcocos")
    with pytest.raises(UnknownName, match=r"size 'tiny'"):
        expressions_of("scenes", size="tiny")
    with pytest.raises(UnknownName, match=r"split 'val'. Known: calibration, test, test-style-b, train, validation"):
        expressions_of("scenes", split="val")
    with pytest.raises(BadInput, match=r"expected expressions in .*found no expressions\.json"):
        expressions_of(str(tmp_path))


def test_half_of_the_expressions_of_scenes_need_more_than_the_category(folder: Path) -> None:
    needs = np.array([one.needs_more for one in referred(str(folder))])
    assert 0.5 <= needs.mean() < 1
