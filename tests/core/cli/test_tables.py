from __future__ import annotations

from i2i.cli.tables import aligned


def test_columns_are_as_wide_as_their_widest_entry():
    assert aligned(["a", "bb"], [["cccc", "d"], ["e", ""]]) == "a     bb\ncccc  d\ne"
