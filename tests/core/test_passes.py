from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from i2i import as_generator
from i2i.errors import CompositionError
from i2i.passes import Extent, device_of, extent, same_size, whole


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize(("before", "after"), [(0, 0), (2, 3), (9, 20)])
def test_places_are_those_of_numpys_reflection(size, before, after) -> None:
    found = Extent(size, before, before + size + after).places(torch.device("cpu"))
    assert np.array_equal(found.numpy(), np.pad(np.arange(size), (before, after), mode="reflect"))


@pytest.mark.parametrize(
    ("size", "expected"), [(1, (1, 7, 16)), (16, (16, 0, 16)), (17, (17, 3, 24)), (24, (24, 0, 24))]
)
def test_images_are_continued_on_both_sides_alike(size, expected) -> None:
    net = as_generator(nn.Identity())
    net.multiple, net.smallest = 8, 12
    assert extent(size, net) == expected
    image = torch.rand(2, 3, size, 9)
    assert torch.equal(whole(net, image), image)


def test_a_net_without_parameters_computes_where_the_image_is() -> None:
    image = torch.zeros(1, 3, 4, 4)
    assert device_of(nn.Identity(), image) == image.device
    assert device_of(nn.Conv2d(3, 3, 1, device="meta"), image) == torch.device("meta")


def test_sizes_must_be_kept() -> None:
    with pytest.raises(CompositionError, match=r"the net makes \(2, 4\) of an image of \(4, 8\)"):
        same_size(as_generator(nn.AvgPool2d(2)), torch.zeros(1, 3, 4, 8))
