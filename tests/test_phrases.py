"""Spans of an expression: what is marked is taken as marked, the rest by one simple rule that is written down."""

import pytest

from glintbox.errors import BadInput
from glintbox.phrases import Phrase, phrased


def words(expression: str) -> list[str]:
    return [phrase.text for phrase in phrased(expression).phrases]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("the owl", ["the owl"]),
        ("the owl and the red scissors", ["the owl", "the red scissors"]),
        ("the owl, the cat, and the dog.", ["the owl", "the cat", "the dog"]),
        ("a cup; a bowl & a knife or a spoon!", ["a cup", "a bowl", "a knife", "a spoon"]),
        ("the cup As Well As the bowl", ["the cup", "the bowl"]),
        ("the band on the left", ["the band on the left"]),
        ("the rock-and-roll guitar", ["the rock-and-roll guitar"]),
        ("1,000 birds", ["1,000 birds"]),
        ("红色的杯子，猫", ["红色的杯子", "猫"]),
        ("the black and white cat", ["the black", "white cat"]),  # the rule knows no grammar: brackets do
    ],
)
def test_without_marks_commas_and_a_few_words_divide(expression: str, expected: list[str]) -> None:
    assert words(expression) == expected
    assert phrased(expression).text == expression


@pytest.mark.parametrize(
    ("expression", "text", "expected"),
    [
        ("[the owl] next to [the red scissors]", "the owl next to the red scissors", ["the owl", "the red scissors"]),
        ("[the black and white cat], asleep", "the black and white cat, asleep", ["the black and white cat"]),
        (" [ the owl ] and a dog", "the owl  and a dog", ["the owl"]),
        ("the [owl]'s [eye].", "the owl's eye.", ["owl", "eye"]),
    ],
)
def test_marks_are_taken_off_and_only_what_they_hold_is_a_span(expression: str, text: str, expected: list[str]) -> None:
    assert phrased(expression).text == text
    assert words(expression) == expected


@pytest.mark.parametrize(
    "expression", ["  the owl, the owl and the owl. ", " [the owl] or [ the owl]", "[a] b [a]", "x"]
)
def test_the_characters_of_a_span_are_its_words(expression: str) -> None:
    text, phrases = phrased(expression)
    assert text == text.strip()
    assert all(text[start:end] == said == said.strip() != "" for said, start, end in phrases)
    ends = [0, *(phrase.end for phrase in phrases)]
    assert all(end <= phrase.start for end, phrase in zip(ends, phrases, strict=False)), "in order, none overlaps"


def test_the_second_of_two_like_spans_is_not_the_first() -> None:
    assert phrased("a cup and a cup").phrases == (Phrase("a cup", 0, 5), Phrase("a cup", 10, 15))


@pytest.mark.parametrize("expression", ["the owl and", "and the owl", ", the owl", "the owl,.", "[] next to it", "[ ]"])
def test_a_span_without_words_is_refused(expression: str) -> None:
    with pytest.raises(BadInput, match=r"expected words in every span of .*, got an empty one; name a thing on both"):
        phrased(expression)


@pytest.mark.parametrize("expression", ["the owl]", "[the [owl]]", "]the owl["])
def test_brackets_that_do_not_match_are_refused(expression: str) -> None:
    with pytest.raises(BadInput, match=r"expected brackets in pairs, none inside another, as in .*, got"):
        phrased(expression)


def test_a_bracket_that_stays_open_is_refused() -> None:
    with pytest.raises(BadInput, match="expected a bracket that closes the last one opened, got none in"):
        phrased("[the owl] and [the dog")
