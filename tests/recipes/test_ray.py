"""The recipe on a Ray of this machine: what two workers keep is what one process keeps, also when one is killed.

Skipped where Ray is not installed, as in `make check`; `pip install "glintbox[ray]"` and it runs.
"""

import importlib.util
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from typer.testing import CliRunner

from glintbox.cli.main import app
from glintbox.datasets.scenes import draw_scene, scene_seed
from glintbox.records import CandidateSet
from glintbox.store import Store

pytest.importorskip("ray")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "ray" / "spread.py"
COUNT = 10


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COCO file of scenes, one case each, beside its pictures."""
    folder = tmp_path_factory.mktemp("scenes")
    content: dict[str, list[dict[str, object]]] = {"images": [], "categories": [], "annotations": []}
    labels: list[str] = []
    for k in range(COUNT):
        scene = draw_scene(scene_seed("validation", k), objects=3)
        name, one = f"{k}.png", max(scene.objects, key=lambda found: found.box.area)
        scene.image.save(folder / name)
        content["images"].append({"id": k, "file_name": name, "width": scene.image.width, "height": scene.image.height})
        labels += [one.label] * (one.label not in labels)
        corners = {"bbox": [one.box.x1, one.box.y1, one.box.width, one.box.height]}
        content["annotations"].append({"id": k, "image_id": k, "category_id": labels.index(one.label), **corners})
    content["categories"] = [{"id": number, "name": label} for number, label in enumerate(labels)]
    (folder / "scenes.json").write_text(json.dumps(content))
    return folder / "scenes.json"


def spread(*words: object, code: int = 0, meanwhile: Callable[[subprocess.Popen[str]], None] = lambda _: None) -> str:
    """Run the recipe with two workers; what it told."""
    command = [sys.executable, str(RECIPE), "--workers", "2", "--batch", "2", *map(str, words)]
    own = {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    running = subprocess.Popen(command, cwd=ROOT, env=os.environ | own, stderr=subprocess.PIPE, text=True)
    meanwhile(running)
    told = running.communicate()[1]
    assert running.returncode == code, told
    return " ".join(told.split())


def lines(folder: Path) -> int:
    """Cases that were written, one that was written twice counted twice."""
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("*.jsonl"))


def kill_a_writer(store: Path) -> Callable[[subprocess.Popen[str]], None]:
    """Kill the process that keeps the first case, as soon as it is there."""

    def kill(running: subprocess.Popen[str]) -> None:
        while not lines(store) and running.poll() is None:
            time.sleep(0.05)
        [first] = [path for path in store.glob("*.jsonl") if path.read_bytes()][:1]
        os.kill(int(first.stem.rpartition("-")[2]), signal.SIGKILL)  # a writer's files bear its process's number
        assert lines(store) < COUNT

    return kill


def equal(one: CandidateSet, other: CandidateSet) -> bool:
    """The same answers, boxes and attention of all heads."""
    assert one.stats is not None and other.stats is not None
    entropies = torch.equal(one.stats.entropy, other.stats.entropy)
    return (one.responses, one.candidates) == (other.responses, other.candidates) and entropies


def test_what_a_worker_refuses_is_one_message(data: Path, tmp_path: Path) -> None:
    told = spread("collect", data, tmp_path / "x", "--images", data.parent, "--size", "any", "--heads", "L99", code=2)
    assert "error: BadInput: a worker stopped at case" in told and "BadInput: expected --heads all, none, names" in told
    assert "Traceback" not in told and not (tmp_path / "x").exists()


def test_no_workers_are_refused_before_ray_is_started(data: Path, tmp_path: Path) -> None:
    words = ["collect", data, tmp_path / "x", "--images", data.parent, "--size", "any"]
    told = spread("--workers", 0, *words, code=2)
    assert "expected at least one worker and one case at a time, got 0 and 2" in told and "Ray" not in told


@pytest.mark.filterwarnings("ignore")  # of ray.data's imports
def test_every_command_of_the_pages_parses() -> None:
    spec = importlib.util.spec_from_file_location("spread", RECIPE)
    assert spec is not None and spec.loader is not None
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    group: Any = typer.main.get_command(recipe.app)
    lines = [
        shlex.split(line)
        for page in (RECIPE.with_name("README.md"), ROOT / "docs" / "beyond-one-machine.md")
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.startswith("python recipes/ray/spread.py ")
    ]
    assert len(lines) == 5
    for words in lines:
        at = next(k for k, word in enumerate(words) if word in group.commands)
        assert group.make_context("spread.py", words[2 : at + 1]).params["workers"] in (2, 8)
        assert group.commands[words[at]].make_context(words[at], words[at + 1 :]).params["dataset"] in (
            "scenes",
            "coco",
        )


def test_a_killed_worker_loses_and_doubles_nothing(data: Path, tmp_path: Path) -> None:
    words = ["--images", data.parent, "--size", "any", "--n", 3, "--heads", "L2-L3"]
    alone = CliRunner().invoke(app, [str(word) for word in ("collect", data, tmp_path / "alone", *words)])
    assert alone.exit_code == 0, alone.stderr
    told = spread("collect", data, tmp_path / "spread", *words, meanwhile=kill_a_writer(tmp_path / "spread"))
    assert re.search(rf"{COUNT} cases, \d\.\d kB, for 2 workers", told)
    [processes] = re.findall(rf"{COUNT} cases are kept, from (\d) processes", told)
    one, other = Store(tmp_path / "alone"), Store(tmp_path / "spread")
    assert int(processes) >= 2 and len(list(other.folder.glob("*.jsonl"))) >= 2
    assert one.ids == other.ids and one.card == other.card and len(one) == COUNT
    assert lines(other.folder) == COUNT, "none was drawn again"
    assert len(one.rows.iou) > COUNT
    for case in range(COUNT):
        assert one[case].sample == other[case].sample and equal(one[case].found, other[case].found)
        maps, others = one.with_maps(case).maps, other.with_maps(case).maps
        assert (maps is None) == (others is None) and (maps is None or torch.equal(maps.values, others.values))  # type: ignore[union-attr]


def test_the_answers_of_an_evaluation_come_from_workers_and_its_report_draws_none(data: Path, tmp_path: Path) -> None:
    words = ["--images", data.parent, "--size", "any", "--n", 2, "--selector", "greedy,consensus,acs-free"]
    words += ["--temperature", "0.5,1.0"]
    told = spread("evaluate", data, *words, "--work", tmp_path / "spread")
    assert f"{COUNT} cases are kept" in told and "for the report: glintbox evaluate" in told
    kept = {path: path.read_bytes() for path in (tmp_path / "spread").rglob("*.jsonl")}
    reports = []
    for work in ("spread", "alone"):
        report = CliRunner().invoke(
            app, [str(word) for word in ("evaluate", data, *words, "--work", tmp_path / work, "--json")]
        )
        assert report.exit_code == 0, report.stderr
        reports.append(json.loads(report.stdout))
    assert reports[0] == reports[1] and reports[0]["reports"][0]["n"] == COUNT
    assert {path: path.read_bytes() for path in (tmp_path / "spread").rglob("*.jsonl")} == kept
    assert sum(content.count(b"\n") for content in kept.values()) == 2 * COUNT, "each temperature once"
