"""What is computed where there are no kernels, and when that is; runs anywhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from i2i.errors import CompositionError, DataError
from i2i.kernels import Epilogue, InstanceNorm, dispatch, fused, instance_norm, usable
from i2i_singan.kernels import norm_leaky, plain_slope, slope
from i2i_ugatit.kernels import layer_instance_norm
from tests.kernels.conftest import image


def noise(*shape: int, seed: int = 0) -> Tensor:
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn.requires_grad_()


def test_what_follows_is_done_in_order() -> None:
    x, residual = noise(2, 3, 5, 4), noise(2, 3, 5, 4, seed=1)
    weight, bias = noise(3, seed=2), noise(3, seed=3)
    z = F.instance_norm(x, weight=weight, bias=bias, eps=0.1) + residual
    wanted = F.pad(torch.maximum(z, 0.3 * z), (2, 2, 2, 2), mode="reflect")
    found = instance_norm(x, weight, bias, residual=residual, negative_slope=0.3, pad=2, eps=0.1)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)
    assert torch.equal(instance_norm(x, negative_slope=0), F.relu(F.instance_norm(x)))
    assert torch.equal(instance_norm(x), F.instance_norm(x))


TWINS: dict[str, tuple[Callable[..., Tensor], list[tuple[int, ...]]]] = {
    "instance norm": (
        lambda x, w, b, r: instance_norm(x, w, b, residual=r, negative_slope=0.2, pad=1),
        [(1, 2, 3, 3), (2,), (2,), (1, 2, 3, 3)],
    ),
    "layer-instance norm": (
        lambda x, *given: layer_instance_norm(x, *given, negative_slope=0, pad=1),
        [(2, 2, 2, 3), (1, 2, 1, 1), (2, 2, 1, 1), (2, 2, 1, 1)],
    ),
    "slope": (
        lambda g, x, w, b: slope(g, x, w, b, None, leak=0.2),
        [(1, 2, 2, 3), (1, 2, 2, 3), (2,), (2,)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TWINS)
def test_gradients_of_gradients(name: str) -> None:
    function, shapes = TWINS[name]
    inputs = [noise(*shape, seed=seed) for seed, shape in enumerate(shapes)]
    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


def test_the_slope_is_the_gradient_of_the_norm() -> None:
    g, x, weight, bias = noise(2, 3, 4, 5), noise(2, 3, 4, 5, seed=1), noise(3, seed=2), noise(3, seed=3)
    made = norm_leaky(x, weight, bias, leak=0.2)
    torch.testing.assert_close(made.image, F.leaky_relu(F.instance_norm(x, weight=weight, bias=bias), 0.2))
    (wanted,) = torch.autograd.grad(made.image, x, g)
    assert made.known is None
    torch.testing.assert_close(slope(g, x, weight, bias, made.known, leak=0.2), wanted, rtol=0, atol=1e-12)
    half = [each.detach().bfloat16() for each in (g, x)]
    assert plain_slope(*half, weight.float(), bias.float(), leak=0.2, eps=1e-5).dtype == torch.bfloat16


def test_here_torch_does_the_work() -> None:
    x = image(1, 4, 5, 6)
    assert not usable(x)
    assert fused(InstanceNorm(), x, None, None).known is None
    with FakeTensorMode():
        fake = torch.empty(1, 4, 5, 6, device="cuda").to(memory_format=torch.channels_last)
        assert not usable(fake)  # which is on a device, but has no data


def test_which_images_the_kernels_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "runs", lambda x: True)
    x = image(2, 4, 5, 6)
    assert usable(x)
    assert usable(x.bfloat16())
    assert usable(x[1:])
    assert not usable(x.double())
    assert not usable(x.contiguous())
    assert not usable(x[:, :, 1:])
    assert not usable(x[:, :2])
    assert not usable(x[0])
    assert not usable(x[:0])
    with torch.device("meta"):
        large = torch.empty(1, 2**10, 2**10, 2**10).to(memory_format=torch.channels_last)
        assert usable(large)
        assert not usable(large, pad=512)  # places in it are counted in 32 bits


def test_layers_that_have_to_be_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "runs", lambda x: True)
    x = image(1, 4, 5, 6)
    norm, relu = torch.nn.InstanceNorm2d(4), torch.nn.ReLU()
    assert usable(x, 0, (norm, relu))
    registers = (
        relu.register_forward_hook, relu.register_forward_pre_hook, relu.register_full_backward_hook,
        relu.register_full_backward_pre_hook,
    )  # fmt: skip
    for register in registers:
        hook = register(lambda *_: None)
        assert not usable(x, 0, (norm, relu))
        assert usable(x, 0, (norm,))
        hook.remove()
    assert usable(x, 0, (norm, relu))
    vars(norm)["forward"] = lambda x: x
    assert not usable(x, 0, (norm, relu))


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"x": torch.rand(2, 3, 1, 1)}, DataError, r"\(2, 3, 1, 1\): one pixel has no variance"),
        ({"x": torch.rand(1, 3, 2, 5), "pad": 2}, DataError, "a border of 2 by reflection needs more than 5 x 2"),
        ({"x": torch.rand(1, 3, 2, 5), "pad": -1}, DataError, "a border of -1"),
        ({"x": torch.rand(1, 3, 2, 5), "weight": torch.ones(2)}, CompositionError, r"weight of shape \(2,\) for 3"),
        ({"x": torch.rand(1, 3, 2, 5), "bias": torch.ones(3, 1)}, CompositionError, r"bias of shape \(3, 1\) for 3"),
    ],
)  # fmt: skip
def test_mistakes_are_said(arguments: dict[str, Any], error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        instance_norm(**arguments)


@pytest.fixture
def recent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))


@pytest.mark.usefixtures("recent")
def test_a_device_on_which_triton_fails_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton")
    from i2i.kernels import compiled

    def fails(*_: object) -> Tensor:
        raise RuntimeError("no C compiler")

    monkeypatch.setattr(compiled, "instance_known", fails)
    monkeypatch.setattr(torch, "zeros", lambda *shape, device: torch.ones(shape))  # this machine may have no device
    with pytest.warns(UserWarning, match="Triton does not work on cuda:0, so norms .* plain torch: no C compiler"):
        assert not dispatch._works.__wrapped__(torch.device("cuda:0"))


def test_an_old_device_is_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert not dispatch._works.__wrapped__(torch.device("cuda:0"))


WITHOUT = """
import sys
sys.modules["triton"] = None  # importing it is an error
import torch
from i2i.kernels import dispatch, fused, instance_norm, InstanceNorm
from i2i_singan.kernels import norm_leaky
from i2i_ugatit.kernels import layer_instance_norm
torch.cuda.get_device_capability = lambda device: (9, 0)
assert not dispatch._works(torch.device("cuda:0"))
x = torch.rand(1, 3, 4, 5).to(memory_format=torch.channels_last)
assert fused(InstanceNorm(), x, None, None).known is None
assert torch.equal(instance_norm(x, negative_slope=0), torch.relu(torch.nn.functional.instance_norm(x)))
"""


def test_without_triton() -> None:
    subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", WITHOUT], check=True)


def test_an_epilogue_is_nothing_by_default() -> None:
    x = torch.rand(1, 2, 3, 3)
    assert Epilogue().plain(x) is x
