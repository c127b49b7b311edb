"""What is published is read back where grounding looks for it; pickles, other models and overwriting are refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from glintbox.artifacts import (
    HEADS_FILE,
    LOCALIZATION_FILE,
    REGRESSOR_FILE,
    cache_folder,
    find,
    load_heads,
    load_separation,
    save_heads,
    separation_file,
)
from glintbox.errors import BadInput, NoArtifact, SettingMismatch
from glintbox.model_card import save_folder
from glintbox.publish import Separated, pull, push, read_artefact
from glintbox.records import COORDS, Calibration, HeadMap, HeadSeparation, Sampling
from glintbox.regressor import RegressorBundle, RegressorCard, load_regressor, new_regressor, save_regressor
from tests.fake_hub import hub
from tests.learnable import TRAINING
from tests.sets import HEADS, SETTING

__all__ = ["hub"]

OWNED = replace(SETTING, model="owner/tiny")
MAP = HeadMap(
    OWNED,
    "labels",
    {coord: HEADS[:2] for coord in COORDS},
    Calibration("scenes, 9 cases", 20, 30, 0.7, 0.3, {"x1": (0.5, 0.25)}, 0.5, 0.4, Sampling(n=3)),
)
LOOKS = HeadMap(replace(OWNED, prompt="expression"), "localization", {"text": HEADS[1:]})
SEPARATION = HeadSeparation(OWNED, "scenes", 20, 30, HEADS, torch.rand(4, 3).round(decimals=3), torch.full((4, 3), 0.5))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLINTBOX_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def bundle() -> RegressorBundle:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return new_regressor(RegressorCard(OWNED, HEADS, 4, 6, training=TRAINING))


def weights(bundle: RegressorBundle) -> list[torch.Tensor]:
    return list(bundle.network.state_dict().values())


def same(a: RegressorBundle, b: RegressorBundle) -> bool:
    return a.card == b.card and all(map(torch.equal, weights(a), weights(b)))


def test_a_regressor_pushed_to_a_folder_is_pulled_to_where_grounding_finds_it(
    bundle: RegressorBundle, tmp_path: Path
) -> None:
    published = push(bundle, str(tmp_path / "published"))
    assert sorted(path.name for path in Path(published).iterdir()) == ["README.md", "config.json", "model.safetensors"]
    found = pull(published, here=OWNED)
    assert found.commit is None and found.path == find(REGRESSOR_FILE, setting=OWNED, checkpoint=None)
    assert same(load_regressor(found.path), bundle)


def test_a_head_map_goes_with_the_separation_it_was_chosen_from(tmp_path: Path) -> None:
    save_heads(MAP, tmp_path / "own.json", separation=SEPARATION)
    published = push(read_artefact(tmp_path / "own.json"), str(tmp_path / "published"))
    found = pull(published)
    assert found.path == find(HEADS_FILE, setting=OWNED, checkpoint=None)
    assert load_heads(found.path) == MAP
    assert torch.equal(load_separation(separation_file(found.path)).delta, SEPARATION.delta)


def test_localization_heads_lie_under_their_own_name_and_prompt(tmp_path: Path) -> None:
    published = push(Separated(LOOKS), str(tmp_path / "published"))
    assert pull(published, here=OWNED).path == cache_folder(LOOKS.setting) / LOCALIZATION_FILE


def test_heads_of_another_view_lie_where_grounding_looks(tmp_path: Path) -> None:
    other = replace(MAP, setting=replace(OWNED, view="thumbnail", moment="predicted"))
    published = push(Separated(other), str(tmp_path / "published"))
    assert pull(published, here=OWNED).path == find(HEADS_FILE, setting=OWNED, checkpoint=None)


def test_the_card_of_a_head_map_tells_heads_and_how_they_were_found(tmp_path: Path) -> None:
    text = (Path(push(Separated(MAP), str(tmp_path / "map"))) / "README.md").read_text()
    for told in (
        "base_model: owner/tiny", "# Head map for owner/tiny", "| x1 | L0H1, L2H0 |", "| prompt | short |",
        'heads="this-folder/glintbox_heads.json"', "| boxes | 20 of IoU > 0.7, 30 of 0 < IoU <= 0.3 |",
        "| ΔH at x1, nats | 0.500, 0.250 |", "| Acc@0.5 of acs-free on these cases | 50.0% |",
        "| sampling | 3 answers each at temperature 0.7, seed 0 |",
    ):  # fmt: skip
        assert told in text, told
    looks = (Path(push(Separated(LOOKS), str(tmp_path / "looks"))) / "README.md").read_text()
    assert "# Localization heads for owner/tiny" in looks and "| text | L2H0, L2H3 |" in looks
    assert (
        "base_model"
        not in (Path(push(Separated(replace(MAP, setting=SETTING)), str(tmp_path / "b"))) / "README.md").read_text()
    )


def test_another_model_is_refused_with_the_difference(bundle: RegressorBundle, tmp_path: Path) -> None:
    published = push(bundle, str(tmp_path / "published"))
    with pytest.raises(SettingMismatch, match=r"model: made under 'owner/tiny', here 'other'"):
        pull(published, here=replace(OWNED, model="other"))
    assert find(REGRESSOR_FILE, setting=OWNED, checkpoint=None) is None


def test_what_is_there_is_not_overwritten_unasked(bundle: RegressorBundle, tmp_path: Path) -> None:
    published = push(bundle, str(tmp_path / "published"))
    with pytest.raises(BadInput, match=r"expected a new folder, got .*published, which holds something; --overwrite"):
        push(bundle, published)
    pull(push(bundle, published, overwrite=True))
    with pytest.raises(BadInput, match=r"expected no artefact yet at .*glintbox_regressor.safetensors, got one"):
        pull(published)
    assert pull(published, overwrite=True).path.is_file()


@pytest.mark.parametrize("name", ["weights.bin", "optimizer.PT", "heads.pkl"])
def test_a_place_with_pickles_is_refused(bundle: RegressorBundle, tmp_path: Path, name: str) -> None:
    save_folder(bundle, tmp_path / "published")
    (tmp_path / "published" / name).touch()
    with pytest.raises(BadInput, match=rf"expected safetensors and JSON alone in .*, got {name}, which may hold code"):
        pull(str(tmp_path / "published"))
    with pytest.raises(BadInput, match="may hold code"):
        read_artefact(tmp_path / "published" / name)


def test_a_folder_without_an_artefact_or_with_two_is_refused(bundle: RegressorBundle, tmp_path: Path) -> None:
    with pytest.raises(NoArtifact, match=r"expected a regressor or head map in .*\(model.safetensors, glintbox_heads"):
        read_artefact(tmp_path)
    save_folder(bundle, tmp_path)
    save_heads(MAP, tmp_path / HEADS_FILE)
    with pytest.raises(BadInput, match="got regressor and head map; name the file of one"):
        read_artefact(tmp_path)
    assert read_artefact(tmp_path / HEADS_FILE) == Separated(MAP)


def test_a_single_file_of_a_regressor_is_read(bundle: RegressorBundle, tmp_path: Path) -> None:
    save_regressor(bundle, tmp_path / "own.safetensors")
    read = read_artefact(tmp_path / "own.safetensors")
    assert isinstance(read, RegressorBundle) and same(read, bundle)


def test_a_place_that_cannot_be_written_is_named(
    bundle: RegressorBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = push(bundle, str(tmp_path / "published"))
    (tmp_path / "file").touch()
    monkeypatch.setenv("GLINTBOX_CACHE", str(tmp_path / "file"))
    with pytest.raises(BadInput, match="expected a place for the regressor that can be written at"):
        pull(published)


def test_a_later_schema_is_told_before_its_fields(tmp_path: Path) -> None:
    (tmp_path / HEADS_FILE).write_text(json.dumps({"schema_version": 2, "places": []}))
    with pytest.raises(BadInput, match=r"expected a head map of schema 1 in .*, got 2; update glintbox"):
        read_artefact(tmp_path)


def test_what_is_pushed_to_the_hub_is_pulled_at_its_commit(bundle: RegressorBundle, hub: Path) -> None:
    address = push(bundle, "hf://owner/regressor")
    name, _, commit = address.partition("@")
    assert name == "hf://owner/regressor" and len(commit) == 40
    assert sorted(path.name for path in (hub / "owner" / "regressor" / commit).iterdir()) == [
        "README.md", "config.json", "model.safetensors",
    ]  # fmt: skip
    found = pull(address, here=OWNED)
    assert found.commit == commit and same(load_regressor(found.path), bundle)
    with pytest.raises(BadInput, match=r"got 409.*it exists; --overwrite adds to it"):
        push(bundle, "hf://owner/regressor")
    assert push(bundle, "hf://owner/regressor", overwrite=True).startswith("hf://owner/regressor@")


def test_the_hub_is_read_at_a_named_revision_without_pickles(bundle: RegressorBundle, hub: Path) -> None:
    address = push(Separated(MAP), "hf://owner/heads")
    with pytest.raises(BadInput, match=r"expected hf://owner/heads@REVISION, a commit or tag, got none"):
        pull("hf://owner/heads")
    with pytest.raises(BadInput, match=r"got 404.*check name and revision"):
        pull("hf://owner/nothing@main")
    with pytest.raises(BadInput, match="to push to, got a revision too; leave @main out"):
        push(bundle, "hf://owner/heads@main")
    with pytest.raises(BadInput, match=r"expected hf://OWNER/NAME or hf://OWNER/NAME@REVISION, got 'hf://heads'"):
        pull("hf://heads")
    assert load_heads(pull(address).path) == MAP
    (hub / "owner" / "heads" / address.partition("@")[2] / "weights.bin").touch()
    with pytest.raises(BadInput, match=r"got weights.bin, which may hold code"):
        pull(address, overwrite=True)
