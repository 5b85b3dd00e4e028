"""The kernels of SinGAN's norm and its slope against autograd's own second derivatives in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from i2i_singan.kernels import norm_leaky, slope
from tests.kernels.conftest import INTERPRETED, image, poisoned

pytestmark = pytest.mark.gpu
LEAK = 0.2


def drawn(shape: tuple[int, int, int, int], dtype: torch.dtype, device: torch.device) -> list[Tensor]:
    """Draw a gradient, x, weight and bias; one weight is 0."""
    weight, bias = torch.randn(2, shape[1]).unbind()
    weight[0] = 0
    inputs = [image(*shape, dtype=dtype, mean=0), image(*shape, dtype=dtype), weight, bias]
    return [each.to(device).requires_grad_() for each in inputs]


def by_autograd(gradient: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    after = F.leaky_relu(F.instance_norm(x, weight=weight, bias=bias), LEAK)
    return torch.autograd.grad(after, x, gradient, create_graph=True)[0]


@pytest.mark.parametrize("shape", [(1, 4, 6, 5), (2, 70, 3, 4), (3, 1, 5, 5)])
def test_the_slope_and_its_gradients(shape: tuple[int, int, int, int], device: torch.device, close: Any) -> None:
    inputs = drawn(shape, torch.float32, device)
    v = torch.randn(shape).to(device)
    with poisoned():
        known = norm_leaky(*inputs[1:], leak=LEAK).known
        found = slope(*inputs, known, leak=LEAK)
        gradients = torch.autograd.grad(found, inputs[:3], v)
    wide = [each.detach().cpu().double().requires_grad_() for each in inputs]
    wanted = by_autograd(*wide)
    close(found, wanted, 1e-5)
    of_gradient, of_x, of_weight = torch.autograd.grad(wanted, wide[:3], v.cpu().double())
    of_weight[0] = 0  # where the weight is 0 the kernels do not find it: they divide by it
    for each, other in zip(gradients, (of_gradient, of_x, of_weight), strict=True):
        close(each + 1, other + 1, 1e-5)  # of a single channel of weight 0, all are 0


@pytest.mark.usefixtures("small_parts")
def test_several_tiles_in_several_parts(device: torch.device, close: Any) -> None:
    test_the_slope_and_its_gradients((1, 4, 5, 7), device, close)


def test_of_the_last_images_only_in_bf16(device: torch.device, close: Any) -> None:
    inputs = drawn((3, 8, 4, 5), torch.bfloat16, device)
    gradient, x, weight, bias = inputs
    made = norm_leaky(x, weight, bias, leak=LEAK)
    assert made.known is not None
    found = slope(gradient[1:], x[1:], weight, bias, made.known[:, 1:], leak=LEAK)
    wide = [each.detach().cpu().double().requires_grad_() for each in inputs]
    wanted = by_autograd(*wide)[1:]
    close(found, wanted, 1e-4 + 2 ** -(7 if INTERPRETED else 8))
    towards = torch.autograd.grad(found.sum() + found.square().sum(), [gradient, x, weight])
    wanted_towards = torch.autograd.grad(wanted.sum() + wanted.square().sum(), wide[:3])
    wanted_towards[2][0] = 0
    for each, other in zip(towards, wanted_towards, strict=True):
        close(each, other, 2**-5)  # through rounded slopes


def test_through_the_norm_as_well(device: torch.device, close: Any) -> None:
    """A penalty on the slope and a loss on the activations meet in x and the weights."""
    _, x, weight, bias = drawn((2, 5, 4, 3), torch.float32, device)
    weight = (weight.detach() + 2).requires_grad_()

    def loss(after: Tensor, slope: Tensor) -> Tensor:
        return after.square().sum() + (slope.square().sum() - 1).square()

    made = norm_leaky(x, weight, bias, leak=LEAK)
    found = torch.autograd.grad(
        loss(made.image, slope(torch.ones_like(x) + x.detach(), x, weight, bias, made.known, leak=LEAK)),
        [x, weight, bias],
    )
    given = [each.detach().cpu().double().requires_grad_() for each in (x, weight, bias)]
    after = F.leaky_relu(F.instance_norm(given[0], weight=given[1], bias=given[2]), LEAK)
    wanted = loss(after, by_autograd(1 + given[0].detach(), *given))
    for each, other in zip(found, torch.autograd.grad(wanted, given), strict=True):
        close(each, other, 3e-5)


def test_a_third_derivative_is_refused(device: torch.device) -> None:
    inputs = drawn((1, 4, 3, 4), torch.float32, device)
    made = slope(*inputs, norm_leaky(*inputs[1:], leak=LEAK).known, leak=LEAK)
    (first,) = torch.autograd.grad(made.square().sum(), inputs[1], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()
