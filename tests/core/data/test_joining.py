from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from i2i.data import joined, paired, unpaired
from i2i.data.joining import endless
from i2i.engine import fit
from i2i.errors import CompositionError, DataError
from i2i.net import nets
from i2i.step import player
from i2i.values import Pair, Single

MakeFolder = Callable[..., Path]


class Numbers:
    """Batches 0 to ``count - 1``, again and again."""

    def __init__(self, count: int) -> None:
        self.count, self.position = count, 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Single]:
        while True:
            self.position += 1
            yield Single(torch.full((1, 1, 1, 1), float((self.position - 1) % self.count)))
            if self.position % self.count == 0:
                return

    def state_dict(self) -> dict[str, Any]:
        return {"position": self.position}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.position = state["position"]


class Both(NamedTuple):
    many: Single
    few: Single


def seen(batches: list[Both]) -> list[tuple[int, int]]:
    return [(int(batch.many.image), int(batch.few.image)) for batch in batches]


def test_each_source_keeps_its_own_epochs() -> None:
    data = joined(Both, Numbers(5), Numbers(2))
    assert len(data) == 5
    assert seen(list(data)) == [(0, 0), (1, 1), (2, 0), (3, 1), (4, 0)]
    assert seen(list(data)) == [(0, 1), (1, 0), (2, 1), (3, 0), (4, 1)]


def test_a_longer_second_source_goes_on_where_it_was() -> None:
    data = joined(Both, Numbers(2), Numbers(5))
    assert seen([*data, *data, *data]) == [(0, 0), (1, 1), (0, 2), (1, 3), (0, 4), (1, 0)]


def test_the_position_is_that_of_each_source() -> None:
    data, again = joined(Both, Numbers(3), Numbers(2)), joined(Both, Numbers(3), Numbers(2))
    stream = iter(endless(data))
    for _ in range(4):
        next(stream)
    again.load_state_dict(data.state_dict())
    assert seen([next(stream) for _ in range(2)]) == seen(list(again)) == [(1, 0), (2, 1)]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_resumed_run_is_the_undisturbed_one(make_folder: MakeFolder, tmp_path: Path, workers: int) -> None:
    a, b = make_folder("a", *[(9, 9)] * 3), make_folder("b", *[(9, 9)] * 2)
    pairs = make_folder("pairs", *[(18, 9)] * 2)
    before: list[Batch] = []

    class Batch(NamedTuple):
        many: Pair
        few: Pair

    def loss(n: Any, x: Batch) -> dict[str, torch.Tensor]:
        before.append(x)
        return {"size": n.G(x.many.a).mean() + n.G(x.few.b).mean()}

    def train(steps: int, out: str, *, resume: bool = False) -> list[Batch]:
        before.clear()
        sizes: dict[str, Any] = {"load_size": 9, "crop_size": 8, "workers": workers}
        data = joined(Batch, unpaired(a, b, **sizes), paired(pairs, batch_size=2, **sizes))
        step = player(lambda n: n.G, loss, torch.optim.SGD, weights={"size": 1}, lr=0.1)
        fit(step, nets(G=nn.Conv2d(3, 1, 1)), data, steps=steps, out=tmp_path / out, resume=resume, device="cpu")
        return list(before)

    whole = train(7, "whole")
    parts = train(4, "parts") + train(7, "parts", resume=True)
    assert [len(batch.few.a) for batch in whole] == [2] * 7
    for one, other in zip(whole, parts, strict=True):
        assert all(torch.equal(x, y) for x, y in zip((*one.many, *one.few), (*other.many, *other.few), strict=True))
    assert not torch.equal(whole[0].few.a, whole[1].few.a)


def test_mistakes_are_told_at_once() -> None:
    with pytest.raises(CompositionError, match=r"two sources or more, not 1"):
        joined(Both, Numbers(2))
    with pytest.raises(CompositionError, match=r"source 2 is a list without state_dict\(\)"):
        joined(Both, Numbers(2), [1, 2])  # type: ignore[arg-type]
    with pytest.raises(CompositionError, match=r"3 sources for the fields many, few"):
        joined(Both, Numbers(2), Numbers(2), Numbers(2))


def test_endless_begins_anew_and_gives_up_on_nothing() -> None:
    stream = endless([1, 2])
    assert [next(stream) for _ in range(5)] == [1, 2, 1, 2, 1]
    with pytest.raises(DataError, match=r"the data has no batches"):
        next(endless([]))
    with pytest.raises(DataError, match=r"cannot begin anew"):
        list(endless(iter([1])))
