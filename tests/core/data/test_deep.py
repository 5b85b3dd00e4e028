from __future__ import annotations

import logging
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from i2i.data.deep import write_tiff
from i2i.data.images import read_header, read_image
from i2i.errors import DataError
from i2i.pixels import PixelFormat

GREY = PixelFormat(channels=1)
SEVEN = PixelFormat(channels=7)


def noise(channels: int, kind: Any = np.uint16) -> np.ndarray:
    draws = np.random.default_rng(0).random((12, 10, channels))
    return (draws if np.dtype(kind).kind == "f" else draws * np.iinfo(kind).max).astype(kind)


def tiff(path: Path, array: np.ndarray, **options: Any) -> Path:
    tifffile.imwrite(path, array, **{"photometric": "rgb" if array.shape[-1] == 3 else "minisblack", **options})
    return path


def png(array: np.ndarray, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of 16 bits, from the specification."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, channels = array.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_all_bits_of_a_png_are_read(tmp_path: Path, channels: int) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(png(noise(channels)))
    for source in (path, path.read_bytes()):
        found = read_image(source, PixelFormat(channels=channels))
        assert found.dtype == np.uint16
        assert np.array_equal(found, noise(channels))
        assert read_header(source) == ((10, 12), 16)
    assert np.array_equal(read_image(path)[..., -1], noise(channels)[..., 2 if channels > 2 else 0])


def test_one_transparent_colour_and_orientation_of_a_png() -> None:
    colour = noise(3)[4, 5]
    exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    data = png(noise(3), (b"tRNS", colour.astype(">u2").tobytes()), (b"eXIf", exif))
    expected = noise(3)
    expected[4, 5] = 65535
    assert np.array_equal(read_image(data, PixelFormat(alpha="white")), np.rot90(expected, -1))
    assert np.array_equal(read_image(data), np.rot90(noise(3), -1))


@pytest.mark.parametrize("options", [{}, {"compression": "lzw"}, {"compression": "zlib", "predictor": True}])
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32, ">u2"])
def test_tiffs_of_many_channels(
    tmp_path: Path, options: dict[str, Any], planes: str, kind: Any, caplog: pytest.LogCaptureFixture
) -> None:
    array = noise(7, kind)
    stored = np.moveaxis(array, -1, 0) if planes == "separate" else array
    order = {"byteorder": ">"} if kind == ">u2" else {}
    path = tiff(tmp_path / "x.tif", stored, photometric="minisblack", planarconfig=planes, **options, **order)
    found = read_image(path, SEVEN)
    assert found.dtype == np.dtype(kind).newbyteorder("=")
    assert np.array_equal(found, array)
    assert read_header(path) == ((10, 12), {1: 8, 2: 16, 4: 32}[found.dtype.itemsize])
    with pytest.raises(DataError, match=r"x\.tif has 7 channels where 3 are read; --channels 7 trains"):
        read_image(path)
    assert caplog.messages == []


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_deep_grey_and_colour_tiffs(tmp_path: Path, kind: Any, channels: int) -> None:
    array = noise(channels, kind)
    path = tiff(tmp_path / "x.tif", array.squeeze())
    assert np.array_equal(read_image(path, PixelFormat(channels=channels)), array)
    assert np.array_equal(read_image(path.read_bytes(), PixelFormat(channels=channels)), array)
    assert read_header(path) == ((10, 12), 16 if kind is np.uint16 else 32)
    assert read_image(path).shape == (12, 10, 3)
    assert read_image(path, GREY).shape == (12, 10, 1)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_planes_of_sixteen_bits_without_compression(tmp_path: Path, byteorder: Any, tile: Any) -> None:
    planes, options = np.moveaxis(noise(3), -1, 0), {"planarconfig": "separate", "photometric": "rgb"}
    path = tiff(tmp_path / "x.tif", planes, byteorder=byteorder, tile=tile, **options)
    assert np.array_equal(read_image(path), noise(3))
    assert read_header(path) == ((10, 12), 16)


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.int32, np.uint32, np.float16, np.float64])
def test_other_numbers_become_floats(tmp_path: Path, kind: Any) -> None:
    array = np.array([[0, 1], [-3 if np.dtype(kind).kind != "u" else 3, 125]], kind)
    path = tiff(tmp_path / "x.tif", array)
    found = read_image(path, PixelFormat(channels=1, depth=32, range=(-10, 300)))
    assert found.dtype == np.float32
    assert found[..., 0].tolist() == array.tolist()
    assert read_header(path).depth == 32


