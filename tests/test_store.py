"""The store: what was added is read, by any part; whatever stops a writer, what is finished stays; damage is named."""

import json
import os
import random
import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from glintbox.boxes import Box
from glintbox.errors import BadInput, NoArtifact
from glintbox.maps import resample
from glintbox.records import Head, Sample, to_json
from glintbox.store import Store, StoreCard, StoreWriter, label
from tests.killed import COLS, ROWS, a_card, a_case
from tests.sets import HEADS, IMAGE, a_set

CARD = a_card(a_case(0)[1])
ROOT = Path(__file__).parents[1]


def write(folder: Path, numbers: Sequence[int], *, card: StoreCard = CARD) -> Path:
    with StoreWriter(folder, card) as writer:
        for number in numbers:
            writer.add(*a_case(number))
    return folder


def files(folder: Path, kind: str) -> list[Path]:
    return sorted(folder.glob(f"*.{kind}"))


def assert_is(store: Store, number: int) -> None:
    """The case of that number is what was added, its maps but for rounding."""
    sample, found = a_case(number)
    case = store.ids.index(sample.id)
    kept, there = store[case]
    assert kept == sample and to_json(there) == to_json(found)
    assert there.stats is not None and found.stats is not None and found.maps is not None
    assert torch.equal(there.stats.entropy, found.stats.entropy) and torch.equal(there.stats.share, found.stats.share)
    maps = store.with_maps(case).maps
    assert maps is not None and (maps.heads, maps.grid) == (found.maps.heads, found.maps.grid)
    torch.testing.assert_close(maps.values, found.maps.values, rtol=2**-11, atol=1e-10)


# what was added is read


def test_a_label_is_the_best_iou_with_any_true_box_greedy_included() -> None:
    box = (0, 0, 10, 10)
    found = a_set([box, (50, 0, 60, 30)], [(0, 0, 10, 8)], greedy=[(0, 0, 10, 5)])
    case = label(found, [Box(*box), Box(50, 0, 60, 15), Box(80, 40, 90, 60)])
    assert case.iou.tolist() == pytest.approx([0.5, 1, 0.5, 0.8]) and case.found is found
    assert label(found, []).iou.tolist() == [0] * 4


def test_cases_are_read_in_the_order_of_their_ids_whoever_wrote_them(tmp_path: Path) -> None:
    write(tmp_path, [4, 1])
    write(tmp_path, [3, 0, 2])
    store = Store(tmp_path)
    assert store.card == CARD and len(store) == 5 and store.cut == ()
    assert store.ids == tuple(f"case-{k:06d}" for k in range(5))
    for number in range(5):
        assert_is(store, number)
    assert [one.found.id for one in store.labelled()] == list(store.ids)


def test_labels_come_from_the_sample_that_was_kept(tmp_path: Path) -> None:
    store = Store(write(tmp_path, [0, 1]))
    for case, one in enumerate(store.labelled()):
        sample, found = a_case(case)
        assert torch.equal(one.iou, label(found, sample.truth).iou)


def test_rows_are_the_sampled_candidates_in_order_and_name_their_pictures(tmp_path: Path) -> None:
    rows = Store(write(tmp_path, [2, 0, 1])).rows
    assert rows.case.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert rows.candidate.tolist() == [1, 2, 3] * 3, "greedy's box is none of them"
    assert rows.image.tolist() == [0] * 6 + [1] * 3, "cases 0 and 1 are of one picture"
    assert rows.iou.dtype == np.float32
    flat = [iou for number in range(3) for iou in label(a_case(number)[1], a_case(number)[0].truth).iou.tolist()[1:]]
    assert rows.iou.tolist() == flat


@pytest.mark.parametrize("heads", [None, HEADS, HEADS[1:], HEADS[::-1], (HEADS[2], HEADS[0]), (HEADS[1], HEADS[1])])
def test_a_batch_is_what_whole_cases_hold_for_any_rows_and_heads(
    tmp_path: Path, heads: tuple[Head, ...] | None
) -> None:
    store = Store(write(tmp_path, range(3)))
    wanted = np.array([7, 0, 4, 4])
    batch = store.batch(wanted, heads=heads)
    assert batch.dtype == torch.float32 and batch.shape == (4, 4, len(heads or HEADS), ROWS, COLS)
    for row, found in zip(wanted, batch, strict=True):
        maps = store.with_maps(int(store.rows.case[row]), heads).maps
        assert maps is not None and maps.heads == (heads or HEADS)
        assert torch.equal(found, maps.values[store.rows.candidate[row]])


