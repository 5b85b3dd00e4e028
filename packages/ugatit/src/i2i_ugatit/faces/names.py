"""Names of faces that can be traced to their pictures, and which of them are held out."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path


def unique_names(paths: Sequence[Path]) -> list[str]:
    """Return a name for each picture: its own without suffix; where that is taken, with its folder in front.

    Names that differ in upper and lower case only count as equal: some file systems do not tell them apart.

    Example:
        >>> unique_names([Path("a/me.jpg"), Path("b/me.jpg"), Path("b/Me.png")])
        ['me', 'b-me', 'b-Me-2']
    """
    taken: set[str] = set()
    names: list[str] = []
    for path in paths:
        name = next(name for name in _choices(path) if name.casefold() not in taken)
        taken.add(name.casefold())
        names.append(name)
    return names


def _choices(path: Path) -> Iterator[str]:
    whole = f"{path.parent.name}-{path.stem}".lstrip("-")  # a file at the top has no folder
    yield path.stem
    yield whole
    for number in itertools.count(2):
        yield f"{whole}-{number}"


def held_out(names: Collection[str], share: float, seed: int) -> set[str]:
    """Choose the names that are for testing; the order of the names does not matter.

    Args:
        names: of all faces, each once.
        share: of them, 0 to 1. Above 0 it is at least one of two or more; one is always left for training.
        seed: another one chooses others.

    Example:
        >>> sorted(held_out(["a", "b", "c", "d"], 0.5, seed=0)) == sorted(held_out(["d", "c", "b", "a"], 0.5, seed=0))
        True
    """
    count = min(max(round(len(names) * share), int(share > 0)), len(names) - 1)

    def drawn(name: str) -> bytes:
        # Not random.sample: a picture more or less would then change the place of all.
        return hashlib.sha256(f"{seed}/{name}".encode()).digest()

    return set(sorted(names, key=drawn)[: max(count, 0)])
