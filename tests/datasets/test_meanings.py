"""What each phrase says, and of which objects it holds: by hand, on layouts that one can draw."""

from __future__ import annotations

from itertools import product

import pytest

from glintbox.datasets.art import COLORS, categories
from glintbox.datasets.meanings import (
    ALIKE,
    KIN,
    ORDERS,
    PAIRS,
    POSITIONS,
    Described,
    Part,
    Truth,
    Truths,
    beside,
    both,
    closest,
    colored,
    graded,
    positioned,
    ranked,
    sized,
)
from tests.datasets.layouts import laid_out

CHAIR, DOG = Described("chair"), Described("dog")

ROW = laid_out(  # 200 x 100: a big dog on the left, a chair in the middle, a small dog, a middling one in the corner
    ("dog", (0, 20, 60, 80)),
    ("chair", (90, 40, 110, 60)),
    ("dog", (130, 45, 140, 55)),
    ("dog", (170, 60, 200, 90)),
)


@pytest.mark.parametrize(
    ("text", "parts", "dogs"),
    [
        ("the dog", (), (True, True, True)),
        ("the small dog", (sized("small"),), (False, True, False)),
        ("the large dog", (sized("large"),), (True, False, None)),
        ("the largest dog", (ranked("large", 1),), (True, False, False)),
        ("the smallest dog", (ranked("small", 1),), (False, True, False)),
        ("the second largest dog", (ranked("large", 2),), (False, False, True)),
        ("the leftmost dog", (ranked("left", 1),), (True, False, False)),
        ("the second dog from the left", (ranked("left", 2),), (False, True, False)),
        ("the third dog from the right", (ranked("right", 3),), (True, False, False)),
        ("the topmost dog", (ranked("top", 1),), (None, None, False)),  # the two centres are level
        ("the bottommost dog", (ranked("bottom", 1),), (False, False, True)),
        ("the dog left of the chair", (beside("left of", CHAIR),), (True, False, False)),
        ("the dog right of the chair", (beside("right of", CHAIR),), (False, True, True)),
        ("the dog above the chair", (beside("above", CHAIR),), (False, False, False)),
        ("the dog closest to the chair", (closest(CHAIR),), (False, True, False)),
        ("the dog on the left side of the picture", (positioned("on the left side"),), (True, False, False)),
        ("the dog on the right side of the picture", (positioned("on the right side"),), (False, None, True)),
        ("the dog at the bottom of the picture", (positioned("at the bottom"),), (False, False, True)),
        ("the dog in the middle of the picture", (positioned("in the middle"),), (False, None, False)),
        (
            "the dog in the bottom right corner of the picture",
            (positioned("in the bottom right corner"),),
            (False, False, True),
        ),
        (
            "the small dog right of the chair",
            (sized("small"), beside("right of", CHAIR)),
            (False, True, False),
        ),
    ],
)
def test_a_phrase_reads_well_and_holds_where_one_would_say_it(text: str, parts: tuple[Part, ...], dogs: Truths) -> None:
    phrase = Described("dog", parts)
    assert phrase.text == text
    assert phrase.judge(ROW) == (dogs[0], False, *dogs[1:])


def test_of_two_the_words_are_others() -> None:
    orders = [(order, Described("dog", (ranked(order, 1, of_two=True),)).text) for order in ORDERS]
    assert orders == [
        ("left", "the left dog"),
        ("right", "the right dog"),
        ("top", "the upper dog"),
        ("bottom", "the lower dog"),
        ("large", "the larger dog"),
        ("small", "the smaller dog"),
    ]
    assert Described("dog", (closest(CHAIR, of_two=True),)).text == "the dog closer to the chair"


def test_words_before_the_noun_stand_in_the_english_order() -> None:
    assert Described("car", (colored("red"), sized("small"), beside("left of", CHAIR))).text == (
        "the small red car left of the chair"
    )


def test_small_is_said_among_what_the_words_after_it_name() -> None:
    cars = laid_out(("car", (0, 0, 10, 10), "red"), ("car", (30, 0, 60, 30), "red"), ("car", (80, 0, 170, 90), "blue"))
    assert Described("car", (sized("large"),)).target(cars) is None  # the second lies between the first and the third
    assert Described("car", (colored("red"), sized("large"))).target(cars) == 1


