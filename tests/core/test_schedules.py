from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from i2i.errors import SettingsError
from i2i.schedules import constant, cosine, linear_decay, step_decay

TABLES: list[tuple[Callable[[int], float], list[float]]] = [
    (constant(0.5), [0.5, 0.5, 0.5]),
    (linear_decay(8.0, 4), [8, 8, 8, 4, 0, 0]),
    (linear_decay(8.0, 5), [8, 8, 8, 16 / 3, 8 / 3, 0]),
    (linear_decay(8.0, 4, start=0), [8, 6, 4, 2, 0]),
    (linear_decay(8.0, 3, start=3), [8, 8, 8, 0]),
    (linear_decay(8.0, 1), [8, 0]),
    (step_decay(8.0, 2), [8, 8, 0.8, 0.8, 0.08]),
    (step_decay(8.0, 1, factor=0.5), [8, 4, 2, 1]),
    (cosine(2.0, 4), [2, 1 + 0.5**0.5, 1, 1 - 0.5**0.5, 0, 0]),
    (cosine(2.0, 2, end=1.0), [2, 1.5, 1, 1]),
]


@pytest.mark.parametrize("row", range(len(TABLES)))
def test_table(row: int) -> None:
    schedule, expected = TABLES[row]
    assert [schedule(now) for now in range(len(expected))] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: linear_decay(1.0, 0), "length (=0) of a schedule must be 1 or more"),
        (lambda: cosine(1.0, -1), "length (=-1) of a schedule must be 1 or more"),
        (lambda: step_decay(1.0, 0), "every (=0) of a schedule must be 1 or more"),
        (lambda: linear_decay(1.0, 4, start=5), "start (=5) of a linear decay must lie in 0 ... length (=4)"),
        (lambda: linear_decay(1.0, 4, start=-1), "start (=-1) of a linear decay must lie in 0 ... length (=4)"),
    ],
)
def test_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        make()
    assert str(caught.value) == message
