"""What networks read, against loops and one-hot maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from i2i.errors import DataError
from i2i_pix2pixhd.conditions import Inputs, JoinedConv2d, boundaries, compute_dtype, convolve, halved, joined

CLASSES, FLOATS = 5, 2


def ids(*shape: int, most: int = CLASSES - 1) -> Tensor:
    return torch.randint(0, most + 1, shape, generator=torch.Generator().manual_seed(1), dtype=torch.int32)


def floats(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def all_channels(labels: Tensor, channels: Tensor) -> Tensor:
    one_hot = (labels == torch.arange(CLASSES).view(1, -1, 1, 1)).to(channels.dtype)
    return torch.cat((one_hot, channels), dim=1)


# Boundaries.


def looped(instances: Any) -> Any:
    """A pixel is marked if one of its four neighbours inside the image is of another object."""
    marked = np.zeros(instances.shape, np.float32)
    b, _, h, w = instances.shape
    for n, y, x in np.ndindex(b, h, w):
        for down, across in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            v, u = y + down, x + across
            if 0 <= v < h and 0 <= u < w and instances[n, 0, v, u] != instances[n, 0, y, x]:
                marked[n, 0, y, x] = 1
    return marked


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
@pytest.mark.parametrize("size", [(13, 17), (1, 9), (9, 1), (1, 1), (2, 2)])
def test_boundaries_are_those_of_a_loop(dtype: torch.dtype, size: tuple[int, int]) -> None:
    instances = ids(2, 1, *size, most=2).to(dtype)
    found = boundaries(instances)
    assert found.dtype == torch.float32
    assert np.array_equal(found.numpy(), looped(instances.numpy()))


def test_boundaries_of_large_ids_of_one_pixel_and_at_the_border() -> None:
    instances = torch.full((1, 1, 6, 8), 33_001, dtype=torch.int32)
    instances[0, 0, 2, 3] = 33_001 + 2**16  # the same 16 bits
    instances[0, 0, 5, 7] = 2**31 - 1
    expected = torch.zeros(6, 8)
    for y, x in ((2, 3), (1, 3), (3, 3), (2, 2), (2, 4), (5, 7), (4, 7), (5, 6)):
        expected[y, x] = 1
    assert torch.equal(boundaries(instances)[0, 0], expected)
    assert not boundaries(torch.full((1, 1, 6, 8), -7)).any()


def test_both_sides_of_a_straight_boundary_are_marked_and_no_third_pixel() -> None:
    instances = torch.zeros(1, 1, 4, 6, dtype=torch.int32)
    instances[..., 3:] = 1
    assert boundaries(instances)[0, 0].tolist() == [[0, 0, 1, 1, 0, 0]] * 4


# The first convolution.


@pytest.fixture(params=["generator", "discriminator"])
def conv(request: pytest.FixtureRequest) -> JoinedConv2d:
    torch.manual_seed(0)
    if request.param == "generator":
        return JoinedConv2d(CLASSES, FLOATS, 4, 7, padding=3, padding_mode="reflect").double()
    return JoinedConv2d(CLASSES, FLOATS, 4, 4, stride=2, padding=2).double()


def test_values_and_gradients_of_a_convolution_are_those_of_the_joined_channels(conv: JoinedConv2d) -> None:
    labels, channels = ids(2, 1, 11, 14), floats(2, FLOATS, 11, 14).requires_grad_()
    assert conv.classes == CLASSES
    ours, expected = conv(Inputs(labels, channels)), nn.Conv2d.forward(conv, all_channels(labels, channels))
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)
    assert torch.equal(conv(all_channels(labels, channels)), expected)
    towards = torch.randn_like(ours)
    found, wanted = (torch.autograd.grad(y, [channels, *conv.parameters()], towards) for y in (ours, expected))
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-10)


def test_classes_alone_and_channels_alone(conv: JoinedConv2d) -> None:
    labels, channels = ids(1, 1, 9, 9), floats(1, FLOATS, 9, 9)
    only = JoinedConv2d(CLASSES, 0, 3, 3, padding=1).double()
    expected = nn.Conv2d.forward(only, all_channels(labels, channels)[:, :CLASSES])
    torch.testing.assert_close(only(Inputs(labels, None)), expected, rtol=0, atol=1e-12)
    plain = JoinedConv2d(0, FLOATS, 3, 3, padding=1).double()
    assert torch.equal(plain(Inputs(None, channels)), nn.Conv2d.forward(plain, channels))
    bare = nn.Conv2d(CLASSES, 3, 3, padding=1, bias=False).double()
    expected = bare(all_channels(labels, channels)[:, :CLASSES])
    torch.testing.assert_close(convolve(bare, Inputs(labels, None), CLASSES), expected, rtol=0, atol=1e-12)


def test_a_penalty_on_the_slope_trains_all_weights(conv: JoinedConv2d) -> None:
    """The gradient with respect to the float channels can be differentiated once more."""
    labels, channels = ids(2, 1, 9, 10), floats(2, FLOATS, 9, 10).requires_grad_()

    def penalty(y: Tensor) -> Tensor:
        (slope,) = torch.autograd.grad(y.tanh().sum(), channels, create_graph=True)
        return slope.square().sum()

    ours = penalty(conv(Inputs(labels, channels)))
    expected = penalty(nn.Conv2d.forward(conv, all_channels(labels, channels)))
    found, wanted = (torch.autograd.grad(y, list(conv.parameters())) for y in (ours, expected))
    assert all(gradient.abs().max() > 1e-3 for gradient in wanted)
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


def test_channels_are_computed_in_the_type_of_the_weights() -> None:
    conv = JoinedConv2d(CLASSES, 1, 4, 3).double()
    assert conv(Inputs(ids(1, 1, 8, 8), torch.ones(1, 1, 8, 8))).dtype == torch.float64
    assert conv(Inputs(None, torch.ones(1, CLASSES + 1, 8, 8))).dtype == torch.float64


def test_autocast_computes_in_its_type(conv: JoinedConv2d) -> None:
    labels, channels = ids(1, 1, 16, 16), floats(1, FLOATS, 16, 16).float()
    conv.float()
    expected = conv(Inputs(labels, channels))
    with torch.autocast("cpu", torch.bfloat16):
        low = conv(Inputs(labels, channels))
        again = conv(all_channels(labels, channels))
    assert low.dtype == again.dtype == torch.bfloat16
    assert 0 < (low.float() - expected).abs().max() < 0.02
    torch.autograd.backward(low.float().sum())
    assert all(value.grad is not None and value.grad.dtype == torch.float32 for value in conv.parameters())


def test_the_type_that_is_computed_in() -> None:
    single, double = torch.zeros(1), torch.zeros(1, dtype=torch.float64)
    assert compute_dtype(single) == compute_dtype(single.to("meta")) == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert compute_dtype(single) == torch.bfloat16
        assert compute_dtype(double) == torch.float64
        assert compute_dtype(single.to("meta")) == torch.float32


# Half the size.


@pytest.mark.parametrize("size", [(8, 12), (7, 9), (1, 6), (5, 1), (2, 3)])
def test_half_the_size_is_the_mean_of_the_joined_channels(size: tuple[int, int]) -> None:
    labels, channels = ids(2, 1, *size), floats(2, FLOATS, *size).requires_grad_()
    expected = F.avg_pool2d(all_channels(labels, channels), 3, 2, 1, count_include_pad=False)
    found = halved(Inputs(labels, channels), CLASSES, torch.float64)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-15)
    assert torch.equal(halved(all_channels(labels, channels), CLASSES, torch.float64), expected)
    assert torch.equal(halved(Inputs(labels, None), CLASSES, torch.float64), expected[:, :CLASSES])
    assert torch.equal(halved(Inputs(None, channels), 0, torch.float64), expected[:, CLASSES:])
    towards = torch.randn_like(expected)
    slopes = [torch.autograd.grad(y, channels, towards)[0] for y in (found, expected)]
    torch.testing.assert_close(slopes[0], slopes[1], rtol=0, atol=1e-14)


def test_fractions_at_a_corner_an_edge_and_inside() -> None:
    labels = torch.tensor([[0, 1, 1, 1], [1, 1, 0, 2], [0, 2, 2, 2], [2, 2, 0, 1]])[None, None]
    found = halved(Inputs(labels, None), 3, torch.float64)[0]
    assert found[:, 0, 0].tolist() == [1 / 4, 3 / 4, 0]
    assert found[:, 0, 1].tolist() == [1 / 6, 4 / 6, 1 / 6]
    assert found[:, 1, 1].tolist() == [2 / 9, 2 / 9, 5 / 9]
    torch.testing.assert_close(found.sum(0), torch.ones(2, 2, dtype=torch.float64))


def test_ids_of_no_class_are_fractions_of_none() -> None:
    labels = torch.tensor([[[[0, CLASSES, -1, 255]]]], dtype=torch.int32)
    found = halved(Inputs(labels, None), CLASSES, torch.float32)[0, :, 0]
    assert found.tolist() == [[0.5, 0]] + [[0, 0]] * 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_half_the_size_has_the_wanted_type(dtype: torch.dtype) -> None:
    labels, channels = ids(1, 1, 8, 8), floats(1, FLOATS, 8, 8).float()
    found = halved(Inputs(labels, channels), CLASSES, dtype)
    expected = F.avg_pool2d(all_channels(labels, channels), 3, 2, 1, count_include_pad=False)
    assert found.dtype == dtype
    assert torch.equal(found, expected.to(dtype))


@pytest.mark.parametrize("autocast", [False, True])
def test_nothing_is_read_from_the_device(autocast: bool) -> None:
    # Fake tensors have no values to read.
    with FakeTensorMode(allow_fallback_kernels=False), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        labels = torch.zeros(2, 1, 9, 10, dtype=torch.int32)
        inputs = joined(labels, [boundaries(labels), None], classes=CLASSES, count=1)
        conv = JoinedConv2d(CLASSES, 1, 4, 3, padding=1)
        torch.autograd.backward(conv(inputs).sum())
        torch.autograd.backward(conv(halved(inputs, CLASSES, compute_dtype(conv.weight))).sum())
        assert conv.weight.grad is not None


# What is given.


def test_joined_keeps_the_order_and_leaves_out_what_is_not_there() -> None:
    labels, a, b = ids(1, 1, 4, 4), floats(1, 1, 4, 4), -floats(1, 2, 4, 4)
    together = joined(labels, [a, None, b], classes=CLASSES, count=3)
    assert together.labels is labels
    assert together.channels is not None
    assert torch.equal(together.channels, torch.cat((a, b), 1))
    assert joined(labels, [None], classes=CLASSES, count=0) == Inputs(labels, None)
    assert joined(None, [a], classes=0, count=1) == Inputs(None, a)


@pytest.mark.parametrize(
    ("labels", "channels", "classes", "count", "message"),
    [
        (None, [floats(1, 1, 8, 8)], 3, 1, r"class ids are None: .* whole numbers \(batch, 1, height, width\)"),
        (floats(1, 1, 8, 8), [], 3, 0, r"class ids are float64 \(1, 1, 8, 8\): .* whole numbers"),
        (ids(1, 3, 8, 8), [], 3, 0, r"class ids are int32 \(1, 3, 8, 8\): .* \(batch, 1, height, width\)"),
        (None, [ids(1, 1, 8, 8)], 0, 1, r"an input is int32 \(1, 1, 8, 8\): .* floating-point channels"),
        (ids(1, 1, 8, 8), [floats(1, 8, 8)], 3, 1, r"\(1, 8, 8\): .* besides the class ids"),
        (ids(1, 1, 8, 8), [floats(1, 2, 8, 8)], 3, 1, r"2 channels are given: .* 1 besides the ids of 3"),
        (None, [floats(1, 3, 8, 8)], 0, 4, r"3 channels are given: this network reads 4, condition included"),
        (ids(1, 1, 8, 8), [floats(1, 1, 8, 9)], 3, 1, r"differ in .*: \(1, 1, 8, 8\), \(1, 1, 8, 9\)"),
        (ids(2, 1, 8, 8), [floats(1, 1, 8, 8)], 3, 1, r"differ in batch"),
        (ids(1, 1, 8, 10), [], 3, 0, r"width \(=10\) must be a multiple of 4; use 8 or 12"),
        (ids(1, 1, 4, 8), [], 3, 0, r"height \(=4\) must be at least 8"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_in_one_line(
    labels: Any, channels: Any, classes: int, count: int, message: str
) -> None:
    with pytest.raises(DataError, match=message) as error:
        joined(labels, channels, classes=classes, count=count, multiple=4, smallest=8)
    assert "\n" not in str(error.value)
