"""Layer-instance norms against their formula, written out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2i.errors import CompositionError, DataError, SettingsError
from i2i_ugatit import adalin
from i2i_ugatit.adalin import adailn, iln
from i2i_ugatit.kernels import layer_instance_affine


def formula(x: Tensor, rho: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """Eq. 1 of the paper with the authors' unbiased variances, moments by hand."""
    _, c, h, w = x.shape
    mean_i = x.sum((2, 3), keepdim=True) / (h * w)
    var_i = ((x - mean_i) ** 2).sum((2, 3), keepdim=True) / (h * w - 1)
    mean_l = x.sum((1, 2, 3), keepdim=True) / (c * h * w)
    var_l = ((x - mean_l) ** 2).sum((1, 2, 3), keepdim=True) / (c * h * w - 1)
    instance, layer = (x - mean_i) / (var_i + 1e-5).sqrt(), (x - mean_l) / (var_l + 1e-5).sqrt()
    return gamma * (rho * instance + (1 - rho) * layer) + beta


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 1, 2, 1), (3, 6, 1, 7)])
def test_the_adaptive_norm_and_its_gradients(shape: tuple[int, int, int, int]) -> None:
    b, c = shape[:2]
    norm = adailn(c).double()
    norm.rho.data = torch.linspace(0, 1, c, dtype=torch.float64)[None, :, None, None]
    x = (3 * noise(*shape) + noise(c, 1, 1, seed=4)).requires_grad_()
    gamma, beta = noise(b, c, seed=1).requires_grad_(), noise(b, c, seed=2).requires_grad_()
    found, wanted = norm(x, gamma, beta), formula(x, norm.rho, gamma[..., None, None], beta[..., None, None])
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)
    towards = noise(*shape, seed=3)
    inputs = [x, gamma, beta, norm.rho]
    gradients = [torch.autograd.grad(value, inputs, towards) for value in (found, wanted)]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-10)


def test_the_norm_with_weights_of_its_own() -> None:
    norm = iln(3).double()
    for number, parameter in enumerate((norm.rho, norm.gamma, norm.beta)):
        parameter.data = noise(1, 3, 1, 1, seed=number)
    x = noise(2, 3, 4, 5, seed=9)
    torch.testing.assert_close(norm(x), formula(x, norm.rho, norm.gamma, norm.beta), rtol=0, atol=1e-12)


def test_how_they_begin() -> None:
    assert adailn(2).rho.flatten().tolist() == pytest.approx([0.9, 0.9])
    norm = iln(2)
    assert [parameter.flatten().tolist() for parameter in (norm.rho, norm.gamma, norm.beta)] == [[0, 0], [1, 1], [0, 0]]
    assert norm.rho.shape == adailn(2).rho.shape == (1, 2, 1, 1)


@pytest.mark.parametrize("usable", [False, True])
@pytest.mark.parametrize(
    ("by", "slope", "pad"),
    [
        ([], 1.0, 0),
        ([nn.ReLU()], 0.0, 0),
        ([nn.ReLU(), nn.ReflectionPad2d(2)], 0.0, 2),
        ([nn.ReflectionPad2d(1)], 1.0, 1),
    ],
)
def test_what_follows_is_computed_in_both_ways(
    usable: bool, by: list[nn.Module], slope: float, pad: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other, and where kernels run in one call, which here is made of torch's own operations."""
    asked = []
    monkeypatch.setattr(adalin, "usable", lambda *given: asked.append(given) or usable)
    norm, x, residual = adailn(3).double(), noise(2, 3, 4, 5), noise(2, 3, 4, 5, seed=1)
    gamma, beta = noise(2, 3, seed=2), noise(2, 3, seed=3)
    found = norm.followed(x, gamma, beta, by=by, residual=residual)
    z = residual + formula(x, norm.rho, gamma[..., None, None], beta[..., None, None])
    wanted = F.pad(torch.where(z > 0, z, slope * z), (pad,) * 4, mode="reflect")
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)
    assert asked == [(x, pad, (norm, *by))]


def test_it_is_twice_differentiable() -> None:
    """So that a gradient penalty can pass through it."""
    rho, gamma, beta = (noise(1, 3, 1, 1, seed=k).requires_grad_() for k in range(3))
    x = noise(1, 3, 2, 3, seed=5).requires_grad_()

    def normed(*given: Tensor) -> Tensor:
        scale, shift = layer_instance_affine(*given)
        return given[0] * scale + shift

    assert torch.autograd.gradgradcheck(normed, (x, rho, gamma, beta))


def test_the_statistics_take_one_pass_over_the_image() -> None:
    seen: list[tuple[str, int]] = []

    class Reading(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            if any(isinstance(each, Tensor) and each.numel() == x.numel() for each in args):
                seen.append((function.overloadpacket.__name__, len(args)))
            return function(*args, **(kwargs or {}))

    x = torch.rand(2, 8, 16, 16)
    with torch.no_grad(), Reading():
        adailn(8)(x, torch.ones(2, 8), torch.zeros(2, 8))
    assert [name for name, _ in seen if name not in ("detach", "_to_copy")] == ["var_mean", "addcmul"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_its_type_and_has_exact_statistics(dtype: torch.dtype) -> None:
    norm = adailn(4)
    x = (50 + 3 * noise(2, 4, 16, 16)).to(dtype)
    gamma, beta = torch.ones(2, 4), torch.zeros(2, 4)
    found = norm(x, gamma, beta)
    assert found.dtype == dtype
    exact = formula(x.double(), norm.rho.double(), gamma.double()[..., None, None], beta.double()[..., None, None])
    torch.testing.assert_close(found.double(), exact, rtol=2**-7, atol=2**-7)


def test_what_it_cannot_normalise_is_said() -> None:
    with pytest.raises(CompositionError, match=r"norm\(x, gamma, beta\)"):
        adailn(2)(torch.rand(1, 2, 4, 4))
    with pytest.raises(DataError, match="one pixel has no variance"):
        iln(2)(torch.rand(1, 2, 1, 1))


@pytest.mark.parametrize("make", [adailn, iln])
def test_no_channels_are_refused(make: Callable[[int], object]) -> None:
    with pytest.raises(SettingsError, match=r"channels \(=0\) must be a whole number of at least 1"):
        make(0)
