from __future__ import annotations

from types import MappingProxyType
from typing import Any, NamedTuple

from i2i.tree import leaves, tree_map


class Pair(NamedTuple):
    a: Any
    b: Any


def test_containers_keep_their_shape_and_all_else_is_a_leaf() -> None:
    tree = {"x": Pair(1, [2, ()]), 3: (Pair(4, None), MappingProxyType({"y": 5})), "s": "text"}
    met: list[Any] = []

    def note(leaf: Any) -> Any:
        met.append(leaf)
        return [leaf]

    mapped = tree_map(note, tree)
    assert mapped == {"x": Pair([1], [[2], ()]), 3: (Pair([4], [None]), {"y": [5]}), "s": ["text"]}
    assert isinstance(mapped["x"], Pair)
    assert isinstance(mapped["x"].b, list)
    assert type(mapped[3]) is tuple
    assert met == list(leaves(tree)) == [1, 2, 4, None, 5, "text"]


def test_a_leaf_is_a_tree() -> None:
    assert tree_map(lambda x: x + 1, 1) == 2
    assert list(leaves("ab")) == ["ab"]
    assert list(leaves(())) == []
