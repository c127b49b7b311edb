from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from benchmarks import capture, failure_cases, failures, finding, locate, spans, store, throughput, told, training
from benchmarks.capture import COMPARISONS, in_own_process, main, row, skipped, spread
from benchmarks.draw_failures import failures_figure
from benchmarks.strategies import STRATEGIES, Measurement, measure
from benchmarks.subject import QUICK, Setting, ask, coordinate_sites
from glintbox.boxes import Box, Size
from glintbox.draw import save_figure
from glintbox.evaluate_refer import filled
from glintbox.localize import text_maps
from glintbox.localize_spans import spoken
from glintbox.lvlm.scripted import SHARP, Script, ScriptedLVLM
from glintbox.masks import encode
from glintbox.records import HeadMap, Sample, Site, TextMaps

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


@pytest.mark.parametrize(
    "words", [["--shape", "quick", "--image-tokens", "24", "--tokens", "24"], ["--shape", "box", "--dtype", "float32"]]
)
def test_what_answering_several_at_a_time_brings_is_a_line_of_a_table(words, capsys):
    throughput.main([*words, "--cases", "3", "--batches", "1,2", "--rounds", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1].strip() for line in lines[:4]] == ["prompts at a time", "---", "1", "2"]
    assert lines[2].split("|")[3].strip() == "1.00x (1.00-1.00)"
    assert all(line.split("|")[4].strip() == "3 of 3" for line in lines[2:4])


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


BOXES = (Box(0, 0, 30, 20), Box(40, 30, 80, 60), Box(50, 0, 70, 20))


@pytest.fixture
def scene(tmp_path):
    """Two owls and a cup in 80 x 60 px, cells of 10 px; the second owl is an L."""
    Image.new("RGB", (80, 60), "gray").save(tmp_path / "a.png")
    size = Size(80, 60)
    bent = np.zeros((60, 80), dtype=bool)
    bent[30:60, 40:46] = bent[54:60, 40:80] = True
    masks = (filled(BOXES[0], size), encode(bent), filled(BOXES[2], size))
    things = tuple(told.Thing(*one) for one in zip(("owl", "owl", "cup"), BOXES, masks, strict=True))
    words = (("the left owl", "ordinal", 0), ("the right owl", "ordinal", 1), ("the cup", "category", 2))
    return told.Told("11000000", tmp_path / "a.png", size, things, tuple(told.Said(*one) for one in words))


def scripted(**truths):
    """Sharp heads look at the box of each text."""
    lvlm = ScriptedLVLM({text: Script("", ("",), box) for text, box in truths.items()})
    setting = lvlm.card.setting(prompt="expression", view="default", moment="predicting")
    return lvlm, HeadMap(setting, "by hand", {"text": SHARP[:3]})


def test_spans_of_a_joined_expression_are_judged_in_every_way(scene):
    asked = spans.Joined(scene, (scene.said[2], scene.said[1]))
    assert asked.text == "the cup and the right owl" and [thing.label for thing in asked.things] == ["cup", "owl"]
    texts = {asked.text: BOXES[2], "the cup": BOXES[2], "the right owl": BOXES[1]}
    lvlm, headmap = scripted(**texts)
    maps = spans.looked(lvlm, asked, headmap)
    cases = {way: [spans.judged(asked, some)] for way, some in maps.items()}
    assert tuple(cases) == spans.WAYS
    (cup, owl), (alone_cup, alone_owl) = cases[spans.SPAN][0], cases[spans.ALONE][0]
    assert cup == alone_cup and cup.density > 3 > 0.5 > owl.density, "the joined text looks at the cup, however asked"
    assert alone_owl.density > 3 and alone_owl.points and not owl.points and owl.other == cup.iou > 0 == cup.other
    told_so = spans.report(cases).splitlines()
    assert len(told_so) == 2 + len(spans.WAYS) and told_so[0].count("|") == 8
    assert spans.PERFECT in told_so[-1] and "100.0 |" in told_so[-1], "a perfect map's brightest cell is the object's"
    assert len(spans.differences(cases).splitlines()) == 5


