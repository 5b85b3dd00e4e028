"""The kernels of the layer-instance norm against its formula in float64, and against torch's own operations."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from i2i.kernels import Epilogue, plain
from i2i_ugatit.kernels import LayerInstanceNorm, layer_instance_norm
from tests.kernels.conftest import INTERPRETED, image, poisoned
from tests.ugatit.test_adalin import formula

pytestmark = pytest.mark.gpu
EPILOGUES = {"alone": (1.0, 0), "relu": (0.0, 0), "relu, pad 1": (0.0, 1)}


def drawn(shape: tuple[int, int, int, int], samples: int, dtype: torch.dtype, device: torch.device) -> list[Tensor]:
    """Draw x, whose channels have means of their own, rho, gamma and beta."""
    x = image(*shape) + 2 * torch.randn(1, shape[1], 1, 1)
    parameters = [torch.rand(1, shape[1], 1, 1), *torch.randn(2, samples, shape[1], 1, 1).unbind()]
    return [each.to(device).requires_grad_() for each in (x.to(dtype), *parameters)]


def exact(tensors: list[Tensor]) -> list[Tensor]:
    return [each.detach().cpu().double().requires_grad_() for each in tensors]


def wanted_of(inputs: list[Tensor], slope: float, pad: int) -> Tensor:
    z = formula(*inputs)
    return torch.nn.functional.pad(torch.where(z > 0, z, slope * z), (pad,) * 4, mode="reflect")


@pytest.mark.parametrize("name", EPILOGUES)
@pytest.mark.parametrize(("shape", "samples"), [((1, 5, 9, 7), 1), ((2, 8, 4, 5), 2), ((2, 33, 3, 3), 1)])
def test_images_and_gradients(
    name: str, shape: tuple[int, int, int, int], samples: int, device: torch.device, close: Any
) -> None:
    slope, pad = EPILOGUES[name]
    inputs = drawn(shape, samples, torch.float32, device)
    with poisoned():
        found = layer_instance_norm(*inputs, negative_slope=slope, pad=pad)
        towards = torch.randn(found.shape).to(device)
        gradients = torch.autograd.grad(found, inputs, towards)
    wide = exact(inputs)
    wanted = wanted_of(wide, slope, pad)
    close(found, wanted, 1e-5)
    for each, other in zip(gradients, torch.autograd.grad(wanted, wide, towards.cpu().double()), strict=True):
        close(each, other, 1e-5)
    other = plain(LayerInstanceNorm(), *inputs, epilogue=Epilogue(None, slope, pad))
    close(found, other, 2e-5)  # which computes x * scale + shift, with the mean in the shift
    for each, gradient in zip(gradients, torch.autograd.grad(other, inputs, towards), strict=True):
        close(each, gradient, 1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype: torch.dtype, device: torch.device, close: Any) -> None:
    """Also of gamma and beta, which a linear layer makes."""
    x, rho, *given = drawn((2, 8, 4, 5), 2, dtype, device)
    inputs = [x, rho, *(each.detach().to(dtype).requires_grad_() for each in given)]
    residual = image(2, 8, 4, 5, dtype=dtype, mean=0).to(device)
    with poisoned():
        found = layer_instance_norm(*inputs, residual=residual)
        gradients = torch.autograd.grad(found, inputs, torch.ones_like(found))
    assert [each.dtype for each in (found, *gradients)] == [dtype, dtype, torch.float32, dtype, dtype]
    wide = exact(inputs)
    wanted = formula(*wide) + residual.cpu().double()
    tolerance = 1e-4 + (2 ** -(7 if INTERPRETED else 8) if dtype == torch.bfloat16 else 2**-11)
    close(found, wanted, tolerance)
    # Along x nothing changes the sum of what is normalised: those gradients are rounding only.
    expected = torch.autograd.grad(wanted.sum(), wide)
    for each, other in zip(gradients[1:], expected[1:], strict=True):
        close(each.double().cpu() + 1, other + 1, 2**-7)


def test_second_derivatives(device: torch.device, close: Any) -> None:
    inputs = drawn((1, 4, 3, 5), 1, torch.float32, device)
    v = [torch.randn(each.shape).to(device) for each in inputs]

    def twice(y: Tensor, given: list[Tensor]) -> tuple[Tensor, ...]:
        first = torch.autograd.grad(y.square().sum(), given, create_graph=True)
        return torch.autograd.grad(sum((g * d.to(g)).sum() for g, d in zip(first, v, strict=True)), given)

    wide = exact(inputs)
    wanted = twice(wanted_of(wide, 0.0, 1), wide)
    for each, other in zip(twice(layer_instance_norm(*inputs, negative_slope=0, pad=1), inputs), wanted, strict=True):
        close(each, other, 5e-5)
