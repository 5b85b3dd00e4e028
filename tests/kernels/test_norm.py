"""The kernels of the instance norm against its formula in float64, and against torch's own operations."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from i2i.kernels import Epilogue, InstanceNorm, fused, instance_norm, plain
from tests.kernels.conftest import INTERPRETED, image, poisoned

pytestmark = pytest.mark.gpu
EPS = 1e-5
FLOAT, BF16, FP16 = torch.float32, torch.bfloat16, torch.float16
#: of results; the interpreter cuts bf16 off where a device rounds
TOLERANCE = {FLOAT: 1e-5, BF16: 1e-5 + 2 ** -(7 if INTERPRETED else 8), FP16: 1e-5 + 2**-11}


class Case(NamedTuple):
    """What is normalised, and how."""

    shape: tuple[int, int, int, int]
    slope: float
    pad: int
    dtype: torch.dtype = FLOAT
    weights: bool = False
    residual: bool = False


CASES = {
    "plain": Case((2, 8, 9, 7), 1, 0),
    "relu": Case((1, 5, 8, 8), 0, 0),
    "relu, pad 1": Case((2, 5, 9, 7), 0, 1),
    "leaky, pad 3, weights": Case((1, 12, 5, 4), 0.2, 3, weights=True),
    "residual": Case((2, 6, 4, 5), 1, 0, residual=True),
    "residual, pad 1": Case((1, 3, 6, 5), 1, 1, residual=True),
    "residual, relu, pad 3, weights": Case((1, 8, 4, 9), 0, 3, weights=True, residual=True),
    "more channels than a tile": Case((1, 70, 5, 3), 0.2, 1, weights=True),
    "one channel": Case((2, 1, 5, 3), 0, 1, weights=True),
    "smallest": Case((2, 4, 2, 2), 0, 1, weights=True, residual=True),
    "one row": Case((1, 3, 1, 6), 0.2, 0),
    "bf16": Case((2, 8, 6, 5), 0.2, 1, BF16, weights=True, residual=True),
    "bf16, relu": Case((1, 16, 6, 6), 0, 0, BF16),
    "fp16": Case((2, 8, 6, 5), 0, 1, FP16, weights=True),
    "fp16, residual": Case((1, 8, 6, 5), 1, 3, FP16, residual=True),
}


def formula(inputs: list[Tensor], case: Case) -> Tensor:
    """Written out, with the border by index."""
    x, *rest = inputs
    mean = x.sum((2, 3), keepdim=True) / x[0, 0].numel()
    variance = ((x - mean) ** 2).sum((2, 3), keepdim=True) / x[0, 0].numel()
    z = (x - mean) / (variance + EPS) ** 0.5
    if case.residual:
        z = z + rest.pop()
    if case.weights:
        weight, bias = rest
        scaled = (x - mean) / (variance + EPS) ** 0.5 * weight[:, None, None] + bias[:, None, None]
        z = z - (x - mean) / (variance + EPS) ** 0.5 + scaled
    z = torch.where(z > 0, z, case.slope * z)
    rows, columns = (mirrored(size, case.pad) for size in x.shape[2:])
    return z[:, :, rows][:, :, :, columns]


def mirrored(size: int, pad: int) -> list[int]:
    """Where the pixels of a side that is continued by reflection come from."""
    return [*range(pad, 0, -1), *range(size), *(size - 2 - k for k in range(pad))]


def inputs_of(case: Case, device: torch.device) -> list[Tensor]:
    """Draw x, weight and bias, residual."""
    made = [image(*case.shape, dtype=case.dtype)]
    if case.weights:
        made += [torch.randn(case.shape[1]), torch.randn(case.shape[1])]
    if case.residual:
        made.append(image(*case.shape, dtype=case.dtype, mean=0))
    return [each.to(device).requires_grad_() for each in made]


def by_kernel(inputs: list[Tensor], case: Case) -> Tensor:
    x, *rest = inputs
    residual = rest.pop() if case.residual else None
    return instance_norm(x, *rest, residual=residual, negative_slope=case.slope, pad=case.pad)


def by_torch(inputs: list[Tensor], case: Case) -> Tensor:
    x, *rest = inputs
    residual = rest.pop() if case.residual else None
    epilogue = Epilogue(residual, case.slope, case.pad)
    return plain(InstanceNorm(EPS), x, *(rest or (None, None)), epilogue=epilogue)


def exact(tensors: list[Tensor]) -> list[Tensor]:
    return [each.detach().cpu().double().requires_grad_() for each in tensors]


def compare(case: Case, device: torch.device, close: Any) -> None:
    inputs = inputs_of(case, device)
    with poisoned():
        found = by_kernel(inputs, case)
        towards = torch.randn(found.shape).to(found)
        gradients = torch.autograd.grad(found, inputs, towards)
    assert found.dtype == case.dtype
    assert found.is_contiguous(memory_format=torch.channels_last)
    wide = exact(inputs)
    wanted = formula(wide, case)
    wanted_gradients = torch.autograd.grad(wanted, wide, towards.cpu().double())
    close(found, wanted, TOLERANCE[case.dtype])
    for each, gradient, of in zip(gradients, wanted_gradients, inputs, strict=True):
        assert each.dtype == of.dtype
        close(each, gradient, TOLERANCE[each.dtype])
    if case.dtype == FLOAT:
        other = by_torch(inputs, case)
        close(found, other, 1e-5)
        for each, gradient in zip(gradients, torch.autograd.grad(other, inputs, towards), strict=True):
            close(each, gradient, 1e-5)


@pytest.mark.parametrize("name", CASES)
def test_images_and_gradients(name: str, device: torch.device, close: Any) -> None:
    compare(CASES[name], device, close)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize(
    "case",
    [
        Case((1, 7, 4, 7), 0, 1, weights=True),
        Case((2, 5, 6, 8), 0.2, 0, BF16),
        Case((1, 4, 13, 5), 1, 2, residual=True),  # some tiles have no rows that are copied to the border
        Case((1, 4, 17, 9), 0, 3),
    ],
)
def test_several_tiles_in_several_parts(case: Case, device: torch.device, close: Any) -> None:
    compare(case, device, close)


@pytest.mark.usefixtures("small_parts")
def test_the_mean_may_be_far_from_zero(device: torch.device, close: Any) -> None:
    x = (1000 + torch.randn(1, 3, 8, 9)).contiguous(memory_format=torch.channels_last).to(device)
    close(instance_norm(x), F.instance_norm(x.cpu().double()), 1e-4)  # float32 holds six digits of x - mean


@pytest.mark.parametrize("name", ["relu, pad 1", "leaky, pad 3, weights", "residual, pad 1"])
def test_second_derivatives(name: str, device: torch.device, close: Any) -> None:
    case = CASES[name]
    inputs = inputs_of(case, device)
    towards = torch.randn(by_torch(inputs, case).shape).to(device).requires_grad_()
    drawn = [torch.randn(each.shape).to(device) for each in inputs]

    def twice(function: Any, given: list[Tensor], to: Tensor) -> list[Tensor]:
        first = torch.autograd.grad(function(given, case), given, to, create_graph=True)
        penalty = sum((g * v.to(g)).sum() for g, v in zip(first, drawn, strict=True))
        return [*first, *torch.autograd.grad(penalty, [*given, to], allow_unused=True, materialize_grads=True)]

    wanted = twice(formula, exact(inputs), *exact([towards]))
    for function in (by_kernel, by_torch):
        for each, other in zip(twice(function, inputs, towards), wanted, strict=True):
            close(each + 1, other + 1, 2e-5)  # some are 0


def test_an_image_may_be_its_own_residual(device: torch.device, close: Any) -> None:
    x = image(1, 3, 5, 4, mean=0).to(device).requires_grad_()
    y = instance_norm(x, residual=x, negative_slope=0.2)
    towards = torch.randn_like(y)
    wide = x.detach().cpu().double().requires_grad_()
    expected = F.leaky_relu(F.instance_norm(wide) + wide, 0.2)
    (wanted,) = torch.autograd.grad(expected, wide, towards.cpu().double())
    for create_graph in (False, True):
        (found,) = torch.autograd.grad(y, x, towards, create_graph=create_graph, retain_graph=True)
        close(found, wanted, 1e-5)


def test_layouts_of_residual_and_gradient(device: torch.device, close: Any) -> None:
    """A cut-out, a residual that is channels-first, and a gradient that is one number for all."""
    x, padded = image(2, 3, 5, 4).to(device), image(2, 3, 7, 6).to(device).requires_grad_()
    for residual in (padded[:, :, 1:-1, 1:-1], padded[:, :, 1:-1, 1:-1].contiguous()):
        y = instance_norm(x, residual=residual, negative_slope=0)
        wanted = F.relu(F.instance_norm(x.cpu().double()) + residual.detach().cpu().double())
        close(y, wanted, 1e-5)
        (found,) = torch.autograd.grad(y.sum(), padded)
        close(found, F.pad((wanted > 0).double(), (1, 1, 1, 1)), 0)


def test_only_what_is_wanted(device: torch.device) -> None:
    x, weight = image(1, 4, 5, 4).to(device), torch.ones(4, device=device, requires_grad=True)
    y = instance_norm(x, weight, negative_slope=0, pad=1)
    y.square().sum().backward()
    assert x.grad is None
    assert weight.grad is not None
    assert not instance_norm(x, weight.detach()).requires_grad


def test_little_is_kept(device: torch.device) -> None:
    """Of images only x, and the residual where the activation needs it."""
    x, residual = image(1, 4, 5, 4).to(device).requires_grad_(), image(1, 4, 5, 4).to(device).requires_grad_()
    for slope, images in ((1.0, 1), (0.0, 2)):
        kept: list[Tensor] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, kept=kept: kept.append(t) or t, lambda t: t):  # type: ignore[func-returns-value,misc]
            instance_norm(x, residual=residual, negative_slope=slope, pad=1)
        assert sorted(t.numel() for t in kept) == [16, *[x.numel()] * images]


def test_equal_inputs_give_equal_bits(device: torch.device) -> None:
    shape = (1, 4, 5, 3) if INTERPRETED else (2, 64, 130, 127)
    x = image(*shape).to(device).requires_grad_()
    once, again = (
        (y := instance_norm(x, negative_slope=0, pad=1), torch.autograd.grad(y.square().sum(), x)[0]) for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))


def test_the_table(device: torch.device, close: Any) -> None:
    x = image(2, 3, 4, 5).to(device)
    weight, bias = torch.randn(2, 3, device=device).unbind()
    known = fused(InstanceNorm(EPS), x, weight, bias).known
    assert known is not None
    assert not known.requires_grad
    variance, mean = torch.var_mean(x.cpu().double(), (2, 3), correction=0)
    inverse = (variance + EPS).rsqrt()
    scale, shift = inverse * weight.cpu().double(), bias.cpu().double().expand(2, -1)
    close(known, torch.stack((mean, scale, shift, inverse)), 1e-6)


@pytest.mark.parametrize(
    "x",
    [
        pytest.param(lambda: torch.rand(1, 3, 4, 5), id="channels first"),
        pytest.param(lambda: image(1, 3, 4, 5).double(), id="float64"),
        pytest.param(lambda: image(1, 3, 4, 5)[:, :, ::2], id="rows left out"),
        pytest.param(lambda: image(1, 3, 4, 5)[:0], id="no image"),
    ],
)
def test_what_the_kernels_do_not_take(x: Any, device: torch.device) -> None:
    given = x().to(device)
    assert fused(InstanceNorm(), given, None, None).known is None


def test_a_residual_of_another_type_is_left_to_torch(device: torch.device) -> None:
    x = image(1, 3, 4, 5, dtype=BF16).to(device)
    for residual in (x.float(), x[:, :1]):
        made = fused(InstanceNorm(), x, None, None, epilogue=Epilogue(residual))
        assert made.known is None
        assert made.image.dtype == torch.promote_types(BF16, residual.dtype)
