"""What a page shows of what was found: plain data that a browser reads, the command line's own JSON and figures."""

import json
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from glintbox.errors import BadInput
from glintbox.records import COORDS, Grounding, from_json
from glintbox.web.asking import LOOKED, Asked, Choice, Found, Limits, asked, find, look
from glintbox.web.page import about, choice, closer, download, figure, marked, preview, shown
from tests.web.scripted_page import AWAY, HIGH, TEXT, WIDE, a_grounder, a_picture

GROUNDER = a_grounder(artefacts=True)


@pytest.fixture(scope="module")
def found() -> Found:
    question = asked({"name": "a.png", "query": "cup", "n": "4", "temperatures": "0.7,1"}, Limits())
    return find(GROUNDER, a_picture(), question, Limits())


def strict(told: Any) -> Any:
    """As a browser gets it, which knows no NaN."""
    return json.loads(json.dumps(told, allow_nan=False))


def test_the_first_words_of_a_page() -> None:
    told = strict(about(GROUNDER.lvlm.card, Limits(), localization=GROUNDER.localization, examples=[("a.jpg", "owl")]))
    assert (told["model"], told["layers"], told["heads"]) == ("scripted", 4, 3)
    assert told["selectors"][0] == "auto" and "acs-free" in told["selectors"]
    assert told["localization"] == ["L1H0", "L2H1", "L2H2"] and told["examples"] == [{"name": "a.jpg", "query": "owl"}]
    assert about(GROUNDER.lvlm.card, Limits(), localization=None, examples=[])["localization"] is None


def test_words_name_a_choice_and_the_first_temperature_is_the_usual_one(found: Found) -> None:
    assert choice(found, "", "", "") == Choice(0.7, "auto", False)
    assert choice(found, "1", "consensus", "1") == Choice(1.0, "consensus", True)
    with pytest.raises(BadInput, match=r"expected a temperature that was sampled \(0\.7, 1\), got '0\.6'; another has"):
        choice(found, "0.6", "", "")
    with pytest.raises(BadInput, match=r"expected a selector of auto, first-valid, .* got 'best'"):
        choice(found, "", "best", "")


def test_boxes_are_those_of_the_result_and_no_choice_is_hidden(found: Found) -> None:
    told, result = strict(shown(found, Choice(0.7))), found.results[Choice(0.7)]
    assert isinstance(result, Grounding)
    assert [one["box"] for one in told["boxes"]] == [list(best.box) for best in result.boxes]
    assert told["greedy"] == [[12, 8, 36, 32]] and told["image"] == {"width": WIDE, "height": HIGH}
    assert [(one["answer"], one["source"]) for one in told["candidates"]] == [
        (0, "greedy"),
        *((k, "sampled") for k in range(1, 5)),
    ]
    assert told["answers"] == {"boxes": 5, "none": 0, "unreadable": 0} and told["looked"] is None
    assert told["choices"]["temperatures"] == [0.7, 1.0]
    several = strict(shown(found, Choice(0.7, "consensus", True)))
    assert len(several["boxes"]) == 2
    why = several["choices"]["selectors"]
    assert why["consensus"] is None and "invents one box" in why["majority-vote"]
    with pytest.raises(BadInput, match="invents one box"):
        shown(found, Choice(0.7, "majority-vote", True))


def test_nothing_found_is_shown_as_nothing() -> None:
    none = find(GROUNDER, a_picture(), asked({"query": "dog", "n": "2"}, Limits()), Limits())
    told = strict(shown(none, choice(none, "", "", "")))
    assert (told["boxes"], told["candidates"], told["answers"]["none"]) == ([], [], 3)
    with pytest.raises(BadInput, match="expected a candidate from 0 to -1, got 0"):
        closer(none, Choice(0.7), 0, None)


def test_a_candidate_has_its_maps_its_answer_and_the_entropy_of_every_head(found: Found) -> None:
    told = strict(closer(found, Choice(0.7, "acs-free"), 3, GROUNDER.heads))
    assert "".join(part["text"] for part in told["parts"]) == AWAY
    assert {part["mark"]: part["text"] for part in told["parts"] if part["mark"]} == dict(
        zip(COORDS, "6599", strict=True)
    )
    assert told["maps"]["heads"] == [["L1H0"], ["L2H1"], ["L2H2"], ["L3H0"]], "those that acs-free looks at"
    assert len(told["maps"]["values"]) == 4 and told["maps"]["grid"] == {
        "rows": 6,
        "cols": 8,
        "region": [0, 0, WIDE, HIGH],
    }
    assert [len(told["maps"]["values"][0]), len(told["maps"]["values"][0][0])] == [6, 8]
    assert len(told["heads"]) == 12 and [len(row) for row in told["entropy"]] == [12] * 4, "every head, not only those"
    plain = closer(found, Choice(0.7, "consensus"), 3, GROUNDER.heads)["maps"]
    assert plain and len(plain["heads"][0]) == 12
    with pytest.raises(BadInput, match="expected a candidate from 0 to 4, got 5"):
        closer(found, Choice(0.7), 5, None)


def test_the_parts_of_an_answer_tile_it_and_only_the_boxs_own_are_marked(found: Found) -> None:
    read = found.read[0.7]
    parts = marked(read.responses[0], read.candidates[0])
    assert "".join(part.text for part in parts) == TEXT
    inside = "".join(part.text for part in parts if part.box)
    assert inside.startswith("[100") and inside.endswith("400]")
    assert [part.mark for part in parts if part.mark] == list(COORDS)


def test_downloads_are_the_command_lines_json_and_figure(found: Found) -> None:
    made = Choice(1.0, "acs-free")
    line = download(found, made)
    read = from_json(Grounding, line)
    assert line.endswith(b"}\n") and (read.method, read.found.sampling.temperature) == ("acs-free", 1.0)
    drawn = Image.open(BytesIO(figure(found, made, GROUNDER.heads)))
    assert drawn.format == "PNG" and drawn.width > 500


def test_a_browser_gets_the_picture_upright_and_not_larger_than_it_shows() -> None:
    file, exif = BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (2400, 1000), "red").save(file, "TIFF", exif=exif)
    seen = Image.open(BytesIO(preview(Found(file.getvalue(), {}, {}))))
    assert (seen.format, seen.size) == ("JPEG", (667, 1600))


def test_localization_heads_show_where_they_look() -> None:
    looked = look(GROUNDER, a_picture(), Asked("a", "cup"), Limits())
    assert choice(looked, "0.3", "auto", "1") == LOOKED, "there is only one way"
    told = strict(shown(looked, LOOKED))
    assert told["looked"]["heads"] == ["L1H0", "L2H1", "L2H2"] and len(told["looked"]["values"]) == 6
    assert told["boxes"] and told["candidates"] == [] and told["score_kind"] == "share"
    assert Image.open(BytesIO(figure(looked, LOOKED, None))).width > 500