def test_expressions_are_joined_by_lot_but_always_the_same(scene):
    for seed in range(9):
        one = spans.joined(scene, seed)
        assert one == spans.joined(scene, seed) and one is not None
        assert len(one.parts) == len({part.target for part in one.parts}) in (2, 3)
    assert len({spans.joined(scene, seed) for seed in range(9)}) > 3
    assert spans.joined(scene._replace(said=scene.said[:1]), 0) is None


def test_what_stands_behind_a_span_is_a_comma_or_and():
    lvlm, _ = scripted(**{"a, b and c": BOXES[0]})
    _, phrases = spoken(lvlm, Image.new("RGB", (80, 60)), "a, b and c")
    assert [spans._behind("a, b and c", phrase).text for phrase in phrases] == ["a,", "b and", "c"]


def test_a_perfect_map_lies_on_the_pixels_and_is_judged_so(scene):
    lvlm, headmap = scripted(**{"the cup": BOXES[2]})
    prompt, maps = text_maps(lvlm, Image.new("RGB", (80, 60)), "the cup", SHARP[:3])
    looked = TextMaps(headmap.setting, SHARP[:3], prompt.views["default"].grid, maps)
    ideal = told.perfect(scene.things[1].mask, looked)
    rows, cols = ideal.values[0].nonzero().T.tolist()
    assert sorted(zip(rows, cols, strict=True)) == [(3, 4), (4, 4), (5, 4), (5, 5), (5, 6), (5, 7)]
    assert told.inside(ideal, BOXES[1]) == pytest.approx(1) and told.even(BOXES[1], ideal.grid) == pytest.approx(0.25)
    assert told.density(ideal, BOXES[1]) == pytest.approx(4) and told.inside(ideal, BOXES[0]) == 0
    assert told.points_at(ideal, BOXES[1]) and not told.points_at(ideal, BOXES[0])


def test_failures_are_found_measured_and_drawn(scene, tmp_path):
    texts = {"the left owl": BOXES[0], "the right owl": BOXES[0], "two owls": BOXES[1], "the cup": BOXES[2]}
    lvlm, _ = scripted(**texts)
    several = [scene, scene._replace(id="11000001", said=scene.said[1:])]
    ordinals, counts = failure_cases.ordinals(several, 9), failure_cases.counts(several, 1)
    assert [case.text for case in ordinals] == ["the left owl", "the right owl"]
    assert [(case.text, len(case.meant), case.kind) for case in counts] == [("two owls", 2, "two")]
    shapes = failure_cases.shapes(several, 1)
    assert [(case.kind, case.meant[0].label) for case in shapes] == [("hollow", "owl"), ("full", "owl")]
    looks = failures.look(lvlm, [*ordinals, *counts], SHARP[:3])
    line = failures.ordinal_table(failures.Looks(ordinals, {k: m[:2] for k, m in looks.maps.items()})).splitlines()[2]
    assert "| ordinal | the heads' maps | 2 |" in line and "| 50.0 (0.0 to 100.0) | 50.0 |" in line
    counted = failures.count_table(failures.Looks(counts, {k: m[2:] for k, m in looks.maps.items()})).splitlines()
    assert "| two | perfect maps | 1 |" in counted[3] and "| 100.0 |" in counted[3], "two parts are two owls"
    shaped = failures.look(lvlm, shapes, SHARP[:3])
    assert "fills ≤ 65%" in failures.shape_table(shaped)
    part = failures.Part("Shapes", "", "", shaped, "hollow")
    owls = failures.Part("Ordinals", "", "", looks.of("ordinal"), "ordinal")
    figure = failures_figure({one.heading: list(failures.shown(one, 3)) for one in (owls, part)})
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["the left owl", "the right owl", "the right owl", ""]
    assert all("IoU" in axes.texts[0].get_text() for axes in figure.axes[:3])
    save_figure(figure, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("one", "several"),
    [("owl", "owls"), ("bus", "buses"), ("toothbrush", "toothbrushes"), ("person", "people"), ("tomato", "tomatoes"),
     ("scissors", "pairs of scissors"), ("couch", "couches"), ("tv", "tvs"), ("wine glass", "wine glasses")],
)  # fmt: skip
def test_several_of_a_category(one, several):
    assert failure_cases.plural(one) == several
