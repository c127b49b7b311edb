"""Where tables get their answers: drawn once, kept in a work folder, found there the next time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from glintbox.artifacts import cache_folder, write_whole
from glintbox.batches import MEMORY
from glintbox.collect import fill
from glintbox.compare import share_of
from glintbox.errors import BadInput, NoArtifact
from glintbox.lvlm.api import LVLM
from glintbox.records import Sample, Sampling, Setting
from glintbox.reproduce.answers import FirstAnswers
from glintbox.reproduce.plan import PARTS, Amounts, Data, Need, Part, cases, data_of, together
from glintbox.rivals import ALONE, RIVALS, Asked, rival_answers
from glintbox.store import Store, StoreCard, StoreWriter

Bars = Callable[[str, float | None], AbstractContextManager[Callable[[float], None]]]
"""A progress bar: its words and how much there is to do → what to call with how much more is done."""

T = TypeVar("T")


def keep(path: Path, content: bytes) -> None:
    """Write a file of the work folder, whole or not at all.

    Raises:
        BadInput: it cannot be written.
    """
    try:
        write_whole(path, content)
    except OSError as error:
        raise BadInput(f"could not keep {path}: {error}; what is finished is kept, make room and run again") from error


class Room(NamedTuple):
    """Where regressors are trained and asked, and how many bytes of maps may be held meanwhile."""

    device: str = "cpu"
    memory: int = MEMORY


class Bench:
    """One model on one dataset: its cases and answers.

    load: gives the model; called only where answers are missing. work: below it a folder of this model, of what is
    learned from and of these amounts; None = the user's cache. room: of regressors.
    """

    def __init__(
        self,
        load: Callable[[], LVLM],
        setting: Setting,
        data: Data,
        *,
        amounts: Amounts,
        work: Path | None,
        bars: Bars,
        room: Room = Room(),  # noqa: B008  # it is a tuple
    ) -> None:
        self.setting, self.data, self.amounts, self.bars, self.room = setting, data, amounts, bars, room
        self._load, self._root, self._kept = load, work, dict[object, object]()

    @cached_property
    def work(self) -> Path:
        """The folder in which everything is kept."""
        own = cache_folder(self.setting)
        root = self._root / own.name if self._root else own / "reproduce"
        return root / f"{self.data_of('learn')}-{self.amounts.name}"

    @cached_property
    def lvlm(self) -> LVLM:
        """The model."""
        return self._load()

    def once(self, key: object, make: Callable[[], T]) -> T:
        """What `make` gives, made once for as long as this bench lives."""
        if key not in self._kept:
            self._kept[key] = make()
        found: T = self._kept[key]  # type: ignore[assignment]  # one key, one type
        return found

    def samples(self, part: Part) -> list[Sample]:
        """The cases of a part; errors as in `plan.cases`."""

        def read() -> list[Sample]:
            with self.bars(f"{part}: reading cases", None) as more:
                return cases(self.data, part, self.amounts, tick=lambda: more(1))

        return self.once(("samples", part), read)

    def folder(self, need: Need) -> Path:
        """Where answers are kept."""
        moment = "" if need.moment == "predicting" else f"-{need.moment}"
        words = f"{need.part}-{self.data_of(need.part)}-n{need.n}-t{need.temperature:g}{moment}"
        return self.work / "answers" / words

    def data_of(self, part: Part) -> str:
        """The name of a part's data."""
        return self.once(("data", part), lambda: data_of(self.data, part))

    def collect(self, needed: Sequence[Need], *, shard: str | None = None) -> None:
        """Draw and keep what is missing of answers to one part, together, or of a share i/k of its cases.

        Errors as in `collect.fill`.
        """
        part = needed[0].part
        samples = self.samples(part)
        samples = list(share_of(samples, shard)) if shard else samples
        ids = {sample.id for sample in samples}
        if all(ids <= self._there(need) for need in needed):
            return
        words = f"{part}, T {', '.join(f'{need.temperature:g}' for need in needed)}: answering"
        with ExitStack() as stack:
            writers = [stack.enter_context(StoreWriter(self.folder(need), self._card(need))) for need in needed]
            more = stack.enter_context(self.bars(words, len(samples)))
            fill(self.lvlm, samples, *writers, tick=lambda: more(1))

    def store(self, need: Need) -> Store:
        """The answers of a need; what is missing is drawn first."""

        def opened() -> Store:
            self.collect(together(need, self.amounts))
            return Store(self.folder(need))

        return self.once(("store", need), opened)

    def first(self, need: Need, k: int) -> Store:
        """The first k answers of each case alone."""
        if k == need.n:
            return self.store(need)
        self.store(need)
        return self.once(("first", need, k), lambda: FirstAnswers(self.folder(need), k))

    def rivals(
        self, part: Part, names: Sequence[str], *, shard: str | None = None, first: int | None = None
    ) -> dict[str, dict[str, Asked]]:
        """What greedy alone and rivals say to each case of a part, or to the first few, by its id; kept case by case.

        Errors as in `rivals.rival_answers`.
        """
        samples = self.samples(part)[:first]
        samples = list(share_of(samples, shard)) if shard else samples
        asks = {name: self.once(("rival", name), partial(RIVALS[name], self.lvlm)) for name in names}
        work = self.work / "rivals" / f"{part}-{self.data_of(part)}"
        with self.bars(f"{part}: asking {', '.join((ALONE, *names))}", len(samples)) as more:
            said = rival_answers(self.lvlm, samples, asks, setting=self.setting, work=work)
            return {sample.id: one for sample, one in zip(samples, said, strict=True) if more(1) is None}

    def _there(self, need: Need) -> set[str]:
        try:
            return set(Store(self.folder(need)).ids)
        except NoArtifact:
            return set()

    def _card(self, need: Need) -> StoreCard:
        greedy = PARTS[need.part].purpose != "learn"
        sampling = Sampling(need.n, need.temperature, greedy_too=greedy)
        setting = replace(self.setting, moment=need.moment)
        words = f"{self.data_of(need.part)}, {need.part}, {self.amounts.name}"
        return StoreCard(setting, sampling, words, self.lvlm.card.all_heads())
