"""The page for a first run keeps its word: its commands parse, its Python runs, its figures are the code's."""

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer

from benchmarks.kept import ANSWER, TOKENS, keep, made_up
from glintbox.cli.main import app
from glintbox.datasets.coco import read_coco
from glintbox.prompts import tell
from tests.lvlm.tiny_text import qwen_tokenizer

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "first-run.md").read_text()
LINES = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL) for line in block.splitlines()]
COMMANDS = [line for line in LINES if line.startswith("glintbox ")]


def parsed(line: str) -> dict[str, Any]:
    """The options that a command would run with; raises UsageError where typing the line would."""
    command, words = typer.main.get_command(app), shlex.split(line, comments=True)[1:]
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    return dict(command.make_context(command.name, words).params)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_page_parses(line: str) -> None:
    options = parsed(line)
    assert options.get("model", "Qwen/Qwen2.5-VL-7B-Instruct") == "Qwen/Qwen2.5-VL-7B-Instruct", "the page's model"


def test_the_page_goes_the_whole_way() -> None:
    names = [" ".join(re.findall("[a-z]+", line.split("Qwen")[0])[:3]) for line in COMMANDS]
    for name in ("glintbox doctor", "glintbox heads calibrate", "glintbox heads show", "glintbox ground"):
        assert any(one.startswith(name) for one in names)
    assert parsed(COMMANDS[-1])["selector"] == "greedy,consensus,acs-free"
    assert "calibration.json" in PAGE and parsed(COMMANDS[-1])["dataset"] == "evaluation.json"


def test_this_test_can_fail() -> None:
    for line in ("glintbox heads calibrate --data x.json", "glintbox ground", "glintbox heads calibrate --limit many"):
        with pytest.raises(Exception, match=r"No such option|Missing|valid integer"):
            parsed(line)


def test_the_halves_share_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "tests" / "data" / "coco" / "instances.json", "instances_val2017.json")
    [code] = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    exec(compile(code, "first-run.md", "exec"), {})
    halves = [read_coco(Path(f"{name}.json")) for name in ("calibration", "evaluation")]
    whole = read_coco(Path("instances_val2017.json"))
    assert set(halves[0].pictures) ^ set(halves[1].pictures) == set(whole.pictures)
    assert all(half.pictures for half in halves)
    assert dict(halves[0].pairs) | dict(halves[1].pairs) == dict(whole.pairs)
    assert len(json.loads(Path("calibration.json").read_bytes())["categories"]) == len(whole.names)


def test_the_measured_figures_are_those_of_the_code(tmp_path: Path) -> None:
    tokenizer = qwen_tokenizer()
    answer, more = ANSWER, ANSWER.replace("\n]", ',\n\t{"bbox_2d": [375, 245, 534, 374], "label": "bicycle"}\n]')
    told, one, two = (len(tokenizer.encode(text)) for text in (tell("paper", "bicycle").text, answer, more))
    assert f"| {told} tokens |" in PAGE and f"| {one} tokens |" in PAGE and one == TOKENS
    assert f"{two - one} more for each further box" in PAGE
    assert f"prints {keep(made_up(28, 28, 10), tmp_path) / 1000:.0f} kB for ten" in PAGE


@pytest.mark.parametrize("shown", re.findall(r"([\d.,]+(?: [+×] [\d.,]+)+) = \**([\d.,]+)\**", PAGE), ids=str)
def test_sums_and_products_come_out(shown: tuple[str, str]) -> None:
    left, right = (text.replace(",", "").replace("×", "*") for text in shown)
    assert eval(left) == pytest.approx(float(right), rel=0.02)
