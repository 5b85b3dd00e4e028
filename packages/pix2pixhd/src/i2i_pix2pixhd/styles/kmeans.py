"""K-means on the device of the points, with no random state but its own seed."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from i2i.errors import DataError
from i2i.layers import at_least

_MOST = 300  # rounds; sklearn stops after as many


class Clusters(NamedTuple):
    """What `kmeans` finds, the largest cluster first.

    Attributes:
        centres: ``(m, d)`` of the type and on the device of the points.
        sizes: ``(m,)`` int64: how many points each has; none has 0.
        inertia: sum of the squared distances of all points to their centres.
    """

    centres: Tensor
    sizes: Tensor
    inertia: float


def kmeans(points: Tensor, count: int, *, seed: int = 0, restarts: int = 10) -> Clusters:
    """Find ``count`` centres to which the points are near.

    Each restart begins with greedy k-means++ and goes on (Lloyd) until no centre moves; the best one counts. A centre
    that lost its points begins anew at the point that is farthest from its own.

    Args:
        points: ``(n, d)`` of numbers that are finite.
        count: of centres; points that take fewer distinct values give as many as those.
        seed: of the starts; it gives the same centres again on the same kind of device.
        restarts: how often it is begun.

    Raises:
        DataError: there is no point, or one that is not finite.
        SettingsError: ``count``, ``restarts`` or ``seed`` is no whole number, or too small.

    Example:
        >>> found = kmeans(torch.tensor([[0.0], [2.0], [9.0], [0.0]]), 2)
        >>> found.sizes.tolist(), found.centres.tolist(), round(found.inertia, 3)
        ([3, 1], [[0.6666666865348816], [9.0]], 2.667)

    References:
        Arthur and Vassilvitskii, k-means++: The Advantages of Careful Seeding (SODA 2007).
    """
    for name, value, least in (("count", count, 1), ("restarts", restarts, 1), ("seed", seed, 0)):
        at_least(name, value, least)
    if points.ndim != 2 or not points.numel() or not bool(points.isfinite().all()):
        raise DataError(f"points of shape {tuple(points.shape)}: k-means needs (n, d) of finite numbers, n at least 1")
    wide = points.to(torch.float32 if points.device.type == "mps" else torch.float64)
    # Equal points are one with a weight: so there are never fewer distinct points than centres below.
    rows, weights = wide.unique(dim=0, return_counts=True)  # type: ignore[no-untyped-call]
    if len(rows) <= count:
        return _sorted(rows, weights, 0.0, points)
    starts = _starts(rows, weights.to(rows), _draws(count, restarts, seed).to(rows))
    ends = [_settled(rows, weights.to(rows), centres) for centres in starts]
    centres, sizes, inertia = ends[int(torch.stack([each[2] for each in ends]).argmin())]
    return _sorted(centres[sizes > 0], sizes[sizes > 0].long(), float(inertia), points)


def _draws(count: int, restarts: int, seed: int) -> Tensor:
    """Uniform numbers ``(count, restarts, trials)``; drawn on the host, so that they are the same for every device."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, restarts, 2 + int(math.log(count)), generator=generator, dtype=torch.float64)


def _starts(rows: Tensor, weights: Tensor, draws: Tensor) -> Tensor:
    """Choose centres ``(restarts, count, d)`` among the rows, those far from the centres before more often."""
    closest = torch.full((draws.shape[1], len(rows)), math.inf, dtype=rows.dtype, device=rows.device)
    chosen: list[Tensor] = []
    for step in draws:
        chance = (closest * weights if chosen else weights.expand_as(closest)).cumsum(1)
        places = torch.searchsorted(chance, step * chance[:, -1:], right=True).clamp(max=len(rows) - 1)
        # Of several candidates the one is taken that leaves the rows nearest to their centres.
        nearer = torch.minimum(closest[:, None], _squares(rows[places], rows))
        best = (nearer * weights).sum(-1).argmin(1)
        closest = nearer.take_along_dim(best[:, None, None], 1)[:, 0]
        chosen.append(rows[places.take_along_dim(best[:, None], 1)[:, 0]])
    return torch.stack(chosen, 1)


def _settled(rows: Tensor, weights: Tensor, centres: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Move centres ``(count, d)`` until they stay; return them, the weight of each, and the inertia."""
    before: Tensor | None = None
    weighted = torch.cat((rows * weights[:, None], weights[:, None]), 1)
    places = torch.arange(len(centres), device=rows.device)[:, None]
    for _ in range(_MOST):
        distances, nearest = _squares(rows, centres).min(1)
        if before is not None and nearest.equal(before):
            break
        # A product with the one-hot rather than index_add, whose sums have no fixed order on CUDA.
        sums = (nearest == places).to(rows) @ weighted
        centres, before = sums[:, :-1] / sums[:, -1:], nearest
        empty = sums[:, -1] == 0
        if bool(empty.any()):
            centres[empty] = rows[distances.topk(int(empty.sum())).indices]
    distances, nearest = _squares(rows, centres).min(1)
    return centres, (nearest == places).to(rows) @ weights, (distances * weights).sum()


def _squares(one: Tensor, other: Tensor) -> Tensor:
    # Not by products of matrices, which lose small differences.
    return torch.cdist(one, other, compute_mode="donot_use_mm_for_euclid_dist").square()


def _sorted(centres: Tensor, sizes: Tensor, inertia: float, like: Tensor) -> Clusters:
    order = sizes.argsort(descending=True, stable=True)
    return Clusters(centres[order].to(like), sizes[order], inertia)
