"""`glintbox ground --sampler openai` against a server process: nothing is lost, every picture is accounted for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from glintbox.cli.main import app
from glintbox.cli.sampler import Known, remote_of
from glintbox.records import Grounding, from_json
from tests.lvlm.served import NAME, Service
from tests.lvlm.tiny import picture


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def pictures(folder: Path, count: int) -> Path:
    folder.mkdir()
    for k in range(count):
        picture(312, 240, seed=k).save(folder / f"p{k}.png")
    return folder


def test_faults_lose_nothing_and_a_picture_that_fails_fails_alone(service: Service, tmp_path: Path) -> None:
    images, out = pictures(tmp_path / "images", 7), tmp_path / "out"
    picture(288, 288).save(images / "p3.png")
    (images / "p5.png").write_bytes(b"")
    faults = ["429", "500", "cut", "drop", "503", "slow"]
    service.set(canned=True, faults=faults, broken={"288": 500})
    words = ["ground", images, "--query", "owl", "--n", "2", "--out", out, "--processor", "embedded"]
    words += ["--sampler", "openai", "--base-url", service.url, "--timeout", "4", "--retries", "3"]
    words += ["--served-name", NAME]
    result = run(*words)
    assert result.exit_code == 1, result.stderr
    failed = {entry["id"]: entry["why"] for entry in json.loads((out / "failed.json").read_text())}
    assert sorted(failed) == ["p3", "p5"]
    assert "for 'p3', got none in 4 attempts" in failed["p3"] and "p5" in failed["p5"]
    done = {path.stem for path in out.glob("p*.json")}
    assert done == {"p0", "p1", "p2", "p4", "p6"} == {path.stem for path in out.glob("p*.png")}
    assert "5 done, 2 failed" in result.stderr
    assert set(faults) <= {seen["fault"] for seen in service.seen()}
    one = from_json(Grounding, (out / "p0.json").read_bytes())
    assert len(one.found.responses) == 3 and one.found.stats is None
    picture(312, 240, seed=5).save(images / "p5.png")
    service.set(canned=True)
    again = run(*words)
    assert again.exit_code == 0 and "5 of 7 are finished" in again.stderr
    assert {seen["id"] for seen in service.seen()} == {"p3", "p5"}
    other = run(*words[:-2])
    assert other.exit_code == 2 and f"served: there '{NAME}'" in " ".join(other.stderr.split())


@pytest.mark.slow
def test_with_the_model_here_artefacts_are_used_and_attention_is_read(service: Service, tmp_path: Path) -> None:
    words = [
        "ground",
        "examples/images/scene-15-owl.jpg",
        "--query",
        "owl",
        "--n",
        "2",
        "--json",
        "--model",
        "embedded",
    ]
    result = run(*words, "--sampler", "openai", "--base-url", service.url, "--selector", "acs-free", "--timeout", "300")
    assert result.exit_code == 0, result.stderr
    found = from_json(Grounding, result.stdout)
    assert found.method == "acs-free" and found.found.stats is not None
    assert any(NAME in note for note in found.found.notes)
    assert all(r.entropy is not None for r in found.found.responses)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--base-url", "http://127.0.0.1:9"], "expected --sampler openai with --base-url"),
        (["--family", "qwen3_vl"], "expected --sampler openai with --base-url"),
        (["--sampler", "openai", "--family", "qwen3_vl"], "expected --base-url with --sampler openai"),
        (["--sampler", "openai", "--base-url", "http://x"], "expected one of --model, --processor and --family"),
        (
            ["--sampler", "openai", "--base-url", "http://x", "--family", "qwen3_vl", "--model", "embedded"],
            "got --model and --family",
        ),
        (
            ["--sampler", "openai", "--base-url", "http://x", "--family", "qwen3_vl", "--api-key-env", "NO_SUCH_KEY"],
            "expected the server's key in the environment variable NO_SUCH_KEY",
        ),
        (
            ["--sampler", "openai", "--base-url", "http://x", "--family", "qwen3_vl", "--heads", "map.json"],
            "expected --model with --heads",
        ),
        (
            ["--sampler", "openai", "--base-url", "http://x", "--family", "qwen3_vl", "--zoom"],
            "expected the model here with --zoom",
        ),
        (
            ["--sampler", "openai", "--base-url", "http://x", "--family", "qwen3_vl", "--batch", "4"],
            "a server batches by itself; use --concurrency",
        ),
        (
            ["--sampler", "openai", "--base-url", "http://127.0.0.1:9", "--served-name", "x", "--family", "qwen2_5_vl"],
            "expected a family that writes in shares of the picture",
        ),
    ],
)
def test_options_that_do_not_go_together_exit_with_2(words: list[str], message: str, tmp_path: Path) -> None:
    picture(64, 48).save(tmp_path / "x.png")
    result = run("ground", tmp_path / "x.png", "--query", "cup", *words)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_without_weights_a_selector_that_reads_attention_is_refused_at_once(service: Service, tmp_path: Path) -> None:
    picture(312, 240).save(tmp_path / "x.png")
    words = ["--sampler", "openai", "--base-url", service.url, "--family", "qwen3_vl", "--selector", "acs-free"]
    result = run("ground", tmp_path / "x.png", "--query", "cup", *words)
    assert result.exit_code == 2
    assert f"acs-free looks inside the model, expected the weights of {NAME} here" in " ".join(result.stderr.split())
    assert service.seen() == []


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://api.example/v1", True),
        ("http://127.0.0.1:8000/v1", True),
        ("http://localhost:8000/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://10.0.0.5:8000/v1", False),
        ("http://localhost.example/v1", False),
        ("http://api.example/v1", False),
    ],
)
def test_the_usual_key_goes_only_where_nobody_on_the_way_reads_it(
    url: str, sent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sesame")
    known = Known(None, None, "qwen3_vl")
    usual = remote_of("openai", url, None, known, api_key_env=None)
    named = remote_of("openai", url, None, known, api_key_env="OPENAI_API_KEY")
    assert usual and usual.connection["api_key"] == ("sesame" if sent else None)
    assert named and named.connection["api_key"] == "sesame", "named by hand it goes wherever it is told to"
