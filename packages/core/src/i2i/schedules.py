"""Schedules: numbers that change with training, as plain functions of the batch ``now`` (counted from 0)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from i2i.errors import SettingsError
from i2i.parts import Example, part
from i2i.protocols import Schedule


@part(example=Example({"value": 2e-4}, ()))
def constant(value: float) -> Schedule:
    """Stay at ``value``.

    Example:
        >>> constant(2e-4)(10)
        0.0002
    """
    return lambda now: value


@part(example=Example({"value": 2e-4, "length": 10}, ()))
def linear_decay(value: float, length: int, *, start: int | None = None) -> Schedule:
    """Stay at ``value`` up to ``start``, then fall in a straight line; the last batch still trains.

    From ``start`` on it is ``value * (length - now) / (length - start)``: 0 at ``now = length``, after the last batch.

    Args:
        value: rate before the decay.
        length: batches in all.
        start: first batch after which it falls; half of ``length`` when left out.

    Example:
        >>> [linear_decay(1.0, 4, start=2)(now) for now in range(5)]
        [1.0, 1.0, 1.0, 0.5, 0.0]
    """
    begin = length // 2 if start is None else start
    _check_positive("length", length)
    if not 0 <= begin <= length:
        raise SettingsError(f"start (={begin}) of a linear decay must lie in 0 ... length (={length})")
    span = max(length - begin, 1)
    return lambda now: value * min(1.0, max(0.0, (length - now) / span))


@part(example=Example({"value": 2e-4, "every": 10}, ()))
def step_decay(value: float, every: int, *, factor: float = 0.1) -> Schedule:
    """Multiply by ``factor`` after each ``every`` batches.

    Example:
        >>> [step_decay(1.0, 2, factor=0.5)(now) for now in range(5)]
        [1.0, 1.0, 0.5, 0.5, 0.25]
    """
    _check_positive("every", every)
    return lambda now: value * factor ** (now // every)


@part(example=Example({"value": 2e-4, "length": 10}, ()))
def cosine(value: float, length: int, *, end: float = 0.0) -> Schedule:
    """Fall from ``value`` to ``end`` along half a cosine over ``length`` batches, and stay there.

    References:
        Loshchilov and Hutter, SGDR, eq. 5, without restarts.

    Example:
        >>> [round(cosine(1.0, 2)(now), 3) for now in range(4)]
        [1.0, 0.5, 0.0, 0.0]
    """
    _check_positive("length", length)
    return lambda now: end + (value - end) * 0.5 * (1 + math.cos(math.pi * min(now, length) / length))


@part(example=Example({"schedule": constant(2e-4), "batches": 5}, ()))
def warm_up(schedule: Schedule, batches: int) -> Schedule:
    """Rise to ``schedule`` in a straight line: batch ``now`` has ``(now + 1) / batches`` of it, at most all.

    Args:
        schedule: what is followed; its own batches are counted from the start of the run all the same.
        batches: until the full value is reached; 0 for no warm-up.

    References:
        Goyal et al., Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour, section 2.2 (gradual warm-up).

    Example:
        >>> [warm_up(constant(1.0), 4)(now) for now in range(6)]
        [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    """
    if batches < 0:
        raise SettingsError(f"batches (={batches}) of a warm-up must be 0 or more")
    return lambda now: schedule(now) * min(1.0, (now + 1) / max(batches, 1))


class Plateau:
    """Stay at ``value`` for as long as a figure gets better; after too long without, multiply it by ``factor``.

    It does not look at the batch: who measures the figure tells it by `watch`. In a run that is the validation, which
    also saves its state with each checkpoint; a recipe hands it over as ``Evaluation.plateaus``.

    Args:
        value: at first.
        patience: figures in a row without improvement that are borne; the next one lowers the value.
        factor: what the value is multiplied by, between 0 and 1.
        threshold: a figure is better when it beats the best one by more than this share of it.
        higher_is_better: as for PSNR; else lower, as for a distance.

    Raises:
        SettingsError: a value out of range; it is named.

    Differs:
        The share is one of the size of the best figure, so that negative figures work too. The authors of CycleGAN
        offer this schedule, but their code always hands it 0 as the figure, so it falls on a fixed beat.

    Example:
        >>> rate = Plateau(1.0, patience=1, factor=0.5)
        >>> for distance in (3.0, 2.0, 2.0, 2.0):
        ...     rate.watch(distance)
        >>> rate(100)
        0.5
    """

    example = Example({"value": 2e-4}, ())

    def __init__(
        self,
        value: float,
        *,
        patience: int = 5,
        factor: float = 0.2,
        threshold: float = 0.01,
        higher_is_better: bool = False,
    ) -> None:
        if patience < 0:
            raise SettingsError(f"patience (={patience}) of a plateau must be 0 or more")
        if not 0 < factor < 1:
            raise SettingsError(f"factor (={factor}) of a plateau must lie between 0 and 1")
        if not 0 <= threshold < 1:
            raise SettingsError(f"threshold (={threshold}) of a plateau must be 0 or more, and below 1")
        self.value, self.higher_is_better = value, higher_is_better
        self._patience, self._factor, self._threshold = patience, factor, threshold
        self._best: float | None = None
        self._waited = 0

    def __call__(self, now: int, /) -> float:
        return self.value

    def watch(self, figure: float) -> None:
        """Take the next figure; one that is not a number is no improvement."""
        if self._is_better(figure):
            self._best, self._waited = figure, 0
            return
        self._waited += 1
        if self._waited > self._patience:
            self.value *= self._factor
            self._waited = 0

    def _is_better(self, figure: float) -> bool:
        if not math.isfinite(figure):
            return False
        if self._best is None:
            return True
        gain = figure - self._best if self.higher_is_better else self._best - figure
        return gain > self._threshold * abs(self._best)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs."""
        return {"value": self.value, "best": self._best, "waited": self._waited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what was saved."""
        self.value, self._best, self._waited = state["value"], state["best"], state["waited"]


def _check_positive(name: str, value: int) -> None:
    if value < 1:
        raise SettingsError(f"{name} (={value}) of a schedule must be 1 or more")
