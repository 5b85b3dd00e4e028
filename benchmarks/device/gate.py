"""Whether another precision trains as well: its losses and images must lie within the spread of seeds.

Several seeds are trained in both precisions, from the same weights on the same batches. Each loss, taken as its mean
over the second half of the updates, and what is said of the images below, gives a figure for each seed. The gate passes
when no mean over the seeds differs by more than seeds explain: by `allowed` standard deviations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.device.meter import rounded

CHANCE = 0.01
WINDOWS = 10
LEVELS = 127.5  # of 8 bits, from [-1, 1]

Figures = NDArray[np.float64]


class Run(NamedTuple):
    """One training.

    Attributes:
        update: trains on the batch of that number, counted from 0; returns the losses.
        images: what the nets make of inputs that are held out, ``(n, c, h, w)``.
        flags: the context of all of it.
    """

    update: Callable[[int], Mapping[str, Tensor]]
    images: Callable[[], Tensor]
    flags: Callable[[], AbstractContextManager[Any]]


class Trained(NamedTuple):
    """What came of the trainings of all seeds.

    Attributes:
        curves: each loss, ``(seeds, steps)``.
        images: of each seed, in levels of 8 bits.
    """

    curves: Mapping[str, Figures]
    images: Sequence[Figures]


def trained(make: Callable[[int], Run], seeds: Sequence[int], steps: int) -> Trained:
    """Train with each seed; sums of losses, named ``total``, are left out.

    Args:
        make: makes the run of a seed.
        seeds: two at least. With five, a loss may differ by about 3 standard deviations over seeds, with three by 7.
        steps: updates of each run.
    """
    curves: dict[str, list[Figures]] = {}
    images = []
    for seed in seeds:
        run = make(seed)
        with run.flags():
            told = []
            for number in range(steps):
                losses = run.update(number)
                told.append(torch.stack([value.detach().double() for value in losses.values()]))
            images.append(run.images().detach().double().cpu().numpy() * LEVELS)
        for name, curve in zip(losses, torch.stack(told, dim=1).cpu().numpy(), strict=True):
            if not name.endswith("total"):
                curves.setdefault(name, []).append(curve)
        del run, losses  # before the next one is made: they fill the memory
    return Trained({name: np.stack(each) for name, each in curves.items()}, images)


def judged(base: Trained, tried: Trained, wanted: Tensor) -> dict[str, Any]:
    """Compare trainings by the same seeds in two precisions.

    ``images: error`` is the mean distance to the images that are wanted. ``images: apart`` is the distance between the
    images of the two runs of a seed, held against that between runs of different seeds in the base precision. Both may
    be smaller by as much as they like. What is not finite does not pass.

    Returns:
        ``passed``, ``failed`` (names), ``allowed`` (standard deviations), and for each name in ``found`` the means
        ``base`` and ``tried``, the standard deviation ``spread`` over seeds, and how far the means are ``apart``.
        ``curves``: the mean over the seeds in windows, and the lowest and highest of the base.
    """
    steps = next(iter(base.curves.values())).shape[1]
    half = steps // 2
    pairs = {name: (base.curves[name][:, half:].mean(1), tried.curves[name][:, half:].mean(1)) for name in base.curves}
    target = wanted.double().cpu().numpy() * LEVELS
    errors = [np.array([distance(made, target) for made in each.images]) for each in (base, tried)]
    same = np.array([distance(*of_a_seed) for of_a_seed in zip(base.images, tried.images, strict=True)])
    pairs |= {"images: error": (errors[0], errors[1]), "images: apart": (others(base.images), same)}
    limit = allowed(len(same), len(pairs))
    found, failed = {}, []
    for name, (trusted, other) in pairs.items():
        spread = math.sqrt((trusted.var(ddof=1) + other.var(ddof=1)) / 2)
        apart = other.mean() - trusted.mean()
        if not (apart if name.startswith("images") else abs(apart)) <= limit * spread:  # NaN neither
            failed.append(name)
        figures = {"base": trusted.mean(), "tried": other.mean(), "spread": spread, "apart": apart}
        found[name] = {key: rounded(value) for key, value in figures.items()}
    curves = {name: windows(base.curves[name], tried.curves[name]) for name in base.curves}
    return {
        "seeds": len(same), "steps": steps, "allowed": rounded(limit), "passed": not failed, "failed": failed,
        "found": found, "curves": curves,
    }  # fmt: skip


def distance(made: Figures, other: Figures) -> float:
    """Return the mean absolute difference."""
    return float(np.abs(made - other).mean())


def others(images: Sequence[Figures]) -> Figures:
    """Return for each seed the mean distance between its images and those of the other seeds."""
    apart = np.array([[distance(one, other) for other in images] for one in images])
    return np.asarray(apart.sum(1) / (len(images) - 1))


def windows(base: Figures, tried: Figures) -> dict[str, list[float]]:
    """Return smoothed curves."""

    def smooth(curves: Figures) -> Figures:
        parts = np.array_split(curves, min(WINDOWS, curves.shape[1]), axis=1)
        return np.stack([part.mean(1) for part in parts], axis=1)

    smoothed = smooth(base)
    told = {
        "base": smoothed.mean(0), "lowest": smoothed.min(0), "highest": smoothed.max(0), "tried": smooth(tried).mean(0),
    }  # fmt: skip
    return {name: [rounded(value) for value in values] for name, values in told.items()}


def allowed(seeds: int, figures: int) -> float:
    """Return by how many standard deviations over seeds two means may differ.

    That is Student's test of two means, with the spread of both sides pooled. Two precisions that train equally well
    fail in any of the figures with a probability of `CHANCE` at most, even where a seed makes the two runs no more
    alike than two seeds are; where it does, it is rarer.

    Args:
        seeds: of each side.
        figures: that are compared (Bonferroni).
    """
    return quantile(1 - CHANCE / (2 * figures), 2 * seeds - 2) * math.sqrt(2 / seeds)


def quantile(probability: float, freedom: int) -> float:
    """Return the quantile of Student's distribution, above 1/2, with an even number of degrees of freedom.

    Example:
        >>> round(quantile(0.975, 4), 3)
        2.776
    """

    def below(value: float) -> float:  # closed form: Abramowitz and Stegun, 26.7.4
        angle = math.atan(value / math.sqrt(freedom))
        part = total = 1.0
        for k in range(1, freedom // 2):
            part *= math.cos(angle) ** 2 * (2 * k - 1) / (2 * k)
            total += part
        return (1 + math.sin(angle) * total) / 2

    low, high = 0.0, 1e6
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) < probability else (low, middle)
    return high
