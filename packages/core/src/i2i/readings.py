"""The metrics of an update as they are handed on: what nobody reads is not computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from i2i.policy import to_device


class Readings(Mapping[str, Tensor]):
    """Metrics, some of which are computed only when they are read: after most batches nobody does.

    Attributes:
        given: each metric, or what computes it.

    Example:
        >>> dict(Readings({"a": torch.tensor(1.0), "b": lambda: torch.tensor(2.0)}))
        {'a': tensor(1.), 'b': tensor(2.)}
        >>> Readings({"a": torch.tensor(1.0)}) | {"c": torch.tensor(3.0)}
        {'a': tensor(1.), 'c': tensor(3.)}
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

    def __or__(self, more: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {**self, **more}


def weighted_sum(values: Sequence[Tensor], weights: Sequence[float] | Tensor) -> Tensor:
    """Return the sum of n scalars, each times its weight, in their own dtype."""
    joined = torch.stack(tuple(values))
    if not isinstance(weights, Tensor):
        weights = to_device(torch.tensor(weights, dtype=joined.dtype), joined.device)
    return torch.dot(joined, weights)
