"""Open a picture safely, whatever it is kept in: path, URL, bytes, PIL image or array; one upright RGB picture."""

from __future__ import annotations

import http.client
import io
import logging
import stat
import struct
import time
import urllib.error
import urllib.parse
import urllib.request
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from glintbox.boxes import Size
from glintbox.errors import UnreadableImage

MAX_PIXELS = 178_000_000
"""Largest picture that is decoded (px), about where Pillow itself refuses; half a gigabyte as RGB."""
MIN_SIDE = 8
"""Smallest width and height (px); below it there is nothing to find, and patches of 14 to 32 px stretch it oddly."""
MAX_BYTES = 200 * 2**20
"""Most bytes that are taken from a URL."""
TIMEOUT_S = 20.0
"""Seconds that a URL has to connect, and again to deliver."""
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
"""What is opened. Pillow knows more, some of which start other programs (EPS) or are hardly ever meant."""

_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
    AssertionError,
)
"""What Pillow's readers throw at damaged files, and AssertionError at files that were closed unread."""

_TURNED, _LYING = 0x0112, (5, 6, 7, 8)
"""EXIF's orientation, and its values that swap width and height."""

log = logging.getLogger(__name__)


def open_image(
    source: str | Path | bytes | Image.Image | npt.NDArray[Any],
    *,
    max_pixels: int = MAX_PIXELS,
    timeout_s: float = TIMEOUT_S,
) -> Image.Image:
    """The picture as 8-bit RGB, turned as its EXIF says, fully loaded; `source` is left as it was.

    source: a path, an http(s) URL, the bytes of a file, a PIL image (its current frame), or an array: height × width
    (grey), × 3 (RGB) or × 4 (RGBA), uint8 or floats in 0..1. Transparency is laid on white; 16-bit grey is scaled to 8;
    of several frames or pages the first is taken, which is logged.
    max_pixels: larger pictures are refused before they are decoded; Pillow's own limit holds as well.
    timeout_s: seconds that a URL has to connect, and again to deliver.

    Raises:
        UnreadableImage: it is missing, no picture, damaged, out of these sizes, unreachable, or no such array.
    """
    if isinstance(source, Image.Image):
        name = _short(getattr(source, "filename", "") or f"the PIL image of mode {source.mode}")
        _check_size(name, Size(*source.size), max_pixels)
        with _decoding(name):
            return _upright_rgb(name, source)
    if not isinstance(source, str | Path | bytes):
        return _rgb("the array", _from_array(source, max_pixels))
    name, stream = _stream(source, timeout_s)
    with stream, _decoding(name), Image.open(stream, formats=FORMATS) as image:
        _check_size(name, Size(*image.size), max_pixels)
        return _upright_rgb(name, image)


def size_of(source: Path | bytes, *, max_pixels: int | None = None) -> Size:
    """Width and height (px) of the picture that `open_image` gives, from the head of its file alone.

    max_pixels: sizes that `open_image` refuses are refused here too.

    Raises:
        UnreadableImage: it is missing, no picture or of such a size.
    """
    name, stream = _stream(source, TIMEOUT_S)
    with stream, _decoding(name), Image.open(stream, formats=FORMATS) as image:
        size = Size(*image.size)
        if max_pixels is not None:
            _check_size(name, size, max_pixels)
        return Size(size.height, size.width) if image.getexif().get(_TURNED, 1) in _LYING else size


def _stream(source: str | Path | bytes, timeout_s: float) -> tuple[str, io.BytesIO | io.BufferedReader]:
    """What errors call it, and its bytes."""
    if isinstance(source, bytes):
        return "the bytes", io.BytesIO(source)
    name = _short(str(source))
    return name, _fetch(str(source), timeout_s) if "://" in str(source)[:20] else _open_file(name, Path(source))


def _short(name: str) -> str:
    return name if len(name) <= 120 else f"{name[:80]}…{name[-30:]}"


def _check_size(name: str, size: Size, max_pixels: int) -> None:
    if min(size) < MIN_SIDE:
        raise UnreadableImage(
            f"{name}: expected at least {MIN_SIDE} px a side, got {size.width}×{size.height}; use a larger picture"
        )
    if size.width * size.height > max_pixels:
        raise UnreadableImage(
            f"{name}: expected at most {max_pixels:,} pixels, got {size.width}×{size.height}; shrink or cut it first"
        )


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Turn what Pillow throws at a broken file into UnreadableImage and what it warns of into log lines."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        except Image.DecompressionBombError as error:
            raise UnreadableImage(
                f"{name}: expected at most {MAX_PIXELS:,} pixels, got more ({error}); shrink or cut it first"
            ) from error
        except UnidentifiedImageError as error:
            raise UnreadableImage(
                f"{name}: expected a picture ({', '.join(FORMATS)}), got something else; convert it to PNG or JPEG"
            ) from error
        except _BROKEN as error:
            raise UnreadableImage(
                f"{name}: expected a whole picture, got one that breaks off or is damaged "
                f"({str(error) or repr(error)}); fetch it again or save it anew"
            ) from error
    # a bomb warning says nothing new: max_pixels has decided already
    told = {str(one.message) for one in caught if not issubclass(one.category, Image.DecompressionBombWarning)}
    for message in sorted(told):
        log.warning("%s: %s", name, message)


