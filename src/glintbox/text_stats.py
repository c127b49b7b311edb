"""What finding localization heads takes of every case and head: S, spatial entropy, the lowest row, IoU with the truth.

Kept in a folder as answers are (`glintbox.shards`): append-only, checksummed, and whatever stops it costs the case in
flight. A case is one block: sample and grid as compressed JSON, numbers as float32, the maps where they are kept.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from glintbox.boxes import Size
from glintbox.coding import decode, encode, intact, piece
from glintbox.collect import Tick, opened
from glintbox.components import foreground
from glintbox.errors import BadInput
from glintbox.geometry import TokenGrid
from glintbox.localize import read_texts
from glintbox.lvlm.api import LVLM
from glintbox.maps import image_share, spatial_entropy
from glintbox.masks import decode as pixels_of
from glintbox.packed import read
from glintbox.records import Head, Rle, Sample, Setting, from_json, to_json
from glintbox.shards import Card, Line, Place, Writer, card_of, places

TOGETHER = 4
"""Maps of so many heads share a checksum: `glintbox.coding` is made for the four coordinates."""

MADE_BY = "glintbox heads find DATASET --by localization"


@dataclass(frozen=True, slots=True)
class TextCard(Card):
    """What all cases of a folder have in common.

    data: what the cases are, in words. heads: in channel order. maps: whether the maps themselves are kept too, so that
    everything can be tried without the model. weight, factor, floor: of `maps.spatial_entropy`.
    """

    setting: Setting
    data: str
    heads: tuple[Head, ...]
    maps: bool
    weight: Literal["area", "mass"] = "area"
    factor: float = 1.0
    floor: float = 0.0
    schema_version: int = 1


class HeadNumbers(NamedTuple):
    """Of every head in one case.

    share: the attention sum S, the share of attention that falls on the picture. entropy: the spatial entropy, nats,
    infinite where no cell stands out. bottom: the largest share in a cell of the lowest row. iou: of the cells above
    the map's mean with the true mask, in pixels; NaN where the case has no mask.
    """

    share: Float[Tensor, " head"]
    entropy: Float[Tensor, " head"]
    bottom: Float[Tensor, " head"]
    iou: Float[Tensor, " head"]


class TextCase(NamedTuple):
    """A case as it is kept; maps: attention shares of the expression's last token, None where they are not kept."""

    sample: Sample
    grid: TokenGrid
    numbers: HeadNumbers
    maps: Float[Tensor, "head row col"] | None


def numbers_of(maps: Float[Tensor, "head row col"], grid: TokenGrid, mask: Rle | None, card: TextCard) -> HeadNumbers:
    """What is kept of the maps of all heads in one case; mask: of the true object.

    Raises:
        BadInput: NaN or infinity in a map.
    """
    entropy = spatial_entropy(maps, weight=card.weight, factor=card.factor, floor=card.floor)
    iou = torch.full(entropy.shape, torch.nan) if mask is None else mask_ious(maps, grid, mask)
    return HeadNumbers(image_share(maps), entropy.float(), maps[:, -1].amax(-1), iou)


def mask_ious(maps: Float[Tensor, "head row col"], grid: TokenGrid, mask: Rle) -> Float[Tensor, " head"]:
    """IoU of the cells above each map's mean with a mask of the picture, in pixels; a pixel is its middle's cell's."""
    true = pixels_of(mask)
    chosen = foreground(maps).double()
    shared = (chosen * _pixels_in_cells(true, grid, mask.size)).sum((-2, -1))
    covered = (chosen * _pixels_in_cells(np.ones_like(true), grid, mask.size)).sum((-2, -1))
    return (shared / (covered + int(true.sum()) - shared).clamp(min=1)).float()


def _pixels_in_cells(mask: Bool[np.ndarray, "y x"], grid: TokenGrid, size: Size) -> Float64[Tensor, "row col"]:
    """How many pixels of a mask lie in each cell; what of the grid lies outside the picture has none."""
    region = grid.region
    down = np.floor((np.arange(size.height) + 0.5 - region.y1) / region.height * grid.rows)
    across = np.floor((np.arange(size.width) + 0.5 - region.x1) / region.width * grid.cols)
    in_row = (down == np.arange(grid.rows)[:, None]).astype(np.float64)
    in_col = (across == np.arange(grid.cols)[:, None]).astype(np.float64)
    return torch.from_numpy(in_row @ mask @ in_col.T)


