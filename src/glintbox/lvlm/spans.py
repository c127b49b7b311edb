"""From token ids to text, and which characters of it each token stands for: by ids, never by tokenizing again."""

from __future__ import annotations

import codecs
import functools
import json
import re
from collections.abc import Collection, Sequence
from typing import Any

from glintbox.errors import BadContract

BYTE = re.compile(r"<0x([0-9A-F]{2})>")


def token_spans(
    tokenizer: Any, ids: Sequence[int], *, eos: Collection[int] | None = None
) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Text of generated ids and, per id, its characters [a, b); the spans tile the text exactly.

    Special tokens are kept (boxes may stand between them), but for `eos` at the end (default: the tokenizer's own),
    whose spans are empty. A character that several tokens write belongs to the one that completes it. Linear in ids.

    Raises:
        BadContract: a tokenizer that is neither byte-level nor sentencepiece-like.
    """
    ends = {tokenizer.eos_token_id} if eos is None else set(eos)
    kept = len(ids)
    while kept and ids[kept - 1] in ends:
        kept -= 1
    added = {id: str(token) for id, token in tokenizer.added_tokens_decoder.items()}
    pieces = tokenizer.convert_ids_to_tokens(list(ids[:kept]))
    read = _reader(tokenizer)
    strip = read is _sentencepiece_bytes and _strips_first_space(tokenizer)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text: list[str] = []
    spans: list[tuple[int, int]] = []
    for i, (id, piece) in enumerate(zip(ids[:kept], pieces, strict=True)):
        # ids beyond the vocabulary exist where a model pads its embedding: they write nothing
        written = added[id].encode() if id in added else b"" if piece is None else read(piece)
        if i == 0 and strip:
            written = written.removeprefix(b" ")
        text.append(decoder.decode(written, final=i == kept - 1))
        start = spans[-1][1] if spans else 0
        spans.append((start, start + len(text[-1])))
    end = spans[-1][1] if spans else 0
    return "".join(text), (*spans, *[(end, end)] * (len(ids) - kept))


def _reader(tokenizer: Any) -> Any:
    """The function from a token of this tokenizer's vocabulary to its bytes."""
    kinds = _decoder_kinds(tokenizer)
    if "ByteLevel" in kinds:
        return _byte_level_bytes
    if "ByteFallback" in kinds or "Metaspace" in kinds:
        return _sentencepiece_bytes
    raise BadContract(
        f"expected a byte-level or sentencepiece-like tokenizer, got {type(tokenizer).__name__} with {sorted(kinds)}"
    )


def _decoder_state(tokenizer: Any) -> list[dict[str, Any]]:
    """The steps of the tokenizer's decoder."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or backend.decoder is None:
        return []
    state = json.loads(backend.decoder.__getstate__())
    steps: list[dict[str, Any]] = state.get("decoders", [state])
    return steps


def _decoder_kinds(tokenizer: Any) -> set[str]:
    return {step["type"] for step in _decoder_state(tokenizer)}


def _strips_first_space(tokenizer: Any) -> bool:
    """Whether the decoder takes the space off the start that the tokenizer puts there."""
    return any(
        step["type"] == "Strip" or (step["type"] == "Metaspace" and step.get("prepend_scheme") != "never")
        for step in _decoder_state(tokenizer)
    )


@functools.cache
def _bytes_of_characters() -> dict[str, int]:
    """Byte-level BPE writes each byte as one printable character: itself, or, where it has no shape, 256 and up."""
    shown = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    hidden = sorted(set(range(256)) - shown)
    return {chr(byte): byte for byte in shown} | {chr(256 + i): byte for i, byte in enumerate(hidden)}


def _byte_level_bytes(piece: str) -> bytes:
    table = _bytes_of_characters()
    return bytes(table[character] for character in piece)


def _sentencepiece_bytes(piece: str) -> bytes:
    byte = BYTE.fullmatch(piece)
    return bytes([int(byte[1], 16)]) if byte else piece.replace("▁", " ").encode()
