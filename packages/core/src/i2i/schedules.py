"""Schedules: numbers that change with training, as plain functions of the batch ``now`` (counted from 0)."""

from __future__ import annotations

import math

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


def _check_positive(name: str, value: int) -> None:
    if value < 1:
        raise SettingsError(f"{name} (={value}) of a schedule must be 1 or more")
