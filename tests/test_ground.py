"""From a picture and a query to a Grounding, with a scripted model: what is kept, what is chosen, what is refused."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from glintbox import artifacts
from glintbox.boxes import Box, Size, iou
from glintbox.cli.working import line
from glintbox.collect import candidate_set, sharpest
from glintbox.draw import grounding_figure
from glintbox.errors import BadInput, NoArtifact, SettingMismatch, UnknownName, UnreadableImage
from glintbox.ground import Grounder, grounding
from glintbox.localize import localize
from glintbox.lvlm.api import Prompt
from glintbox.lvlm.loading import load
from glintbox.lvlm.scripted import SHARP, Script, ScriptedLVLM
from glintbox.maps import entropy
from glintbox.model_card import save_folder
from glintbox.records import (
    COORDS,
    CandidateSet,
    Grounding,
    Head,
    HeadMap,
    Sampling,
    ScoredBox,
    Selector,
    Watch,
    from_json,
    to_json,
)
from glintbox.regressor import RegressorBundle, RegressorCard, new_regressor, save_regressor
from glintbox.selectors.acs_learned import predicted_iou
from glintbox.selectors.heads_overlap import overlap_score
from tests.learnable import TRAINING
from tests.lvlm.tiny import tiny_checkpoint

PICTURE = Image.new("RGB", (80, 60), (90, 120, 90))
TRUTH = Box(16, 12, 32, 24)  # 200, 200, 400, 400 in per mille of 80 x 60
GOOD, FAIR, BAD = "[200, 200, 400, 400]", "[200, 200, 400, 500]", "[600, 600, 900, 900]"
SCRIPTS = {
    "cup": Script(greedy=BAD, sampled=(FAIR, f"two: {BAD}, {GOOD}", BAD), truth=TRUTH),
    "none": Script(greedy="[]", sampled=("[]", "There are none."), truth=TRUTH),
    "babble": Script(greedy="la la", sampled=("la la", "[200, 200, 4"), truth=TRUTH),
    "loops": Script(greedy="[2" + "0" * 400, sampled=("[200, 2" + "00" * 200, "[[[[" * 99), truth=TRUTH),
    "outside": Script(greedy="[1200, 1200, 1500, 1500]", sampled=("[-900, 0, -500, 90]", "[9, 9, 9, 9]"), truth=TRUTH),
}


def head_map(lvlm: ScriptedLVLM, *, prompt: str = "scripted") -> HeadMap:
    setting = lvlm.card.setting(prompt=prompt, view="default", moment="predicting")
    return HeadMap(setting, "by hand", {coord: SHARP[:3] for coord in COORDS})


def grounder(*, heads: bool = True) -> Grounder:
    lvlm = ScriptedLVLM(SCRIPTS)
    return Grounder(lvlm, heads=head_map(lvlm) if heads else None)


def test_attention_finds_the_good_box_that_greedy_and_the_first_sample_miss() -> None:
    found = grounder()(PICTURE, "cup", n=3)
    assert found.method == "acs-free" and found.score_kind == "rank"
    assert iou(found.boxes[0].box, TRUTH) == pytest.approx(1)
    assert [iou(box, TRUTH) for box in found.greedy] == [0.0]
    assert "selector auto took acs-free" in found.found.notes[-1]


def test_without_artefacts_auto_takes_consensus_and_says_so() -> None:
    found = grounder(heads=False)(PICTURE, "cup", n=3)
    assert found.method == "consensus"
    assert "no head map or regressor" in found.found.notes[-1]


def test_everything_is_kept_and_survives_json() -> None:
    found = grounder()(PICTURE, "cup", n=3, maps=True)
    kept = found.found
    assert [r.source for r in kept.responses] == ["greedy", "sampled", "sampled", "sampled"]
    assert [c.response for c in kept.candidates] == [0, 1, 2, 2, 3]
    assert {"read", "select"} <= set(kept.timing)
    assert kept.maps is not None and kept.stats is not None
    assert kept.maps.heads == SHARP[:3] and kept.maps.values.shape == (5, 4, 3, 6, 8)
    place = [kept.stats.heads.index(head) for head in kept.maps.heads]
    assert torch.allclose(entropy(kept.maps.values), kept.stats.entropy[:, :, place], atol=1e-6)
    assert from_json(Grounding, to_json(found)).boxes == found.boxes


@pytest.mark.parametrize(
    ("query", "reading"),
    [("none", "none"), ("babble", "unreadable"), ("loops", "unreadable"), ("outside", "unreadable")],
)
def test_no_object_and_unreadable_are_told_apart(query: str, reading: str) -> None:
    found = grounder()(PICTURE, query, n=2)
    assert found.boxes == ()
    assert set(found.found.readings) == {reading}


def test_a_selector_of_ones_own_gets_the_maps_that_it_needs() -> None:
    seen = []

    def choose(found: CandidateSet) -> tuple[ScoredBox, ...]:
        seen.append(found.maps)
        return ()

    for heads in (None, SHARP[1:]):
        grounder()(PICTURE, "cup", n=1, selector=Selector("mine", choose, needs=Watch(heads, maps=True)), maps=True)
    assert [len(maps.heads) for maps in seen if maps is not None] == [12, 3]


def test_pictures_in_memory_are_named_by_their_content() -> None:
    ground, other = grounder(), Image.new("RGB", (80, 60), (9, 9, 9))
    first, second, again = (g.id for g in ground([PICTURE, other, PICTURE.copy()], "cup", n=2))
    assert first == again != second
    assert ground(np.asarray(PICTURE), "cup", n=2).id == first


def test_ids_must_be_as_many_as_pairs() -> None:
    with pytest.raises(BadInput, match="expected one id per pair of picture and query, got 1 for 2"):
        grounder()(PICTURE, ["cup", "none"], ids=["a"])


def test_lists_give_lists_in_order_and_pair_up() -> None:
    ground = grounder()
    several = ground(PICTURE, ["cup", "none"], n=2)
    assert [len(g.boxes) for g in several] == [1, 0]
    assert [g.found.image.width for g in ground([PICTURE, PICTURE.resize((40, 60))], "cup", n=2)] == [80, 40]
    with pytest.raises(BadInput, match="as many queries as images, got 1 and 2"):
        ground([PICTURE, PICTURE], ["cup"])


def test_arrays_and_paths_give_what_pictures_give(tmp_path: object) -> None:
    path = f"{tmp_path}/cup.png"
    PICTURE.save(path)
    ground = grounder()
    boxes = [ground(source, "cup", n=3).boxes for source in (PICTURE, np.asarray(PICTURE), path)]
    assert boxes[0] == boxes[1] == boxes[2]
    assert ground(path, "cup", n=1).id == "cup"


def test_detect_gives_the_hugging_face_shape_best_first() -> None:
    rows = grounder().detect(PICTURE, ["none", "cup"], n=3)
    assert rows and {row["label"] for row in rows} == {"cup"}
    assert set(rows[0]) == {"score", "label", "box"} and set(rows[0]["box"]) == {"xmin", "ymin", "xmax", "ymax"}
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    best = rows[0]["score"]
    assert grounder().detect(PICTURE, ["none", "cup"], n=3, threshold=best) == [r for r in rows if r["score"] == best]
    with pytest.raises(BadInput, match="expected a list of labels"):
        grounder().detect(PICTURE, "cup")  # a str is a sequence of str: types do not tell
    with pytest.raises(BadInput, match="gives no score"):
        grounder().detect(PICTURE, ["cup"], selector="smallest", n=3)


def test_what_cannot_be_is_refused() -> None:
    ground = grounder(heads=False)
    with pytest.raises(NoArtifact, match="glintbox heads calibrate"):
        ground(PICTURE, "cup", selector="acs-free")
    with pytest.raises(NoArtifact, match="needs a regressor"):
        ground(PICTURE, "cup", selector="acs-learned")
    with pytest.raises(UnknownName, match="Did you mean 'smallest'"):
        ground(PICTURE, "cup", selector="smalest")
    with pytest.raises(BadInput, match="n >= 1"):
        ground(PICTURE, "cup", n=0)
    with pytest.raises(BadInput, match="same answer"):
        ground(PICTURE, "cup", temperature=0, n=3)
    with pytest.raises(UnreadableImage):
        ground("missing.png", "cup")


def test_a_head_map_of_another_model_is_refused_with_the_difference() -> None:
    lvlm = ScriptedLVLM(SCRIPTS, rows=5)
    with pytest.raises(SettingMismatch, match=r"pixels: made under 'rows=6 cols=8', here 'rows=5 cols=8'"):
        Grounder(lvlm, heads=head_map(ScriptedLVLM(SCRIPTS)))
    with pytest.raises(SettingMismatch, match="prompt: made under 'paper', here 'scripted'"):
        Grounder(lvlm, heads=head_map(lvlm, prompt="paper"))


def a_regressor(lvlm: ScriptedLVLM, *, view: str = "default") -> RegressorBundle:
    setting = lvlm.card.setting(prompt="scripted", view=view, moment="predicting")
    return new_regressor(RegressorCard(setting, SHARP[:3], 6, 8))


def test_a_regressor_of_another_model_is_refused_with_the_difference() -> None:
    lvlm = ScriptedLVLM(SCRIPTS, rows=5)
    with pytest.raises(
        SettingMismatch, match=r"this regressor belongs .*pixels: made under 'rows=6 cols=8', here 'row"
    ):
        Grounder(lvlm, regressor=a_regressor(ScriptedLVLM(SCRIPTS)))
    assert Grounder(lvlm, regressor=a_regressor(lvlm))(PICTURE, "cup", n=2).method == "acs-learned"


def test_the_regressors_iou_is_the_score_of_the_box_everywhere() -> None:
    lvlm = ScriptedLVLM(SCRIPTS)
    bundle = a_regressor(lvlm)
    ground = Grounder(lvlm, heads=head_map(lvlm), regressor=bundle)
    found = ground(PICTURE, "cup", n=3)
    assert (found.method, found.score_kind) == ("acs-learned", "iou")
    assert "selector auto took acs-learned: this model has a regressor" in found.found.notes
    [(_, score, candidate, *_)] = found.boxes
    expected = predicted_iou(bundle)(found.found)
    assert candidate == int(expected.argmax()) and score == float(expected.max())
    assert from_json(Grounding, to_json(found)).boxes[0].score == score
    assert ground.detect(PICTURE, ["cup"], n=3, multiple=False)[0]["score"] == score
    assert line(found).endswith(f" {score:.2f}  (acs-learned)")
    several = ground(PICTURE, "cup", n=4, multiple=True)
    assert [box.score for box in several.boxes] == [float(predicted_iou(bundle)(several.found)[b.candidate])
                                                    for b in several.boxes if b.candidate is not None]  # fmt: skip
    words = [text.get_text() for axes in grounding_figure(PICTURE, found).axes for text in axes.texts]
    assert f"{score:.2f}" in words


def test_the_setting_is_that_of_the_artefact_that_auto_takes() -> None:
    lvlm = ScriptedLVLM(SCRIPTS)
    setting = replace(head_map(lvlm).setting, moment="predicted")
    later = new_regressor(RegressorCard(setting, SHARP[:3], 6, 8))
    assert Grounder(lvlm, regressor=later).setting.moment == "predicted"
    assert Grounder(lvlm, regressor=later, heads=head_map(lvlm)).setting.moment == "predicted"
    lost = replace(later.card, training=replace(TRAINING, acs_learned=0.1, consensus=0.2))
    both = Grounder(lvlm, regressor=RegressorBundle(lost, later.network), heads=head_map(lvlm))
    assert both.setting.moment == "predicting"


def test_a_regressor_in_the_checkpoint_or_the_cache_is_found_and_auto_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLINTBOX_CACHE", str(tmp_path / "cache"))
    model = tiny_checkpoint(tmp_path / "tiny", "llava", layers=1)
    setting = load(model).card.setting(prompt="llava", view="default", moment="predicting")
    made = new_regressor(RegressorCard(setting, (Head(0, 1),), 8, 8))
    save_regressor(made, model / artifacts.REGRESSOR_FILE)
    assert Grounder.from_pretrained(model).choice("auto")[0].name == "acs-learned"
    lost = replace(TRAINING, acs_learned=0.1, consensus=0.2)
    own = RegressorBundle(replace(made.card, training=lost), made.network)
    save_regressor(own, artifacts.cache_folder(setting) / artifacts.REGRESSOR_FILE)
    ground = Grounder.from_pretrained(model)
    assert ground.regressor is not None and ground.regressor.card.training == lost, "the user's own wins"
    chosen, [why] = ground.choice("auto")
    assert chosen.name == "consensus" and "took consensus: this model's regressor chose the right box in 10.0%" in why
    save_folder(made, tmp_path / "folder")
    assert Grounder.from_pretrained(model, regressor=tmp_path / "folder").choice("auto")[0].name == "acs-learned"


def test_artefacts_of_another_checkpoint_are_refused_however_they_are_given(tmp_path: Path) -> None:
    model, other = (tiny_checkpoint(tmp_path / name, "llava", layers=1) for name in ("here", "there"))
    setting = load(other).card.setting(prompt="llava", view="default", moment="predicting")
    heads = HeadMap(setting, "by hand", {coord: (Head(0, 1),) for coord in COORDS})
    regressor = new_regressor(RegressorCard(setting, (Head(0, 1),), 8, 8))
    artifacts.save_heads(heads, tmp_path / "map.json")
    save_regressor(regressor, tmp_path / "regressor.safetensors")
    odd = r"belongs to another setting \(model: made under 'there@.*', here 'here@.*'\); calibrate one for this model"
    for given in (heads, tmp_path / "map.json", str(tmp_path / "map.json")):
        with pytest.raises(SettingMismatch, match=f"this head map (in .*)?{odd}"):
            Grounder.from_pretrained(model, heads=given)
    for bundle in (regressor, tmp_path / "regressor.safetensors"):
        with pytest.raises(SettingMismatch, match=f"this regressor (in .*)?{odd}"):
            Grounder.from_pretrained(model, regressor=bundle)
    artifacts.save_heads(heads, model / artifacts.HEADS_FILE)
    with pytest.raises(SettingMismatch, match=f"this head map (in .*)?{odd}"):
        Grounder.from_pretrained(model)
    assert Grounder.from_pretrained(other, heads=tmp_path / "map.json").heads == heads


class Thinker(ScriptedLVLM):
    """Opens a thought in every prompt, and writes coordinates below one."""

    def prompt(self, *words: Any, **options: Any) -> Prompt:
        asked = super().prompt(*words, **options)
        frame = asked.frame._replace(size=Size(1, 1))
        return replace(asked, thinking=True, coordinate_token="first_significant_digit", frame=frame)


def test_thoughts_and_the_policy_of_a_prompt_reach_the_candidates() -> None:
    text = "is it [0.5, 0.5, 0.6, 0.6]?</think>[0.2, 0.05, 0.40, 0.4]"
    cut = "[0.5, 0.5, 0.6, 0.6]"
    lvlm = Thinker({"cup": Script(greedy=cut, sampled=(text,), truth=TRUTH)})
    found = Grounder(lvlm)(PICTURE, "cup", n=1).found
    assert found.readings == ("unreadable", "boxes"), "greedy never closed its thought"
    [candidate] = found.candidates
    assert tuple(candidate.box) == pytest.approx((16, 3, 32, 24))
    assert candidate.tokens is not None
    assert [text[token] for token in candidate.tokens] == ["2", "5", "4", "4"]


def test_chunked_reading_equals_reading_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(limit: int) -> Sequence[float]:
        monkeypatch.setattr("glintbox.collect.CHUNK_BYTES", limit)
        lvlm = ScriptedLVLM(SCRIPTS)
        sampling, watch = Sampling(n=3), Watch()
        setting = lvlm.card.setting(prompt="scripted", view="default", moment="predicting")
        for answered in lvlm.answer([lvlm.prompt(PICTURE, "cup", id="a")], sampling, watch):
            found = candidate_set(answered, lvlm.card, sampling=sampling, setting=setting, watch=watch)
        assert found.stats is not None
        return found.stats.entropy.flatten().tolist()

    assert read(1) == read(2**30)


def test_the_sharpest_heads_are_those_that_look_at_the_object() -> None:
    found = grounder(heads=False)(PICTURE, "cup", n=3, maps=True).found
    assert found.stats is not None and found.maps is not None
    assert set(sharpest(found.stats, count=4)) == set(SHARP)
    assert set(SHARP) <= set(found.maps.heads)
    assert isinstance(found.maps.heads[0], Head)


def localizing(lvlm: ScriptedLVLM) -> HeadMap:
    setting = lvlm.card.setting(prompt="expression", view="default", moment="predicting")
    return HeadMap(setting, "by hand", {"text": SHARP[:3]})


def test_heads_overlap_reads_the_expression_once_more_and_chooses_by_its_map() -> None:
    lvlm = ScriptedLVLM(SCRIPTS)
    ground = Grounder(lvlm, localization=localizing(lvlm))
    found = ground(PICTURE, "cup", n=3, selector="heads-overlap")
    assert (found.method, found.score_kind) == ("heads-overlap", "agreement")
    assert found.found.text_map is not None and found.found.text_map.heads == SHARP[:3]
    score = overlap_score(localizing(lvlm))(found.found)
    assert found.boxes[0].score == float(score.max()) > 0 and found.boxes[0].candidate == int(score.argmax())
    read = from_json(Grounding, to_json(found))
    again = grounding(read.found, ground.choice("heads-overlap")[0])
    assert again.boxes[0].candidate == found.boxes[0].candidate, "the map is kept: to choose again costs no model"
    plain = ground(PICTURE, "cup", n=3, selector="consensus")
    assert plain.found.text_map is None and plain.found.candidates == found.found.candidates


def test_the_localization_box_may_be_a_candidate() -> None:
    lvlm = ScriptedLVLM(SCRIPTS)
    ground = Grounder(lvlm, heads=head_map(lvlm), localization=localizing(lvlm))
    [found] = ground.ground([(PICTURE, "cup")], n=3, selector="heads-overlap", located=True)
    added = found.found.candidates[-1]
    assert found.found.responses[added.response].source == "given"
    assert added.box == localize(lvlm, PICTURE, "cup", heads=SHARP[:3]).boxes[0].box
    assert added.box in [box.box for box in found.boxes] or found.boxes[0].score is not None
    [free] = ground.ground([(PICTURE, "cup")], n=3, selector="acs-free", located=True)
    assert free.boxes[0].candidate != len(free.found.candidates) - 1, "nobody wrote it: there is no attention to judge"
    with pytest.raises(NoArtifact, match="expected the localization heads of this model, got none"):
        list(Grounder(lvlm).ground([(PICTURE, "cup")], located=True))


def test_localization_heads_of_another_model_or_of_coordinates_are_refused() -> None:
    lvlm, other = ScriptedLVLM(SCRIPTS), ScriptedLVLM(SCRIPTS, rows=3)
    with pytest.raises(SettingMismatch, match="this map of localization heads belongs to another setting"):
        Grounder(lvlm, localization=localizing(other))
    with pytest.raises(BadInput, match="expected heads for text in the head map"):
        Grounder(lvlm, localization=head_map(lvlm))