class TextWriter(Writer[TextCard]):
    """Appends cases to a folder; see `shards.Writer`."""

    def add(self, case: TextCase) -> None:
        """Keep a case; when this returns it is on the disk.

        Raises:
            BadInput: a case that is there already, or without the maps that the card promises; or the disk is full,
                which costs this case alone.
        """
        sample, grid, numbers, maps = case
        if sample.id in self.done:
            raise BadInput(f"expected a case that {self.folder} does not hold yet, got {sample.id} again")
        if self.card.maps and maps is None:
            raise BadInput(f"expected maps with case {sample.id}, as the card says, got none")
        text = zlib.compress(to_json(_Text(sample, grid)).encode(), 6)
        block = b"".join([
            len(text).to_bytes(4, "little"),
            text,
            torch.stack(numbers).numpy().astype("<f4").tobytes(),
            _packed(maps) if self.card.maps and maps is not None else b"",
        ])  # fmt: skip
        line = Line(sample.id, str(sample.image), 0, len(block), 0, 0, zlib.crc32(block), 0, 0, ())
        self._keep(line, [block])


@dataclass(frozen=True, slots=True)
class _Text:
    """The JSON of a case."""

    sample: Sample
    grid: TokenGrid


def _packed(maps: Float[Tensor, "head row col"]) -> bytes:
    heads, rows, cols = maps.shape
    whole = torch.zeros(-(-heads // TOGETHER) * TOGETHER, rows, cols)
    whole[:heads] = maps
    return encode(whole.reshape(1, -1, TOGETHER, rows, cols).transpose(1, 2)).tobytes()


class TextStats:
    """A folder of cases to read, sorted by id, whatever order or process wrote them."""

    def __init__(self, folder: Path) -> None:
        """Open a folder as it is now; cases that are added later are not seen.

        Raises:
            NoArtifact: there is nothing of the kind in the folder.
            BadInput: its card or index is damaged, or of another kind or schema.
        """
        self.folder, self.card = folder, card_of(folder, TextCard, made_by=MADE_BY)
        found, self.cut = places(folder, self.card)
        self._places = {id: found[id] for id in sorted(found)}

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the cases, in order."""
        return tuple(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, id: str) -> TextCase:
        """A case by its id.

        Raises:
            BadInput: it is not there, or its bytes are not those that were written.
        """
        if id not in self._places:
            raise BadInput(f"expected case {id} in {self.folder}, found none; run again to add it")
        return self._case(self._places[id])

    def __iter__(self) -> Iterator[TextCase]:
        return map(self._case, self._places.values())

    def _case(self, place: Place) -> TextCase:
        raw = read(place, place.line.at, place.line.text, np.dtype(np.uint8)).tobytes()
        if zlib.crc32(raw) != place.line.crc:
            raise place.damaged("bytes whose checksum does not fit")
        numbers_at = 4 + int.from_bytes(raw[:4], "little")
        text = from_json(_Text, zlib.decompress(raw[4:numbers_at]))
        count = len(self.card.heads)
        kept = np.frombuffer(raw, "<f4", 4 * count, numbers_at).reshape(4, count)
        numbers = HeadNumbers(*torch.from_numpy(kept.astype(np.float32)))
        if not self.card.maps:
            return TextCase(text.sample, text.grid, numbers, None)
        rows, cols = text.grid.rows, text.grid.cols
        pieces = np.frombuffer(raw, piece(rows, cols), offset=numbers_at + kept.nbytes).copy()
        if not intact(pieces):
            raise place.damaged("maps whose checksum does not fit")
        maps = decode(pieces).transpose(0, 1).reshape(-1, rows, cols)[:count]
        return TextCase(text.sample, text.grid, numbers, maps)


def fill(lvlm: LVLM, samples: Sequence[Sample], writer: TextWriter, *, tick: Tick) -> None:
    """Read the expressions of those cases that a folder lacks, one prefill each; another start does only the rest.

    Several expressions of one picture that follow each other share the picture's part of it. `tick` is called for each
    case that is there, and when one has been added.

    Raises:
        BadInput: a picture of another size than annotated, or a disk that is full.
        BadContract: attention that is no number.
        UnreadableImage, OutOfMemory: a picture cannot be opened or does not fit.
    """
    card = writer.card
    missing = [sample for sample in samples if sample.id not in writer.done]
    for _ in range(len(samples) - len(missing)):
        tick()
    prompts = (lvlm.prompt(opened(s), s.query, id=s.id, text=card.setting.prompt) for s in missing)
    for sample, (answered, maps) in zip(
        missing, read_texts(lvlm, prompts, card.heads, view=card.setting.view), strict=True
    ):
        grid = answered.prompt.views[card.setting.view].grid
        writer.add(TextCase(sample, grid, numbers_of(maps, grid, sample.mask, card), maps if card.maps else None))
        tick()
