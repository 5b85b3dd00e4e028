"""Looked-up convolutions against ``F.conv2d`` of the one-hot map that they never build."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from i2i_pix2pixhd import gather
from i2i_pix2pixhd.gather import Window, gathered
from tests.pix2pixhd.largest import Largest

CLASSES, OUT = 6, 5
WINDOWS = {
    "generator": Window(7, 1, 3, True),
    "discriminator": Window(4, 2, 2, False),
    "reflected stride": Window(3, 2, 1, True),
    "stride that leaves a rest": Window(5, 3, 1, False),
    "stride beyond the kernel": Window(2, 3, 0, False),
    "one pixel": Window(1, 1, 0, False),
}


@pytest.fixture(params=["looked up", "in bands of one-hot"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Both ways, that of the CPU and that of other devices, in bands of few rows."""
    monkeypatch.setattr(gather, "_PIXELS", 40)
    monkeypatch.setattr(gather, "_ROWS", 3)
    if request.param == "in bands of one-hot":
        monkeypatch.setattr(gather, "_look_up", gather._convolve)
        monkeypatch.setattr(gather, "_collect", gather._convolve_back)
        monkeypatch.setattr(gather, "_BYTES", 40_000)
    return request.param


def ids(*shape: int, least: int = 0, most: int = CLASSES - 1) -> Tensor:
    return torch.randint(least, most + 1, shape, generator=torch.Generator().manual_seed(1), dtype=torch.int32)


def one_hot(labels: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    return (labels == torch.arange(CLASSES).view(1, -1, 1, 1)).to(dtype)


def convolved(weight: Tensor, labels: Tensor, window: Window) -> Tensor:
    mode = "reflect" if window.reflect else "constant"
    return F.conv2d(
        F.pad(one_hot(labels, weight.dtype), (window.padding,) * 4, mode=mode), weight, stride=window.stride
    )


def weights(window: Window, dtype: torch.dtype = torch.float64) -> Tensor:
    shape = (OUT, CLASSES, window.kernel, window.kernel)
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(2)).requires_grad_()


@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize("size", [(9, 11), (16, 30), (5, 5)])
def test_values_and_gradients_are_those_of_the_convolution(way: str, name: str, size: tuple[int, int]) -> None:
    window = WINDOWS[name]
    weight, labels = weights(window), ids(3, 1, *size)
    ours, expected = gathered(weight, labels, window, torch.float64), convolved(weight, labels, window)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)
    towards = torch.randn_like(expected)
    (found,), (wanted,) = (torch.autograd.grad(y, weight, towards) for y in (ours, expected))
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-11)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_any_integers_are_ids(dtype: torch.dtype) -> None:
    window = WINDOWS["generator"]
    weight, labels = weights(window), ids(1, 1, 8, 9)
    ours = gathered(weight, labels.to(dtype), window, torch.float64)
    torch.testing.assert_close(ours, convolved(weight, labels, window), rtol=0, atol=1e-12)


def test_ids_of_no_class_are_zeros_and_never_read_other_weights(way: str) -> None:
    labels = ids(2, 1, 12, 10).long()
    labels[0, 0, 3:5, 2:9], labels[1, 0, 7, 7], labels[1, 0, 1, 1] = CLASSES, -1, 2**32  # 0 in int32
    for window in WINDOWS.values():
        weight = weights(window)
        ours, expected = gathered(weight, labels, window, torch.float64), convolved(weight, labels, window)
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)
        (found,), (wanted,) = (torch.autograd.grad(y.square().sum(), weight) for y in (ours, expected))
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-10)


def test_many_classes_and_few_bytes_still_make_a_band() -> None:
    window, labels = Window(3, 1, 1, False), ids(1, 1, 4, 5, most=999)
    weight = torch.randn(2, 1000, 3, 3, dtype=torch.float64)
    expected = F.conv2d(F.one_hot(labels[:, 0].long(), 1000).permute(0, 3, 1, 2).double(), weight, padding=1)
    torch.testing.assert_close(gathered(weight, labels, window, torch.float64), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["generator", "discriminator"])
def test_second_derivatives(way: str, name: str) -> None:
    window = WINDOWS[name]
    labels = ids(2, 1, 6, 7)
    weight = weights(window)

    def squares(weight: Tensor) -> Tensor:
        return gathered(weight, labels, window, torch.float64).square()

    assert torch.autograd.gradcheck(squares, weight, fast_mode=True)
    assert torch.autograd.gradgradcheck(squares, weight, fast_mode=True)