def test_five_channels_of_eight_bits_that_begin_with_rgb_are_not_read_as_three(tmp_path: Path) -> None:
    path = tiff(tmp_path / "x.tif", noise(5, np.uint8), photometric="rgb", extrasamples=(0, 0))
    with pytest.raises(DataError, match="has 5 channels where 3 are read; --channels 5"):
        read_image(path)
    assert np.array_equal(read_image(path, PixelFormat(channels=5)), noise(5, np.uint8))


def test_transparency_of_tiffs(tmp_path: Path) -> None:
    straight = tiff(tmp_path / "a.tif", noise(4), photometric="rgb", extrasamples=("unassalpha",))
    assert np.array_equal(read_image(straight), noise(4)[..., :3])
    multiplied = noise(4)
    multiplied[..., 3] = 32768
    multiplied[..., :3] //= 4
    path = tiff(tmp_path / "b.tif", multiplied, photometric="rgb", extrasamples=("assocalpha",))
    expected = multiplied[..., :3].astype(float) * 65535 / 32768
    np.testing.assert_allclose(read_image(path), expected, atol=0.51)
    np.testing.assert_allclose(read_image(path, PixelFormat(alpha="black")), multiplied[..., :3], atol=0.76)


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_written_tiffs_say_which_channel_is_transparency(tmp_path: Path, channels: int, kind: Any) -> None:
    write_tiff(tmp_path / "x.tif", noise(channels, kind))
    pixels = PixelFormat(channels=channels - 1)
    assert np.array_equal(read_image(tmp_path / "x.tif", pixels), noise(channels, kind)[..., :-1])
    if kind is np.uint8:
        with Image.open(tmp_path / "x.tif") as image:
            assert image.mode == ("LA" if channels == 2 else "RGBA")
            assert np.array_equal(np.asarray(image), noise(channels, kind))


def test_inverted_turned_and_many_paged_tiffs(tmp_path: Path) -> None:
    inverted = tiff(tmp_path / "a.tif", noise(1)[..., 0], photometric="miniswhite")
    assert np.array_equal(read_image(inverted, GREY), 65535 - noise(1))
    turned = tiff(tmp_path / "b.tif", noise(1)[..., 0], extratags=[(0x0112, 3, 1, 6, True)])
    assert np.array_equal(read_image(turned, GREY), np.rot90(noise(1), -1))
    assert read_header(turned) == ((12, 10), 16)
    pages = tiff(tmp_path / "c.tif", np.stack([noise(1)[..., 0], noise(1)[::-1, :, 0]]))
    assert np.array_equal(read_image(pages, GREY), noise(1))


def test_tiffs_that_are_no_images_of_channels(tmp_path: Path) -> None:
    volume = tiff(tmp_path / "a.tif", np.zeros((16, 16, 16), np.uint16), volumetric=True, tile=(16, 16, 16))
    for use in (read_image, read_header):
        with pytest.raises(DataError, match=r"a\.tif is a TIFF with axes ZYX of type uint16, which is no image of"):
            use(volume)
    waves = tiff(tmp_path / "b.tif", np.zeros((16, 16), np.complex64))
    with pytest.raises(DataError, match=r"b\.tif is a TIFF with axes YX of type complex64"):
        read_image(waves)
    lab = tiff(tmp_path / "c.tif", noise(3), photometric="cielab")
    with pytest.raises(DataError, match=r"c\.tif is a TIFF of colours stored as Lab; save it as grey or RGB"):
        read_image(lab)


def cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


@pytest.mark.parametrize("options", [{}, {"compression": "lzw"}, {"compression": "zlib"}, {"tile": (16, 16)}])
def test_truncated_tiffs_are_errors(tmp_path: Path, options: dict[str, Any]) -> None:
    array = np.random.default_rng(0).integers(0, 65536, (48, 40, 5), dtype=np.uint16)
    path = tiff(tmp_path / "x.tif", array, planarconfig="contig", **options)
    path.write_bytes(cut(path.read_bytes()))
    with pytest.raises(DataError, match=r"x\.tif cannot be read as an image: image file is truncated"):
        read_image(path, PixelFormat(channels=5))


def test_truncated_and_damaged_pngs_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    for spoil in (cut, lambda data: data[:70] + b"\0\1\2\3" + data[74:]):
        path.write_bytes(spoil(png(noise(3))))
        with pytest.raises(DataError, match=r"x\.png cannot be read as an image: \w"):
            read_image(path)
    assert read_header(path).depth == 16


def test_damaged_tags_are_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tiff(tmp_path / "x.tif", noise(5), planarconfig="contig")
    path.write_bytes(path.read_bytes()[:150])
    monkeypatch.setattr(logging.root, "handlers", [])  # as in a program that wants no log
    with pytest.raises(DataError, match="cannot be read"):
        read_image(path)
    assert capsys.readouterr().err == ""


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow
@pytest.mark.parametrize("length", [0, 3, 4, 8, 40, 150])
def test_the_first_bytes_of_a_tiff_alone(tmp_path: Path, length: int) -> None:
    path = tiff(tmp_path / "x.tif", noise(5), planarconfig="contig")
    path.write_bytes(path.read_bytes()[:length])
    for use in (read_image, read_header):
        with pytest.raises(DataError, match=r"x\.tif (is not an image|cannot be read)") as caught:
            use(path)
        assert "\n" not in str(caught.value)


def ppm(data: np.ndarray) -> bytes:
    return b"P6 10 12 65535\n" + data.astype(">u2").tobytes()


def jpeg2000(data: np.ndarray) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(data[..., 0], level=0, reversible=True))


@pytest.mark.parametrize("written", [ppm, jpeg2000])
def test_other_files_of_sixteen_bits_are_not_read_as_eight(written: Callable[[np.ndarray], bytes]) -> None:
    for use in (read_image, read_header):
        with pytest.raises(DataError, match=r"^it has more than 8 bits .* read from PNG and TIFF files.*save it as"):
            use(written(noise(3)), name="it")


def test_a_bilevel_and_a_palette_tiff_are_read_by_pillow(tmp_path: Path) -> None:
    bits = np.random.default_rng(0).random((12, 10)) > 0.5
    Image.fromarray(bits).save(tmp_path / "x.tif", compression="group4")
    assert np.array_equal(read_image(tmp_path / "x.tif", GREY)[..., 0], bits * np.uint8(255))
    coloured = Image.fromarray(noise(3, np.uint8)).quantize(16)
    coloured.save(tmp_path / "y.tif")
    assert np.array_equal(read_image(tmp_path / "y.tif"), np.asarray(coloured.convert("RGB")))


@pytest.mark.parametrize(("tag", "options"), [(257, {"rowsperstrip": 1}), (256, {"tile": (16, 16)})])
def test_a_tiff_that_claims_to_be_larger_than_it_is(tmp_path: Path, tag: int, options: dict[str, Any]) -> None:
    path = tiff(tmp_path / "x.tif", noise(5), planarconfig="contig", compression="zlib", **options)
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages.first.tags[tag].overwrite(2_000_000)
    with pytest.raises(DataError, match=r"x\.tif cannot be read as an image: image file is truncated"):
        read_image(path, PixelFormat(channels=5))
