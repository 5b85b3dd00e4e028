from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from i2i.data.colours import classes_of, coloured, read_colours
from i2i.errors import DataError


def written(folder: Path, text: str) -> Path:
    (folder / "table").write_text(text)
    return folder / "table"


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_colours(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "0 0 0\n128 64 128 road\n\n# a remark\n255 0 7 a car of red\n",
        "0,0,0\n  128, 64, 128, road\n255;0;7\n",
        "0\t0\t0\n128\t64\t128\n255\t0\t7",
        "[[0, 0, 0], [128, 64, 128],\n [255, 0, 7]]",
    ],
)
def test_lines_and_lists(tmp_path: Path, text: str) -> None:
    assert read_colours(written(tmp_path, text)) == ((0, 0, 0), (128, 64, 128), (255, 0, 7))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 0 0\n# one\n1 2\n", "table: line 3 is no colour (1 2); write red green blue, each from 0 to 255"),
        ("0 0 256\n", "table: line 1 is no colour (0 0 256)"),
        ("road 1 2 3\n", "table: line 1 is no colour (road 1 2)"),
        ("0 0 -1\n", "table: line 1 is no colour (0 0 -1)"),
        ("[[1, 2, 3], [1, 2]]", "table: entry 1 is no colour (1 2)"),
        ("[[1, 2, 3.5]]", "table: entry 0 is no colour (1 2 3.5)"),
        ("[7]", "table: entry 0 is no colour (7)"),
        ("[[1, 2, 3", "table is no valid JSON"),
        ("# nothing\n", "table is empty; write a line 'red green blue' for each class"),
        ("[]", "table is empty"),
    ],
)
def test_mistakes_name_the_line(tmp_path: Path, text: str, message: str) -> None:
    assert message in refusal(written(tmp_path, text))


def test_a_table_that_cannot_be_read(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no") == f"the table of colours {tmp_path}/no cannot be read: No such file or directory"
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    assert refusal(tmp_path / "bytes") == f"the table of colours {tmp_path}/bytes cannot be read: no text"


def test_of_equal_colours_the_first_class_is_taken() -> None:
    table = ((9, 9, 9), (0, 0, 0), (9, 9, 9), (0, 0, 0))
    image = np.array([[[0, 0, 0], [9, 9, 9]]], np.uint8)
    assert classes_of(image, table).tolist() == [[1, 0]]


def test_every_colour_is_told_from_its_neighbours() -> None:
    """All that differ by one level from a colour of the table are strange."""
    table = ((100, 100, 100),)
    for step in np.ndindex(3, 3, 3):
        colour = np.array(step) + 99
        if step == (1, 1, 1):
            assert classes_of(colour.astype(np.uint8)[None, None], table) == 0
        else:
            with pytest.raises(DataError, match=f"has the colour {' '.join(map(str, colour))} in column 0 of row 0"):
                classes_of(colour.astype(np.uint8)[None, None], table)


def test_listed_colours_are_painted() -> None:
    ids = torch.tensor([[[[1, 0]]], [[[0, 1]]]], dtype=torch.int32)
    painted = coloured(ids, ((255, 0, 51), (0, 102, 255)))
    assert (painted.dtype, painted.shape) == (torch.float32, (2, 3, 1, 2))
    levels = ((painted + 1) * 127.5).round().int()
    assert levels[0, :, 0].T.tolist() == [[0, 102, 255], [255, 0, 51]]
    assert levels[1, :, 0].T.tolist() == [[255, 0, 51], [0, 102, 255]]


def test_other_ids_have_colours_of_their_own() -> None:
    ids = torch.arange(2**15, dtype=torch.int32).reshape(1, 1, 128, 256) + 26000  # 16-bit instance ids
    levels = ((coloured(ids) + 1) * 127.5).round().int()
    assert len({tuple(pixel) for pixel in levels[0].flatten(1).T.tolist()}) == 2**15
    far = torch.tensor([[[[1, 2**24 - 1, 2**23 + 5]]]])  # too far apart for a table of all ids between them
    painted = ((coloured(far, ((1, 2, 3),)) + 1) * 127.5).round().int()[0, :, 0].T.tolist()
    # Bits 0, 3, 6, ... are red, the lowest is 128; 1, 4, ... green; 2, 5, ..., 23 blue.
    assert painted == [[128, 0, 0], [255, 255, 255], [128, 0, 129]]
    few = ((coloured(torch.arange(8).reshape(1, 1, 1, 8), ((1, 2, 3),)) + 1) * 127.5).round().int()[0, :, 0].T.tolist()
    # The colours of PASCAL VOC, behind those that are listed.
    assert few == [[1, 2, 3], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [128, 0, 128], [0, 128, 128],
                   [128, 128, 128]]  # fmt: skip
