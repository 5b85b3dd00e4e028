from __future__ import annotations

import pytest
import torch

from i2i_pix2pixhd.editing.numbering import Numbering, around, numbering_of


def maps(*rows: str) -> torch.Tensor:
    return torch.tensor([[int(word) for word in row.split()] for row in rows])


LABELS = maps("7 7 7 7 8", "7 26 26 26 8", "7 26 26 26 8")


@pytest.mark.parametrize(
    ("kind", "instances"),
    [
        ("cityscapes", maps("7 7 7 7 8", "7 26000 26000 26003 8", "7 26000 26 26003 8")),
        ("objects", maps("0 0 0 0 0", "0 1 1 2 0", "0 1 1 2 0")),
        ("objects", maps("0 0 0 0 0", "0 26001 26001 26002 0", "0 26001 26001 26002 0")),
        ("segments", maps("1 1 1 1 2", "1 5 5 6 2", "1 5 5 6 2")),
        ("segments", maps("0 0 0 0 2", "0 5 5 6 2", "0 5 5 6 2")),  # 0 is one segment among others
    ],
)
def test_the_map_says_how_it_is_numbered(kind: str, instances: torch.Tensor) -> None:
    assert numbering_of(LABELS, instances).kind == kind


def test_which_ids_are_objects() -> None:
    ids = (0, 1, 999, 1000, 26001)
    assert [Numbering("cityscapes").is_object(id) for id in ids] == [False, False, False, True, True]
    assert [Numbering("objects").is_object(id) for id in ids] == [False, True, True, True, True]
    assert all(Numbering("segments").is_object(id) for id in ids)


def test_ids_of_new_objects() -> None:
    ids = maps("7 26000 26003 24000")
    cityscapes = Numbering("cityscapes")
    assert cityscapes.new(ids, 26) == 26004
    assert cityscapes.new(ids, 24) == 24001
    assert cityscapes.new(ids, 33) == 33000
    assert cityscapes.new(ids, 0) == 26004  # ids below 1000 are those of classes
    assert cityscapes.new(maps("7 26999"), 26) == 1  # there is no number left for that class
    assert cityscapes.new(ids, 66) == 1  # 66000 is more than a PNG holds
    assert Numbering("objects").new(ids, 26) == 26004
    assert Numbering("segments").new(maps("0 1 65535 3"), 5) == 2
    assert Numbering("objects").new(maps("0 70000"), 5) == 1


def test_what_belongs_to_no_object() -> None:
    mask = torch.tensor([[True, False, False, False, False]])
    assert Numbering("cityscapes").background(maps("8 7 7 7 7"), maps("8 7 7 7 7"), 9, mask) == 9
    assert Numbering("objects").background(maps("8 7 7 7 7"), maps("0 1 0 0 0"), 7, mask) == 0
    segments, labels, ids = Numbering("segments"), maps("8 7 3 7 7"), maps("1 2 3 5 5")
    assert segments.background(labels, ids, 7, mask) == 2  # beside it, though 5 is more frequent
    assert segments.background(labels, ids, 3, mask) == 3  # nowhere beside it
    assert segments.background(labels, ids, 9, mask) == 6  # nowhere
    assert segments.background(labels, ids, 8, mask) == 6  # nowhere but where it will be painted over


def test_what_lies_around() -> None:
    mask = torch.zeros(4, 5, dtype=torch.bool)
    mask[1, 1] = mask[1, 2] = True
    assert around(mask).int().tolist() == [[1, 1, 1, 1, 0], [1, 0, 0, 1, 0], [1, 1, 1, 1, 0], [0, 0, 0, 0, 0]]
    assert not around(torch.ones(3, 3, dtype=torch.bool)).any()
