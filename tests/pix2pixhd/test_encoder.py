"""The encoder and its pooling, against a plain transcription and loops."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.reference.plain import draw_weights
from benchmarks.reference.plain_pix2pixhd import global_generator, region_means
from i2i.errors import DataError, SettingsError
from i2i.testing import check_generator
from i2i_pix2pixhd.encoder import feature_encoder, instance_mean


def floats(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def ids(*shape: int, most: int = 5) -> Tensor:
    return torch.randint(0, most + 1, shape, generator=torch.Generator().manual_seed(1), dtype=torch.int32)


# Pooling.


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_means_and_gradients_are_those_of_a_loop(dtype: torch.dtype) -> None:
    values, regions = floats(3, 4, 9, 7).requires_grad_(), ids(3, 1, 9, 7).to(dtype)
    found, wanted = instance_mean(values, regions), region_means(values, regions)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-14)
    towards = floats(3, 4, 9, 7).flip(-1)
    slopes = [torch.autograd.grad(y, values, towards)[0] for y in (found, wanted)]
    torch.testing.assert_close(slopes[0], slopes[1], rtol=0, atol=1e-14)


def test_an_id_in_two_samples_is_two_regions() -> None:
    values = torch.tensor([[[[1.0, 3.0]]], [[[10.0, 30.0]]]])
    assert instance_mean(values, torch.full((2, 1, 1, 2), 7)).flatten().tolist() == [2, 2, 20, 20]


def test_a_region_may_lie_in_several_places_and_ids_may_be_any_integers() -> None:
    values = torch.arange(8.0).view(1, 1, 2, 4)
    large = 2**31 - 1
    regions = torch.tensor([[large, -(2**31), large, 33_001], [33_001 + 2**16, large, -1, -1]])[None, None]
    expected = [[7 / 3, 1, 7 / 3, 3], [4, 7 / 3, 6.5, 6.5]]
    torch.testing.assert_close(instance_mean(values, regions)[0, 0], torch.tensor(expected))
    torch.testing.assert_close(instance_mean(values, regions.int())[0, 0], torch.tensor(expected))


def test_each_pixel_a_region_and_all_pixels_one() -> None:
    values = floats(2, 3, 5, 6)
    torch.testing.assert_close(instance_mean(values, torch.arange(60).view(2, 1, 5, 6)), values, rtol=0, atol=0)
    whole = instance_mean(values, torch.zeros(2, 1, 5, 6, dtype=torch.int32))
    torch.testing.assert_close(whole, values.mean((2, 3), keepdim=True).expand_as(values), rtol=0, atol=1e-14)


def test_second_derivatives_of_the_mean() -> None:
    values, regions = floats(2, 2, 3, 4).requires_grad_(), ids(2, 1, 3, 4, most=2)
    assert torch.autograd.gradgradcheck(lambda x: instance_mean(x, regions).square(), values, fast_mode=True)


def test_sums_of_bfloat16_are_in_float32() -> None:
    values, regions = floats(1, 3, 61, 67).bfloat16(), ids(1, 1, 61, 67)  # sums and counts need more than eight bits
    mean = instance_mean(values, regions)
    assert mean.dtype == torch.bfloat16
    assert torch.equal(mean, region_means(values.double(), regions).bfloat16())


class Counted(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls += 1
        return function(*args, **(kwargs or {}))


def test_nothing_is_done_id_by_id() -> None:
    calls = []
    for most in (0, 500):
        with Counted() as counted:
            instance_mean(floats(2, 3, 20, 30), ids(2, 1, 20, 30, most=most))
        calls.append(counted.calls)
    assert calls[0] == calls[1]


def test_nothing_is_read_from_the_device() -> None:
    with FakeTensorMode(allow_fallback_kernels=False):  # which have no values to read
        values = torch.zeros(2, 3, 8, 8, requires_grad=True)
        torch.autograd.backward(instance_mean(values, torch.zeros(2, 1, 8, 8, dtype=torch.int32)).sum())
    assert instance_mean(torch.zeros(1, 3, 8, 8, device="meta"), torch.zeros(1, 1, 8, 8, device="meta").int()).is_meta


@pytest.mark.parametrize(
    ("regions", "message"),
    [
        (floats(2, 1, 8, 8), r"ids of regions are float64 \(2, 1, 8, 8\): they must be integers"),
        (ids(2, 1, 8, 9), r"int32 \(2, 1, 8, 9\): they must be integers \(2, 1, 8, 8\)"),
        (ids(1, 1, 8, 8), r"they must be integers \(2, 1, 8, 8\)"),
        (ids(2, 3, 8, 8), r"they must be integers \(2, 1, 8, 8\)"),
        (ids(2, 8, 8), r"they must be integers \(2, 1, 8, 8\)"),
    ],
)
def test_ids_that_do_not_fit_are_refused(regions: Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        instance_mean(floats(2, 3, 8, 8), regions)


# The network.


def test_conformance() -> None:
    check_generator(feature_encoder)


def test_parameters_keys_and_shapes_are_the_authors() -> None:
    with torch.device("meta"):
        net = feature_encoder()
    shapes = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    widths = [16, 32, 64, 128, 256]
    expected: dict[str, tuple[int, ...]] = {"model.1.weight": (16, 3, 7, 7), "model.29.weight": (3, 16, 7, 7)}
    for level, at in enumerate((4, 7, 10, 13)):
        expected[f"model.{at}.weight"] = (widths[level + 1], widths[level], 3, 3)
    for level, at in enumerate((16, 19, 22, 25)):
        expected[f"model.{at}.weight"] = (widths[4 - level], widths[3 - level], 3, 3)
    biases = {1: 16, 4: 32, 7: 64, 10: 128, 13: 256, 16: 128, 19: 64, 22: 32, 25: 16, 29: 3}
    expected |= {f"model.{at}.bias": (width,) for at, width in biases.items()}
    assert shapes == expected
    assert len(shapes) == 20
    assert sum(value.numel() for value in net.parameters()) == 788_803


@pytest.mark.parametrize("downs", [1, 2, 4])
def test_agrees_with_the_specification_with_and_without_pooling(downs: int) -> None:
    torch.manual_seed(3)
    net = feature_encoder(3, 2, base_width=2, downs=downs)
    draw_weights(net)
    w = {name: value.detach().clone().requires_grad_() for name, value in net.named_parameters()}
    x, regions = floats(2, 3, 32, 64).tanh(), ids(2, 1, 32, 64)
    assert net.multiple == 2**downs
    plain = global_generator(w, x, downs)
    torch.testing.assert_close(net(x).image, plain, rtol=0, atol=1e-10)
    ours, expected = net(x, regions).image, region_means(plain, regions)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-10)
    found = torch.autograd.grad(ours.square().sum(), list(net.parameters()))
    wanted = torch.autograd.grad(expected.square().sum(), list(w.values()))
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


def test_features_are_in_range_and_equal_over_an_object() -> None:
    net = feature_encoder(base_width=2, downs=1)
    regions = ids(1, 1, 8, 8, most=1)
    made = net(3 * floats(1, 3, 8, 8).float(), regions).image[0].detach()
    for id in (0, 1):
        of_object = made[:, regions[0, 0] == id]
        assert torch.equal(of_object, of_object[:, :1].expand_as(of_object))
    assert made.abs().max() <= 1
    assert net.out_channels == 3


def test_sizes_that_do_not_fit_are_refused() -> None:
    net = feature_encoder(base_width=2, downs=2)
    assert net(torch.zeros(1, 3, net.smallest, net.smallest)).image.shape == (1, 3, 8, 8)
    with pytest.raises(DataError, match=r"height \(=4\) must be at least 8"):
        net(torch.zeros(1, 3, 4, 8))
    with pytest.raises(DataError, match=r"width \(=10\) must be a multiple of 4"):
        net(torch.zeros(1, 3, 8, 10))
    with pytest.raises(DataError, match=r"1 channels are given: this network reads 3"):
        net(torch.zeros(1, 1, 8, 8))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"in_channels": 0}, r"in_channels \(=0\)"),
        ({"features": 0}, r"features \(=0\)"),
        ({"base_width": 0}, r"base_width \(=0\)"),
        ({"downs": 0}, r"downs \(=0\)"),
        ({"norm": "layer"}, r"norm \(='layer'\) must be one of"),
        ({"upsampling": "bilinear"}, r"upsampling \(='bilinear'\) must be one of: transposed, resize"),
        ({"padding": "replicate"}, r"padding \(='replicate'\) must be one of: zero, reflect"),
    ],
)
def test_arguments_out_of_range_are_refused(settings: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        feature_encoder(**settings)
