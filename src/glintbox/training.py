"""From a store to a regressor as the paper trains one (A.2): Adam along a cosine, stopped early; resumable."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from jaxtyping import Float32, Int

from glintbox.analysis.reliability import Reliability, reliability
from glintbox.batches import MEMORY, Maps, parts, predict, predicted
from glintbox.checkpoints import FILE, Kept, keep, kept, load_optimizer, named, optimizer_tensors, unnamed
from glintbox.errors import BadInput
from glintbox.model_card import save_folder
from glintbox.predictions import Quality, quality
from glintbox.records import Head, from_json, to_json
from glintbox.regressor import (
    InputScale,
    Order,
    Recipe,
    RegressorBundle,
    RegressorCard,
    Training,
    new_regressor,
)
from glintbox.splits import Split, amount, split
from glintbox.store import Store


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the training data; `number` counts from 1.

    train: as the pass went, with dropout and changing weights. held_out: after it, as the weights will be used.
    seconds: of both.
    """

    number: int
    rate: float
    train: Quality
    held_out: Quality
    seconds: float


MADE_BY = "MSE on the true IoU, ACS A.2"

Tick = Callable[[float, Epoch | None], None]
"""Called often, with how many epochs are done, in fractions, and the last one that is."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained regressor, how it came about, and what it is worth on the pictures that were held out."""

    bundle: RegressorBundle
    history: tuple[Epoch, ...]
    reliability: Reliability
    split: Split


def fit(
    store: Store,
    *,
    out: Path,
    heads: Sequence[Head] | None = None,
    grid: tuple[int, int] | None = None,
    rows: Int[np.ndarray, " candidate"] | None = None,
    order: Order = "relu_bn",
    dropout: float = 0.3,
    input_scale: InputScale = "cells",
    recipe: Recipe = Recipe(),  # noqa: B008  # it is frozen
    memory: int = MEMORY,
    device: torch.device | str = "cpu",
    tick: Tick = lambda done, last: None,
) -> Fitted:
    """Train a regressor on a store and write it into `out` as a folder of its own, with a model card.

    heads: channel order, None = all that are kept. grid: rows, cols; None = that of the maps, if they have only one.
    rows: of `store.rows`, None = all. memory: bytes; maps that fit are read once, others with every epoch. After every
    epoch its state is kept in `out`; a stopped training goes on there, to the same numbers on the same machine.

    Raises:
        BadInput: a store without maps, too little to split, true IoUs that are all equal, shares that are not finite,
            numbers that grow beyond all bounds, or a state in `out` of another training.
    """
    wanted = tuple(heads) if heads is not None else store.card.heads
    if not wanted:
        raise BadInput(f"expected attention maps in {store.folder}, got statistics only; collect with --heads")
    used = split(store, recipe, rows=rows)
    _check_labels(store, used.train)
    maps = Maps(store, wanted, grid=grid, rows=np.concatenate(used), memory=memory)
    card = RegressorCard(store.card.setting, wanted, *maps.grid, order, dropout, input_scale, MADE_BY)
    run = _Run(store, maps, card, recipe, split=used, device=torch.device(device))
    run.resume(out / FILE)
    while not run.finished:
        run.epoch(tick)
        keep(run.state(), out / FILE)
    fitted = _judged(store, run.best(), recipe, history=tuple(run.history), split=used)
    save_folder(fitted.bundle, out)
    return fitted


def _check_labels(store: Store, train: Int[np.ndarray, " train"]) -> None:
    ious = store.rows.iou[train]
    if not len(ious) or np.ptp(ious) == 0:
        told = f"an IoU of {ious[0]:g} for all of them" if len(ious) else "none"
        raise BadInput(
            f"expected candidates of different IoU to train on in {store.folder}, got {len(ious)} and {told}: there is "
            "nothing to learn; check that boxes and annotations belong together, or collect more cases"
        )


