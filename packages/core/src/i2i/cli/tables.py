"""Aligned columns of text."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows under a head, in columns; the last column is as wide as it likes.

    Example:
        >>> print(aligned(["name", "kind"], [["lsgan", "criterion"]]))
        name   kind
        lsgan  criterion
    """
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
