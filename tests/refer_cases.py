"""Two cups, and what a scripted model says and looks at: an expression for each, and one without a category."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from glintbox.boxes import Box, Size
from glintbox.compare import Plan
from glintbox.compare_refer import ReferPlan
from glintbox.datasets.referred import Referred
from glintbox.evaluate_refer import filled
from glintbox.looks import by_looks
from glintbox.lvlm.api import Prompt
from glintbox.lvlm.scripted import SHARP, Script, ScriptedLVLM, _Answered
from glintbox.records import HeadMap, Response, Sample, Sampling, Watch
from glintbox.selectors import selector

SIZE = Size(160, 120)  # px; 8 x 6 cells of 20 px
LEFT, RIGHT = Box(10, 10, 70, 70), Box(84, 44, 156, 116)
FAR = "[0, 800, 100, 1000]"


def script(truth: Box, *, greedy: str = FAR) -> Script:
    """Greedy is far off; of the samples one is the truth and two agree on another place."""
    written = [round(1000 * value / extent) for value, extent in zip(truth, (160, 120, 160, 120), strict=True)]
    return Script(greedy, (str(written), "[0, 0, 100, 100]", "[0, 0, 100, 110]"), truth)


SCRIPTS = {
    "the left cup": script(LEFT),
    "the right cup": script(RIGHT),
    "cup": script(LEFT),
    "what to drink from": script(RIGHT),
}


class Told(ScriptedLVLM):
    """Counts the answers and the looks that it was asked for."""

    def __init__(self) -> None:
        super().__init__(SCRIPTS)
        self.asked, self.looked = 0, 0

    def answer(self, prompts: Iterable[Prompt], sampling: Sampling, watch: Watch | None) -> Iterator[_Answered]:
        for answered in super().answer(prompts, sampling, watch):
            self.asked += 1
            yield answered

    def replay(self, told: Iterable[tuple[Prompt, tuple[Response, ...]]], watch: Watch | None) -> Iterator[_Answered]:
        for answered in super().replay(told, watch):
            self.looked += 1
            yield answered


def headmap(lvlm: ScriptedLVLM) -> HeadMap:
    setting = lvlm.card.setting(prompt="expression", view="default", moment="predicting")
    return HeadMap(setting, "a test", {"text": SHARP[:3]})


def expressions(folder: Path) -> list[Referred]:
    path = folder / "7.png"
    Image.new("RGB", SIZE).save(path)

    def one(id: str, query: str, truth: Box, category: str | None = "cup") -> Referred:
        sample = Sample(id, path, SIZE, query, (truth,), filled(truth, SIZE))
        return Referred(sample, category, "position" if category else "", bool(category))

    return [
        one("7-1", "the left cup", LEFT),
        one("7-2", "the right cup", RIGHT),
        one("7-3", "what to drink from", RIGHT, None),
    ]


def plan(lvlm: ScriptedLVLM, work: Path | None, *names: str, **changes: Any) -> ReferPlan:
    setting = lvlm.card.setting(prompt=lvlm.default_prompt, view="default", moment="predicting")
    found = headmap(lvlm)
    made = {
        name: by_looks(found)
        if name == "localization-heads"
        else selector(name, localization=found)
        if name != "greedy"
        else None
        for name in names
    }
    answers = Plan(setting, (Sampling(n=3, temperature=0.7),), made, {}, "made-up", work)
    return replace(ReferPlan(answers), **changes)
