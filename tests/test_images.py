import inspect
import io
import logging
import struct
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from glintbox import images
from glintbox.boxes import Size
from glintbox.errors import UnreadableImage
from glintbox.images import MAX_PIXELS, open_image, size_of

WIDE, HIGH = 40, 24


def colours(width: int = WIDE, height: int = HIGH) -> np.ndarray:
    """A picture without any symmetry: red grows to the right, green downwards."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0] = np.linspace(0, 255, width, dtype=np.uint8)[None]
    picture[..., 1] = np.linspace(0, 255, height, dtype=np.uint8)[:, None]
    picture[: height // 2, : width // 2, 2] = 200
    return picture


def saved(image: Image.Image, path: Path, **options: Any) -> Path:
    image.save(path, **options)
    return path


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds one row of nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size)
    return start + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


# what opens


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "ppm", "webp", "gif", "jpg", "jp2", "avif", "mpo"])
def test_a_file_of_each_kind_opens_as_it_was_saved(tmp_path: Path, ending: str) -> None:
    if ending == "avif" and not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    fine = {"quality": 100, "subsampling": 0}
    lossy: dict[str, dict[str, Any]] = {"webp": {"lossless": True}, "jpg": fine, "mpo": fine}
    lossy["avif"] = {"quality": 100, "subsampling": "4:4:4"}
    path = saved(Image.fromarray(colours()), tmp_path / f"a.{ending}", **lossy.get(ending, {}))
    opened = open_image(path)
    assert (opened.mode, opened.size) == ("RGB", (WIDE, HIGH))
    off = np.abs(np.asarray(opened).astype(int) - colours()).mean()
    assert off <= {"gif": 12, "jpg": 3, "mpo": 3, "avif": 3}.get(ending, 0)
    assert open_image(str(path)).tobytes() == opened.tobytes()


def test_the_name_of_a_file_does_not_decide_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "picture.txt"
    saved(Image.fromarray(colours()), path, format="PNG")
    assert np.array_equal(np.asarray(open_image(path)), colours())


STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,  # to be turned by 270 degrees
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("kind", ["png", "tif"])
@pytest.mark.parametrize("orientation", STORED)
def test_all_eight_exif_orientations_come_out_upright(tmp_path: Path, kind: str, orientation: int) -> None:
    upright, turn = Image.fromarray(colours()), STORED[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(upright if turn is None else upright.transpose(turn), tmp_path / f"a.{kind}", exif=exif)
    assert np.array_equal(np.asarray(open_image(path)), colours())


def test_damaged_exif_leaves_the_picture_as_stored_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = saved(Image.fromarray(colours()), tmp_path / "a.png", exif=b"Exif\0\0XX\0\x2arubbish")
    assert np.array_equal(np.asarray(open_image(path)), colours())
    assert "EXIF data are damaged" in caplog.text


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    path = saved(Image.new("CMYK", (WIDE, HIGH), (0, 255, 255, 0)), tmp_path / "a.jpg", quality=100)
    red, green, blue = np.asarray(open_image(path))[3, 3]
    assert red > 250 and green < 5 and blue < 5


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_16_bit_grey_is_scaled_and_not_clipped(tmp_path: Path, ending: str) -> None:
    deep = np.linspace(0, 65535, WIDE * HIGH).round().astype(np.uint16).reshape(HIGH, WIDE)
    path = saved(Image.fromarray(deep), tmp_path / f"a.{ending}")
    grey = np.asarray(open_image(path))[..., 0]
    assert np.array_equal(grey, np.round(deep / 257).astype(np.uint8))
    assert (grey.min(), grey.max()) == (0, 255)


def test_16_bit_pgm_is_scaled(tmp_path: Path) -> None:
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P5 40 24 65535\n" + np.full((24, 40), 32896, ">u2").tobytes())
    assert open_image(path).getpixel((5, 5)) == (128, 128, 128)


def test_deeper_grey_than_16_bit_is_refused() -> None:
    deep = Image.fromarray(np.full((HIGH, WIDE), 70000, np.int32))
    with pytest.raises(UnreadableImage, match=r"expected grey values in 0\.\.65535, got 70000\.\.70000; save it"):
        open_image(deep)


def test_a_transparent_16_bit_grey_becomes_white(tmp_path: Path) -> None:
    deep = np.full((HIGH, WIDE), 1000, np.uint16)
    deep[:, :20] = 7
    path = saved(Image.fromarray(deep), tmp_path / "a.png", transparency=7)
    assert open_image(path).getpixel((5, 5)) == (255, 255, 255)
    assert open_image(path).getpixel((30, 5)) == (4, 4, 4)


def test_float_tiff_in_0_to_1_is_scaled_and_others_are_refused(tmp_path: Path) -> None:
    assert open_image(saved(Image.new("F", (WIDE, HIGH), 0.5), tmp_path / "a.tif")).getpixel((1, 1)) == (128, 128, 128)
    with pytest.raises(UnreadableImage, match=r"b\.tif: expected floats in 0\.\.1, got 3\.\.3"):
        open_image(saved(Image.new("F", (WIDE, HIGH), 3), tmp_path / "b.tif"))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "1"])
def test_transparency_is_laid_on_white(tmp_path: Path, mode: str) -> None:
    clears: dict[str, int | tuple[int, ...]] = {"RGBA": (0, 0, 0, 0), "LA": (0, 0), "P": 3, "L": 3, "1": 0}
    fulls: dict[str, int | tuple[int, ...]] = {"RGBA": (0, 0, 0, 255), "LA": (0, 255), "P": 4, "L": 0, "1": 1}
    clear, full = clears[mode], fulls[mode]
    image = Image.new(mode, (WIDE, HIGH), clear)
    image.paste(full, (20, 0, WIDE, HIGH))
    if mode == "P":
        image.putpalette([9] * 9 + [250, 0, 0] + [10, 20, 30] + [0] * 30)
    path = saved(image, tmp_path / "a.png", **({} if "A" in mode else {"transparency": clear}))
    opened = open_image(path)
    assert opened.getpixel((5, 5)) == (255, 255, 255)
    expected = {"P": (10, 20, 30), "1": (255, 255, 255)}.get(mode, (0, 0, 0))
    assert opened.getpixel((30, 5)) == expected


def test_half_transparency_mixes_with_white() -> None:
    assert open_image(Image.new("RGBA", (WIDE, HIGH), (255, 0, 0, 128))).getpixel((0, 0)) == (255, 127, 127)


def test_palette_and_1_bit_pictures_keep_their_colours(tmp_path: Path) -> None:
    bits = np.zeros((HIGH, WIDE), bool)
    bits[3, 7] = True
    one = open_image(saved(Image.fromarray(bits), tmp_path / "a.png"))
    assert one.getpixel((7, 3)) == (255, 255, 255) and one.getpixel((3, 7)) == (0, 0, 0)
    palette = Image.new("P", (WIDE, HIGH), 1)
    palette.putpalette([0, 0, 0, 12, 34, 56])
    assert open_image(saved(palette, tmp_path / "b.png")).getpixel((0, 0)) == (12, 34, 56)


@pytest.mark.parametrize("kind", ["gif", "webp", "png"])
def test_the_first_frame_of_an_animation_is_taken_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    frames = [Image.new("RGB", (WIDE, HIGH), colour) for colour in ("red", "lime", "blue")]
    path = saved(frames[0], tmp_path / f"a.{kind}", save_all=True, append_images=frames[1:])
    with caplog.at_level(logging.INFO, logger="glintbox.images"):
        red, green, _ = np.asarray(open_image(path))[4, 4]
    assert red > 240 and green < 15
    assert "holds several frames or pages; one is used" in caplog.text


# PIL images and arrays


def test_a_pil_image_is_copied_and_left_as_it_was() -> None:
    given = Image.fromarray(colours())
    opened = open_image(given)
    opened.putpixel((0, 0), (1, 2, 3))
    assert np.array_equal(np.asarray(given), colours())


def test_a_pil_image_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(Image.fromarray(colours()).transpose(Image.Transpose.ROTATE_90), tmp_path / "a.jpg", exif=exif)
    with Image.open(path) as lazy:
        assert open_image(lazy).size == (WIDE, HIGH)
        assert lazy.size == (HIGH, WIDE)


def test_a_closed_pil_image_is_refused(tmp_path: Path) -> None:
    with Image.open(saved(Image.fromarray(colours()), tmp_path / "a.png")) as lazy:
        pass
    with pytest.raises(UnreadableImage, match=r"a\.png: expected a whole picture, got one that"):
        open_image(lazy)


def test_arrays_of_each_documented_shape_open() -> None:
    rgb = colours()
    assert np.array_equal(np.asarray(open_image(rgb)), rgb)
    grey = open_image(np.ascontiguousarray(rgb[..., 0]))
    assert np.array_equal(np.asarray(grey), np.repeat(rgb[..., :1], 3, axis=2))
    clear = np.concatenate([rgb, np.zeros_like(rgb[..., :1])], axis=2)
    assert open_image(clear).getcolors() == [(WIDE * HIGH, (255, 255, 255))]


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_floats_in_0_to_1_are_scaled(kind: type) -> None:
    opened = np.asarray(open_image((colours() / 255).astype(kind)))
    assert np.array_equal(opened, colours())


def test_an_array_is_copied_also_when_it_is_read_only_or_turned_round() -> None:
    given = colours()
    given.flags.writeable = False
    opened = open_image(given[::-1, ::-1])
    opened.putpixel((0, 0), (1, 2, 3))
    assert opened.getpixel((5, 5)) == tuple(colours()[::-1, ::-1][5, 5])
    assert np.array_equal(given, colours())


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, HIGH, WIDE), np.uint8), r"got uint8 of shape \(3, 24, 40\); move the channels last"),
        (np.zeros((HIGH, WIDE, 2), np.uint8), r"expected height × width, × 3 or × 4.* got uint8 of shape"),
        (np.zeros((1, HIGH, WIDE, 3), np.uint8), r"shape \(1, 24, 40, 3\); convert it"),
        (np.zeros((HIGH, WIDE, 3), np.int64), "got int64 of shape"),
        (np.zeros((HIGH, WIDE), bool), "got bool of shape"),
        (np.full((HIGH, WIDE, 3), 200.0), r"expected floats in 0\.\.1, got 200\.\.200; scale them"),
        (np.full((HIGH, WIDE, 3), -0.1), r"expected floats in 0\.\.1, got -0\.1"),
        (np.full((HIGH, WIDE, 3), np.nan), r"expected floats in 0\.\.1, got nan\.\.nan"),
        (np.zeros((0, WIDE, 3), np.uint8), "expected at least 8 px a side, got 40×0"),
        (np.zeros((HIGH, 3), np.uint8), "expected at least 8 px a side, got 3×24"),
    ],
)
def test_any_other_array_is_refused_with_what_came(array: np.ndarray, message: str) -> None:
    with pytest.raises(UnreadableImage, match=message):
        open_image(array)


def test_what_is_no_picture_source_at_all_is_refused() -> None:
    unchecked = inspect.unwrap(open_image)  # as users call it, without the tests' type checks
    with pytest.raises(UnreadableImage, match="expected a path, URL, PIL image or NumPy array, got int; convert it"):
        unchecked(7)


def test_the_bytes_of_a_file_are_the_picture_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (17, 9), (10, 20, 30)).save(path)
    assert open_image(path.read_bytes()).tobytes() == open_image(path).tobytes()
    assert size_of(path.read_bytes()) == size_of(path) == Size(17, 9)
    with pytest.raises(UnreadableImage, match=r"the bytes: expected a picture .* got something else"):
        open_image(b"\x89PNG")


# files that are refused


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match=r"none\.png: expected a picture, got no such file .*; check the path"):
        open_image(tmp_path / "none.png")


@pytest.mark.parametrize("name", ["a\0b.png", "x" * 5000])
def test_impossible_names_are_no_such_file_and_are_cut_short(name: str) -> None:
    with pytest.raises(UnreadableImage, match="got no such file") as caught:
        open_image(name)
    assert len(str(caught.value).partition(": expected")[0]) <= 120


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match="expected a picture, got a folder; name a file in it"):
        open_image(tmp_path)


def test_a_device_is_refused_and_not_read_for_ever() -> None:
    if not Path("/dev/zero").exists():
        pytest.skip("this system has no /dev/zero")
    with pytest.raises(UnreadableImage, match="got a device or pipe"):
        open_image("/dev/zero")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(UnreadableImage, match=r"a\.png: expected a picture, got an empty file"):
        open_image(tmp_path / "a.png")


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("<html>not found</html>")
    with pytest.raises(UnreadableImage, match=r"a\.jpg: expected a picture \(JPEG, PNG, .*got something else; convert"):
        open_image(tmp_path / "a.jpg")


def test_formats_that_start_other_programs_are_refused(tmp_path: Path) -> None:
    path = saved(Image.fromarray(colours()), tmp_path / "a.eps")
    with pytest.raises(UnreadableImage, match="got something else"):
        open_image(path)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "gif", "bmp", "tif"])
def test_a_truncated_file_is_refused(tmp_path: Path, ending: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    path = saved(Image.fromarray(noise), tmp_path / f"a.{ending}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UnreadableImage, match=rf"a\.{ending}: expected .*(breaks off or is damaged|something else)"):
        open_image(path)


def test_damaged_files_raise_nothing_else_and_warn_nobody(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    path, refused = tmp_path / "a.bin", 0
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM") * 25:
        stream = io.BytesIO()
        Image.fromarray(colours()).save(stream, format=kind)
        whole = np.frombuffer(stream.getvalue(), np.uint8).copy()
        whole[random.integers(0, len(whole), 4)] = random.integers(0, 256, 4)
        path.write_bytes(whole.tobytes())
        try:
            assert open_image(path, max_pixels=10**6).mode == "RGB"
        except UnreadableImage:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize(("width", "height"), [(1, 1), (7, 100), (100, 7)])
def test_pictures_below_8_pixels_a_side_are_refused_with_their_size(tmp_path: Path, width: int, height: int) -> None:
    path = saved(Image.new("RGB", (width, height)), tmp_path / "a.png")
    with pytest.raises(UnreadableImage, match=f"expected at least 8 px a side, got {width}×{height}; use a larger"):
        open_image(path)
    assert open_image(Image.new("RGB", (8, 8))).size == (8, 8)


def test_30000_by_30000_is_refused_before_decoding(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_header(30_000, 30_000))
    with pytest.raises(UnreadableImage, match=r"expected at most 178,000,000 pixels, got more .*900000000.*; shrink"):
        open_image(path)


def test_a_lower_limit_is_kept_before_decoding_and_pillows_own_stays(tmp_path: Path) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    assert limit is not None
    path = tmp_path / "a.png"
    path.write_bytes(png_header(10_000, 10_000))  # Pillow would warn of it
    with pytest.raises(UnreadableImage, match="expected at most 50,000,000 pixels, got 10000×10000; shrink or cut"):
        open_image(path, max_pixels=50_000_000)
    with pytest.raises(UnreadableImage, match="breaks off or is damaged"):
        open_image(path)
    assert limit == Image.MAX_IMAGE_PIXELS and limit * 2 > MAX_PIXELS > limit


def test_the_limit_holds_for_arrays_and_pil_images_too() -> None:
    for source in (colours(), Image.fromarray(colours())):
        with pytest.raises(UnreadableImage, match="expected at most 900 pixels, got 40×24"):
            open_image(source, max_pixels=900)


# URLs


def answers() -> dict[str, tuple[int, dict[str, str], bytes]]:
    stream = io.BytesIO()
    Image.fromarray(colours()).save(stream, format="PNG")
    picture = stream.getvalue()
    return {
        "/ok.png": (200, {}, picture),
        "/%E5%9B%BE%20a.png": (200, {}, picture),
        "/moved": (302, {"Location": "/ok.png"}, b""),
        "/to-file": (302, {"Location": "file:///etc/hostname"}, b""),
        "/to-ftp": (302, {"Location": "ftp://127.0.0.1/a.png"}, b""),
        "/for-ever": (302, {"Location": "/for-ever"}, b""),
        "/text": (200, {}, b"<html>hello</html>"),
        "/empty": (200, {}, b""),
        "/half.png": (200, {}, picture[: len(picture) // 2]),
        "/large": (200, {}, b"x" * 5000),
    }


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/silent":
                over.wait(10)
                return
            if self.path == "/drip":
                self.send_response(200)
                self.end_headers()
                for _ in range(100):
                    try:
                        over.wait(0.02)
                        self.wfile.write(b"x")
                    except OSError:
                        return
                return
            status, headers, body = answers().get(self.path, (404, {}, b"no"))
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        over.set()
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("page", ["/ok.png", "/moved", "/图 a.png"])
def test_a_url_opens_also_when_moved_or_not_escaped(site: str, page: str) -> None:
    assert np.array_equal(np.asarray(open_image(site + page)), colours())


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("/gone", "/gone: expected a picture, the server answered 404 Not Found; check the URL"),
        ("/to-file", "the server answered 302 .*file:///etc/hostname.* not allowed"),
        ("/to-ftp", "got .*unknown url type: ftp"),
        ("/for-ever", "the server answered 302 .*redirect"),
        ("/text", "/text: expected a picture .*got something else"),
        ("/empty", "expected a picture, got an empty answer"),
        ("/half.png", r"half\.png: expected a whole picture, got one that breaks off"),
    ],
)
def test_what_a_server_must_not_answer_is_refused(site: str, page: str, message: str) -> None:
    with pytest.raises(UnreadableImage, match=message):
        open_image(site + page)


def test_too_many_bytes_are_refused_while_reading(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_BYTES", 4000)
    with pytest.raises(UnreadableImage, match="expected at most 4,000 bytes, got more; fetch and shrink it first"):
        open_image(f"{site}/large")


def test_a_silent_and_a_dripping_server_end_at_the_timeout(site: str) -> None:
    with pytest.raises(UnreadableImage, match=r"expected an answer within 0\.2 s, got timed out; check the URL"):
        open_image(f"{site}/silent", timeout_s=0.2)
    with pytest.raises(UnreadableImage, match=r"expected the picture within 0\.2 s, got \d+ bytes; fetch it yourself"):
        open_image(f"{site}/drip", timeout_s=0.2)


def test_an_unreachable_server_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        port = server.server_address[1]
    with pytest.raises(UnreadableImage, match=rf"http://127\.0\.0\.1:{port}/a\.png: expected an answer .*refused"):
        open_image(f"http://127.0.0.1:{port}/a.png")


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/a.png", "s3://bucket/a.png"])
def test_only_http_and_https_are_fetched(url: str) -> None:
    with pytest.raises(UnreadableImage, match=f"expected http:// or https://, got {url.partition(':')[0]}://"):
        open_image(url)


@pytest.mark.parametrize("url", ["http://", "http://127.0.0.1:port/a.png", "https://[::1/a.png"])
def test_a_broken_url_is_refused(url: str) -> None:
    with pytest.raises(UnreadableImage, match="check the URL"):
        open_image(url)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_is_that_of_the_opened_picture_without_decoding_it(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.jpg"
    Image.new("RGB", (480, 320)).save(path, exif=exif)
    assert tuple(size_of(path)) == open_image(path).size
    path.write_bytes(path.read_bytes()[:-400])
    assert tuple(size_of(path)) == ((320, 480) if orientation > 4 else (480, 320)), "its head says it"


def test_what_is_no_picture_has_no_size(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(UnreadableImage, match="expected a picture"):
        size_of(tmp_path / "a.jpg")
    with pytest.raises(UnreadableImage, match="no such file"):
        size_of(tmp_path / "none.jpg")
