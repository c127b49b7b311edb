"""The ten lines most users want: `Grounder.from_pretrained(name)(image, query)` → Grounding."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, overload

import torch

from glintbox import artifacts, embedded
from glintbox.collect import candidate_set, sharpest
from glintbox.errors import BadInput, NoArtifact
from glintbox.exports import hugging_face
from glintbox.localize import fit_localization, localization_heads, required, with_located, with_text_map
from glintbox.lvlm.api import LVLM
from glintbox.pairs import Opened, Picture, names_of, pairs_of
from glintbox.records import (
    COORDS,
    CandidateSet,
    Grounding,
    Head,
    HeadMap,
    HeadStats,
    Sampling,
    Selector,
    Setting,
    Watch,
    to_json,
)
from glintbox.regressor import RegressorBundle, fingerprint, load_regressor
from glintbox.selectors import NEED_WEIGHTS, best_selector, selector
from glintbox.selectors.base import Clusters


class Grounder:
    """A model and its artefacts, ready to ground pictures; nothing of one call is kept for the next."""

    def __init__(
        self,
        lvlm: LVLM,
        *,
        heads: HeadMap | None = None,
        regressor: RegressorBundle | None = None,
        localization: HeadMap | None = None,
        prompt: str | None = None,
    ) -> None:
        self.lvlm = lvlm
        self.heads = heads
        self.regressor = regressor
        self.localization = localization
        self.prompt = prompt or lvlm.default_prompt
        for artefact, what in ((heads, "head map"), (regressor, "regressor")):
            if artefact is not None:
                _require_fit(lvlm, self.prompt, artefact.setting, what)
        if localization is not None:
            fit_localization(lvlm.card, localization)

    @classmethod
    def from_pretrained(
        cls,
        name_or_folder: str | Path = embedded.NAME,
        *,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype = "auto",
        batch: int = 1,
        heads: str | Path | HeadMap | None = None,
        regressor: str | Path | RegressorBundle | None = None,
        localization: str | Path | HeadMap | None = None,
    ) -> Grounder:
        """Load a model from a hub name, a checkpoint folder, or "embedded" for the model in the box.

        batch: prompts that are answered at a time, which pays on a GPU (docs/throughput.md).
        heads, regressor: an artefact or its path; None looks in the user's cache, then in the checkpoint folder.
        localization: as heads, for the heads of `glintbox.localize`.

        Raises:
            UnknownName: a model type without a family (the message lists those there are).
            SettingMismatch: a head map or regressor of another model (the difference is named).
            NoArtifact, BadInput: an artefact's file is missing or is none; a batch of less than one prompt.
        """
        from glintbox.lvlm.hf import HuggingFaceLVLM  # the extra weight of transformers, only where a model is loaded

        source = embedded.source(name_or_folder)
        lvlm = HuggingFaceLVLM.from_pretrained(source, device=device, dtype=dtype, batch=batch)
        checkpoint = folder if (folder := Path(source).expanduser()).is_dir() else None
        setting = lvlm.card.setting(prompt=lvlm.default_prompt, view="default", moment="predicting")
        find = partial(artifacts.find, setting=setting, checkpoint=checkpoint)
        heads = heads or find(artifacts.HEADS_FILE)
        if isinstance(heads, str | Path):
            path, heads = heads, artifacts.load_heads(Path(heads))
            artifacts.require_places(heads, COORDS[0])  # or it is one of localization heads
            _require_fit(lvlm, lvlm.default_prompt, heads.setting, f"head map in {path}")
        regressor = regressor or find(artifacts.REGRESSOR_FILE)
        if isinstance(regressor, str | Path):
            path, regressor = regressor, load_regressor(Path(regressor))
            _require_fit(lvlm, lvlm.default_prompt, regressor.setting, f"regressor in {path}")
        looks = localization_heads(lvlm.card, localization, checkpoint=checkpoint)
        return cls(lvlm, heads=heads, regressor=regressor, localization=looks)

    def over(self, lvlm: LVLM) -> Grounder:
        """The same artefacts over another way to answer, such as a `RemoteLVLM` of the same model."""
        return Grounder(
            lvlm, heads=self.heads, regressor=self.regressor, localization=self.localization, prompt=self.prompt
        )

    @overload
    def __call__(self, image: Picture, query: str, **options: Any) -> Grounding: ...
    @overload
    def __call__(self, image: Sequence[Picture], query: str | Sequence[str], **options: Any) -> list[Grounding]: ...
    @overload
    def __call__(self, image: Picture, query: Sequence[str], **options: Any) -> list[Grounding]: ...

    def __call__(
        self, image: Picture | Sequence[Picture], query: str | Sequence[str], **options: Any
    ) -> Grounding | list[Grounding]:
        """Find `query` in `image`.

        One picture with one query gives a Grounding; lists give a list: pictures × one query, one picture × queries
        (its prefill is done once), or pairs of equal length. Options are those of `ground`.

        Raises:
            UnreadableImage, BadInput, NoArtifact, SettingMismatch, UnknownName, OutOfMemory: see each message.
        """
        pairs, single = pairs_of(image, query)
        found = list(self.ground(pairs, **options))
        return found[0] if single else found

    def ground(
        self,
        pairs: Sequence[tuple[Picture, str]],
        *,
        n: int = 10,
        temperature: float = 0.7,
        top_p: float = 0.9,
        top_k: int = 100,
        seed: int = 0,
        selector: str | Selector = "auto",
        multiple: bool = False,
        max_new_tokens: int = 512,
        ids: Sequence[str] | None = None,
        maps: bool = False,
        located: bool = False,
    ) -> Iterator[Grounding]:
        """Ground pairs of picture and query one after the other, in order, in bounded memory.

        n: sampled answers beside the greedy one. selector: a name of `SELECTORS`, "auto" for the best artefact there
        is, or a `Selector`, which chooses as it was made. multiple: several objects, one box per cluster of candidates.
        ids: name each pair; noise depends on id, query and seed, not on what else is drawn. maps: keep maps to draw.
        located: the box of the localization heads is a candidate too, where they find one.

        Raises:
            BadInput: not one id per pair, or numbers out of range; and as `__call__`.
        """
        sampling = Sampling(n, temperature, top_p, top_k, seed, max_new_tokens)
        chosen, notes = self.choice(selector, multiple=multiple)
        looks = chosen.looks or (required(self.localization) if located else None)
        setting, watch = self._watched(chosen)
        keep = (_all_read if watch.heads else sharpest) if maps and watch and not watch.maps else None
        opened, names = Opened(), names_of(pairs, ids)
        asked = zip(pairs, names, strict=True)
        prompts = (self.lvlm.prompt(opened(image), query, id=name, text=self.prompt) for (image, query), name in asked)
        for (picture, _), answered in zip(pairs, self.lvlm.answer(prompts, sampling, watch), strict=True):
            found = candidate_set(answered, self.lvlm.card, sampling=sampling, setting=setting, watch=watch, keep=keep)
            looked = with_text_map(self.lvlm, opened(picture), found, looks) if looks else found
            joined = with_located(looked) if located else looked
            yield grounding(replace(joined, notes=(*joined.notes, *notes)), chosen)

    def _watched(self, chosen: Selector) -> tuple[Setting, Watch | None]:
        """What a selector reads, and under which setting; nothing where nothing can be read."""
        setting = self.setting
        if watch := chosen.needs:
            return replace(setting, view=watch.view, moment=watch.moment), watch
        return setting, Watch(view=setting.view, moment=setting.moment) if self.lvlm.card.usable else None

    def detect(
        self, image: Picture, labels: Sequence[str], *, threshold: float = 0.0, **options: Any
    ) -> list[dict[str, Any]]:
        """Boxes of several labels in the Hugging Face zero-shot-object-detection shape, best score first.

        Each is {"score": float, "label": str, "box": {"xmin", "ymin", "xmax", "ymax"}} in px; options as in `ground`,
        with multiple=True unless said otherwise. Scores of kind "rank" and "agreement" compare the boxes of one label;
        between labels only predicted IoUs (acs-learned) do.

        Raises:
            BadInput: the selector gives no score, or there are no labels.
        """
        if not labels or isinstance(labels, str):
            raise BadInput(f"expected a list of labels, got {labels!r}")
        options.setdefault("multiple", True)
        results = self(image, list(labels), **options)
        for result in results:
            if any(box.score is None for box in result.boxes):
                raise BadInput(f"selector {result.method!r} gives no score; use one that does, e.g. 'consensus'")
        rows = [row for result in results for row in hugging_face(result) if row["score"] >= threshold]
        return sorted(rows, key=lambda row: -row["score"])

    def choice(self, name: str | Selector, *, multiple: bool | Clusters = False) -> tuple[Selector, tuple[str, ...]]:
        """The selector of a name, or the best there is for "auto", and what a user should know of it.

        Raises:
            UnknownName: lists the selectors there are.
            NoArtifact: it needs a head map or regressor that is not there, or weights beside a server.
            BadInput: it gives one box only and `multiple` is wanted, or the head map lacks a coordinate.
        """
        if isinstance(name, Selector):
            return name, ()
        if name != "auto":
            return self._selector(name, multiple), ()
        best, why = best_selector(self.heads, self.regressor)
        return self._selector(best, multiple), (f"selector auto took {best}: {why}",)

    def _selector(self, name: str, multiple: bool | Clusters) -> Selector:
        if name in NEED_WEIGHTS and not self.lvlm.card.usable:
            raise NoArtifact(
                f"{name} looks inside the model, expected the weights of {self.lvlm.card.id} here, got a server's "
                "answers alone; load the same checkpoint too (--model), or choose another selector, such as consensus"
            )
        return selector(
            name, headmap=self.heads, regressor=self.regressor, localization=self.localization, multiple=multiple
        )

    def made_with(self) -> dict[str, Any]:
        """Model and artefacts by content: where this and the options of a call are equal, results are."""
        heads, regressor, looks = self.heads, self.regressor, self.localization
        made = {
            "setting": asdict(self.setting),
            "head map": heads and _digest(heads),
            "regressor weights": regressor and fingerprint(regressor),
        }
        return made | ({"localization heads": _digest(looks)} if looks else {})

    @property
    def setting(self) -> Setting:
        """Under which attention is read: in the view and moment of the artefact that "auto" takes, if there is one."""
        taken = best_selector(self.heads, self.regressor).name
        like = self.regressor if taken == "acs-learned" else self.heads or self.regressor
        view, moment = (like.setting.view, like.setting.moment) if like else (Watch().view, Watch().moment)
        return self.lvlm.card.setting(prompt=self.prompt, view=view, moment=moment)


def _all_read(stats: HeadStats) -> Sequence[Head]:
    """A selector that asks for certain heads is best understood by looking at them."""
    return stats.heads


def grounding(found: CandidateSet, chosen: Selector) -> Grounding:
    """Apply a selector to a set: no model, no waiting; re-select for free."""
    began = perf_counter()
    boxes = chosen.choose(found)
    timing = {**found.timing, "select": perf_counter() - began}
    greedy = tuple(c.box for c in found.candidates if found.responses[c.response].source == "greedy")
    return Grounding(found.id, chosen.name, chosen.score_kind, boxes, greedy, replace(found, timing=timing))


def _digest(heads: HeadMap) -> str:
    return hashlib.sha256(to_json(heads).encode()).hexdigest()[:12]


def _require_fit(lvlm: LVLM, prompt: str, made: Setting, what: str) -> None:
    """Refuse an artefact of another model, prompt or budget; its view and moment are its own to choose."""
    artifacts.require_equal(made, lvlm.card.setting(prompt=prompt, view=made.view, moment=made.moment), what=what)