class _Run:
    """A training under way."""

    def __init__(
        self, store: Store, maps: Maps, card: RegressorCard, recipe: Recipe, *, split: Split, device: torch.device
    ) -> None:
        self.table, self.maps, self.card, self.recipe = store.rows, maps, card, recipe
        self.split, self.device, self.history = split, device, list[Epoch]()
        with _seeded(recipe.seed, 2, device=device):
            network = new_regressor(card).network
        # channels last: a tenth to a fifth faster on a CPU
        self.bundle = RegressorBundle(card, network.to(device, memory_format=torch.channels_last))  # type: ignore[call-overload]
        self.lowest = _copied(self.bundle)
        self.adam = torch.optim.Adam(network.parameters(), recipe.rate, weight_decay=recipe.decay, fused=True)
        used = hashlib.sha256(b"".join(part.tobytes() for part in (*split, self.table.iou[np.concatenate(split)])))
        self.made: dict[str, str] = {"candidates": used.hexdigest()[:12], "data": store.card.data}
        self.made |= {name: str(value) for given in (card, recipe) for name, value in asdict(given).items()}

    @property
    def finished(self) -> bool:
        """All epochs are done, or none of the last ones made progress."""
        best, since = math.inf, 0
        for epoch in self.history:
            progress = epoch.held_out.mse < best - self.recipe.min_delta
            best, since = (epoch.held_out.mse, 0) if progress else (best, since + 1)
        return len(self.history) >= self.recipe.epochs or since >= self.recipe.patience

    def epoch(self, tick: Tick) -> None:
        """One pass, and what it is worth."""
        began, number, last = perf_counter(), len(self.history) + 1, self.history[-1] if self.history else None
        rate = 0.5 * self.recipe.rate * (1 + math.cos(math.pi * (number - 1) / self.recipe.epochs))
        for group in self.adam.param_groups:
            group["lr"] = rate
        said = np.zeros(len(self.table.iou), dtype=np.float32)
        with _seeded(self.recipe.seed, 3, number, device=self.device):
            shuffled = np.random.default_rng((self.recipe.seed, 4, number)).permutation(self.split.train)
            at, done = 0, len(shuffled) + len(self.split.held_out)
            batches = list(_batches(shuffled, self.recipe.batch))
            for rows, maps in zip(batches, self.maps.batches(batches), strict=True):
                said[rows] = self._step(maps.to(self.device), rows)
                tick(number - 1 + (at := at + len(rows)) / done, last)
        batches = list(parts(self.split.held_out, self.recipe.batch))
        for rows, maps in zip(batches, self.maps.batches(batches), strict=True):
            said[rows] = predicted(self.bundle, maps)
            tick(number - 1 + (at := at + len(rows)) / done, last)
        train, held_out = (self._quality(said, rows, number) for rows in self.split)
        if all(held_out.mse < epoch.held_out.mse for epoch in self.history):
            self.lowest = _copied(self.bundle)
        self.history.append(Epoch(number, rate, train, held_out, perf_counter() - began))
        tick(number, self.history[-1])

    def _step(
        self, maps: Float32[torch.Tensor, "candidate coord=4 head row col"], rows: Int[np.ndarray, " candidate"]
    ) -> Float32[np.ndarray, " candidate"]:
        network = self.bundle.network.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16"):
            said = network(maps)
        self.adam.zero_grad()
        torch.nn.functional.mse_loss(said, torch.from_numpy(self.table.iou[rows]).to(said)).backward()  # type: ignore[no-untyped-call]
        self.adam.step()
        return np.asarray(said.detach().cpu().numpy())

    def _quality(self, said: Float32[np.ndarray, " all"], rows: Int[np.ndarray, " candidate"], number: int) -> Quality:
        if not np.isfinite(said[rows]).all():
            raise BadInput(f"expected predictions that are numbers, got others in epoch {number}; lower the rate")
        return quality(said[rows], self.table.iou[rows], self.table.case[rows])

    def best(self) -> RegressorBundle:
        """A regressor with the weights of the lowest MSE on held-out pictures."""
        with _seeded(self.recipe.seed, device=self.device):  # nobody's noise is used up
            bundle = new_regressor(self.card)
        bundle.network.load_state_dict(self.lowest)
        bundle.network.to(self.device)
        return bundle

    def state(self) -> Kept:
        """Everything that the next epoch depends on."""
        tensors = named("network", self.bundle.network.state_dict()) | named("lowest", self.lowest)
        told = _Told(self.made, tuple(self.history))
        return Kept(tensors | named("adam", optimizer_tensors(self.adam)), to_json(told))

    def resume(self, path: Path) -> None:
        """Go on where a training of the same recipe and data was stopped, if there is one."""
        if (state := kept(path)) is None:
            return
        told = from_json(_Told, state.words)
        odd = [f"{k}: there {told.made.get(k)}, now {v}" for k, v in self.made.items() if told.made.get(k) != v]
        if odd:
            raise BadInput(f"{path} is of another training ({'; '.join(odd)}); choose another --out or remove it")
        self.bundle.network.load_state_dict(unnamed("network", state.tensors))
        self.lowest = unnamed("lowest", state.tensors)
        load_optimizer(self.adam, unnamed("adam", state.tensors))
        self.history = list(told.history)


@dataclass(frozen=True, slots=True)
class _Told:
    """The words of a state: what the training is of, and its epochs."""

    made: Mapping[str, str]
    history: tuple[Epoch, ...]


def _judged(
    store: Store, bundle: RegressorBundle, recipe: Recipe, *, history: tuple[Epoch, ...], split: Split
) -> Fitted:
    """The trained regressor with everything that its card should tell."""
    mean = float(store.rows.iou[split.train].mean())
    said = predict(bundle, store, rows=split.held_out)
    found = reliability(store, said, rows=split.held_out, mean=mean)
    training = Training(
        data=store.card.data,
        sampling=store.card.sampling,
        recipe=recipe,
        trained_on=amount(store, split.train),
        held_out=amount(store, split.held_out),
        epochs=len(history),
        best=min(history, key=lambda epoch: epoch.held_out.mse).number,
        quality=found.quality,
        mean_mae=found.mean_mae,
        acs_learned=found.acs_learned,
        consensus=found.consensus,
        oracle=found.oracle,
    )
    bundle = RegressorBundle(replace(bundle.card, training=training), bundle.network.eval())
    return Fitted(bundle, history, found, split)


def _batches(rows: Int[np.ndarray, " candidate"], size: int) -> Iterator[Int[np.ndarray, " _"]]:
    """Rows in batches of `size`; a last one of a single row, which has no variance, joins the one before it."""
    end = len(rows) - 1 if len(rows) % size == 1 else len(rows)
    starts = range(0, end, size)
    yield from (rows[start : start + size if start + size < end else len(rows)] for start in starts)


@contextmanager
def _seeded(*numbers: int, device: torch.device) -> Iterator[None]:
    """Torch's noise inside depends on these numbers alone, and nothing outside on what is drawn inside."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1)))
        yield


def _copied(bundle: RegressorBundle) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().clone() for name, value in bundle.network.state_dict().items()}
