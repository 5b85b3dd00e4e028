"""The hint at the end of a message about an unknown name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known name was probably meant, or else list them.

    Example:
        >>> nearest("stepz", ["steps", "seed"])
        "did you mean 'steps'?"
        >>> nearest("zzz", ["steps", "seed"])
        'known: seed, steps'
    """
    names = sorted(set(known))
    found = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean {found[0]!r}?" if found else f"known: {', '.join(names) or 'none'}"
