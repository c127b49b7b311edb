"""Prompts: the paper's text word for word; the query stands where `said` says, whatever it is made of."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glintbox.errors import BadInput, UnknownName
from glintbox.prompts import LONGEST_QUERY, PROMPTS, tell

NAMES = st.sampled_from(sorted(PROMPTS))
QUERIES = st.text(min_size=1, max_size=30).map(str.strip).filter(bool) | st.sampled_from(
    ["e", "}", "{query}", "{}", "image", "{query}{query}", "[200, 150, 280, 220]", "bbox_2d", "红色的杯子", "🍎"]
)


@given(NAMES, QUERIES)
@settings(deadline=None)
def test_the_query_stands_where_said_and_the_template_around_it(name: str, query: str) -> None:
    told = tell(name, query)
    a, b = told.said
    place = "{expression}" if name == "expression" else "{query}"
    said = told.text[a:b]
    assert said == query or (said == query + "." and name == "expression")
    behind = PROMPTS[name].rsplit(place, 1)[1]
    assert told.text[b:] == behind, "the last place that is the query's own, not a letter of the template"
    assert len(told.text) == len(PROMPTS[name]) + PROMPTS[name].count(place) * (len(said) - len(place))


def test_the_paper_prompt_is_appendix_d_word_for_word() -> None:
    text = tell("paper", "{object_name}").text
    assert (
        hashlib.sha256(text.encode()).hexdigest() == "7daa36a30a119ea6022dac7123a9c56aa3f10532d237d997592bad1f874485d8"
    )
    assert text.splitlines()[0] == "Detect all instances of {object_name} in the image:"
    assert text.splitlines()[-2:] == ['  {"bbox_2d": [350, 180, 420, 270], "label": "{object_name}"}', "]"]
    assert text.count("{object_name}") == 7


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("short", "Detect red cup in the image."),
        ("qwen", "Locate every red cup in the image and output the bbox coordinates in JSON format."),
        (
            "internvl",
            "Please provide the bounding box coordinate of the region this sentence describes: <ref>red cup</ref>",
        ),
        ("llava", "Please provide the bounding box coordinate of the region this sentence describes: red cup."),
    ],
)
def test_prompts_by_name(name: str, text: str) -> None:
    assert tell(name, " red cup\n").text == text


def test_said_by_hand() -> None:
    assert tell("short", "e") == ("Detect e in the image.", (7, 8), "")
    assert tell("short", " cup ").said == (7, 10)


def test_an_answer_may_be_begun() -> None:
    assert tell("begun", "cup") == ("Detect cup in the image.", (7, 10), '[{"bbox_2d": [')
    assert {name for name in PROMPTS if tell(name, "cup").begun} == {"begun"}


def test_every_prompt_has_a_place_for_the_query() -> None:
    assert set(PROMPTS) == {"paper", "short", "qwen", "internvl", "llava", "expression", "expression-as-given", "begun"}
    assert all(("{query}" in text) != ("{expression}" in text) for text in PROMPTS.values())


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("the left cup", "the left cup."),
        (" the left cup \n", "the left cup."),
        ("the left cup.", "the left cup."),
        ("which cup is left?", "which cup is left?"),
        ("that one!", "that one!"),
        ('the sign that says "stop"', 'the sign that says "stop".'),
        ('the sign that says "stop!"', 'the sign that says "stop!"'),
        ("the cup (left.)", "the cup (left.)"),
        ("左边的杯子。", "左边的杯子。"),
        ("a man, left", "a man, left."),
        ("no. 5", "no. 5."),
        ("{query}", "{query}."),
        ("{expression}", "{expression}."),
    ],
)
def test_an_expression_stands_alone_and_ends_as_a_sentence(query: str, text: str) -> None:
    assert tell("expression", query)[:2] == (text, (0, len(text)))
    assert tell("expression-as-given", query)[:2] == (query.strip(), (0, len(query.strip())))


@pytest.mark.parametrize("query", ["", "  \n\t"])
def test_an_empty_query_is_refused(query: str) -> None:
    with pytest.raises(BadInput, match=r"expected a query that names what to look for, got an empty one; say it"):
        tell("short", query)


def test_a_long_query_is_refused() -> None:
    assert tell("short", "x" * LONGEST_QUERY + "  ").text.count("x") == 1000
    with pytest.raises(BadInput, match=r"at most 1,000 characters, got 10,000; name one thing in few words"):
        tell("short", "x" * 10_000)


def test_a_query_of_broken_characters_is_refused() -> None:
    # what Python makes of a command line that is no UTF-8
    with pytest.raises(BadInput, match=r"expected a query in UTF-8, got bytes that are none in 'caf\\udce9'; type it"):
        tell("short", "caf\udce9")


def test_an_unknown_prompt_is_refused_with_the_nearest() -> None:
    with pytest.raises(
        UnknownName, match=r"unknown prompt 'papper'\. Did you mean 'paper'\? Known: begun, expression, ex"
    ):
        tell("papper", "cup")
