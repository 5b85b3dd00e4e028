from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from i2i.layers import ResizedConv2d


def enlarged_and_convolved(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    large = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    return F.conv2d(F.pad(large, (1, 1, 1, 1), mode="reflect"), weight, bias)


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (2, 2), (5, 3), (8, 7)])
def test_is_nearest_neighbours_and_a_convolution_padded_by_reflection(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layer = ResizedConv2d(3, 2).double()
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    weight, bias = (value.detach().clone().requires_grad_() for value in (layer.weight, layer.bias))  # type: ignore[union-attr]
    ours, expected = layer(x), enlarged_and_convolved(x, weight, bias)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)
    towards = torch.randn_like(ours)
    found = torch.autograd.grad(ours, [x, *layer.parameters()], towards)
    wanted = torch.autograd.grad(expected, [x, weight, bias], towards)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


def test_takes_16_products_for_each_pixel_not_36() -> None:
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        ResizedConv2d(6, 4)(torch.zeros(1, 6, 10, 12))
    assert counter.get_total_flops() == 2 * 16 * 6 * 4 * 12 * 14  # one pixel more on each side


def test_keys_and_shapes_are_those_of_a_convolution() -> None:
    assert {key: tuple(value.shape) for key, value in ResizedConv2d(6, 4).state_dict().items()} == {
        "weight": (4, 6, 3, 3),
        "bias": (4,),
    }
