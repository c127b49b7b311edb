"""SELECTORS: every way to choose among candidates by name, as factories that one can read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from glintbox.errors import BadInput, NoArtifact, UnknownName
from glintbox.records import HeadMap, Selector
from glintbox.regressor import RegressorBundle
from glintbox.selectors import baselines
from glintbox.selectors.acs_free import acs_free
from glintbox.selectors.acs_learned import acs_learned
from glintbox.selectors.base import Choose, Clusters, Score, chooser
from glintbox.selectors.heads_overlap import heads_overlap


@dataclass(frozen=True, slots=True)
class Given:
    """What a factory may use."""

    headmap: HeadMap | None
    regressor: RegressorBundle | None
    localization: HeadMap | None
    multiple: bool | Clusters


Factory = Callable[[str, Given], Selector]


def _scored(one: Score, many: Score | None = None, *, kind: Literal["agreement", "none"] = "none") -> Factory:
    """A factory from a score; `many` where another is due when several objects are wanted."""

    def make(name: str, given: Given) -> Selector:
        reported = kind != "none"
        score = many if many and given.multiple else one
        return Selector(name, chooser(given.multiple)(score, reported=reported), kind)

    return make


def _invented(choose: Choose) -> Factory:
    """A factory for a method that makes up one box for the whole picture."""

    def make(name: str, given: Given) -> Selector:
        if given.multiple:
            raise BadInput(f"{name} invents one box for all candidates, expected multiple=False; use another selector")
        return Selector(name, choose)

    return make


def _acs_free(name: str, given: Given) -> Selector:
    if given.headmap is None:
        raise NoArtifact(
            f"{name} needs a head map of this model, got none; make one with: "
            "glintbox heads calibrate MODEL --dataset instances.json --images FOLDER"
        )
    return acs_free(given.headmap, multiple=given.multiple)


def _acs_learned(name: str, given: Given) -> Selector:
    if given.regressor is None:
        raise NoArtifact(
            f"{name} needs a regressor trained for this model, got none; use acs-free or consensus, or make one with: "
            "glintbox collect DATASET STORE, then glintbox train STORE --out FOLDER"
        )
    return acs_learned(given.regressor, multiple=given.multiple)


def _heads_overlap(name: str, given: Given) -> Selector:
    if given.localization is None:
        raise NoArtifact(
            f"{name} needs the localization heads of this model, got none; find some with: "
            "glintbox heads find DATASET --by localization"
        )
    return heads_overlap(given.localization, multiple=given.multiple)


SELECTORS: Mapping[str, Factory] = {
    "first-valid": _scored(baselines.first_valid),
    "pass-at-1": _scored(baselines.pass_at_1),
    "token-entropy": _scored(baselines.token_entropy_of_responses, baselines.token_entropy),
    "majority-vote": _invented(baselines.majority_vote),
    "mean-box": _invented(baselines.mean_box),
    "smallest": _scored(baselines.smallest),
    "consensus": _scored(baselines.consensus, kind="agreement"),
    "random": _scored(baselines.random),
    "acs-free": _acs_free,
    "acs-learned": _acs_learned,
    "heads-overlap": _heads_overlap,
}


NEED_WEIGHTS = ("acs-free", "acs-learned", "heads-overlap", "token-entropy")
"""Selectors that look at what no server gives: attention, or the distribution that tokens were drawn from."""


def selector(
    name: str,
    *,
    headmap: HeadMap | None = None,
    regressor: RegressorBundle | None = None,
    localization: HeadMap | None = None,
    multiple: bool | Clusters = False,
) -> Selector:
    """The selector of that name; `multiple` chooses one box per cluster of candidates instead of one in all.

    True groups candidates as the paper does; `Clusters` says otherwise.

    Raises:
        UnknownName: lists those there are.
        NoArtifact: acs-free without a head map, acs-learned without a regressor, heads-overlap without localization.
        BadInput: majority-vote or mean-box with `multiple`.
    """
    if name not in SELECTORS:
        raise UnknownName("selector", name, SELECTORS)
    return SELECTORS[name](name, Given(headmap, regressor, localization, multiple))


class Best(NamedTuple):
    """What "auto" takes, and why, in words for the user."""

    name: Literal["acs-learned", "acs-free", "consensus"]
    why: str


def best_selector(headmap: HeadMap | None, regressor: RegressorBundle | None) -> Best:
    """The best selector that the artefacts at hand allow.

    An artefact that chose worse than consensus on the very cases that it was chosen on is not taken: it is there, and
    its selector by name uses it, but nobody should get worse boxes without having asked for them.
    """
    lost: list[str] = []
    if regressor is not None:
        trained = regressor.card.training
        if trained is None or trained.acs_learned >= trained.consensus:
            return Best("acs-learned", "this model has a regressor")
        lost.append(_lost("regressor", "it was tested on", trained.acs_learned, trained.consensus))
    if headmap is not None:
        made = headmap.calibration
        if made is None or made.acs_free is None or made.consensus is None or made.acs_free >= made.consensus:
            return Best("acs-free", "; ".join([*lost, "this model has a head map"]))
        lost.append(_lost("head map", "it was calibrated on", made.acs_free, made.consensus))
    return Best("consensus", "; ".join(lost) or "this model has no head map or regressor")


def _lost(artefact: str, on: str, own: float, consensus: float) -> str:
    return (
        f"this model's {artefact} chose the right box in {own:.1%} of the cases that {on}, consensus in {consensus:.1%}"
    )
