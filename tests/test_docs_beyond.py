"""The page about many machines keeps its word: its commands parse, its parts are parts, its figures are the code's."""

import re
from pathlib import Path

import pytest

from benchmarks.kept import keep, made_up, with_maps
from glintbox.compare import share_of
from tests.test_first_run import parsed

PAGE = (Path(__file__).parent.parent / "docs" / "beyond-one-machine.md").read_text(encoding="utf-8")
LINES = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL) for line in block.splitlines()]
COMMANDS = [
    line[line.index("glintbox ") :].rstrip(" &")
    for line in LINES
    if re.match(r"(CUDA_VISIBLE_DEVICES=\d )?glintbox ", line)
]


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_parses(line: str) -> None:
    options = parsed(line)
    assert options["model"].startswith("Qwen/Qwen2.5-VL-")
    if options.get("shard"):
        part = options["shard"].replace("$SLURM_ARRAY_TASK_ID", "3")
        assert 0 < len(share_of(range(8), part)) < 8


def test_parts_of_the_page_are_the_whole() -> None:
    halves = [shard for line in COMMANDS if (shard := parsed(line).get("shard")) and "$" not in shard]
    assert len(halves) == 2 and sorted(n for part in halves for n in share_of(range(9), part)) == list(range(9))
    [last] = re.findall(r"--array=1-(\d+)", PAGE)
    assert f"--shard $SLURM_ARRAY_TASK_ID/{last}" in PAGE


@pytest.mark.parametrize("shown", re.findall(r"([\d.,]+(?: [×/] [\d.,]+)+) = ([\d.,]*\d)", PAGE), ids=str)
def test_products_come_out(shown: tuple[str, str]) -> None:
    left, right = (text.replace(",", "").replace("×", "*") for text in shown)
    assert eval(left) == pytest.approx(float(right), rel=0.02)


@pytest.mark.parametrize(("layers", "heads", "maps"), [(28, 28, False), (80, 64, False), (28, 28, True)])
def test_the_measured_figures_are_those_of_the_code(layers: int, heads: int, maps: bool, tmp_path: Path) -> None:
    case = made_up(layers, heads, 10)
    size = keep(with_maps(case) if maps else case, tmp_path) / 1000
    command = f"`python -m benchmarks.kept --layers {layers} --heads {heads} --n 10{' --maps' * maps}`"
    assert f"| {size:.0f} kB | *measured*: {command} |" in PAGE
