from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from i2i.data.ids import instances_size, read_ids, read_instances, read_labels, read_palette, write_ids
from i2i.errors import DataError

PALETTE = [10, 20, 30, 40, 50, 60, 70, 80, 90]


def ids(high: int, seed: int = 0, height: int = 5, width: int = 7) -> np.ndarray:
    """A map in which 0 and ``high`` occur."""
    made = np.random.default_rng(seed).integers(0, high + 1, (height, width))
    made[0, :2] = 0, high
    return made


def palette_file(path: Path, indices: np.ndarray) -> Path:
    image = Image.fromarray(indices.astype(np.uint8), "P")
    image.putpalette(PALETTE)
    image.save(path)
    return path


def refusal(call: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises(DataError) as caught:
        call(*arguments, **named)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "high", "kind"),
    [
        ("grey.png", 255, np.uint8),
        ("deep.png", 40000, np.uint16),  # beyond 32767: signed 16 bits would make them negative
        ("deep.png", 65535, np.uint16),
        ("deep.tif", 65535, np.uint16),
        ("byte.tif", 255, np.uint8),
        ("wide.tif", 2**31 - 1, np.uint32),
        ("signed.tif", 2**31 - 1, np.int32),
        ("long.tif", 70000, np.int64),
        ("grey.bmp", 255, np.uint8),
    ],
)
def test_whole_numbers_of_any_depth_come_out_as_they_are(tmp_path: Path, name: str, high: int, kind: Any) -> None:
    wanted = ids(high)
    path = tmp_path / name
    if path.suffix == ".tif":
        tifffile.imwrite(path, wanted.astype(kind))
    else:
        Image.fromarray(wanted.astype(kind)).save(path)
    found = read_ids(path)
    assert (found.dtype, found.flags.c_contiguous) == (np.int32, True)
    assert np.array_equal(found, wanted)
    assert np.array_equal(read_instances(path.read_bytes()), wanted)
    assert instances_size(path) == (7, 5)


def test_ids_that_pillow_holds_in_mode_i(tmp_path: Path) -> None:
    (tmp_path / "x.ppm").write_bytes(b"P5\n7 5\n65535\n" + ids(50000).astype(">u2").tobytes())
    with Image.open(tmp_path / "x.ppm") as image:
        assert image.mode == "I"
    assert np.array_equal(read_ids(tmp_path / "x.ppm"), ids(50000))


@pytest.mark.parametrize(("bits", "high"), [(1, 1), (2, 3), (4, 15)])
def test_grey_of_few_bits_is_not_spread_over_255(tmp_path: Path, bits: int, high: int) -> None:
    import struct
    import zlib

    wanted = ids(high)
    digits = [np.array([list(f"{value:0{bits}b}") for value in row], np.uint8) for row in wanted]
    rows = zlib.compress(b"".join(b"\0" + np.packbits(row.ravel()).tobytes() for row in digits))
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 7, 5, bits, 0, 0, 0, 0)), (b"IDAT", rows), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    assert np.array_equal(read_ids(tmp_path / "x.png"), wanted)


@pytest.mark.parametrize(
    ("bits", "compression"), [(1, None), (1, "zlib"), (2, None), (4, None), (8, None), (8, "zlib"), (16, None)]
)
def test_files_whose_white_is_zero_are_not_turned_round(tmp_path: Path, bits: int, compression: str | None) -> None:
    wanted = ids(2**bits - 1)
    stored = wanted.astype(bool if bits == 1 else np.uint16 if bits == 16 else np.uint8)
    few = {"bitspersample": bits} if bits in (2, 4) else {}
    tifffile.imwrite(tmp_path / "x.tif", stored, photometric="miniswhite", compression=compression, **few)
    assert np.array_equal(read_ids(tmp_path / "x.tif"), wanted)
    assert np.array_equal(read_labels((tmp_path / "x.tif").read_bytes(), 2**bits), wanted)
    assert instances_size(tmp_path / "x.tif") == (7, 5)


