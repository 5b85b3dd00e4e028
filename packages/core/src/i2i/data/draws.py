"""Random numbers that depend on (seed, epoch, position) alone.

No generator runs along, so workers, prefetching and a resume in the middle of an epoch cannot change what is drawn.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# First words of the entropy: they keep the two uses apart.
_ITEM, _ORDER = 1, 2


def uniforms(count: int, seed: int, epoch: int, position: int) -> list[float]:
    """Return ``count`` numbers in ``[0, 1)`` for one item.

    Example:
        >>> uniforms(2, 0, 0, 5) == uniforms(3, 0, 0, 5)[:2]
        True
    """
    words = np.random.SeedSequence((_ITEM, seed, epoch, position)).generate_state(count, np.uint64)
    numbers: list[float] = ((words >> np.uint64(11)) * 2.0**-53).tolist()
    return numbers


def shuffled(count: int, seed: int, epoch: int) -> NDArray[np.integer[Any]]:
    """Return a permutation of ``range(count)`` for one epoch.

    Sorted random keys, because numpy promises the raw stream of a bit generator for ever, but not its shuffles.
    """
    keys = np.random.Philox(np.random.SeedSequence((_ORDER, seed, epoch))).random_raw(count)
    return np.argsort(keys, kind="stable")
