"""A picture and a query → everything that the page can show of them, so that no switch samples again.

Knows the model, but neither the page nor the server.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from PIL.Image import Image
from torch import Tensor

from glintbox.collect import candidate_set, sharpest
from glintbox.errors import BadInput, NoArtifact
from glintbox.ground import Grounder, grounding
from glintbox.images import open_image
from glintbox.jobs import safe_name
from glintbox.localize import METHOD, localize_each, required, text_heads, with_text_map
from glintbox.lvlm.api import Answered
from glintbox.records import CandidateSet, Grounding, Head, HeadStats, Sampling, Selector, Watch
from glintbox.selectors import SELECTORS

NAMES = ("auto", *SELECTORS)
"""The selectors that a page offers, in this order."""


class Limits(NamedTuple):
    """What a page takes: bytes and pixels of a picture, characters of a query, samples and temperatures of a question.

    new_tokens: length of an answer.
    """

    bytes: int = 20 * 2**20
    pixels: int = 40_000_000
    query: int = 300
    samples: int = 30
    temperatures: int = 3
    new_tokens: int = 512


class Asked(NamedTuple):
    """A question: name is the id under which noise is drawn, as `glintbox ground` names a picture of that file name."""

    name: str
    query: str
    samplings: tuple[Sampling, ...] = ()


class Choice(NamedTuple):
    """Which of the results; "localization-heads" with temperature 0 where heads were asked and not the answers."""

    temperature: float
    selector: str = "auto"
    multiple: bool = False


LOOKED = Choice(0.0, METHOD)


@dataclass(frozen=True, slots=True)
class Found:
    """A picture's file and all that was found in it.

    results: of every choice, or in words why there is none. read: per temperature the answers with the statistics of
    every head and the maps of the most concentrated ones. Only these maps are kept, however many a selector took.
    """

    picture: bytes
    results: Mapping[Choice, Grounding | str]
    read: Mapping[float, CandidateSet]


def asked(words: Mapping[str, str], limits: Limits) -> Asked:
    """The question that a page's words ask: name, query, and of `n`, `seed` and `temperatures` those that are given.

    Raises:
        BadInput: says which word is out of range.
    """
    query = " ".join(words.get("query", "").split())
    if not 0 < len(query) <= limits.query:
        raise BadInput(f"expected 1 to {limits.query} characters that say what to find, got {len(query)}; change them")
    n, seed = _whole(words, "n", Sampling().n), _whole(words, "seed", Sampling().seed)
    if not 1 <= n <= limits.samples:
        raise BadInput(f"expected 1 to {limits.samples} samples per temperature, got {n}; choose a number between")
    told = [word for word in words.get("temperatures", str(Sampling().temperature)).split(",") if word.strip()]
    temperatures = list(dict.fromkeys(_number(word) for word in told))
    if not 1 <= len(temperatures) <= limits.temperatures or not all(0 < t <= 5 for t in temperatures):
        raise BadInput(
            f"expected 1 to {limits.temperatures} temperatures in 0 to 5 with commas between, got {', '.join(told)!r}; "
            "0.5 to 1.0 is usual"
        )
    drawn = (Sampling(n=n, temperature=t, seed=seed, max_new_tokens=limits.new_tokens) for t in temperatures)
    stem = words.get("name", "").replace("\\", "/").rsplit("/", 1)[-1].rpartition(".")
    return Asked(safe_name(stem[0] or stem[2]), query, tuple(drawn))


def find(grounder: Grounder, picture: bytes, question: Asked, limits: Limits) -> Found:
    """Draw the answers of all temperatures in one decoding and choose in every way that there is.

    Raises:
        UnreadableImage, BadInput, BadContract, OutOfMemory: as `Grounder.ground`.
    """
    image = open_image(picture, max_pixels=limits.pixels)
    ways = {(name, many): _way(grounder, name, many) for name in NAMES for many in (False, True)}
    moments = {way[0].needs.moment for way in ways.values() if not isinstance(way, str) and way[0].needs}
    setting = grounder.setting
    plain = Watch(view=setting.view, moment=setting.moment)
    watch = replace(plain, moment="predicted" if "predicted" in {plain.moment, *moments} else "predicting")
    prompt = grounder.lvlm.prompt(image, question.query, id=question.name, text=grounder.prompt)
    results: dict[Choice, Grounding | str] = {}
    read: dict[float, CandidateSet] = {}
    for parts in grounder.lvlm.answer_together([prompt], question.samplings, watch):
        for sampling, answered in zip(question.samplings, parts, strict=True):
            reading = Reading(grounder, image, answered, sampling)
            at = sampling.temperature
            read[at] = reading.of(plain)
            results |= {Choice(at, *key): _chosen(reading, way, plain) for key, way in ways.items()}
    return Found(picture, results, read)


def look(grounder: Grounder, picture: bytes, question: Asked, limits: Limits) -> Found:
    """Where the model's localization heads look while it reads the query; nothing is sampled.

    Raises:
        NoArtifact: the model has none; and as `glintbox.localize.localize`.
    """
    headmap = required(grounder.localization)
    image = open_image(picture, max_pixels=limits.pixels)
    prompt = grounder.lvlm.prompt(image, question.query, id=question.name, text=headmap.setting.prompt)
    [found] = localize_each(grounder.lvlm, [prompt], heads=text_heads(headmap), setting=headmap.setting)
    return Found(picture, {LOOKED: found}, {})


def weight(found: Found) -> int:
    """Bytes that are held for a result: its picture, each tensor once, and about 200 for every token of its answers."""
    results = (result.found for result in found.results.values() if isinstance(result, Grounding))
    sets = [*found.read.values(), *results]
    tensors = {id(tensor): tensor.nbytes for one in sets for tensor in _tensors(one)}
    tokens = {id(response): len(response.ids) for one in sets for response in one.responses}
    return len(found.picture) + sum(tensors.values()) + 200 * sum(tokens.values())


class Reading:
    """The answers of one sampling, read as selectors need them; each way of reading is done once."""

    def __init__(self, grounder: Grounder, image: Image, answered: Answered, sampling: Sampling) -> None:
        self._grounder, self._image, self._answered, self._sampling = grounder, image, answered, sampling
        self._sets: dict[Watch, CandidateSet] = {}
        self._looked: CandidateSet | None = None

    def of(self, watch: Watch) -> CandidateSet:
        """The record that `Grounder.ground` would make with this watch and maps=True."""
        if watch not in self._sets:
            card, prompt = self._grounder.lvlm.card, self._grounder.prompt
            setting = card.setting(prompt=prompt, view=watch.view, moment=watch.moment)
            keep = None if watch.maps else _all_read if watch.heads else sharpest
            self._sets[watch] = candidate_set(
                self._answered, card, sampling=self._sampling, setting=setting, watch=watch, keep=keep
            )
        return self._sets[watch]

    def chosen(self, way: Selector, plain: Watch) -> Grounding:
        """What a selector chooses; of the maps that it took only those of the plain reading are kept."""
        found = self.of(way.needs or plain)
        if way.looks:
            self._looked = self._looked or with_text_map(self._grounder.lvlm, self._image, found, way.looks)
            found = self._looked
        result = grounding(found, way)
        if way.needs and way.needs.maps:
            return replace(result, found=replace(result.found, maps=self.of(plain).maps))
        return result


def _chosen(reading: Reading, way: tuple[Selector, tuple[str, ...]] | str, plain: Watch) -> Grounding | str:
    if isinstance(way, str):
        return way
    result = reading.chosen(way[0], plain)
    return replace(result, found=replace(result.found, notes=(*result.found.notes, *way[1])))


def _way(grounder: Grounder, name: str, many: bool) -> tuple[Selector, tuple[str, ...]] | str:
    """The selector and what is to be known of it, or why the model at hand has it not."""
    try:
        return grounder.choice(name, multiple=many)
    except (NoArtifact, BadInput) as error:
        return str(error)


def _all_read(stats: HeadStats) -> Sequence[Head]:
    return stats.heads


def _whole(words: Mapping[str, str], key: str, usual: int) -> int:
    word = words.get(key, str(usual))
    if not word.strip().lstrip("-").isdecimal() or len(word) > 12:
        raise BadInput(f"expected a whole number for {key}, got {word[:40]!r}; write digits alone")
    return int(word)


def _number(word: str) -> float:
    try:
        return round(float(word), 3)
    except ValueError as error:
        raise BadInput(f"expected a number for a temperature, got {word[:40]!r}; write one like 0.7") from error


def _tensors(found: CandidateSet) -> Iterator[Tensor]:
    stats, maps, text = found.stats, found.maps, found.text_map
    yield from (stats.entropy, stats.share) if stats else ()
    yield from (kept.values for kept in (maps, text) if kept is not None)