@pytest.mark.parametrize("name", ["x.png", "x.gif", "x.tif", "x.bmp"])
def test_palette_files_are_their_indices_and_know_their_colours(tmp_path: Path, name: str) -> None:
    path = palette_file(tmp_path / name, ids(2))
    assert np.array_equal(read_ids(path), ids(2))
    assert np.array_equal(read_labels(path, 3, ((1, 1, 1),)), ids(2))  # with a table of colours, too
    palette = read_palette(path)
    assert palette is not None
    assert palette[:3] == ((10, 20, 30), (40, 50, 60), (70, 80, 90))


def test_what_is_no_palette_file_has_no_palette(tmp_path: Path) -> None:
    write_ids(ids(3), tmp_path / "x.png")
    assert read_palette(tmp_path / "x.png") is None
    assert "is not an image" in refusal(read_palette, b"text")


def test_transparency_of_a_grey_map_is_left_out(tmp_path: Path) -> None:
    Image.merge("LA", [Image.fromarray(ids(9).astype(np.uint8)), Image.new("L", (7, 5), 3)]).save(tmp_path / "x.png")
    assert np.array_equal(read_ids(tmp_path / "x.png"), ids(9))


def test_maps_are_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6  # a quarter to the right
    Image.fromarray(ids(9).astype(np.uint8)).save(tmp_path / "x.png", exif=exif)
    assert np.array_equal(read_ids(tmp_path / "x.png"), np.rot90(ids(9), -1))
    assert instances_size(tmp_path / "x.png") == (5, 7)


def test_colours_become_classes(tmp_path: Path) -> None:
    table = ((0, 0, 0), (128, 64, 128), (0, 0, 142), (0, 0, 0), (255, 255, 255))
    wanted = ids(2)
    picture = np.array(table, np.uint8)[wanted]
    for channels, image in ((3, picture), (4, np.dstack((picture, np.full((5, 7), 9, np.uint8))))):
        Image.fromarray(image).save(tmp_path / f"{channels}.png")
        assert np.array_equal(read_labels(tmp_path / f"{channels}.png", 5, table), wanted)
    last = np.array(table, np.uint8)[np.full((2, 2), 4)]
    Image.fromarray(last).save(tmp_path / "last.png")
    assert read_labels(tmp_path / "last.png", 5, table).tolist() == [[4, 4], [4, 4]]


def test_an_unknown_colour_is_named_with_its_place(tmp_path: Path) -> None:
    picture = np.zeros((5, 7, 3), np.uint8)
    picture[3, 2] = picture[4, 6] = 255, 0, 128
    Image.fromarray(picture).save(tmp_path / "x.png")
    said = refusal(read_labels, tmp_path / "x.png", 2, ((0, 0, 0), (1, 1, 1)))
    assert said == (
        f"{tmp_path}/x.png has the colour 255 0 128 in column 2 of row 3, which the table of --colours does not have "
        "(2 of 35 pixels); add it there, or correct the map"
    )


def test_colours_without_a_table_name_the_flag(tmp_path: Path) -> None:
    Image.new("RGB", (7, 5)).save(tmp_path / "x.png")
    expected = (
        f"{tmp_path}/x.png is an RGB image where ids are read; name the colours of the classes with --colours FILE, "
        "or save the ids as a grey or palette PNG (--labels 0 takes the colours as they are)"
    )
    assert refusal(read_labels, tmp_path / "x.png", 35) == refusal(read_ids, tmp_path / "x.png") == expected
    instances = f"{tmp_path}/x.png is an RGB image where ids are read; save the ids as a grey PNG of 8 or 16 bits"
    assert refusal(read_instances, tmp_path / "x.png") == refusal(instances_size, tmp_path / "x.png") == instances


def test_an_id_that_is_too_high_says_which_and_what_to_do(tmp_path: Path) -> None:
    write_ids(ids(40), tmp_path / "x.png")
    assert refusal(read_labels, tmp_path / "x.png", 35) == (
        f"{tmp_path}/x.png has class id 40, but there are 35 classes (0 to 34); use --labels 41"
    )
    assert read_labels(tmp_path / "x.png", 41).max() == 40
    assert refusal(read_labels, (tmp_path / "x.png").read_bytes(), 35, name="row 3").startswith("row 3 has class id 40")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((2, 2), -3, np.int32), "x.tif has the id -3; ids lie between 0 and 2147483647"),
        (np.full((2, 2), 2**31, np.uint32), "x.tif has the id 2147483648; ids lie between 0 and 2147483647"),
        (np.zeros((2, 2), np.float32), "x.tif holds numbers with decimals (floats), and ids are whole numbers"),
        (np.zeros((5, 2, 2), np.uint16), "x.tif is an image of 5 channels where ids are read"),
    ],
)
def test_numbers_that_are_no_ids(tmp_path: Path, array: np.ndarray, message: str) -> None:
    options = {"photometric": "minisblack", "planarconfig": "separate"} if array.ndim == 3 else {}
    tifffile.imwrite(tmp_path / "x.tif", array, **options)
    assert message in refusal(read_ids, tmp_path / "x.tif")


