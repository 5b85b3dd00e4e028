"""Trees of tuples, NamedTuples, lists and mappings: batches, shared values and states."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any


def tree_map(function: Callable[[Any], Any], tree: Any) -> Any:
    """Apply ``function`` to every leaf of ``tree`` and keep its shape; anything but a container is a leaf.

    Example:
        >>> tree_map(lambda x: x + 1, {"a": (1, 2), "b": [3]})
        {'a': (2, 3), 'b': [4]}
    """
    if isinstance(tree, tuple):
        values = [tree_map(function, value) for value in tree]
        return type(tree)(*values) if hasattr(tree, "_fields") else tuple(values)
    if isinstance(tree, list):
        return [tree_map(function, value) for value in tree]
    if isinstance(tree, Mapping):
        return {key: tree_map(function, value) for key, value in tree.items()}
    return function(tree)


def leaves(tree: Any) -> Iterator[Any]:
    """Yield the leaves of ``tree`` from left to right.

    Example:
        >>> list(leaves({"a": (1, 2), "b": [3]}))
        [1, 2, 3]
    """
    if isinstance(tree, tuple | list):
        for value in tree:
            yield from leaves(value)
    elif isinstance(tree, Mapping):
        for value in tree.values():
            yield from leaves(value)
    else:
        yield tree
