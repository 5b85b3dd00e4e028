from __future__ import annotations

import pytest

from i2i.nearest import nearest


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("crop_sise", ["load_size", "crop_size"], "did you mean 'crop_size'?"),
        ("x", ["b", "a", "b"], "known: a, b"),
        ("x", [], "known: none"),
    ],
)
def test_nearest(name, known, hint):
    assert nearest(name, known) == hint
