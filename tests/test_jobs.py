import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from glintbox.errors import BadInput
from glintbox.jobs import ID_BYTES, Job, image_paths, read_jobs, safe_name


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 9)).save(path, format="PNG")
    return path


def listed(path: Path, *lines: object) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return path


# folders


def test_a_folder_becomes_the_pictures_right_inside_it_by_name(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "c.txt", ".hidden.png", "deeper/d.png"):
        picture(tmp_path / name)
    (tmp_path / "folder.png").mkdir()
    other = tmp_path / "deeper" / "d.png"
    assert image_paths([other, tmp_path]) == [other, tmp_path / "a.png", tmp_path / "b.JPG"]


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    picture(tmp_path / "deeper" / "d.png")
    with pytest.raises(BadInput, match=r"expected pictures \(\.jpg .*\) in this folder, got none; folders inside it"):
        image_paths([tmp_path])


# jobs from pictures


def test_pictures_urls_and_folders_become_jobs_in_their_order(tmp_path: Path) -> None:
    picture(tmp_path / "in" / "one.png")
    url = "https://a.org/pictures/two.jpg?size=large"
    assert read_jobs([url, tmp_path / "in", "missing.png"], "cup") == (
        Job("two", url, "cup"),
        Job("one", str(tmp_path / "in" / "one.png"), "cup"),
        Job("missing", "missing.png", "cup"),
    )


@pytest.mark.parametrize("query", [None, "", "  "])
def test_a_picture_without_a_query_is_refused(query: str | None) -> None:
    with pytest.raises(BadInput, match=r"a\.png: expected a query for this picture, got none; say what to look for"):
        read_jobs(["a.png"], query)


def test_equal_stems_get_a_hash_that_does_not_depend_on_the_order() -> None:
    first, second = read_jobs(["x/a.png", "y/A.png"], "cup")
    assert first.id.startswith("a-") and second.id.startswith("A-")
    assert first.id.casefold() != second.id.casefold()
    assert read_jobs(["y/A.png", "z.png", "x/a.png"], "cup")[2] == first


def test_the_same_job_twice_has_two_ids() -> None:
    ids = [job.id for job in read_jobs(["a.png"] * 3, "cup")]
    assert len(set(ids)) == 3


def test_names_that_an_output_folder_needs_are_not_given() -> None:
    settings, failed = read_jobs(["settings.png", "failed.jpg"], "cup")
    assert settings.id.startswith("settings-") and failed.id.startswith("failed-")


# jobs from lists


def test_a_line_names_picture_query_and_id(tmp_path: Path) -> None:
    url = "http://a.org/b.png"
    path = listed(
        tmp_path / "jobs.jsonl",
        {"image": "in/a.png", "query": "杯子", "id": "first"},
        "",
        {"image": url, "truth": [1, 2, 3, 4]},
        {"image": "/abs/c.png", "query": "bowl", "id": 42},
    )
    assert read_jobs([path], "cup") == (
        Job("first", str(tmp_path / "in" / "a.png"), "杯子"),
        Job("b", url, "cup"),
        Job("42", "/abs/c.png", "bowl"),
    )


def test_a_list_with_a_byte_order_mark_and_windows_lines_reads(tmp_path: Path) -> None:
    path = tmp_path / "jobs.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"image": "a.png"}\r\n{"image": "b.png"}\r\n')
    assert [job.id for job in read_jobs([path], "cup")] == ["a", "b"]


def test_two_queries_on_one_picture_have_two_ids(tmp_path: Path) -> None:
    path = listed(tmp_path / "a.jsonl", {"image": "a.png", "query": "cup"}, {"image": "a.png", "query": "bowl"})
    one, two = read_jobs([path])
    assert one.id != two.id and {one.id[:2], two.id[:2]} == {"a-"}


def test_a_derived_id_gives_way_to_a_given_one(tmp_path: Path) -> None:
    path = listed(tmp_path / "a.jsonl", {"image": "a.png"}, {"image": "b.png", "id": "A"})
    derived, given_id = read_jobs([path], "cup")
    assert given_id.id == "A" and derived.id.startswith("a-")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "expected a JSON object, got what is no JSON"),
        ("[" * 100_000, "expected a JSON object, got what is no JSON"),
        ('"a.png"', 'expected an object like {"image": "a.jpg", "query": "cup"}, got "a.png"'),
        ('{"query": "cup"}', r"expected \"image\", got only \['query'\]; name a path or URL"),
        ('{"image": "a.png"}', r"expected \"query\", got only \['image'\]; add it, or give one for all"),
        ('{"image": 7, "query": "cup"}', 'expected text for "image", got 7'),
        ('{"image": "a.png", "query": ["cup"]}', r'expected text for "query", got \["cup"\]'),
        ('{"image": "a.png", "query": " "}', 'expected text for "query", got " "'),
        (r'{"image": "a.png", "query": "\ud800"}', 'expected text for "query"'),
        ('{"image": "a.png", "query": "cup", "id": true}', 'expected text for "id", got true'),
        ('{"image": "a.png", "query": "cup", "id": "../a"}', r"expected an id that can name a file .*got '\.\./a'"),
        ('{"image": "a.png", "query": "cup", "id": "a/b"}', "expected an id that can name a file"),
        ('{"image": "a.png", "query": "cup", "id": "settings"}', ".*not failed or settings"),
        ('{"image": "a.png", "query": "cup", "id": "%s"}' % ("x" * 101), ".*at most 100 bytes"),
    ],
)
def test_a_bad_line_is_named_by_file_and_line(tmp_path: Path, line: str, message: str) -> None:
    path = listed(tmp_path / "jobs.jsonl", {"image": "a.png", "query": "cup"}, line)
    with pytest.raises(BadInput, match=rf"jobs\.jsonl:2: {message}"):
        read_jobs([path])


def test_an_id_given_twice_names_both_lines(tmp_path: Path) -> None:
    path = listed(tmp_path / "jobs.jsonl", *({"image": f"{name}.png", "id": "Same"} for name in "ab"))
    with pytest.raises(BadInput, match=r"jobs\.jsonl:2: expected an id of its own, got 'Same', which .*jobs\.jsonl:1"):
        read_jobs([path], "cup")


def test_lists_that_are_missing_empty_or_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none\.jsonl: expected a list in UTF-8, one JSON object a line, got .*No such"):
        read_jobs([tmp_path / "none.jsonl"])
    (tmp_path / "a.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match=r"a\.jsonl: expected a list in UTF-8.*codec can't decode"):
        read_jobs([tmp_path / "a.jsonl"])
    with pytest.raises(BadInput, match=r"b\.jsonl: expected one JSON object a line, got an empty list"):
        read_jobs([listed(tmp_path / "b.jsonl", " ", "")])


# names


@given(st.text(max_size=200))
def test_a_safe_name_names_a_file_in_its_folder_and_stays_itself(text: str) -> None:
    name = safe_name(text)
    assert 0 < len(name.encode()) <= ID_BYTES
    assert not set(name) & set('/\\:*?"<>|\0 \n') and name[0] not in ".-" and name[-1] not in "."
    assert safe_name(name) == name


def test_safe_names_keep_letters_of_every_script_and_cut_whole_characters() -> None:
    assert safe_name("../../etc/passwd") == "etc_passwd"
    assert safe_name("a b?c.v2") == "a_b_c.v2"
    assert safe_name("图片" * 50) == ("图片" * 50)[:33]
    assert safe_name("...") == "picture"
