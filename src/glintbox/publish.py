"""Regressors and head maps out of and into the user's cache: as a folder, or a repository of the Hugging Face Hub.

What is published is safetensors, JSON and a model card; a folder or repository with pickles in it is not touched. A
repository is read at a named revision only, so that what was pulled today is what is pulled tomorrow.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import NamedTuple

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
)
from huggingface_hub.errors import HTTPError as HTTPError  # type: ignore[attr-defined]  # the base of what its client raises

from glintbox.artifacts import (
    HEADS_FILE,
    LOCALIZATION_FILE,
    REGRESSOR_FILE,
    cache_folder,
    load_heads,
    load_separation,
    require_equal,
    save_heads,
    separation_file,
    write_whole,
)
from glintbox.errors import BadInput, NoArtifact
from glintbox.model_card import README, headmap_card, save_folder
from glintbox.records import HeadMap, HeadSeparation, Setting, Watch
from glintbox.regressor import CONFIG, WEIGHTS, RegressorBundle, load_regressor, save_regressor

HUB = "hf://"
"""How a repository begins: hf://OWNER/NAME, to pull hf://OWNER/NAME@REVISION."""

KINDS: Mapping[str, tuple[str, ...]] = {
    "regressor": (WEIGHTS, CONFIG),
    "head map": (HEADS_FILE, separation_file(Path(HEADS_FILE)).name),
    "localization heads": (LOCALIZATION_FILE,),
}
"""The files of each kind of artefact, the one it cannot do without first; beside them lies its card."""

PICKLES = frozenset({".bin", ".ckpt", ".dill", ".joblib", ".pickle", ".pkl", ".pt", ".pth"})
"""Endings of files that may hold code."""


class Separated(NamedTuple):
    """A head map, and how well all heads separate where that was kept."""

    heads: HeadMap
    separation: HeadSeparation | None = None


Artefact = RegressorBundle | Separated


class Pulled(NamedTuple):
    """Where an artefact went, and the commit that it came from; None of a folder."""

    path: Path
    commit: str | None


def read_artefact(place: Path) -> Artefact:
    """A regressor or head map from its file, or from a folder of its own.

    Raises:
        NoArtifact: no such place, or a folder with none.
        BadInput: a folder with pickles or artefacts of several kinds; a file that is no artefact.
    """
    if place.is_dir():
        names = [path.name for path in place.iterdir()]
        refuse_pickles(names, str(place))
        kind = _kind(names, str(place))
        return load_regressor(place) if kind == "regressor" else _separated(place / KINDS[kind][0])
    refuse_pickles([place.name], str(place))
    return load_regressor(place) if place.suffix == ".safetensors" else _separated(place)


def refuse_pickles(names: Iterable[str], where: str) -> None:
    """Refuse a place where files may hold code.

    Raises:
        BadInput: names one of them.
    """
    if odd := [name for name in names if PurePosixPath(name).suffix.lower() in PICKLES]:
        raise BadInput(f"expected safetensors and JSON alone in {where}, got {odd[0]}, which may hold code; remove it")


def _kind(names: Iterable[str], where: str) -> str:
    there = set(names)
    kinds = [kind for kind, files in KINDS.items() if files[0] in there]
    if not kinds:
        wanted = ", ".join(files[0] for files in KINDS.values())
        raise NoArtifact(f"expected a regressor or head map in {where} ({wanted}), found none")
    if len(kinds) > 1:
        raise BadInput(f"expected one artefact in {where}, got {' and '.join(kinds)}; name the file of one of them")
    return kinds[0]


def _separated(path: Path) -> Separated:
    beside = separation_file(path)
    return Separated(load_heads(path), load_separation(beside) if beside.is_file() else None)


def save_artefact(artefact: Artefact, folder: Path) -> None:
    """Write the files of an artefact and its card.

    Raises:
        BadInput: the folder cannot be written.
    """
    if isinstance(artefact, RegressorBundle):
        save_folder(artefact, folder)
    else:
        save_heads(artefact.heads, folder / _file(artefact), separation=artefact.separation)
        write_whole(folder / README, headmap_card(artefact.heads).encode())


def _file(artefact: Artefact) -> str:
    """What an artefact's file is called where grounding looks for it."""
    if isinstance(artefact, RegressorBundle):
        return REGRESSOR_FILE
    return LOCALIZATION_FILE if artefact.heads.heads.get("text") else HEADS_FILE


