"""Rivals: boxes come back to the picture's own pixels, the model sees what it should, nothing is asked twice."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from glintbox.boxes import Box, Size, iou
from glintbox.errors import BadInput, UnknownName
from glintbox.lvlm.api import LVLM, Prompt
from glintbox.lvlm.hf import HuggingFaceLVLM
from glintbox.lvlm.loading import assemble
from glintbox.lvlm.scripted import Script, ScriptedLVLM, _Answered
from glintbox.records import Sample, Sampling, Setting, Watch
from glintbox.rivals import Asked, Question, alone, crop, moved, rival_answers, rivals, upscale, widened, window
from tests.lvlm.tiny import picture, tiny_loaded, tiny_model, tiny_processor

SIZE = Size(80, 60)
TRUTH = Box(16, 12, 32, 24)


class Seen(ScriptedLVLM):
    """Answers in turn with the texts given, and remembers the pictures it was shown."""

    def __init__(self, *texts: str) -> None:
        super().__init__({"cup": Script("", ("",), TRUTH)})
        self.texts, self.pictures = list(texts), list[Image.Image]()

    def prompt(self, image: Image.Image, query: str, *, id: str, text: str | None = None) -> Prompt:
        self.pictures.append(image)
        return super().prompt(image, query, id=id, text=text)

    def answer(self, prompts: Iterable[Prompt], sampling: Sampling, watch: Watch | None) -> Iterator[_Answered]:
        for prompt in prompts:
            self._scripts[prompt.query] = Script("", (self.texts.pop(0),), TRUTH)
            yield from super().answer([prompt], sampling, watch)


def setting(lvlm: LVLM) -> Setting:
    return lvlm.card.setting(prompt=lvlm.default_prompt, view="default", moment="predicting")


def question(lvlm: LVLM, image: Image.Image | None = None) -> Question:
    return Question("a", image or picture(*SIZE), "cup", setting(lvlm))


def first(lvlm: LVLM, box: Box | None) -> Asked:
    return Asked("a", "cup", SIZE, setting(lvlm), box, False, 1, 48)


@given(st.floats(0, 79), st.floats(0, 59), st.floats(0.5, 80), st.floats(0.5, 60))
def test_a_window_holds_the_box_keeps_the_picture_s_shape_and_stays_inside(
    x: float, y: float, width: float, height: float
) -> None:
    box = Box(x, y, min(x + width, 80), min(y + height, 60))
    part = window(box, SIZE)
    assert part.x1 >= 0 and part.y1 >= 0 and part.x2 <= 80 + 1e-9 and part.y2 <= 60 + 1e-9
    assert part.width / 80 == pytest.approx(part.height / 60) and part.width >= 40 - 1e-9
    assert part.x1 <= box.x1 + 1e-9 and part.y1 <= box.y1 + 1e-9
    assert part.x2 >= box.x2 - 1e-9 and part.y2 >= box.y2 - 1e-9


def test_windows_by_hand() -> None:
    assert tuple(window(Box(38, 28, 42, 32), SIZE)) == (20, 15, 60, 45)
    assert tuple(window(Box(0, 50, 4, 60), SIZE)) == (0, 30, 40, 60), "clamped at the corner"
    assert tuple(window(Box(20, 10, 50, 20), SIZE)) == (5, 0, 65, 45), "twice as wide as the box"
    assert tuple(window(Box(5, 5, 75, 20), SIZE)) == (0, 0, 80, 60)


@given(st.floats(1, 70), st.floats(1, 50), st.floats(1, 9))
def test_a_box_moved_there_and_back_is_itself(x: float, y: float, side: float) -> None:
    box, whole, part = Box(x, y, x + side, y + side / 2), Box.whole(SIZE), Box(20, 15, 60, 45)
    there = moved(box, whole, part)
    assert (there.width / box.width, there.height / box.height) == pytest.approx((0.5, 0.5))
    x_scale, y_scale = 80 / 40, 60 / 30
    again = ((there.x1 - 20) * x_scale, (there.y1 - 15) * y_scale, (there.x2 - 20) * x_scale, (there.y2 - 15) * y_scale)
    assert again == pytest.approx(tuple(box))


def test_alone_is_greedy_s_first_box_and_its_cost() -> None:
    lvlm = Seen("[200, 200, 400, 400] [0, 0, 9, 9]", "none", "§")
    asked = alone(lvlm, question(lvlm))
    assert asked.box is not None and tuple(asked.box) == pytest.approx(tuple(TRUTH))
    assert (asked.prompts, asked.image_tokens, asked.unreadable, asked.image) == (1, 48, False, SIZE)
    none, odd = alone(lvlm, question(lvlm)), alone(lvlm, question(lvlm))
    assert (none.box, none.unreadable) == (None, False)
    assert (odd.box, odd.unreadable) == (None, True)


def test_crop_asks_about_the_part_around_greedy_s_box_and_brings_the_answer_back() -> None:
    lvlm = Seen("[100, 200, 300, 400]")
    shown = Image.fromarray(np.indices((60, 80)).sum(0).astype(np.uint8)).convert("RGB")  # value x + y
    asked = crop(lvlm)(question(lvlm, shown), first(lvlm, Box(38, 28, 42, 32)))
    [near] = lvlm.pictures
    assert near.size == shown.size
    assert near.getpixel((0, 0)) == pytest.approx((35,) * 3, abs=1), "top left of the window (20, 15)"
    assert near.getpixel((79, 59)) == pytest.approx((103,) * 3, abs=2), "bottom right (60, 45)"
    assert asked.box is not None and tuple(asked.box) == pytest.approx((24, 21, 32, 27))
    assert (asked.prompts, asked.image_tokens) == (2, 96)


def test_crop_without_a_second_box_keeps_the_first_and_without_a_first_asks_nothing() -> None:
    lvlm = Seen("none")
    box = Box(38, 28, 42, 32)
    assert crop(lvlm)(question(lvlm), first(lvlm, box)).box == box
    nothing = first(lvlm, None)
    assert crop(lvlm)(question(lvlm), nothing) is nothing and len(lvlm.pictures) == 1


@pytest.mark.parametrize("model_type", ["qwen2_5_vl", "qwen3_vl"])
def test_a_widened_model_sees_an_enlarged_picture_in_four_times_the_tokens(model_type: str) -> None:
    cell = 28  # px
    bounds = {"shortest_edge": 4 * cell**2, "longest_edge": 12 * cell**2}
    processor = tiny_processor(model_type, size=bounds)
    lvlm = HuggingFaceLVLM(assemble(tiny_model(model_type), processor, id="tight", revision="random"))
    wide = widened(lvlm, 2)
    small = picture(4 * cell, 3 * cell)
    large = small.resize((8 * cell, 6 * cell))
    shown = [each.prompt(image, "red cup", id="a") for each, image in ((lvlm, small), (lvlm, large), (wide, large))]
    assert [prompt.views["default"].grid[:2] for prompt in shown] == [(3, 4), (3, 4), (6, 8)]
    assert lvlm.card.pixels != wide.card.pixels and processor.image_processor.size["longest_edge"] == 12 * cell**2
    asked = question(lvlm, small)
    found = upscale(lvlm)(asked, alone(lvlm, asked))
    assert (found.image_tokens, found.image) == (48, Size(*small.size))


def test_a_box_in_an_enlarged_picture_comes_back_to_its_own_pixels() -> None:
    class Wide(Seen):
        """As a model whose tokens grow with the picture."""

        def prompt(self, image: Image.Image, query: str, *, id: str, text: str | None = None) -> Prompt:
            self._rows, self._cols = image.height // 10, image.width // 10
            return super().prompt(image, query, id=id, text=text)

    lvlm = Wide("[200, 200, 400, 400]")
    asked = upscale(lvlm)(question(lvlm), first(lvlm, None))
    assert [shown.size for shown in lvlm.pictures] == [(160, 120)]
    assert asked.box is not None and tuple(asked.box) == pytest.approx(tuple(TRUTH))
    assert (asked.image, asked.image_tokens, asked.prompts) == (SIZE, 192, 1)


@pytest.mark.parametrize("model_type", ["scripted", "internvl", "llava"])
def test_a_model_of_fixed_size_cannot_be_upscaled_and_says_so(model_type: str) -> None:
    lvlm = Seen("none", "none") if model_type == "scripted" else HuggingFaceLVLM(tiny_loaded(model_type))
    asked = question(lvlm, picture(56, 56))
    with pytest.raises(BadInput, match=r"about 4 times the \d+ image tokens.* leave upscale out, crop works"):
        upscale(lvlm)(asked, alone(lvlm, asked))


def samples(folder: Path, count: int = 2) -> list[Sample]:
    picture(*SIZE).save(folder / "a.png")
    return [Sample(f"case-{k}", folder / "a.png", SIZE, "cup", (TRUTH,)) for k in range(count)]


def test_answers_are_kept_case_by_case_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    lvlm, cases = Seen(*["[200, 200, 400, 400]"] * 5), samples(tmp_path)
    options = dict(setting=setting(lvlm), work=tmp_path / "work")
    said = list(rival_answers(lvlm, cases, {}, **options))  # type: ignore[arg-type]
    assert [list(each) for each in said] == [["greedy"], ["greedy"]] and len(lvlm.texts) == 3
    both = list(rival_answers(lvlm, cases, rivals(lvlm, ["crop"]), **options))  # type: ignore[arg-type]
    assert [list(each) for each in both] == [["greedy", "crop"]] * 2 and len(lvlm.texts) == 1
    assert [each["greedy"] for each in both] == [each["greedy"] for each in said]
    assert list(rival_answers(lvlm, cases, rivals(lvlm, ["crop"]), **options)) == both  # type: ignore[arg-type]
    found = both[0]["crop"].box
    assert found is not None and iou(found, TRUTH) < 0.5, "the same numbers mean another place in the crop"


def test_what_cannot_be_used_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lvlm, cases = Seen(*["none"] * 5), samples(tmp_path, 1)
    options = dict(setting=setting(lvlm), work=tmp_path / "work")
    with pytest.raises(UnknownName, match=r"rival 'corp'\. Did you mean 'crop'"):
        rivals(lvlm, ["corp"])
    list(rival_answers(lvlm, cases, {}, **options))  # type: ignore[arg-type]
    dog = [Sample("case-0", cases[0].image, SIZE, "dog", (TRUTH,))]
    with pytest.raises(BadInput, match=r"case-0\.json is of another query, picture or setting; remove"):
        list(rival_answers(lvlm, dog, {}, **options))  # type: ignore[arg-type]
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"could not keep case case-0 in .*make room and run again"):
        list(rival_answers(lvlm, cases, {}, setting=setting(lvlm), work=tmp_path / "file"))
