from __future__ import annotations

import json

import pytest
from PIL import Image

from benchmarks import capture, finding, locate, store, training
from benchmarks.capture import COMPARISONS, in_own_process, main, row, skipped, spread
from benchmarks.strategies import STRATEGIES, Measurement, measure
from benchmarks.subject import QUICK, Setting, ask, coordinate_sites
from glintbox.boxes import Box, Size
from glintbox.lvlm.scripted import Script, ScriptedLVLM
from glintbox.records import Sample, Site

RANDOM = [name for name in STRATEGIES if not name.startswith("box")]
ROWS = 8 * 2 * 4 * 24  # sites × layers × heads × cells


@pytest.mark.parametrize("name", RANDOM)
def test_every_strategy_keeps_the_rows_it_is_meant_to_keep(name):
    measured = measure(name, QUICK)
    times = {"engine": 0, "generate": 0, "queries together": 2, "queries apart": 2}.get(name, 1)
    assert measured.kept == 2 * times * ROWS
    assert 0 < measured.seconds < 60 and measured.wall > 0 and measured.peak >= 0


def test_coordinates_stand_where_one_to_three_boxes_would_put_them():
    sites = coordinate_sites(Setting())
    assert len(sites) == 64
    assert sites[:5] == [Site(0, 8), Site(0, 12), Site(0, 16), Site(0, 20), Site(1, 8)]
    assert max(site.token for site in sites) == 40


def test_prompts_of_a_setting_share_the_picture_and_differ_after_it():
    first, second = ask(QUICK), ask(QUICK, 1)
    assert len(first.ids) == 140 + 24
    assert first.ids[: first.shared].tolist() == second.ids[: second.shared].tolist()
    assert first.ids.tolist() != second.ids.tolist()


def runs(name: str, seconds: list[float], peak: int) -> list[Measurement]:
    return [Measurement(name, value, value, peak * 2**20, 0) for value in seconds]


def test_a_line_of_the_table_by_hand():
    ours, other = runs("x", [2.0, 1.0, 4.0], 50), runs("y", [20.0, 12.0, 32.0], 200)
    assert spread([3.0, 1.0, 2.0]) == (2.0, 1.0, 3.0)
    cells = [cell.strip() for cell in row("b", ours, other).split("|")[2:-1]]
    assert cells == [
        "2.00 (1.00–4.00) s, 50 MB",
        "20.00 (12.00–32.00) s, 200 MB",
        "10.0 (8.0–12.0)× faster",
        "4.0× leaner",
    ]
    cells = [cell.strip() for cell in row("a", ours, other).split("|")[4:-1]]
    assert cells == ["0.10 (0.08–0.12)× the time", "0.2× the memory"]


def test_a_comparison_that_cannot_be_run_says_why(monkeypatch, tmp_path):
    monkeypatch.setattr("glintbox.embedded.folder", lambda: tmp_path)
    assert skipped("d") == "there is no model in the box yet"
    assert [skipped(key) for key in COMPARISONS if key != "d"] == [None] * 4
    (tmp_path / "config.json").write_text("{}")
    assert skipped("d") is None


def test_the_command_prints_a_table_and_writes_every_run(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(capture, "in_own_process", measure)  # a process each takes too long here
    main(["--quick", "--only", "ab", "--out", str(tmp_path / "runs.json")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("2 answers of 24 tokens, 24 image tokens and 140 words; Qwen2.5-VL class")
    assert [line[:5] for line in lines[-2:]] == ["| (a)", "| (b)"]
    kept = json.loads((tmp_path / "runs.json").read_text())
    assert [run["strategy"] for run in kept["runs"]["a"]] == ["engine+capture", "engine"]
    assert kept["setting"]["image_tokens"] == 24


@pytest.mark.slow
def test_a_strategy_runs_in_a_process_of_its_own():
    measured = in_own_process("engine+capture", QUICK)
    assert (measured.strategy, measured.kept) == ("engine+capture", 2 * ROWS)


def test_a_strategy_that_fails_ends_the_series(monkeypatch):
    monkeypatch.setattr("sys.executable", "false")
    with pytest.raises(SystemExit, match="engine failed:"):
        in_own_process("engine", QUICK)


def test_what_a_store_costs_is_a_line_of_a_table(capsys):
    store.main(["--shape", "quick", "--cases", "2", "--n", "2"])
    heading, rule, line = capsys.readouterr().out.splitlines()
    assert heading.count("|") == rule.count("|") == line.count("|") == 11
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    assert cells[:5] == [
        "quick",
        "2, 4",
        "8",
        f"{8 * (20 + 4 * 24 * 2) / 1000:.1f} kB",
        f"{2 * 4 * 8 * 4 / 1000:.1f} kB",
    ]
    assert all(0 < float(error) < 1e-3 for error in cells[6].split(","))
    assert cells[9].endswith("%")


def test_what_training_costs_is_a_line_of_a_table(capsys):
    training.main(["--cases", "6", "--layers", "2", "--heads", "3", "--side", "5"])
    heading, rule, line = capsys.readouterr().out.splitlines()
    assert heading.count("|") == rule.count("|") == line.count("|") == 8
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    assert cells[:3] == ["2 × 3 heads, 5 × 5 cells, float32", "60", "0.00 GiB"]
    assert all(float(cell.split()[0]) >= 0 for cell in cells[3:])


def small_llava() -> locate.Subject:
    text = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=4, vocab_size=32064)
    vision = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=2)
    vision |= dict(image_size=56, patch_size=14)
    return locate.llava("cpu", text_config=text | {"model_type": "llama"}, vision_config=vision)


@pytest.mark.parametrize("subject", [small_llava(), locate.qwen(QUICK)], ids=["llava", "qwen2.5-vl"])
def test_every_way_to_localize_runs_and_leaves_the_model_as_it_was(subject):
    compared = locate.ways(subject, with_eager=True)
    assert next(iter(compared)) == "one prefill" and len(compared) == 4
    seconds = {name: [locate.timed(way, subject.decoder.model.device)] for name, way in compared.items()}
    lines = locate.rows(seconds)
    assert all(taken.peak == 0 for [taken] in seconds.values()) and "| 1.00 (1.00–1.00) | - |" in lines[0]
    assert subject.decoder.model.config.get_text_config()._attn_implementation == "sdpa"


def test_localizing_is_measured_from_the_command_line(tmp_path, capsys):
    locate.main(["--subject", "quick", "--runs", "2", "--out", str(tmp_path / "runs.json")])
    printed = capsys.readouterr().out
    assert "| locate, heads of layer 0 |" in printed and "| locate, heads of layer 1, the last |" in printed
    kept = json.loads((tmp_path / "runs.json").read_text())
    assert [len(runs) for runs in kept["runs"].values()] == [2, 2, 2]


def test_what_finding_heads_costs_is_a_line_of_a_table(tmp_path):
    Image.new("RGB", (80, 60)).save(tmp_path / "a.png")
    truth = Box(16, 12, 32, 24)
    samples = [Sample(f"{k}-0", tmp_path / "a.png", Size(80, 60), "cup", (truth,)) for k in range(6)]
    lvlm = ScriptedLVLM({"cup": Script("", ("",), truth)})
    costs = finding.measure(lvlm, samples, tmp_path / "kept", maps=True)
    assert costs[:3] == (4, 1, 12) and min(costs) > 0
    heading, rule, line = finding.report(costs._replace(reading=2.0), "scripted").splitlines()
    assert heading.count("|") == rule.count("|") == line.count("|") == 8
    assert line.startswith("| scripted | 12 | 4 (1) | 2.00 s | 500 s (× 250.0) |")