def test_a_batch_reads_only_the_bytes_of_its_candidates_and_heads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, asked = Store(write(tmp_path, range(3))), []
    original = np.fromfile

    def counting(*given: object, **options: object) -> np.ndarray:
        found: np.ndarray = original(*given, **options)  # type: ignore[call-overload]
        asked.append(found.nbytes)
        return found

    monkeypatch.setattr(np, "fromfile", counting)
    store.batch(np.array([0, 5]), heads=HEADS[1:])
    assert asked == [2 * (4 + 16 + 4 * ROWS * COLS * 2)] * 2
    asked.clear()
    store.batch(np.array([3]), heads=(HEADS[0], HEADS[2]))
    assert len(asked) == 2 and sum(asked) == 2 * (4 + 16 + 4 * ROWS * COLS * 2)


def test_maps_of_several_grids_are_read_on_one(tmp_path: Path) -> None:
    with StoreWriter(tmp_path, CARD) as writer:
        writer.add(*a_case(0, rows=4, cols=9))
        writer.add(*a_case(1, rows=9, cols=4))
    store = Store(tmp_path)
    assert (store.grid(0), store.grid(1)) == ((4, 9), (9, 4))
    with pytest.raises(BadInput, match="expected rows whose maps are of one grid, got 4 x 9, 9 x 4; name a grid"):
        store.batch(np.arange(6))
    batch = store.batch(np.arange(6), grid=(6, 5))
    for case in range(2):
        maps = store.with_maps(case).maps
        assert maps is not None and torch.equal(batch[3 * case], resample(maps.values[1], 6, 5))
    with pytest.raises(BadInput, match="got no rows"):
        store.batch(np.arange(0))


def test_a_store_may_keep_maps_on_a_grid_of_its_own_and_of_some_heads_only(tmp_path: Path) -> None:
    card = replace(CARD, heads=(HEADS[2], HEADS[0]), rows=3, cols=8)
    store = Store(write(tmp_path, [0], card=card))
    maps, whole = store.with_maps(0).maps, a_case(0)[1].maps
    assert maps is not None and whole is not None and store.grid(0) == (3, 8)
    assert maps.heads == card.heads and maps.grid[:2] == (3, 8) and maps.grid.region == whole.grid.region
    torch.testing.assert_close(maps.values, resample(whole.values[:, :, [2, 0]], 3, 8), rtol=2**-11, atol=1e-10)
    assert store[0].found.stats is not None and store[0].found.stats.heads == HEADS, "statistics of all heads stay"


def test_candidates_whose_tokens_are_unknown_have_no_maps_and_no_row(tmp_path: Path) -> None:
    sample, found = a_case(0)
    odd = replace(found.candidates[2], tokens=None)
    assert found.maps is not None
    values = found.maps.values.clone()
    values[2] = torch.nan
    found = replace(
        found, candidates=(*found.candidates[:2], odd, found.candidates[3]), maps=replace(found.maps, values=values)
    )
    with StoreWriter(tmp_path, CARD) as writer:
        writer.add(sample, found)
    store = Store(tmp_path)
    assert store.rows.candidate.tolist() == [1, 3]
    maps = store.with_maps(0).maps
    assert maps is not None and bool(maps.values[2].isnan().all())
    assert torch.equal(store.batch(np.arange(2)), maps.values[[1, 3]])


def test_a_case_without_any_box_is_a_case(tmp_path: Path) -> None:
    found = replace(a_set([], [], id="empty"), sampling=CARD.sampling)
    sample = Sample("empty", Path("0.png"), IMAGE, found.query, (Box(0, 0, 9, 9),))
    with StoreWriter(tmp_path, CARD) as writer:
        writer.add(sample, found)
    store = Store(tmp_path)
    assert store[0] == (sample, found) and store.with_maps(0) == found
    assert store.grid(0) is None and len(store.rows.iou) == 0


def test_a_store_without_maps_says_so(tmp_path: Path) -> None:
    store = Store(write(tmp_path, [0], card=replace(CARD, heads=())))
    assert len(store.rows.iou) == 3 and store[0].found.stats is not None
    for read in (lambda: store.with_maps(0), lambda: store.batch(np.arange(1))):
        with pytest.raises(BadInput, match=r"expected a store that keeps maps, got statistics only in .*--heads"):
            read()


def test_a_head_that_is_not_kept_is_named(tmp_path: Path) -> None:
    store = Store(write(tmp_path, [0]))
    with pytest.raises(BadInput, match="got L9H9; it keeps 3, L0H1 to L2H3"):
        store.batch(np.arange(1), heads=[HEADS[0], Head(9, 9)])


