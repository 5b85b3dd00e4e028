"""Both generators against a plain transcription of the specification, and what they accept."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.reference import plain_pix2pixhd as plain
from i2i.errors import DataError, SettingsError
from i2i.memory import Live
from i2i.testing import check_generator
from i2i_pix2pixhd.generators import global_generator, local_enhancer
from tests.pix2pixhd.generators.nets import LABELS, SMALL, assert_same, floats, ids, on_meta, weights_of
from tests.pix2pixhd.largest import Largest

# Values.


@pytest.mark.parametrize("blocks", [0, 2])
@pytest.mark.parametrize("downs", [1, 3])
def test_global_generator_agrees_with_the_specification(blocks: int, downs: int) -> None:
    net = global_generator(2, 3, labels=LABELS, base_width=2, downs=downs, blocks=blocks)
    w, labels, condition = weights_of(net), ids(2, 1, 16, 32), floats(2, 2, 16, 32).requires_grad_()
    x = torch.cat((plain.one_hot(labels, LABELS), condition), dim=1)
    assert_same(net, net(labels, condition).image, w, plain.global_generator(w, x, downs), condition)


@pytest.mark.parametrize("factory", [global_generator, local_enhancer])
def test_without_classes_the_image_comes_before_the_condition(factory: Any) -> None:
    net = factory(4, 2, base_width=2, downs=1, blocks=1)
    w, image, condition = weights_of(net), floats(1, 3, 8, 12).requires_grad_(), -floats(1, 1, 8, 12)
    condition.requires_grad_()
    function = plain.global_generator if factory is global_generator else plain.local_enhancer
    expected = function(w, torch.cat((image, condition), dim=1), 1)
    assert_same(net, net(image, condition).image, w, expected, image, condition)


def test_labels_alone_are_enough() -> None:
    net = global_generator(0, labels=LABELS, **SMALL)
    w, labels = weights_of(net), ids(1, 1, 16, 16)
    assert_same(net, net(labels).image, w, plain.global_generator(w, plain.one_hot(labels, LABELS), 2))


@pytest.mark.parametrize("train", [True, False])
def test_batch_norm_has_weights_and_statistics(train: bool) -> None:
    net = global_generator(1, labels=LABELS, norm="batch", **SMALL).train(train)
    w = weights_of(net)
    labels, condition = ids(2, 1, 16, 16), floats(2, 1, 16, 16)
    x = torch.cat((plain.one_hot(labels, LABELS), condition), dim=1)
    if train:
        assert_same(net, net(labels, condition).image, w, plain.global_generator(w, x, 2))
        first = F.conv2d(F.pad(x, (3,) * 4, mode="reflect"), w["model.1.weight"], w["model.1.bias"])
        torch.testing.assert_close(net.state_dict()["model.2.running_mean"], 0.1 * first.mean((0, 2, 3)).detach())
    else:
        alone = net(labels[:1], condition[:1]).image
        torch.testing.assert_close(net(labels, condition).image[:1], alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("factory", [global_generator, local_enhancer])
def test_samples_of_a_batch_are_independent(factory: Any) -> None:
    net = factory(1, labels=LABELS, **SMALL).double()
    labels, condition = ids(3, 1, 16, 24), floats(3, 1, 16, 24)
    together = net(labels, condition).image
    for n in range(3):
        alone = net(labels[n : n + 1], condition[n : n + 1]).image
        torch.testing.assert_close(together[n : n + 1], alone, rtol=0, atol=1e-13)


# Variants.


def test_resize_leaves_no_transposed_convolution_and_is_a_convolution_of_the_enlarged_map() -> None:
    net = global_generator(base_width=2, downs=1, blocks=0, upsampling="resize")
    assert not any(isinstance(module, nn.ConvTranspose2d) for module in net.modules())
    w, x = weights_of(net), floats(1, 3, 8, 12)
    y = plain.norm(w, "", plain.conv(w, "model.1", plain.reflected(x, 3))).relu()
    y = plain.norm(w, "", plain.conv(w, "model.4", y, 2, 1)).relu()
    y = y.repeat_interleave(2, 2).repeat_interleave(2, 3)
    y = plain.norm(w, "", plain.conv(w, "model.7", plain.reflected(y, 1))).relu()
    assert_same(net, net(x).image, w, plain.conv(w, "model.11", plain.reflected(y, 3)).tanh())


def test_reflect_pads_the_halving_convolutions_by_reflection() -> None:
    net = global_generator(base_width=2, downs=1, blocks=0, padding="reflect")
    w, x = weights_of(net), floats(1, 3, 8, 12)
    y = plain.norm(w, "", plain.conv(w, "model.1", plain.reflected(x, 3))).relu()
    y = plain.norm(w, "", plain.conv(w, "model.4", plain.reflected(y, 1), 2)).relu()
    y = plain.norm(w, "", plain.up(w, "model.7", y, 1)).relu()
    assert_same(net, net(x).image, w, plain.conv(w, "model.11", plain.reflected(y, 3)).tanh())


@pytest.mark.parametrize("factory", [global_generator, local_enhancer])
def test_recomputing_changes_no_gradient_and_keeps_less(factory: Any) -> None:
    labels, found, bytes_kept = ids(1, 1, 64, 64), [], []
    for recompute in (False, True):
        torch.manual_seed(0)
        net = factory(1, labels=LABELS, base_width=4, downs=2, blocks=3, recompute=recompute)
        condition = floats(1, 1, 64, 64).float().requires_grad_()
        with Live() as live:
            image = net(labels, condition).image
            bytes_kept.append(live.now)
        found.append((image, *torch.autograd.grad(image.square().sum(), [condition, *net.parameters()])))
    for one, two in zip(*found, strict=True):
        assert torch.equal(one, two)
    assert bytes_kept[1] < 0.6 * bytes_kept[0]


# Memory and devices.


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("factory", [global_generator, local_enhancer])
def test_the_one_hot_map_is_never_there_at_full_size(factory: Any, device: str) -> None:
    h, w = 256, 512
    with torch.device(device):
        net = factory(1, labels=100, base_width=2, downs=2, blocks=1)
        labels, edges = torch.zeros(1, 1, h, w, dtype=torch.int32), torch.zeros(1, 1, h, w)
        with Largest() as largest:
            torch.autograd.backward(net(labels, edges).image.sum())
    assert h * w <= largest.found < 100 * h * w


@pytest.mark.parametrize("factory", [global_generator, local_enhancer])
def test_nothing_is_read_from_the_device(factory: Any) -> None:
    with FakeTensorMode(allow_fallback_kernels=False):  # which have no values to read
        net = factory(1, labels=LABELS, **SMALL)
        labels = torch.zeros(2, 1, 16, 24, dtype=torch.int32)
        torch.autograd.backward(net(labels, labels.float()).image.sum())


@pytest.mark.parametrize("factory", [global_generator, local_enhancer])
def test_bf16_autocast_stays_near_float32(factory: Any) -> None:
    torch.manual_seed(0)
    net = factory(1, labels=LABELS, base_width=8, downs=2, blocks=2)
    labels, edges = ids(1, 1, 32, 64), floats(1, 1, 32, 64).float()
    with torch.autocast("cpu", torch.bfloat16):
        low = net(labels, edges).image
    assert low.dtype == torch.bfloat16
    assert 0 < (low.float() - net(labels, edges).image).abs().mean() < 0.02
    torch.autograd.backward(low.float().square().mean())
    assert all(value.grad is not None and value.grad.isfinite().all() for value in net.parameters())


def test_no_activation_is_in_place() -> None:
    assert not any(module.inplace for module in on_meta(local_enhancer).modules() if isinstance(module, nn.ReLU))


# What is given.


@pytest.mark.parametrize(
    ("factory", "settings", "multiple", "smallest"),
    [
        (global_generator, {"downs": 1}, 2, 4),
        (global_generator, {"downs": 3}, 8, 16),
        (local_enhancer, {"downs": 1}, 4, 8),
        (local_enhancer, {"downs": 2, "enhancers": 2}, 16, 32),
    ],
)
def test_the_smallest_image_works_and_others_are_refused(
    factory: Any, settings: Any, multiple: int, smallest: int
) -> None:
    for norm, padding, upsampling in itertools.product(
        ("instance", "batch"), ("zero", "reflect"), ("transposed", "resize")
    ):
        net = factory(base_width=1, blocks=1, norm=norm, padding=padding, upsampling=upsampling, **settings)
        assert (net.multiple, net.smallest) == (multiple, smallest)
        shape = (1, 3, smallest, smallest + multiple)
        assert net(torch.zeros(shape)).image.shape == shape
    with pytest.raises(DataError, match=rf"width \(={smallest - 1}\) must be at least {smallest}"):
        net(torch.zeros(1, 3, smallest, smallest - 1))
    with pytest.raises(DataError, match=rf"height \(={smallest + 1}\) must be a multiple of {multiple}"):
        net(torch.zeros(1, 3, smallest + 1, smallest))


def test_other_inputs_are_refused_in_one_line() -> None:
    net = global_generator(1, labels=LABELS, **SMALL)
    labels, edges = ids(1, 1, 16, 16), torch.zeros(1, 1, 16, 16)
    for image, condition, message in (
        (edges, edges, r"class ids are float32"),
        (labels, None, r"0 channels are given: this network reads 1 besides the ids of 5 classes"),
        (labels, labels, r"an input is int32 .* floating-point channels"),
        (labels, edges[..., :8], r"differ in batch, height or width"),
    ):
        with pytest.raises(DataError, match=message):
            net(image, condition)
    with pytest.raises(DataError, match="2 channels are given: this network reads 3"):
        global_generator(**SMALL)(torch.zeros(1, 2, 16, 16))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"in_channels": 0}, r"in_channels \(=0\) must be a whole number of at least 1"),
        ({"in_channels": -1, "labels": 3}, r"in_channels \(=-1\) must be a whole number of at least 0"),
        ({"labels": -1}, r"labels \(=-1\)"),
        ({"out_channels": 0}, r"out_channels \(=0\)"),
        ({"base_width": 0}, r"base_width \(=0\)"),
        ({"downs": 0}, r"downs \(=0\)"),
        ({"downs": 17}, r"downs \(=17\) must be at most 16"),
        ({"blocks": -1}, r"blocks \(=-1\)"),
        ({"norm": "layer"}, r"norm \(='layer'\) must be one of"),
        ({"upsampling": "nearest"}, r"upsampling \(='nearest'\) must be one of: transposed, resize"),
        ({"padding": "replicate"}, r"padding \(='replicate'\) must be one of: zero, reflect"),
    ],
)
def test_arguments_out_of_range_are_refused(settings: Any, message: str) -> None:
    for factory in (global_generator, local_enhancer):
        with pytest.raises(SettingsError, match=message):
            factory(**settings)


@pytest.mark.parametrize("factory", [global_generator, local_enhancer])
def test_conformance(factory: Any) -> None:
    check_generator(factory)
