from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch

from i2i.errors import SettingsError
from i2i.schedules import Plateau, constant, cosine, linear_decay, step_decay, warm_up

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
    (warm_up(constant(8.0), 4), [2, 4, 6, 8, 8]),
    (warm_up(linear_decay(8.0, 4, start=0), 2), [4, 6, 4, 2, 0]),
    (warm_up(constant(8.0), 1), [8, 8]),
    (warm_up(step_decay(8.0, 1, factor=0.5), 0), [8, 4, 2]),
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
        (lambda: Plateau(1.0, patience=-1), "patience (=-1) of a plateau must be 0 or more"),
        (lambda: Plateau(1.0, factor=1.0), "factor (=1.0) of a plateau must lie between 0 and 1"),
        (lambda: Plateau(1.0, factor=0.0), "factor (=0.0) of a plateau must lie between 0 and 1"),
        (lambda: Plateau(1.0, threshold=-0.1), "threshold (=-0.1) of a plateau must be 0 or more, and below 1"),
        (lambda: Plateau(1.0, threshold=float("nan")), "threshold (=nan) of a plateau must be 0 or more, and below 1"),
        (lambda: warm_up(constant(1.0), -1), "batches (=-1) of a warm-up must be 0 or more"),
        (lambda: linear_decay(1.0, 4, start=5), "start (=5) of a linear decay must lie in 0 ... length (=4)"),
        (lambda: linear_decay(1.0, 4, start=-1), "start (=-1) of a linear decay must lie in 0 ... length (=4)"),
    ],
)
def test_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        make()
    assert str(caught.value) == message


@pytest.mark.parametrize("higher_is_better", [True, False])
@pytest.mark.parametrize(("patience", "threshold"), [(0, 0.0), (1, 0.05), (3, 0.2)])
def test_a_plateau_falls_as_that_of_torch(patience: int, threshold: float, higher_is_better: bool) -> None:
    """For positive figures, which are all that torch's thresholds are made for."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=8.0)
    mode: Literal["max", "min"] = "max" if higher_is_better else "min"
    wanted = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode, 0.5, patience, threshold, eps=0)
    plateau = Plateau(8.0, patience=patience, factor=0.5, threshold=threshold, higher_is_better=higher_is_better)
    draws = random.Random(patience)
    found, expected = [], []
    for step in range(40):
        figure = draws.uniform(1, 2) + (step if higher_is_better else 20 / (step + 1)) * draws.choice((0, 0, 0.3))
        plateau.watch(figure)
        wanted.step(figure)
        found.append(plateau(step))
        expected.append(optimizer.param_groups[0]["lr"])
    assert found == expected
    assert len(set(found)) > 4


def test_a_plateau_of_negative_figures() -> None:
    """An unbiased distance may be below 0; torch's share of the best would then count a standstill as progress."""
    plateau = Plateau(8.0, patience=0, factor=0.5, threshold=0.1)
    rates = []
    for figure in (-1.0, -1.0, -1.05, -1.2, float("nan"), float("-inf"), -1.4):
        plateau.watch(figure)
        rates.append(plateau(0))
    assert rates == [8, 4, 2, 2, 1, 0.5, 0.5]


def test_a_plateau_goes_on_from_its_state() -> None:
    figures = [3.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    for cut in range(len(figures)):
        whole, first, second = (Plateau(8.0, patience=1, factor=0.5) for _ in range(3))
        for figure in figures[:cut]:
            first.watch(figure)
        second.load_state_dict(first.state_dict())
        for index, figure in enumerate(figures):
            whole.watch(figure)
            if index >= cut:
                second.watch(figure)
        assert second(0) == whole(0) == 1