def push(artefact: Artefact, target: str, *, overwrite: bool = False, private: bool = False) -> str:
    """Publish to a folder, or to hf://OWNER/NAME as whom `hf auth login` says; returns where to pull it from.

    overwrite: whether the target may hold something already; files that are not the artefact's are left as they are.

    Raises:
        BadInput: the target holds something, or cannot be written; the Hub refuses.
    """
    if not target.startswith(HUB):
        folder = Path(target).expanduser()
        if folder.exists() and not overwrite and any(folder.iterdir()):
            raise BadInput(f"expected a new folder, got {folder}, which holds something; --overwrite replaces it")
        save_artefact(artefact, folder)
        return str(folder)
    name, revision = _repository(target)
    if revision:
        raise BadInput(f"expected {HUB}{name} to push to, got a revision too; leave @{revision} out")
    with TemporaryDirectory() as temporary, _hub(target):
        save_artefact(artefact, Path(temporary))
        HfApi().create_repo(name, private=private, exist_ok=overwrite)
        commit = HfApi().upload_folder(repo_id=name, folder_path=temporary, commit_message=f"Add {_file(artefact)}")
    return f"{HUB}{name}@{commit.oid}"


def pull(source: str, *, overwrite: bool = False, here: Setting | None = None) -> Pulled:
    """Put an artefact of a folder, or of hf://OWNER/NAME@REVISION, where grounding with its model finds it.

    here: the setting of the model at hand, which the artefact must hold for.

    Raises:
        NoArtifact: there is none.
        BadInput: no revision; pickles; an artefact that cannot be read; one is there already and not `overwrite`.
        SettingMismatch: it belongs to another model, prompt or pixel budget.
    """
    if not source.startswith(HUB):
        return Pulled(install(read_artefact(Path(source).expanduser()), overwrite=overwrite, here=here), None)
    name, revision = _repository(source)
    if not revision:
        raise BadInput(f"expected {source}@REVISION, a commit or tag, got none: what is at main may change; name one")
    with _hub(source):
        found = HfApi().model_info(name, revision=revision)
        commit, names = found.sha, [file.rfilename for file in found.siblings or ()]
        refuse_pickles(names, source)
        wanted = [*KINDS[_kind(names, source)]]
        folder = Path(snapshot_download(name, revision=commit, allow_patterns=wanted))
    return Pulled(install(read_artefact(folder), overwrite=overwrite, here=here), commit)


def install(artefact: Artefact, *, overwrite: bool = False, here: Setting | None = None) -> Path:
    """Put an artefact into the user's cache, under the setting that it was made for; errors as in `pull`."""
    made = artefact.heads.setting if isinstance(artefact, Separated) else artefact.setting
    if here is not None:
        place = replace(here, prompt=made.prompt) if _file(artefact) == LOCALIZATION_FILE else here
        require_equal(made, replace(place, view=made.view, moment=made.moment), what=_file(artefact))
    path = cache_folder(replace(made, view=Watch().view, moment=Watch().moment)) / _file(artefact)
    if path.exists() and not overwrite:
        raise BadInput(f"expected no artefact yet at {path}, got one; --overwrite replaces it")
    if isinstance(artefact, Separated):
        save_heads(artefact.heads, path, separation=artefact.separation)
        return path
    try:
        save_regressor(artefact, path)
    except OSError as error:
        raise BadInput(f"expected a place for the regressor that can be written at {path}, got: {error}") from error
    return path


def _repository(address: str) -> tuple[str, str]:
    """OWNER/NAME and the revision, "" where there is none."""
    found = re.fullmatch(r"hf://([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", address)
    if found is None:
        raise BadInput(f"expected hf://OWNER/NAME or hf://OWNER/NAME@REVISION, got {address!r}")
    return found[1], found[2] or ""


@contextmanager
def _hub(address: str) -> Iterator[None]:
    """What the Hub says against it, or that it cannot be reached, as one message."""
    try:
        yield
    except HfHubHTTPError as error:
        status = 0 if error.response is None else error.response.status_code
        hint = {
            401: "log in with: hf auth login",
            403: "you may not write there",
            404: "check name and revision",
            409: "it exists; --overwrite adds to it",
        }.get(status, "try again later")
        told = error.server_message or str(error).splitlines()[0]
        raise BadInput(f"expected the Hub to serve {address}, got {status}: {told}; {hint}") from error
    except (HTTPError, HFValidationError, OSError) as error:
        raise BadInput(f"expected the Hub to serve {address}, got: {error}; check the name and the network") from error
