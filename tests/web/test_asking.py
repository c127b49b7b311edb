"""What is asked in words, and that every choice of a page is what `Grounder.ground` gives."""

import json
from typing import Any

import pytest

from glintbox.errors import BadInput, NoArtifact, UnreadableImage
from glintbox.images import open_image
from glintbox.localize import METHOD
from glintbox.records import Grounding, to_json
from glintbox.web.asking import LOOKED, NAMES, Asked, Choice, Limits, asked, find, look, weight
from tests.web.scripted_page import a_grounder, a_picture

LIMITS = Limits()
CUP = asked({"name": "my cup.png", "query": " cup ", "n": "4", "temperatures": "0.7, 0.5"}, LIMITS)


def plain(grounding: Grounding) -> Any:
    """As JSON without its seconds."""
    told = json.loads(to_json(grounding))
    told["found"].pop("timing")
    return told


def test_words_become_a_question_named_as_the_command_line_names_it() -> None:
    assert (CUP.name, CUP.query, [s.temperature for s in CUP.samplings]) == ("my_cup", "cup", [0.7, 0.5])
    assert {(s.n, s.seed, s.top_p, s.top_k, s.max_new_tokens) for s in CUP.samplings} == {(4, 0, 0.9, 100, 512)}
    usual = asked({"query": "cup", "name": "C:\\pictures\\a.b.jpg", "seed": "-3"}, LIMITS)
    assert usual.name == "a.b" and [(s.n, s.temperature, s.seed) for s in usual.samplings] == [(10, 0.7, -3)]
    assert [asked({"query": "a", "name": name}, LIMITS).name for name in ("scene", "../../etc/passwd", "")] == [
        "scene",
        "passwd",
        "picture",
    ]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"query": "  "}, "expected 1 to 300 characters that say what to find, got 0"),
        ({"query": "a" * 301}, "expected 1 to 300 characters .* got 301"),
        ({"n": "31"}, "expected 1 to 30 samples per temperature, got 31"),
        ({"n": "two"}, "expected a whole number for n, got 'two'"),
        ({"seed": "9" * 40}, "expected a whole number for seed"),
        ({"temperatures": "hot"}, "expected a number for a temperature, got 'hot'"),
        ({"temperatures": "0"}, "expected 1 to 3 temperatures in 0 to 5"),
        ({"temperatures": "nan"}, "expected 1 to 3 temperatures in 0 to 5"),
        ({"temperatures": ","}, "expected 1 to 3 temperatures"),
        ({"temperatures": "1,2,3,4"}, "expected 1 to 3 temperatures"),
    ],
)
def test_words_out_of_range_are_refused(words: dict[str, str], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        asked({"query": "cup"} | words, LIMITS)


@pytest.mark.parametrize("artefacts", [False, True], ids=["alone", "with artefacts"])
def test_every_choice_is_what_the_library_gives_or_says_why_not(artefacts: bool) -> None:
    grounder, picture = a_grounder(artefacts=artefacts), a_picture()
    found = find(grounder, picture, CUP, LIMITS)
    assert set(found.results) == {Choice(t, name, many) for t in (0.7, 0.5) for name in NAMES for many in (False, True)}
    for made, result in found.results.items():
        options: dict[str, Any] = dict(selector=made.selector, multiple=made.multiple, n=4, ids=["my_cup"])
        if isinstance(result, str):
            with pytest.raises((BadInput, NoArtifact)) as refused:
                next(grounder.ground([(open_image(picture), "cup")], **options))
            assert str(refused.value) == result
            continue
        [like] = grounder.ground([(open_image(picture), "cup")], temperature=made.temperature, **options)
        assert plain(result) == plain(like), made
    refused_names = {made.selector for made, result in found.results.items() if isinstance(result, str)}
    assert refused_names == {"majority-vote", "mean-box"} | (
        set() if artefacts else {"acs-free", "acs-learned", "heads-overlap"}
    )


def test_of_the_maps_only_those_to_be_shown_are_kept() -> None:
    found = find(a_grounder(artefacts=True), a_picture(), CUP, LIMITS)
    learned, usual = found.results[Choice(0.7, "acs-learned")], found.read[0.7]
    assert isinstance(learned, Grounding) and usual.maps is not None and learned.found.maps is usual.maps
    tensors = weight(found) - len(found.picture)
    again = find(a_grounder(artefacts=True), a_picture(), CUP._replace(samplings=CUP.samplings[:1]), LIMITS)
    assert 1.8 < tensors / (weight(again) - len(again.picture)) < 2.2, "each temperature weighs the same"
    assert weight(again) > usual.maps.values.nbytes + len(found.picture)


def test_localization_heads_are_asked_without_any_answer() -> None:
    question = Asked("a", "cup")
    found = look(a_grounder(artefacts=True), a_picture(), question, LIMITS)
    result = found.results[LOOKED]
    assert isinstance(result, Grounding) and result.method == METHOD and result.boxes and not result.found.responses
    assert weight(found) > len(found.picture)
    with pytest.raises(NoArtifact, match="find some with: glintbox heads find"):
        look(a_grounder(), a_picture(), question, LIMITS)


def test_pictures_that_are_none_or_too_large_are_refused() -> None:
    with pytest.raises(UnreadableImage, match="the bytes: expected a picture"):
        find(a_grounder(), b"no picture", CUP, LIMITS)
    with pytest.raises(UnreadableImage, match="expected at most 99 pixels, got 120×80"):
        find(a_grounder(), a_picture(), CUP, Limits(pixels=99))