# what does not belong together is refused


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (replace(CARD, setting=replace(CARD.setting, view="x")), "view: there 'default', now 'x'"),
        (replace(CARD, sampling=replace(CARD.sampling, temperature=1.0)), "temperature: there 0.7, now 1.0"),
        (replace(CARD, data="other"), "data: there 'made up', now 'other'"),
        (replace(CARD, heads=HEADS[:2]), "heads: there 3 of them, now 2 of them"),
        (replace(CARD, rows=24, cols=24), "rows: there None, now 24; cols: there None, now 24"),
    ],
)  # fmt: skip
def test_cards_do_not_mix(tmp_path: Path, other: StoreCard, told: str) -> None:
    write(tmp_path / "a", [0])
    with pytest.raises(BadInput, match="holds answers of another setting or sampling") as refused:
        StoreWriter(tmp_path / "a", other)
    assert told in str(refused.value) and str(refused.value).endswith("remove it or name another folder")
    if other.heads and other.rows is None and other.sampling == CARD.sampling and other.setting == CARD.setting:
        write(tmp_path / "b", [1], card=other)
        for path in files(tmp_path / "b", "*"):
            shutil.copy(path, tmp_path / "a" / path.name) if path.name != "card.json" else None
        with pytest.raises(BadInput, match="expected files of the card in"):
            Store(tmp_path / "a")


def test_a_card_that_nothing_was_kept_under_binds_nobody(tmp_path: Path) -> None:
    StoreWriter(tmp_path, CARD).close()
    other = replace(CARD, data="other")
    late = StoreWriter(tmp_path, other)
    assert Store(tmp_path).card == other and len(Store(tmp_path)) == 0
    with StoreWriter(tmp_path, CARD) as writer:
        writer.add(*a_case(0))
    with pytest.raises(BadInput, match="holds answers of another setting"):
        late.add(*a_case(1))


def test_a_set_that_is_not_the_cards_or_the_samples_is_refused(tmp_path: Path) -> None:
    sample, found = a_case(0)
    with StoreWriter(tmp_path, CARD) as writer:
        for odd, told in (
            (replace(found, id="other"), "expected the set of case case-000000, got other"),
            (replace(found, query="dog"), "got case-000000, 'dog'"),
            (replace(found, sampling=replace(found.sampling, seed=9)), "under the setting and sampling of the card"),
            (replace(found, maps=None), "expected maps of 3 heads with case case-000000, got none of L0H1"),
        ):
            with pytest.raises(BadInput, match=told):
                writer.add(sample, odd)
        writer.add(sample, found)
        with pytest.raises(BadInput, match=r"that .* does not hold yet, got case-000000 again"):
            writer.add(sample, found)
    assert len(Store(tmp_path)) == 1


@pytest.mark.parametrize(("options", "told"), [(dict(rows=3), "3 x None"), (dict(rows=0, cols=2), "0 x 2")])
def test_a_card_without_a_grid_is_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput, match=f"expected a grid of at least 1 x 1 cells, or none, got {told}"):
        replace(CARD, **options)
    with pytest.raises(BadInput, match="expected every head once, got L0H1, L0H1"):
        replace(CARD, heads=(HEADS[0], HEADS[0]))


def test_where_no_store_is_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(NoArtifact, match=r"expected a store's card at .*card\.json, found no file; .*glintbox collect"):
        Store(tmp_path)
    (tmp_path / "card.json").write_text(to_json(CARD).replace('"schema_version":1', '"schema_version":2'))
    with pytest.raises(BadInput, match=r"expected a store's card of schema 1 .*, got 2; update glintbox"):
        Store(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="expected a folder that can be written at"):
        StoreWriter(tmp_path / "file" / "store", CARD)


# whatever stops a writer


