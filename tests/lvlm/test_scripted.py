"""The scripted model keeps the protocol: order, greedy apart, closed after advancing, live equals replay."""

import pytest
import torch
from PIL import Image

from glintbox.boxes import Box
from glintbox.errors import BadInput, Closed, UnknownName
from glintbox.lvlm.api import Answered, Prompt
from glintbox.lvlm.scripted import SHARP, Script, ScriptedLVLM
from glintbox.maps import entropy, image_share
from glintbox.records import Head, Sampling, Site, Watch

TRUTH = Box(40, 12, 56, 24)  # its middle lies in row 1 and column 3 of 6 x 8 cells
GOOD, BAD, NONE = "[400, 200, 560, 400]", "a [480, 300, 640, 500]", "nothing there"
SCRIPTS = {"cup": Script(GOOD, (BAD, GOOD, NONE), TRUTH), "dog": Script(NONE, (NONE,), TRUTH)}
DIGIT = 1  # the first digit of GOOD
NOISE = Head(0, 0)


@pytest.fixture
def lvlm() -> ScriptedLVLM:
    return ScriptedLVLM(SCRIPTS)


def prompts(lvlm: ScriptedLVLM, *queries: str) -> list[Prompt]:
    image = Image.new("RGB", (100, 60))
    return [lvlm.prompt(image, query, id=f"{k}-{query}") for k, query in enumerate(queries)]


def test_a_prompt_holds_the_cells_then_the_query(lvlm: ScriptedLVLM) -> None:
    (prompt,) = prompts(lvlm, "cup")
    view = prompt.views["default"]
    assert (view.grid.rows, view.grid.cols) == (6, 8) and len(view.columns) == 48 == prompt.shared
    assert "".join(chr(i) for i in prompt.ids[list(prompt.said)].tolist()) == "cup"
    assert prompt.frame.box((0, 0, 1000, 1000), prompt.image) == Box.whole(prompt.image)


def test_greedy_comes_first_then_the_samples_in_turn(lvlm: ScriptedLVLM) -> None:
    told = [
        (a.prompt.query, [r.text for r in a.responses])
        for a in lvlm.answer(prompts(lvlm, "dog", "cup"), Sampling(n=4), None)
    ]
    assert told == [("dog", [NONE] * 5), ("cup", [GOOD, BAD, GOOD, NONE, BAD])]
    (answered,) = lvlm.answer(prompts(lvlm, "cup"), Sampling(n=2, greedy_too=False), None)
    assert [r.source for r in answered.responses] == ["sampled", "sampled"]
    assert isinstance(answered, Answered)


def test_spans_tile_the_text_and_long_answers_are_cut(lvlm: ScriptedLVLM) -> None:
    (answered,) = lvlm.answer(prompts(lvlm, "cup"), Sampling(n=3, max_new_tokens=13), None)
    for response in answered.responses:
        assert "".join(response.text[a:b] for a, b in response.spans) == response.text
        assert len(response.ids) == len(response.spans) == len(response.entropy or ())
    assert [(len(r.text), r.ended) for r in answered.responses] == [(13, "length")] * 3 + [(13, "stop")]


def test_doubt_is_low_in_a_good_box_and_zero_outside_boxes(lvlm: ScriptedLVLM) -> None:
    (answered,) = lvlm.answer(prompts(lvlm, "cup"), Sampling(n=1), None)
    good, bad = (response.entropy or () for response in answered.responses)
    assert good[DIGIT] == pytest.approx(0) and bad[3] > 0.5 and bad[0] == 0


def test_sharp_heads_look_at_the_truth_the_sharper_the_better_the_box(lvlm: ScriptedLVLM) -> None:
    for answered in lvlm.answer(prompts(lvlm, "cup"), Sampling(n=1), Watch()):
        maps = answered.read([Site(0, DIGIT), Site(1, 3)], Watch(heads=(SHARP[0], NOISE)))
    assert maps.shape == (2, 2, 6, 8)
    assert divmod(int(maps[0, 0].argmax()), 8) == (1, 3)
    spread = entropy(maps)
    assert spread[0, 0] + 1 < spread[1, 0]
    assert spread[0, 1] == pytest.approx(spread[1, 1].item(), abs=0.3)
    assert torch.allclose(image_share(maps), torch.tensor([0.4, 0.2]).expand(2, 2))