@pytest.mark.parametrize("label", sorted(PAIRS))
def test_things_in_pairs_are_counted_as_pairs(label: str) -> None:
    assert Described(label, (ranked("top", 2),)).text == f"the second pair of {label} from the top"


def test_a_colour_is_doubtful_where_it_is_natural_or_nearly_the_same() -> None:
    cars = laid_out(
        *(("car", (x, 10, x + 20, 30), c) for x, c in ((0, "red"), (40, "blue"), (80, "orange"), (120, None)))
    )
    assert Described("car", (colored("red"),)).judge(cars) == (True, False, None, None)
    assert Described("car", (colored("blue"),)).target(cars) is None
    sure = laid_out(*(("car", (x, 10, x + 20, 30), c) for x, c in ((0, "red"), (40, "blue"), (80, "blue"))))
    assert Described("car", (colored("red"),)).target(sure) == 0
    assert Described("car", (colored("blue"),)).target(sure) is None


def test_what_some_would_call_by_the_same_name_is_in_doubt() -> None:
    road = laid_out(("car", (0, 10, 20, 30)), ("taxi", (60, 10, 80, 30)))
    assert Described("car").judge(road) == (True, None)
    assert Described("car").target(road) is None
    assert Described("taxi").target(road) == 1
    assert Described("car", (ranked("left", 1),)).target(road) is None


def test_sizes_that_hardly_differ_are_neither_small_nor_large() -> None:
    dogs = laid_out(("dog", (0, 0, 20, 20)), ("dog", (50, 0, 80, 30)))  # 2.25 times the area
    for word in ("small", "large"):
        assert Described("dog", (sized(word),)).judge(dogs) == (None, None)
    assert Described("dog", (ranked("large", 1, of_two=True),)).target(dogs) == 1
    nearly = laid_out(("dog", (0, 0, 20, 20)), ("dog", (50, 0, 75, 25)))  # 1.6 times
    assert Described("dog", (ranked("large", 1, of_two=True),)).judge(nearly) == (None, None)


@pytest.mark.parametrize(
    ("corners", "truth"),
    [
        ((20, 40, 40, 60), True),  # level
        ((55, 0, 75, 15), None),  # 51° up
        ((85, 0, 105, 15), False),  # above
        ((150, 40, 170, 60), False),  # right
        ((80, 40, 99, 60), None),  # half of it before the chair's edge
        ((88, 41, 98, 60), None),  # upon the chair
    ],
)
def test_left_is_doubtful_where_above_or_upon_would_be_said_too(
    corners: tuple[float, float, float, float], truth: Truth
) -> None:
    scene = laid_out(
        ("chair", (80, 40, 120, 60)) if corners[2] != 99 else ("chair", (90, 40, 110, 60)), ("dog", corners)
    )
    assert Described("dog", (beside("left of", CHAIR),)).judge(scene)[1] == truth


def test_relations_need_one_anchor_that_is_something_else() -> None:
    two = laid_out(("chair", (0, 0, 20, 20)), ("chair", (100, 0, 120, 20)), ("dog", (50, 50, 60, 60)))
    assert Described("dog", (beside("left of", CHAIR),)).judge(two) == (False, False, None)
    assert Described("dog", (closest(CHAIR),)).target(two) is None
    assert Described("dog", (beside("left of", DOG),)).judge(laid_out(("dog", (0, 0, 9, 9)))) == (False,)
    assert Described("dog", (closest(DOG),)).judge(laid_out(("dog", (0, 0, 9, 9)))) == (None,)


def test_judgements_combine_as_three_valued_logic() -> None:
    for one, other in product((True, False, None), repeat=2):
        assert both(one, other) == both(other, one)
        assert both(one, False) is False
        assert both(one, True) is one
    assert both(None, None) is None
    assert [graded(value, 1, 2) for value in (0.5, 1, 1.5, 2, 3)] == [True, True, None, False, False]


def test_the_tables_speak_of_what_the_scenes_can_hold() -> None:
    known = set(categories())
    assert set(KIN) <= known and set().union(*KIN.values()) <= known
    assert known >= PAIRS
    assert set().union(*ALIKE) <= set(COLORS) and all(len(pair) == 2 for pair in ALIKE)
    assert len(POSITIONS) == 9
