"""The metrics of an update as they are handed on: what nobody reads is not computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor


class Readings(Mapping[str, Tensor]):
    """Metrics, some of which are computed only when they are read: after most batches nobody does.

    Attributes:
        given: each metric, or what computes it.

    Example:
        >>> dict(Readings({"a": torch.tensor(1.0), "b": lambda: torch.tensor(2.0)}))
        {'a': tensor(1.), 'b': tensor(2.)}
    """

    def __init__(self, given: Mapping[str, Tensor | Callable[[], Tensor]]) -> None:
        self.given = given

    def __getitem__(self, name: str) -> Tensor:
        found = self.given[name]
        return found if isinstance(found, Tensor) else found()

    def __iter__(self) -> Iterator[str]:
        return iter(self.given)

    def __len__(self) -> int:
        return len(self.given)


def weighted_sum(values: Sequence[Tensor], weights: Sequence[float] | Tensor) -> Tensor:
    """Return the sum of n scalars, each times its weight, in their own dtype."""
    joined = torch.stack(tuple(values))
    return torch.dot(joined, torch.as_tensor(weights, dtype=joined.dtype, device=joined.device))