def test_while_the_query_is_read_sharp_heads_look_at_the_truth(lvlm: ScriptedLVLM) -> None:
    (prompt,) = prompts(lvlm, "cup")
    for answered in lvlm.replay([(prompt, ())], Watch()):
        maps = answered.read([Site(-1, prompt.said[-1]), Site(-1, 0)], Watch(heads=SHARP[:1]))
    assert divmod(int(maps[0, 0].argmax()), 8) == (1, 3)
    assert entropy(maps)[0, 0] + 1 < entropy(maps)[1, 0]


def test_live_equals_replay_in_another_order(lvlm: ScriptedLVLM) -> None:
    (prompt,) = prompts(lvlm, "cup")
    for answered in lvlm.answer([prompt], Sampling(n=2), Watch()):
        responses, live = answered.responses, answered.read([Site(0, 1), Site(1, 3), Site(2, 1)], Watch())
    for answered in lvlm.replay([(prompt, responses[::-1])], Watch()):
        again = answered.read([Site(2, 1), Site(1, 3), Site(0, 1)], Watch())
    assert live.shape[1] == 12 and torch.equal(live, again)


def test_reading_after_the_iterator_has_moved_on_is_refused(lvlm: ScriptedLVLM) -> None:
    first, second = (lvlm.answer(prompts(lvlm, "cup", "dog"), Sampling(n=1), Watch()) for _ in range(2))
    early = next(first)
    assert early.read([Site(0, 1)], Watch()).shape[0] == 1
    next(first)
    late = next(second)
    second.close()  # type: ignore[attr-defined]  # a generator behind the Iterator
    for answered in (early, late):
        with pytest.raises(Closed, match="expected an open answer"):
            answered.read([Site(0, 1)], Watch())


def test_what_was_not_watched_cannot_be_read(lvlm: ScriptedLVLM) -> None:
    for watched in (None, Watch(heads=(NOISE,))):
        for answered in lvlm.answer(prompts(lvlm, "cup"), Sampling(n=1), watched):
            with pytest.raises(BadInput, match="watched while answering, got L1H0"):
                answered.read([Site(0, 1)], Watch(heads=(SHARP[0],)))


def test_what_does_not_exist_cannot_be_read(lvlm: ScriptedLVLM) -> None:
    for answered in lvlm.answer(prompts(lvlm, "cup"), Sampling(n=1), Watch()):
        with pytest.raises(UnknownName, match="unknown view 'tiles'"):
            answered.read([Site(0, 1)], Watch(view="tiles"))
        with pytest.raises(BadInput, match="got L9H9"):
            answered.read([Site(0, 1)], Watch(heads=(Head(9, 9),)))
        for site in (Site(2, 0), Site(0, 99), Site(-2, 0), Site(0, -1)):
            with pytest.raises(BadInput, match=r"expected a token of one of 2 responses .* got Site"):
                answered.read([site], Watch())
        assert answered.read([], Watch()).shape == (0, 12, 6, 8)


def test_an_unknown_query_prompt_or_an_empty_script_is_refused(lvlm: ScriptedLVLM) -> None:
    with pytest.raises(UnknownName, match=r"unknown query 'cups'\. Did you mean 'cup'"):
        prompts(lvlm, "cups")
    with pytest.raises(UnknownName, match="unknown prompt 'paper'"):
        lvlm.prompt(Image.new("RGB", (9, 5)), "cup", id="a", text="paper")
    with pytest.raises(BadInput, match="at least one sampled text"):
        Script(GOOD, (), TRUTH)
    with pytest.raises(BadInput, match="at least 1 x 1 cells, got 0 x 8"):
        ScriptedLVLM(SCRIPTS, rows=0)
