"""What harnesses ask is understood, and a box comes back in the numbers that each of them reads."""

import json
import sys
from importlib import import_module

import pytest

from glintbox.boxes import Box, Size
from glintbox.errors import BadInput, GlintboxError
from glintbox.integrations.tasks import TASKS, answer, fractions, pixels, question
from glintbox.records import ScoredBox
from tests.integrations.seen import found
from tests.kept import FAR, NEAR, result
from tests.sets import IMAGE

DESCRIBES = "Please provide the bounding box coordinate of the region this sentence describes: "
"""As VLMEvalKit asks; lmms-eval says first that numbers are to be between 0 and 1."""

STATED = (
    "Please provide the bounding box coordinate of the object the following statement describes:\n{}\n"
    "Ensure that all details mentioned about the object are accurate."
)


@pytest.mark.parametrize(
    ("prompt", "task", "expression"),
    [
        ("Numbers between 0 and 1. " + DESCRIBES + "the cup on the left", "comprehension", "the cup on the left"),
        (DESCRIBES + "<ref>rightest guy in black</ref>", "comprehension", "rightest guy in black"),
        ('Locate every object that matches the description "cup" in the image. Report bbox coordinates in JSON format.',
         "location", "cup"),
        ('Locate every object that matches the description "left cup", "a "big" cup" in the image. Report bbox …',
         "location", 'left cup, a "big" cup'),
        (STATED.format("A cup.\nIt is red."), "groundingme", "A cup.\nIt is red."),
    ],
)  # fmt: skip
def test_the_expression_is_found_in_each_tasks_prompt(prompt: str, task: str, expression: str) -> None:
    assert question(prompt) == (TASKS[task], expression)


@pytest.mark.parametrize("prompt", ["What colour is the cup?", "", "Provide a short description for this region."])
def test_other_questions_are_refused(prompt: str) -> None:
    with pytest.raises(BadInput, match=r"expected a prompt that asks for the box of an expression, .*leave that task"):
        question(prompt)


def test_numbers_are_fractions_or_pixels_width_and_height_apart() -> None:
    box, image = Box(20, 5, 100, 30.126), Size(200, 50)
    assert fractions(box, image) == "[0.100000, 0.100000, 0.500000, 0.602520]"
    assert pixels(box, image) == '{"bbox_2d": [20, 5, 100, 30.13]}'
    assert "e" not in fractions(Box(1e-5, 1e-5, 1, 1), Size(4000, 3000)), "no harness reads exponents alike"


def test_the_best_box_is_the_answer() -> None:
    two = result(ScoredBox(NEAR, 0.75, 0), ScoredBox(FAR, 0.5, 1))
    assert json.loads(answer(TASKS["groundingme"], two))["bbox_2d"] == list(NEAR)
    told = json.loads(answer(TASKS["comprehension"], two))
    assert [told[0] * IMAGE.width, told[1] * IMAGE.height] == [pytest.approx(NEAR.x1), pytest.approx(NEAR.y1, abs=1e-4)]
    assert [told[2] * IMAGE.width, told[3] * IMAGE.height] == [pytest.approx(NEAR.x2), pytest.approx(NEAR.y2, abs=1e-4)]


@pytest.mark.parametrize("task", TASKS)
def test_an_answer_that_cannot_be_read_is_passed_on_word_for_word(task: str) -> None:
    assert answer(TASKS[task], found("mud")) == "Somewhere, I am sure."


def test_only_a_plain_no_is_said_as_the_tasks_own_no() -> None:
    assert answer(TASKS["groundingme"], found("dog")) == '{"bbox_2d": null}'
    assert answer(TASKS["comprehension"], found("dog")) == "There is none."


@pytest.mark.parametrize(
    ("module", "package", "told"),
    [
        ("lmms_eval", "lmms_eval", r'lmms-eval is not installed; run: pip install "glintbox\[lmms-eval\]"'),
        (
            "vlmevalkit",
            "vlmeval",
            r"expected VLMEvalKit and what it needs, got no package vlmeval.*; .*pip install git\+",
        ),
    ],
)
def test_a_harness_that_is_not_there_is_named_with_the_line_that_brings_it(
    module: str, package: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"glintbox.integrations.{module}", raising=False)
    with pytest.raises(GlintboxError, match=told):
        import_module(f"glintbox.integrations.{module}")
