"""A regressor learns what there is to learn, goes on to the same numbers after any stop, and refuses what is none."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from glintbox.batches import predict
from glintbox.boxes import Box, Size, iou
from glintbox.checkpoints import FILE
from glintbox.collect import fill
from glintbox.errors import BadInput
from glintbox.ground import Grounder
from glintbox.lvlm.scripted import Script, ScriptedLVLM
from glintbox.records import Head, Sample, Sampling
from glintbox.regressor import Recipe, RegressorBundle, load_regressor
from glintbox.splits import split
from glintbox.store import Store, StoreCard, StoreWriter
from glintbox.training import Epoch, Fitted, fit
from tests.learnable import COLS, EACH, ROWS, TELLING, a_store, maps_of
from tests.sets import HEADS

QUICK = Recipe(epochs=3, batch=32, rate=3e-3, held_out=0.25)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return a_store(tmp_path_factory.mktemp("training") / "store")


@pytest.fixture(scope="module")
def fitted(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    return fit(store, out=tmp_path_factory.mktemp("fitted"), recipe=QUICK)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def numbers(history: tuple[Epoch, ...]) -> list[object]:
    return [replace(epoch, seconds=0.0) for epoch in history]


def test_iou_that_one_heads_sharpness_tells_is_learned_in_seconds(fitted: Fitted, store: Store) -> None:
    quality = fitted.reliability.quality
    assert quality.r is not None and quality.r > 0.9
    assert quality.rank is not None and quality.rank > 0.9
    assert quality.mae < fitted.reliability.mean_mae / 2
    assert fitted.reliability.acs_learned > fitted.reliability.consensus


def test_the_card_says_what_was_used_and_what_came_of_it(fitted: Fitted, store: Store) -> None:
    card, made = fitted.bundle.card, fitted.bundle.card.training
    assert made is not None
    assert (card.heads, card.rows, card.cols, card.setting) == (HEADS, ROWS, COLS, store.card.setting)
    assert (made.data, made.sampling, made.recipe) == ("made up", store.card.sampling, QUICK)
    assert made.trained_on == (15, 30, 30 * EACH) and made.held_out == (5, 10, 10 * EACH)
    assert made.epochs == 3 and made.quality == fitted.reliability.quality
    assert made.best == 1 + int(np.argmin([epoch.held_out.mse for epoch in fitted.history]))


def test_what_is_left_in_the_folder_is_the_regressor(store: Store, tmp_path: Path) -> None:
    made = fit(store, out=tmp_path, recipe=replace(QUICK, epochs=1)).bundle
    read = load_regressor(tmp_path)
    assert read.card == made.card
    assert np.array_equal(predict(read, store), predict(made, store))
    assert "30 pairs" in (tmp_path / "README.md").read_text()


def test_the_best_epochs_weights_are_kept(store: Store, fitted: Fitted) -> None:
    rows = fitted.split.held_out
    mse = float(np.square(predict(fitted.bundle, store, rows=rows) - store.rows.iou[rows]).mean())
    assert mse == pytest.approx(min(epoch.held_out.mse for epoch in fitted.history), rel=1e-3)


def test_coordinates_and_channels_are_not_alike(fitted: Fitted) -> None:
    maps = maps_of(torch.tensor([0.9, 0.2]), torch.Generator().manual_seed(1))
    network = fitted.bundle.network
    with torch.inference_mode():
        before, turned, swapped = network(maps), network(maps.roll(1, dims=1)), network(maps.roll(1, dims=2))
    assert before[0] > before[1]
    assert (before - turned).abs().max() > 1e-6, "each coordinate has its own branch"
    assert (before - swapped).abs().max() > 0.05, "which head is sharp matters"


def test_channel_order_is_head_order(store: Store, fitted: Fitted, tmp_path: Path) -> None:
    only = fit(store, out=tmp_path / "telling", heads=[TELLING], recipe=QUICK)
    assert only.bundle.card.heads == (TELLING,)
    assert only.reliability.quality.r is not None and only.reliability.quality.r > 0.9
    others = tuple(head for head in HEADS if head != TELLING)
    blind = fit(store, out=tmp_path / "blind", heads=others, recipe=QUICK)
    assert (blind.reliability.quality.r or 0) < 0.5
    weights = fitted.bundle.network.state_dict()
    turned = replace(fitted.bundle.card, heads=HEADS[::-1])
    for k in range(4):
        weights[f"branches.{k}.0.weight"] = weights[f"branches.{k}.0.weight"].flip(1)
    other = type(fitted.bundle.network)(len(HEADS))
    other.load_state_dict(weights)
    same = predict(RegressorBundle(turned, other), store)
    assert np.allclose(same, predict(fitted.bundle, store), atol=1e-5)


class Stopped(Exception):
    """What a kill is to a test."""


def stop_after(epochs: float) -> Callable[[float, Epoch | None], None]:
    def tick(done: float, _: Epoch | None) -> None:
        if done > epochs:
            raise Stopped

    return tick


@pytest.mark.parametrize("memory", [0, 2**20])
def test_a_stopped_training_goes_on_to_the_same_numbers(store: Store, tmp_path: Path, memory: int) -> None:
    recipe = replace(QUICK, batch=50)
    whole = fit(store, out=tmp_path / "whole", recipe=recipe, memory=memory)
    for epochs in (0.5, 1.2, 2.9):  # before the first state, and within the second and third epoch
        with pytest.raises(Stopped):
            fit(store, out=tmp_path / "parts", recipe=recipe, memory=memory, tick=stop_after(epochs))
        torch.rand(7)  # what else is drawn meanwhile does not matter
    parts = fit(store, out=tmp_path / "parts", recipe=recipe, memory=memory)
    assert numbers(parts.history) == numbers(whole.history)
    assert parts.bundle.card == whole.bundle.card
    assert np.array_equal(predict(parts.bundle, store), predict(whole.bundle, store))
    names = ["README.md", "config.json", "model.safetensors"]
    assert all((tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes() for name in names)


def test_a_finished_training_is_not_done_again(store: Store, tmp_path: Path) -> None:
    first = fit(store, out=tmp_path, recipe=replace(QUICK, epochs=1))
    again = fit(store, out=tmp_path, recipe=replace(QUICK, epochs=1), tick=stop_after(0))
    assert again.history == first.history


def test_seeds_decide_and_nothing_else_is_drawn(store: Store, tmp_path: Path) -> None:
    torch.manual_seed(5)
    before = torch.rand(1)
    torch.manual_seed(5)
    one, two, three = (
        fit(store, out=tmp_path / str(k), recipe=replace(QUICK, epochs=1, seed=seed))
        for k, seed in enumerate((0, 0, 1))
    )
    assert torch.equal(torch.rand(1), before), "the caller's noise is not touched"
    assert numbers(one.history) == numbers(two.history) != numbers(three.history)


def test_the_rate_falls_along_a_cosine(fitted: Fitted) -> None:
    assert [epoch.rate for epoch in fitted.history] == pytest.approx([3e-3, 3e-3 * 0.75, 3e-3 * 0.25])
    assert [epoch.number for epoch in fitted.history] == [1, 2, 3]


def test_without_progress_it_stops_early(store: Store, tmp_path: Path) -> None:
    recipe = replace(QUICK, epochs=20, patience=2, min_delta=0.9, rate=1e-4)
    assert len(fit(store, out=tmp_path, recipe=recipe).history) == 3  # the first is progress, two are not


def test_half_precision_learns_as_well(store: Store, tmp_path: Path) -> None:
    found = fit(store, out=tmp_path, recipe=replace(QUICK, precision="bfloat16")).reliability.quality
    assert found.r is not None and found.r > 0.9


def test_ticks_go_up_to_the_last_epoch(store: Store, tmp_path: Path) -> None:
    ticks: list[tuple[float, int]] = []
    fit(
        store,
        out=tmp_path,
        recipe=replace(QUICK, epochs=2),
        tick=lambda done, last: ticks.append((done, last.number if last else 0)),
    )
    done = [share for share, _ in ticks]
    assert done == sorted(done) and done[-1] == 2 and 0 < done[0] < 0.5
    assert {last for share, last in ticks if share < 1} == {0} and ticks[-1][1] == 2


def test_a_batch_is_never_one_alone(store: Store, tmp_path: Path) -> None:
    rows = np.flatnonzero(store.rows.case < 10)
    train = len(split(store, QUICK, rows=rows).train)
    recipe = replace(QUICK, epochs=1, batch=train - 1)  # one more than a batch: no variance for normalising it
    assert len(fit(store, out=tmp_path, rows=rows, recipe=recipe).history) == 1


def test_another_training_in_the_same_folder_is_refused(store: Store, tmp_path: Path) -> None:
    fit(store, out=tmp_path, recipe=replace(QUICK, epochs=1))
    with pytest.raises(BadInput, match=r"of another training \(rate: there 0.003, now 0.1\); choose another --out"):
        fit(store, out=tmp_path, recipe=replace(QUICK, epochs=1, rate=0.1))
    with pytest.raises(BadInput, match=r"of another training \(candidates: there"):
        fit(store, out=tmp_path, rows=np.arange(40), recipe=replace(QUICK, epochs=1))


def constant(folder: Path, iou: float) -> Store:
    """A store in which every box has the same IoU."""
    store = a_store(folder, cases=4, pictures=4)
    store.rows.iou[:] = iou
    return store


@pytest.mark.parametrize("iou", [0.0, 0.7])
def test_a_store_of_one_iou_is_refused(tmp_path: Path, iou: float) -> None:
    with pytest.raises(BadInput, match=f"different IoU .* got 12 and an IoU of {iou:g} for all of them: .* nothing"):
        fit(constant(tmp_path / "store", iou), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_store_of_statistics_alone_is_refused(store: Store, tmp_path: Path) -> None:
    bare = StoreCard(store.card.setting, store.card.sampling, "made up", ())
    with StoreWriter(tmp_path / "bare", bare) as writer:
        for case in range(3):
            writer.add(*store[case])
    with pytest.raises(BadInput, match=r"attention maps in .*bare, got statistics only; collect with --heads"):
        fit(Store(tmp_path / "bare"), out=tmp_path / "out")


def test_heads_that_were_not_kept_are_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"heads whose maps .* keeps, got L9H9"):
        fit(store, out=tmp_path, heads=[Head(9, 9)])


def test_a_grid_that_is_too_small_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"at least 4 x 4 cells .* 3 x 6"):
        fit(store, out=tmp_path, grid=(3, 6))


def test_maps_that_are_no_numbers_are_refused(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "batch", lambda rows, **_: torch.full((len(rows), 4, 3, ROWS, COLS), torch.nan))
    with pytest.raises(BadInput, match=r"attention shares that are numbers, got others in case case-"):
        fit(store, out=tmp_path, recipe=QUICK)


def test_numbers_that_grow_beyond_all_bounds_are_refused(store: Store, tmp_path: Path) -> None:
    store = Store(store.folder)
    store.rows.iou[3] = np.nan
    with pytest.raises(BadInput, match=r"not finite|lower the rate"):
        fit(store, out=tmp_path, recipe=QUICK)


def test_a_state_that_is_none_is_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("nothing")
    with pytest.raises(BadInput, match=r"state of a training .* remove it to begin anew"):
        fit(store, out=tmp_path, recipe=QUICK)


def test_from_answers_to_a_choice_that_beats_consensus(tmp_path: Path) -> None:
    """A scripted model whose sharp heads look at what is true: most of its answers agree on a wrong box."""
    random = np.random.default_rng(0)
    scripts, samples = {}, []
    for k in range(24):
        x, y = random.integers(50, 500, 2).tolist()
        right, wrong = [x, y, x + 300, y + 300], [900 - x, 900 - y, 980 - x, 980 - y]
        near = [[value + int(shift) for value in right] for shift in random.integers(-200, 200, 2)]
        truth = Box(*(value * side / 1000 for value, side in zip(right, (80, 60, 80, 60), strict=True)))
        texts = tuple(str(box) for box in (right, *near, wrong, wrong, wrong))
        scripts[f"object {k}"] = Script(greedy="[]", sampled=texts, truth=truth)
        Image.new("RGB", (80, 60), (k, 0, 0)).save(tmp_path / f"{k}.png")
        samples.append(Sample(f"case-{k}", tmp_path / f"{k}.png", Size(80, 60), f"object {k}", (truth,)))
    lvlm, sampling = ScriptedLVLM(scripts), Sampling(n=6, temperature=1.0, greedy_too=False)
    setting = lvlm.card.setting(prompt="scripted", view="default", moment="predicting")
    with StoreWriter(tmp_path / "store", StoreCard(setting, sampling, "scripted", lvlm.card.all_heads())) as writer:
        fill(lvlm, samples[:20], writer, tick=lambda: None)
    recipe = replace(QUICK, epochs=5)
    found = fit(Store(tmp_path / "store"), out=tmp_path / "out", recipe=recipe)
    assert found.reliability.acs_learned > 0.9 > 0.1 > found.reliability.consensus
    grounder = Grounder(lvlm, regressor=load_regressor(tmp_path / "out"))
    for sample in samples[20:]:  # pictures that nobody trained on
        result = grounder(sample.image, sample.query, n=6)
        assert result.method == "acs-learned" and iou(result.boxes[0].box, sample.truth[0]) > 0.5
        assert result.boxes[0].score is not None and abs(result.boxes[0].score - 1) < 0.5