def test_bfloat16_rounds_the_result_alone(way: str) -> None:
    window, labels = WINDOWS["generator"], ids(1, 1, 16, 16)
    weight = weights(window)
    exact = convolved(weight, labels, window)
    single = weight.detach().float().requires_grad_()
    low = gathered(single, labels, window, torch.bfloat16)
    assert low.dtype == torch.bfloat16
    towards = torch.randn_like(exact).bfloat16()
    (found,) = torch.autograd.grad(low, single, towards)
    (wanted,) = torch.autograd.grad(exact, weight, towards.double())
    assert found.dtype == torch.float32
    torch.testing.assert_close(low.double(), exact, rtol=0, atol=0.1)
    if way == "looked up":  # sums are in float32
        torch.testing.assert_close(low.double(), exact, rtol=2**-8, atol=1e-5)
        torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-5)
    else:
        torch.testing.assert_close(found.double(), wanted, rtol=0.02, atol=0.1)


def test_is_as_exact_as_the_convolution_in_float32() -> None:
    window, labels = WINDOWS["generator"], ids(1, 1, 96, 128)
    weight = weights(window)
    towards = torch.randn(1, OUT, 96, 128, dtype=torch.float64)
    (exact,) = torch.autograd.grad(convolved(weight, labels, window), weight, towards)
    single = weight.detach().float().requires_grad_()
    both = gathered(single, labels, window, torch.float32), convolved(single, labels, window)
    ours, theirs = (torch.autograd.grad(y, single, towards.float())[0].double() for y in both)
    assert (ours - exact).abs().max() <= (theirs - exact).abs().max() < 1e-2
    assert (both[0] - both[1]).abs().max() < 1e-4


def test_memory_format_is_that_of_the_weights(way: str) -> None:
    window, labels = WINDOWS["discriminator"], ids(2, 1, 9, 8)
    weight = weights(window).detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    ours = gathered(weight[:, :4], labels, window, torch.float64)  # a slice, as of a convolution of more channels
    assert ours.is_contiguous(memory_format=torch.channels_last)
    assert not ours.is_contiguous()
    kept = F.pad(one_hot(labels)[:, :4], (2, 2, 2, 2))
    expected = F.conv2d(kept, weight[:, :4], stride=2)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)
    towards = torch.randn_like(ours)
    found, wanted = (torch.autograd.grad(y, weight, towards)[0] for y in (ours, expected))
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-11)
    assert gathered(weights(window), labels, window, torch.float64).is_contiguous()


def test_only_the_labels_are_kept(way: str) -> None:
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    labels, window = ids(1, 1, 16, 16), WINDOWS["generator"]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        gathered(weights(window), labels, window, torch.float64)
    assert [tensor.data_ptr() for tensor in kept] == [labels.data_ptr()]


def test_frozen_weights_cost_no_backward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("computed in vain")

    monkeypatch.setattr(gather, "_collect", refuse)
    window, labels = WINDOWS["generator"], ids(1, 1, 8, 8)
    free = weights(window)
    x = torch.ones(1, OUT, 1, 1, dtype=torch.float64, requires_grad=True)
    for weight, wanted in ((free.detach(), None), (free, [x])):
        torch.autograd.backward((x * gathered(weight, labels, window, torch.float64)).sum(), inputs=wanted)
    with pytest.raises(AssertionError, match="in vain"):
        torch.autograd.backward(gathered(free, labels, window, torch.float64).sum())


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("name", ["generator", "discriminator"])
def test_the_one_hot_map_is_never_there_as_a_whole(device: str, name: str) -> None:
    h, w, window = 256, 512, WINDOWS[name]
    labels = torch.zeros(1, 1, h, w, dtype=torch.int32, device=device)
    weight = torch.zeros(4, 100, window.kernel, window.kernel, device=device, requires_grad=True)
    with Largest() as largest:
        torch.autograd.backward(gathered(weight, labels, window, torch.float32).sum())
    assert 0 < largest.found < 100 * h * w
    with Largest() as largest:
        (labels == torch.arange(100, device=device).view(-1, 1, 1)).float()
    assert largest.found == 100 * h * w


@pytest.mark.parametrize("name", WINDOWS)
def test_nothing_is_read_from_the_device(way: str, name: str) -> None:
    window = WINDOWS[name]
    with FakeTensorMode(allow_fallback_kernels=False):  # which have no values to read
        weight = torch.zeros(OUT, CLASSES, window.kernel, window.kernel, requires_grad=True)
        y = gathered(weight, torch.zeros(2, 1, 16, 17, dtype=torch.int32), window, torch.float32)
        torch.autograd.backward(y.sum())
        assert weight.grad is not None
        assert weight.grad.shape == weight.shape
    places = [(side + 2 * window.padding - window.kernel) // window.stride + 1 for side in (16, 17)]
    assert tuple(y.shape) == (2, OUT, *places)


def test_the_window_of_a_convolution() -> None:
    assert Window.of(nn.Conv2d(1, 1, 7, padding=3, padding_mode="reflect")) == WINDOWS["generator"]
    assert Window.of(nn.Conv2d(1, 1, 4, stride=2, padding=2)) == WINDOWS["discriminator"]
