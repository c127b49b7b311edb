"""`glintbox web`: it says its address, answers there alone, and ends when it is told to; no browser is needed."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest
from typer.testing import CliRunner

from glintbox.cli.main import app
from tests.lvlm.tiny import tiny_checkpoint

pytest.importorskip("uvicorn")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny", "qwen3_vl")


def test_help_opens_with_a_line_to_copy() -> None:
    told = CliRunner().invoke(app, ["web", "--help"]).output
    lines = [line.strip(" │") for line in told.splitlines()]
    assert next(line for line in lines if line and not line.startswith("Usage")) == "glintbox web"
    for option in ("--host", "--port", "--max-mb", "--max-megapixels", "--waiting", "--keep-mb", "--localization"):
        assert option in told


@pytest.mark.parametrize(
    "words", [("--port", "70000"), ("--port", "-1"), ("--max-mb", "0"), ("--waiting", "0"), ("--keep-mb", "none")]
)
def test_numbers_out_of_range_are_refused_before_a_model_is_loaded(words: tuple[str, str]) -> None:
    done = CliRunner().invoke(app, ["web", *words])
    assert done.exit_code == 2 and words[0] in done.stderr and "loading" not in done.stderr


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["web", "--port", "0", "--model", str(tmp_path / "none")])
    assert done.exit_code == 2 and str(tmp_path / "none") in done.stderr.replace("\n", "")


def test_a_port_in_use_is_named(model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = CliRunner().invoke(app, ["web", "--port", port, "--model", str(model)])
    assert done.exit_code == 2 and done.stdout == ""
    assert f"expected an address that is free, got 127.0.0.1 port {port}" in done.stderr.replace("\n", " ")


@pytest.mark.slow
@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_it_starts_says_where_answers_and_stops(model: Path, told: signal.Signals) -> None:
    code = f"from glintbox.cli.main import app; app(['web', '--port', '0', '--model', {str(model)!r}])"
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with subprocess.Popen([sys.executable, "-uc", code], env=os.environ | {"OMP_NUM_THREADS": "1"}, **pipes) as server:  # type: ignore[call-overload]
        address = server.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        with urlopen(address + "about") as answer:
            about = json.load(answer)
        assert (about["examples"], about["limits"]["bytes"]) == ([], 20 * 2**20), "scenes are for the model in the box"
        server.send_signal(told)
        rest, errors = server.communicate(timeout=120)
    assert rest == "" and "Traceback" not in errors
    with pytest.raises(OSError, match="refused"):
        urlopen(address)
