"""`glintbox parse`: an answer in, boxes of the original picture out, as JSON; bad input is one message and exit 2."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from glintbox.cli.main import app

SCRATCHES = '```json\n[\n\t{"bbox_2d": [375, 545, 534, 674], "label": "scratch"}\n]\n```'


def parse(*arguments: str, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(app, ["parse", *arguments], input=stdin)


def test_a_file_becomes_boxes_in_pixels_with_label_and_span(tmp_path: Path) -> None:
    answer = tmp_path / "answer.txt"
    answer.write_text(SCRATCHES, encoding="utf-8")
    result = parse("--family", "qwen3_vl", "--image", "1024x576", str(answer))
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "boxes": [{"bbox": [384.0, 313.92, 546.82, 388.22], "label": "scratch", "span": [23, 43]}],
        "reading": "boxes",
    }
    assert result.stdout.count("\n") == 1, "one line, so that many answers make a JSONL file"


@pytest.mark.parametrize(
    ("arguments", "bbox"),
    [
        (["--family", "qwen2_5_vl", "--input", "364x448"], [20.22, 193.75, 202.2, 434.0]),
        (["--frame", "pixels", "--input", "364x448"], [20.22, 193.75, 202.2, 434.0]),
        (["--frame", "pixels"], [20.0, 200.0, 200.0, 434.0]),
        (["--frame", "1000"], [7.36, 86.8, 73.6, 195.3]),
        (["--frame", "999", "--input", "364x448"], [7.37, 86.89, 73.67, 195.5]),
        (["--family", "internvl"], [7.36, 86.8, 73.6, 195.3]),
    ],
)
def test_units_by_family_or_by_frame(arguments: list[str], bbox: list[float]) -> None:
    result = parse(*arguments, "--image", "368x434", "-", stdin="[20, 200, 200, 450]")
    assert result.exit_code == 0
    assert [box["bbox"] for box in json.loads(result.stdout)["boxes"]] == [bbox]


def test_shares_of_the_picture() -> None:
    result = parse("--family", "llava", "--image", "300x200", "-", stdin="[0.1, 0.25, 0.5, 1.00]")
    assert json.loads(result.stdout)["boxes"] == [{"bbox": [30.0, 50.0, 150.0, 200.0], "label": None, "span": [0, 22]}]


@pytest.mark.parametrize(
    ("answer", "reading"),
    [
        ("", "unreadable"),
        ("[]", "none"),
        ("[1, 2, 3", "unreadable"),
        ("[9, 9, 3, 3]", "unreadable"),
        ("[" + "1" * 9999, "unreadable"),
    ],
)
def test_an_answer_without_a_box_is_no_error(answer: str, reading: str) -> None:
    result = parse("--frame", "1000", "--image", "30x20", "-", stdin=answer)
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"boxes": [], "reading": reading}


def test_labels_and_spans_beyond_ascii_survive() -> None:
    result = parse(
        "--frame", "1000", "--image", "30x20", "-", stdin='🍎 {"bbox": [1, 2, 3, 4], "label": "杯"}'.encode()
    )
    (box,) = json.loads(result.stdout)["boxes"]
    assert (box["label"], box["span"]) == ("杯", [11, 23])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--image", "30x20"], "expected one of --family and --frame, got neither"),
        (["--image", "30x20", "--frame", "1", "--family", "llava"], "expected one of --family and --frame, got both"),
        (["--image", "30x20", "--family", "qwen2_5"], "unknown family 'qwen2_5'. Did you mean 'qwen2_5_vl'?"),
        (["--image", "30x20", "--frame", "100"], "unknown frame '100'. Did you mean '1000'?"),
        (["--image", "30x20", "--family", "qwen2_5_vl"], "expected --input WxH, for qwen2_5_vl writes pixels"),
        (["--image", "30,20", "--frame", "1"], "expected --image WxH in pixels, got '30,20'; write for example"),
        (["--image", "0x20", "--frame", "1"], "expected --image WxH in pixels, got '0x20'"),
        (["--image", "3x2", "--frame", "pixels", "--input", "9"], "expected --input WxH in pixels, got '9'"),
    ],
)
def test_bad_options_are_one_message(arguments: list[str], message: str) -> None:
    result = parse(*arguments, "-", stdin="[]")
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_files_that_cannot_be_read_are_one_message(tmp_path: Path) -> None:
    missing = parse("--frame", "1", "--image", "3x2", str(tmp_path / "no.txt"))
    assert missing.exit_code == 2
    assert "expected a file with one raw answer" in missing.stderr
    assert "No such file or directory; check the path" in missing.stderr
    assert "Is a directory" in parse("--frame", "1", "--image", "3x2", str(tmp_path)).stderr
    binary = parse("--frame", "1", "--image", "3x2", "-", stdin=b"\xff\xfe[1")
    assert binary.exit_code == 2
    assert "expected UTF-8 text, got other bytes in '-'; save the answer as UTF-8" in binary.stderr
