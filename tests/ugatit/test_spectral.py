"""Spectral norm: the estimate, the number of iterations, and that graphs may overlap."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from i2i.errors import SettingsError
from i2i.layers import sequence
from i2i.together import together
from i2i_ugatit.spectral import SpectralConv2d, SpectralLinear, SpectralNorm

Layer = SpectralConv2d | SpectralLinear


def vectors(layer: Layer) -> tuple[Tensor, Tensor]:
    return layer.norm.u.clone(), layer.norm.v.clone()


def by_hand(weight: Tensor, u: Tensor, iterations: int) -> tuple[Tensor, Tensor, Tensor]:
    matrix = weight.reshape(len(weight), -1)
    for _ in range(iterations):
        v = matrix.T @ u
        v = v / v.norm()
        u = matrix @ v
        u = u / u.norm()
    return weight / (u @ matrix @ v), u, v


@pytest.mark.parametrize("iterations", [1, 3])
@pytest.mark.parametrize(("stride", "bias"), [(1, False), (2, True)])
def test_each_pass_in_training_mode_moves_the_estimate_on(iterations: int, stride: int, bias: bool) -> None:
    torch.manual_seed(0)
    layer = SpectralConv2d(3, 4, 2, stride=stride, bias=bias, iterations=iterations).double()
    x, raw = torch.randn(1, 3, 5, 5, dtype=torch.float64), layer.weight.detach()
    u, _ = vectors(layer)
    for _ in range(2):
        wanted, u, v = by_hand(raw, u, iterations)
        torch.testing.assert_close(layer(x), F.conv2d(x, wanted, layer.bias, stride), rtol=0, atol=1e-12)
        torch.testing.assert_close(vectors(layer), (u, v), rtol=0, atol=1e-12)


def test_a_linear_layer_is_normalised_too() -> None:
    torch.manual_seed(0)
    layer = SpectralLinear(4, 3).double()
    wanted, _, _ = by_hand(layer.weight.detach(), layer.norm.u, 1)
    x = torch.randn(2, 4, dtype=torch.float64)
    torch.testing.assert_close(layer(x), x @ wanted.T, rtol=0, atol=1e-12)


def test_in_eval_mode_it_stands_still() -> None:
    layer = SpectralLinear(4, 3).eval()
    before = vectors(layer)
    layer(torch.rand(1, 4))
    torch.testing.assert_close(vectors(layer), before, rtol=0, atol=0)


def test_it_begins_at_random_unit_vectors() -> None:
    weight = torch.rand(3, 4)
    torch.manual_seed(5)
    u, v = torch.randn(3), torch.randn(4)
    torch.manual_seed(5)
    norm = SpectralNorm(weight)
    torch.testing.assert_close((norm.u, norm.v), (u / u.norm(), v / v.norm()))


def test_the_estimate_converges_to_the_largest_singular_value() -> None:
    torch.manual_seed(0)
    layer = SpectralConv2d(3, 8, 3, iterations=200)
    inverse = layer.norm(layer.weight)
    largest = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
    assert (inverse * largest).item() == pytest.approx(1, abs=1e-4)


def test_gradients_flow_through_the_estimate_but_not_through_the_vectors() -> None:
    torch.manual_seed(0)
    layer = SpectralLinear(4, 3).double().eval()
    raw, (u, v) = layer.weight, vectors(layer)
    towards = torch.randn(3, 4, dtype=torch.float64)
    (found,) = torch.autograd.grad((layer(torch.eye(4).double()).T * towards).sum(), raw)
    sigma = u @ raw.detach() @ v
    expected = towards / sigma - (towards * raw.detach()).sum() / sigma**2 * torch.outer(u, v)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_a_gradient_penalty_passes_through_it() -> None:
    torch.manual_seed(0)
    layer = SpectralConv2d(2, 3, 2).double().eval()

    def penalty(weight: Tensor) -> Tensor:
        x = torch.linspace(-1, 1, 18, dtype=torch.float64).reshape(1, 2, 3, 3).requires_grad_()
        y = torch.func.functional_call(layer, {"weight": weight}, x).square().sum()
        (slope,) = torch.autograd.grad(y, x, create_graph=True)
        return slope.square().sum()

    assert torch.autograd.gradcheck(penalty, layer.weight.detach().clone().requires_grad_())


def test_two_passes_in_one_graph_keep_what_each_of_them_used() -> None:
    """A real image and then a fake one: the second moves the vectors that the first one's graph needs."""
    torch.manual_seed(0)
    layer = SpectralLinear(4, 3).double()
    apart = copy.deepcopy(layer)
    x, y = torch.randn(2, 1, 4, dtype=torch.float64)
    (layer(x).square().sum() + layer(y).square().sum()).backward()
    apart(x).square().sum().backward()
    apart(y).square().sum().backward()
    assert layer.weight.grad is not None
    torch.testing.assert_close(layer.weight.grad, apart.weight.grad, rtol=1e-12, atol=1e-12)


def test_in_a_recomputed_group_gradients_are_the_same() -> None:
    """The second time must see the vectors as they were before the first one moved them on."""
    gradients = []
    for recompute in (False, True):
        torch.manual_seed(0)
        layers = [SpectralConv2d(2, 3, 2), nn.Tanh(), SpectralConv2d(3, 2, 2)]
        net = sequence(layers, recompute=recompute).double()
        for _ in range(2):
            net(torch.ones(1, 2, 4, 4, dtype=torch.float64)).square().sum().backward()
        gradients.append([p.grad for p in net.parameters()] + list(net.buffers()))
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


def test_half_precision_does_not_overflow_in_the_gradient_of_the_estimate() -> None:
    torch.manual_seed(0)
    layer = SpectralConv2d(3, 64, 4, stride=2)
    with torch.autocast("cpu", torch.float16):
        y = layer(torch.rand(1, 3, 64, 64))
    torch.autograd.backward(y, torch.full_like(y, 8.0))  # the sum of the products is beyond 65504
    assert layer.weight.grad is not None
    assert layer.weight.grad.isfinite().all()


def test_inputs_are_not_joined_into_one_pass() -> None:
    layer = SpectralConv2d(3, 2, 1)
    apart = copy.deepcopy(layer)
    x, y = torch.rand(2, 1, 3, 4, 4)
    for made, wanted in zip(together(layer, x, y), (apart(x), apart(y)), strict=True):
        assert torch.equal(made, wanted)


def test_half_precision_does_not_reach_the_estimate() -> None:
    layer, on = SpectralConv2d(3, 4, 3), []
    exact = copy.deepcopy(layer)
    usual = layer.norm._iterate
    layer.norm._iterate = lambda matrix: (on.append(torch.is_autocast_enabled("cpu")), usual(matrix))  # type: ignore[method-assign, assignment, misc]
    x = torch.rand(1, 3, 5, 5)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    assert on == [False]
    exact(x)
    for found, wanted in zip(vectors(layer), vectors(exact), strict=True):
        assert torch.equal(found, wanted)


def test_no_iterations_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"iterations \(=0\)"):
        SpectralLinear(2, 2, iterations=0)