@pytest.mark.slow
def test_finished_cases_survive_sigkill_at_any_byte_and_only_those_in_flight_are_redone(tmp_path: Path) -> None:
    folder, kills = tmp_path / "store", 60
    done = subprocess.run(
        [sys.executable, "-m", "tests.killed", str(folder), str(kills)],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    children = json.loads(done.stdout)
    assert len(children) == kills
    seen: set[str] = set()
    for words in children:
        begun, kept = ([word.split()[1] for word in words if word.startswith(what)] for what in ("begun", "kept"))
        assert begun[: len(kept)] == kept and len(begun) <= len(kept) + 1, "one case is in flight"
        assert seen.isdisjoint(begun), "what was kept is not begun again"
        seen.update(kept)
    store = Store(folder)
    assert seen <= set(store.ids) and len(store) <= len(seen) + kills and len(store) > 5 and store.cut == ()
    assert store.ids == tuple(a_case(number)[0].id for number in range(len(store)))
    for number in range(len(store)):
        assert_is(store, number)


@pytest.mark.parametrize("kind", ["bin", "jsonl"])
def test_a_file_cut_anywhere_keeps_the_cases_before_the_cut_and_the_rest_is_redone(tmp_path: Path, kind: str) -> None:
    whole = write(tmp_path / "whole", range(4))
    [path] = files(whole, kind)
    content, draw = path.read_bytes(), random.Random(0)
    [index] = files(whole, "jsonl")
    lines = [json.loads(line)[1] for line in index.read_bytes().splitlines()]
    ends = [line["at"] for line in lines[1:]] + [files(whole, "bin")[0].stat().st_size]
    if kind == "jsonl":
        ends = [k + 1 for k, byte in enumerate(content) if byte == ord("\n")]
    for cut in [0, *ends, *(end - 1 for end in ends), *draw.sample(range(len(content)), 12)]:
        path.write_bytes(content[:cut])
        there = sum(end <= cut for end in ends)
        store = Store(whole)
        assert len(store) == there
        assert len(store.cut) == (4 - there if kind == "bin" else 0)
        for number in range(there):
            assert_is(store, number)
        with StoreWriter(whole, CARD) as writer:
            assert writer.done == set(store.ids) and writer.cut == store.cut
    write(whole, range(there, 4))
    assert len(Store(whole)) == 4 and Store(whole).cut == ()
    for number in range(4):
        assert_is(Store(whole), number)


def test_a_flipped_byte_anywhere_is_an_error_that_names_file_and_case(tmp_path: Path) -> None:
    whole, draw = write(tmp_path, range(3)), random.Random(0)
    [shard], [index] = files(whole, "bin"), files(whole, "jsonl")
    content = shard.read_bytes()
    for at in draw.sample(range(len(content)), 40):
        shard.write_bytes(content[:at] + bytes([content[at] ^ 1 << draw.randrange(8)]) + content[at + 1 :])
        store, damaged = Store(whole), []
        for case in range(3):
            try:
                store.with_maps(case)
            except BadInput as error:
                assert f"expected case {store.ids[case]} in {shard} as it was written" in str(error)
                assert f"take line {case + 1} out of {index.name} and collect again" in str(error)
                damaged.append(case)
        assert len(damaged) == 1
    lines = index.read_bytes().splitlines(keepends=True)
    index.write_bytes(b"".join(line for k, line in enumerate(lines) if k != damaged[0]))
    write(whole, damaged)
    for number in range(3):
        assert_is(Store(whole), number)


def test_a_flipped_byte_of_an_index_is_an_error_that_names_the_line(tmp_path: Path) -> None:
    whole, draw = write(tmp_path, range(3)), random.Random(0)
    [index] = files(whole, "jsonl")
    content = index.read_bytes()
    for at in draw.sample(range(len(content) - 1), 60):
        index.write_bytes(content[:at] + bytes([content[at] ^ 1 << draw.randrange(8)]) + content[at + 1 :])
        number = content[:at].count(b"\n") + 1
        with pytest.raises(
            BadInput, match=rf"expected line {number} of .*\.jsonl as it was written, got .*take the line"
        ):
            Store(whole)
    index.write_bytes(content)
    card = whole / "card.json"
    card.write_text(card.read_text().replace("made up", "made-up"))
    with pytest.raises(BadInput, match="expected files of the card in"):
        Store(whole)


def test_a_shard_that_is_gone_while_a_store_is_open_is_named(tmp_path: Path) -> None:
    store = Store(write(tmp_path, [0]))
    files(tmp_path, "bin")[0].unlink()
    with pytest.raises(BadInput, match=r"expected case case-000000 in .*\.bin as it was written, got .*No such file"):
        store.batch(np.arange(1))
    assert Store(tmp_path).cut == ("case-000000",)


def test_a_full_disk_costs_the_case_in_flight_alone_and_the_writer_may_go_on(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with StoreWriter(tmp_path, CARD) as writer:
        writer.add(*a_case(0))
        size = files(tmp_path, "bin")[0].stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + size // 2, hard))
        try:
            with pytest.raises(
                BadInput, match=r"could not keep case case-000001 in .*finished cases are kept, make room"
            ):
                writer.add(*a_case(1))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert size < files(tmp_path, "bin")[0].stat().st_size < 2 * size, "a part of it is there"
        assert Store(tmp_path).ids == ("case-000000",)
        writer.add(*a_case(1))
        writer.add(*a_case(2))
    assert len(files(tmp_path, "bin")) == 2
    for number in range(3):
        assert_is(Store(tmp_path), number)


def test_two_writers_at_once_mix_nothing_up_and_what_both_wrote_counts_once(tmp_path: Path) -> None:
    with StoreWriter(tmp_path, CARD) as one, StoreWriter(tmp_path, CARD) as other:
        for number, ids in ((0, {0, 3}), (1, {0, 1, 2, 3}), (2, {0, 1, 2, 3})):
            one.add(*a_case(number))
            other.add(*a_case(3 - number))
            assert {int(id[-1]) for id in Store(tmp_path).ids} == ids, "what is finished is seen at once"
    assert len(Store(tmp_path).rows.iou) == 12
    assert StoreWriter(tmp_path, CARD).done == set(Store(tmp_path).ids)
    for number in range(4):
        assert_is(Store(tmp_path), number)
