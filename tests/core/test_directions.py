"""What recipes of two translators share."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

import i2i
from i2i.directions import evaluation, results, with_formats
from i2i.net import as_generator
from i2i.pixels import PixelFormat
from i2i.values import Pair


class Times(torch.nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, image: Tensor) -> Tensor:
        assert len(image)
        return image * self.factor


def nets() -> Any:
    return i2i.nets(G=as_generator(Times(2)), F=as_generator(Times(3)))


def test_each_direction_is_compared_with_the_domain_that_it_makes() -> None:
    batch = Pair(torch.rand(2, 3, 4, 4), torch.rand(1, 3, 4, 4))
    found = results(nets(), batch)
    assert torch.equal(found["a2b"][0], 2 * batch.a)
    assert torch.equal(found["b2a"][0], 3 * batch.b)
    assert (found["a2b"][1], found["b2a"][1]) == (batch.b, batch.a)


def test_a_side_without_images_is_not_translated() -> None:
    batch = Pair(torch.rand(2, 3, 4, 4), torch.rand(0, 3, 4, 4))
    assert results(nets(), batch)["b2a"][0].shape == (0, 3, 4, 4)


def test_generators_read_one_format_and_write_the_other() -> None:
    grey, deep = PixelFormat(channels=1), PixelFormat(depth=16)
    noted = with_formats(nets(), SimpleNamespace(formats=lambda: (grey, deep)))  # type: ignore[arg-type]
    assert (noted.G.reads, noted.G.writes) == (grey, deep)
    assert (noted.F.reads, noted.F.writes) == (deep, grey)


def test_images_that_come_again_count_once() -> None:
    a, b = torch.rand(2, 3, 4, 4), torch.rand(1, 3, 4, 4)
    batches = [Pair(a[:1], b), Pair(a[1:], b)]
    found = evaluation(SimpleNamespace(held_out=lambda: batches)).batches()  # type: ignore[arg-type]
    assert found is not None
    assert [(len(batch.a), len(batch.b)) for batch in found] == [(1, 1), (1, 0)]
    assert evaluation(SimpleNamespace(held_out=lambda: None)).batches() is None  # type: ignore[arg-type]