def _upright_rgb(name: str, image: Image.Image) -> Image.Image:
    if getattr(image, "is_animated", False):
        log.info("%s holds several frames or pages; one is used", name)
    image.load()
    try:
        turned = ImageOps.exif_transpose(image)
    except _BROKEN as error:  # the pixels are whole: better a picture as stored than none
        log.warning("%s: its EXIF data are damaged (%s); the picture is taken as it is stored", name, error)
        turned = image
    return _rgb(name, turned)


def _rgb(name: str, image: Image.Image) -> Image.Image:
    """A new RGB picture from any mode; Pillow alone would clip deep greys and drop transparency onto black."""
    if image.mode.startswith("I"):
        return Image.fromarray(_scaled_16(name, image)).convert("RGB")
    if image.mode == "F":
        return Image.fromarray(_scaled_float(name, np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        above = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", above.size, "white"), above).convert("RGB")
    return image.convert("RGB")


def _scaled_16(name: str, image: Image.Image) -> npt.NDArray[Any]:
    """Grey 0..65535 as 0..255, rounded; a transparent grey becomes white."""
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise UnreadableImage(
            f"{name}: expected grey values in 0..65535, got {values.min()}..{values.max()}; save it with 8 or 16 bits"
        )
    scaled = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if isinstance(see_through := image.info.get("transparency"), int):
        scaled[values == see_through] = 255
    return scaled


def _scaled_float(name: str, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= 1):  # also where either is NaN
        raise UnreadableImage(f"{name}: expected floats in 0..1, got {low:.4g}..{high:.4g}; scale them or use uint8")
    return (values * 255 + 0.5).astype(np.uint8)


def _from_array(values: object, max_pixels: int) -> Image.Image:
    name = "the array"
    if not isinstance(values, np.ndarray):
        raise UnreadableImage(
            f"expected a path, URL, PIL image or NumPy array, got {type(values).__name__}; convert it"
        )
    known = values.dtype == np.uint8 or np.issubdtype(values.dtype, np.floating)
    if not known or not (values.ndim == 2 or (values.ndim == 3 and values.shape[2] in (3, 4))):
        first = values.ndim == 3 and values.shape[0] in (1, 3, 4)
        hint = "move the channels last: array.transpose(1, 2, 0)" if first else "convert it"
        raise UnreadableImage(
            f"{name}: expected height × width, × 3 or × 4, of uint8 or floats in 0..1, "
            f"got {values.dtype} of shape {values.shape}; {hint}"
        )
    _check_size(name, Size(values.shape[1], values.shape[0]), max_pixels)
    if values.dtype != np.uint8:
        values = _scaled_float(name, values)
    return Image.fromarray(np.ascontiguousarray(values))


def _open_file(name: str, path: Path) -> io.BufferedReader:
    try:
        found = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise UnreadableImage(f"{name}: expected a picture, got no such file ({error}); check the path") from error
    if stat.S_ISDIR(found.st_mode):
        raise UnreadableImage(f"{name}: expected a picture, got a folder; name a file in it")
    if not stat.S_ISREG(found.st_mode):
        raise UnreadableImage(f"{name}: expected a picture, got a device or pipe; save it to a file first")
    if found.st_size == 0:
        raise UnreadableImage(f"{name}: expected a picture, got an empty file; fetch it again")
    try:
        return path.open("rb")
    except OSError as error:
        raise UnreadableImage(f"{name}: expected a readable file, got {error}; check its permissions") from error


def _fetch(url: str, timeout_s: float) -> io.BytesIO:
    """The bytes behind an http(s) URL; redirects elsewhere, too many bytes and slow servers are refused."""
    name = _short(url)
    scheme = url.partition("://")[0].lower()
    if scheme not in ("http", "https"):
        raise UnreadableImage(
            f"{name}: expected http:// or https://, got {scheme}://; give a path or fetch it yourself"
        )
    opener = urllib.request.OpenerDirector()  # the default opener would also read file:// and ftp://
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    try:
        # spaces and letters beyond ASCII, as copied from an address bar, are escaped; what is escaped already stays
        request = urllib.request.Request(
            urllib.parse.quote(url, safe=r"%/:=&?~#+!$,;'@()*[]"), headers={"User-Agent": "glintbox"}
        )
        with opener.open(request, timeout=timeout_s) as response:
            return io.BytesIO(_read_all(name, response, timeout_s))
    except urllib.error.HTTPError as error:
        with error:
            raise UnreadableImage(
                f"{name}: expected a picture, the server answered {error.code} {error.reason}; check the URL"
            ) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise UnreadableImage(
            f"{name}: expected an answer within {timeout_s:g} s, got {error}; check the URL and the network"
        ) from error


def _read_all(name: str, response: http.client.HTTPResponse, timeout_s: float) -> bytes:
    body = bytearray()
    until = time.monotonic() + timeout_s
    while chunk := response.read1(2**16):
        body += chunk
        if len(body) > MAX_BYTES:
            raise UnreadableImage(f"{name}: expected at most {MAX_BYTES:,} bytes, got more; fetch and shrink it first")
        if time.monotonic() > until:
            raise UnreadableImage(
                f"{name}: expected the picture within {timeout_s:g} s, got {len(body):,} bytes; fetch it yourself first"
            )
    if not body:
        raise UnreadableImage(f"{name}: expected a picture, got an empty answer; check the URL")
    return bytes(body)
