from __future__ import annotations

import pytest
import torch

from i2i.errors import DataError
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
    assert cityscapes.new(maps("7 26000 26999"), 26) == 26001
    assert cityscapes.new(ids, 66) == 66000
    assert Numbering("objects").new(ids, 26) == 26004
    assert Numbering("segments").new(maps("0 1 65535 3"), 5) == 2
    assert Numbering("objects").new(maps("0 70000"), 5) == 1


def test_objects_without_a_number_of_their_class_take_none_of_a_class_or_of_another() -> None:
    """Ids below 1000 are those of classes, and a class has a thousand numbers."""
    cityscapes = Numbering("cityscapes")
    full = torch.cat((maps("7 25 27000"), torch.arange(26000, 27000)[None]), 1)
    for label, ids in ((0, maps("0 7 24 26000")), (0, maps("0 0 0 0")), (26, full)):
        found: list[int] = []
        for _ in range(3):
            found.append(cityscapes.new(torch.cat((ids, torch.tensor([found], dtype=torch.int64)), 1), label))
        assert len(set(found)) == 3
        assert min(found) >= 65536 * 1000  # below are those of all classes that a model can have
        assert max(found) < 2**31
        assert all(cityscapes.is_object(id) for id in found)
        # The map is known again by what its ids say.
        labels = torch.where(ids < 1000, ids, ids // 1000)
        grown = torch.cat((ids, torch.tensor([found])), 1), torch.cat((labels, torch.full((1, 3), label)), 1)
        assert numbering_of(grown[1], grown[0]).kind == "cityscapes"
        assert numbering_of(grown[1] + (grown[0] == found[0]), grown[0]).kind != "cityscapes"


def test_no_number_is_left() -> None:
    taken = torch.cat((torch.arange(2**31 - 1, 10**8, -(10**5)) // 10**5 * 10**5, torch.tensor([0])))[None]
    with pytest.raises(DataError, match="too many objects of class 0: there is no number left for another one"):
        Numbering("cityscapes").new(taken, 0)


def test_pixels_of_no_object_whose_class_is_above_the_first_thousand() -> None:
    cityscapes = Numbering("cityscapes")
    mask = torch.tensor([[True, False]])
    id = cityscapes.background(maps("1 1"), maps("1500 1"), 1500, mask)
    assert id not in range(65536 * 1000)  # 1500 is object 500 of class 1
    assert not cityscapes.is_object(id)
    assert numbering_of(maps("1500 1"), torch.tensor([[id, 1]])).kind == "cityscapes"
    assert cityscapes.new(torch.tensor([[id, 1]]), 1500) == 1_500_000


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