@pytest.mark.parametrize(
    ("mode", "name", "message"),
    [
        ("L", "x.jpg", "is a JPEG file, whose compression changes ids; save the ids as a PNG"),
        ("CMYK", "x.tif", "is an image of mode CMYK, which holds no ids; save them as a grey or palette PNG"),
    ],
)
def test_files_that_hold_no_ids(tmp_path: Path, mode: str, name: str, message: str) -> None:
    Image.new(mode, (4, 4)).save(tmp_path / name)
    for read in (read_ids, instances_size):
        assert refusal(read, tmp_path / name) == f"{tmp_path}/{name} {message}"


def test_colours_of_sixteen_bits_are_refused(tmp_path: Path) -> None:
    import imagecodecs

    (tmp_path / "x.png").write_bytes(imagecodecs.png_encode(np.zeros((4, 4, 3), np.uint16)))
    assert "has colours of 16 bits" in refusal(read_labels, tmp_path / "x.png", 3, ((0, 0, 0),))


def test_damaged_files_are_named(tmp_path: Path) -> None:
    write_ids(ids(60000, height=50, width=70), tmp_path / "x.png")
    (tmp_path / "x.png").write_bytes((tmp_path / "x.png").read_bytes()[:300])
    assert refusal(read_ids, tmp_path / "x.png").startswith(f"{tmp_path}/x.png cannot be read as an image: ")
    assert refusal(read_ids, tmp_path / "y.png").startswith(f"{tmp_path}/y.png cannot be read as an image: ")
    assert refusal(read_ids, b"text", name="row 2") == "row 2 is not an image that can be read"


@pytest.mark.parametrize(
    ("high", "name", "mode"), [(255, "x.png", "L"), (256, "x.png", "I;16"), (65535, "x.PNG", "I;16")]
)
def test_ids_are_written_in_as_few_bits_as_they_need(tmp_path: Path, high: int, name: str, mode: str) -> None:
    write_ids(ids(high), tmp_path / name)
    with Image.open(tmp_path / name) as image:
        assert image.mode == mode
    assert np.array_equal(read_ids(tmp_path / name), ids(high))


def test_high_ids_are_written_as_tiff(tmp_path: Path) -> None:
    write_ids(ids(2**31 - 1), tmp_path / "x.tif")
    assert np.array_equal(read_ids(tmp_path / "x.tif"), ids(2**31 - 1))


@pytest.mark.parametrize(
    ("array", "name", "message"),
    [
        (ids(70000), "x.png", "x.png: id 70000 is not between 0 and 65535; .tif holds it"),
        (np.array([[-1]]), "x.tif", "x.tif: id -1 is not between 0 and 2147483647"),
        (ids(3), "x.jpg", "x.jpg: ids are written as .png or .tif"),
        (np.zeros((2, 2)), "x.png", "x.png: a map of ids is (h, w) of whole numbers, not (2, 2) float64"),
        (np.zeros((1, 2, 2), int), "x.png", "not (1, 2, 2) int64"),
    ],
)
def test_ids_that_cannot_be_written(tmp_path: Path, array: np.ndarray, name: str, message: str) -> None:
    assert message in refusal(write_ids, array, tmp_path / name)
    assert not (tmp_path / name).exists()


def test_bytes_without_a_name_are_counted() -> None:
    file = io.BytesIO()
    Image.new("RGB", (2, 2)).save(file, "PNG")
    assert refusal(read_ids, file.getvalue()).startswith(f"{len(file.getvalue())} bytes is an RGB image")
