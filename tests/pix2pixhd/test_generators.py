"""The generators against a plain transcription of the specification, its tables of keys, counts and costs."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.reference import plain_pix2pixhd as plain
from benchmarks.reference.plain import draw_weights
from i2i.errors import CompositionError, DataError, SettingsError
from i2i.memory import Live
from i2i.testing import check_generator
from i2i_pix2pixhd.generators import GlobalGenerator, enhanced, global_generator, local_enhancer

LABELS = 5
SMALL: dict[str, Any] = {"base_width": 2, "downs": 2, "blocks": 2}
Shapes = dict[str, tuple[int, ...]]


def on_meta(factory: Any, *args: int, **settings: Any) -> Any:
    with torch.device("meta"):
        return factory(*args, **settings)


def ids(*shape: int, most: int = LABELS - 1) -> Tensor:
    return torch.randint(0, most + 1, shape, generator=torch.Generator().manual_seed(1), dtype=torch.int32)


def floats(*shape: int) -> Tensor:
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 2 - 1


def weights_of(net: nn.Module) -> dict[str, Tensor]:
    """Draw weights that matter, in float64, and return copies to be trained."""
    torch.manual_seed(3)
    draw_weights(net)
    return {name: value.detach().clone().requires_grad_() for name, value in net.named_parameters()}


def assert_same(net: nn.Module, ours: Tensor, w: dict[str, Tensor], expected: Tensor, *others: Tensor) -> None:
    """Values, and gradients with respect to weights and other inputs, agree to 1e-10."""
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-10)
    assert ours.std() > 0.1
    towards = torch.randn(ours.shape, dtype=ours.dtype, generator=torch.Generator().manual_seed(4))
    found = torch.autograd.grad(ours, [*net.parameters(), *others], towards)
    wanted = torch.autograd.grad(expected, [*w.values(), *others], towards)
    for name, one, two in zip([*w, "input", "input"], found, wanted, strict=False):
        torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-10, msg=name)


# Tables of the specification.


def convolution(key: str, out: int, into: int, side: int) -> Shapes:
    return {f"{key}.weight": (out, into, side, side), f"{key}.bias": (out,)}


def transposed(key: str, into: int, out: int) -> Shapes:
    return {f"{key}.weight": (into, out, 3, 3), f"{key}.bias": (out,)}


def residual(key: str, width: int) -> Shapes:
    return convolution(f"{key}.conv_block.1", width, width, 3) | convolution(f"{key}.conv_block.5", width, width, 3)


def trunk_of_g1(channels: int) -> Shapes:
    """``model.{1,4,7,10,13}``, ``model.{16..24}.conv_block.{1,5}``, ``model.{25,28,31,34}``."""
    shapes = convolution("model.1", 64, channels, 7)
    for at, width in ((4, 128), (7, 256), (10, 512), (13, 1024)):
        shapes |= convolution(f"model.{at}", width, width // 2, 3)
    for at in range(16, 25):
        shapes |= residual(f"model.{at}", 1024)
    for at, width in ((25, 512), (28, 256), (31, 128), (34, 64)):
        shapes |= transposed(f"model.{at}", 2 * width, width)
    return shapes


def test_keys_and_shapes_of_g1_are_the_authors() -> None:
    expected = trunk_of_g1(36) | convolution("model.38", 3, 64, 7)
    net = on_meta(global_generator, 1, labels=35)
    assert {name: tuple(value.shape) for name, value in net.state_dict().items()} == expected
    assert len(expected) == 56
    net.load_state_dict({name: torch.empty(shape, device="meta") for name, shape in expected.items()}, assign=True)


def test_keys_and_shapes_of_g1_and_g2_are_the_authors() -> None:
    expected = trunk_of_g1(36) | convolution("model1_1.1", 32, 36, 7) | convolution("model1_1.4", 64, 32, 3)
    for at in range(3):
        expected |= residual(f"model1_2.{at}", 64)
    expected |= transposed("model1_2.3", 64, 32) | convolution("model1_2.7", 3, 32, 7)
    net = on_meta(local_enhancer, 1, labels=35)
    assert {name: tuple(value.shape) for name, value in net.state_dict().items()} == expected
    assert len(expected) == 74


@pytest.mark.parametrize("variant", [{"upsampling": "resize"}, {"padding": "reflect"}, {"recompute": True}])
def test_variants_shift_no_position(variant: Any) -> None:
    for factory in (global_generator, local_enhancer):
        keys = list(on_meta(factory, 1, labels=35).state_dict())
        assert list(on_meta(factory, 1, labels=35, **variant).state_dict()) == keys


@pytest.mark.parametrize(
    ("factory", "settings", "parameters"),
    [
        (global_generator, {"in_channels": 1, "labels": 35}, 182_546_755),
        (global_generator, {"in_channels": 4, "labels": 35}, 182_556_163),
        (global_generator, {}, 182_443_267),
        (local_enhancer, {"in_channels": 1, "labels": 35}, 182_857_059),
        (local_enhancer, {"in_channels": 1, "labels": 35, "enhancers": 2, "base_width": 16}, 182_947_699),
    ],
)
def test_parameter_counts_are_the_authors(factory: Any, settings: Any, parameters: int) -> None:
    assert sum(value.numel() for value in on_meta(factory, **settings).parameters()) == parameters


@pytest.mark.parametrize(
    ("width", "height", "of_g1", "of_both"),
    [(256, 128, 61.2, 23.4), (512, 256, 244.7, 93.5), (1024, 512, 978.6, 374.0), (2048, 1024, 3914.6, 1495.9)],
)
def test_forward_passes_cost_no_more_than_the_specification_says(
    width: int, height: int, of_g1: float, of_both: float
) -> None:
    labels = torch.zeros(1, 1, height, width, dtype=torch.int32, device="meta")
    for factory, gigaflops in ((global_generator, of_g1), (local_enhancer, of_both)):
        net = on_meta(factory, 1, labels=35)
        with FlopCounterMode(display=False) as counter:
            net(labels, labels.float())
        assert 0.8 * gigaflops < counter.get_total_flops() / 1e9 < gigaflops + 0.1


# Values.


@pytest.mark.parametrize("blocks", [0, 2])
@pytest.mark.parametrize("downs", [1, 3])
def test_global_generator_agrees_with_the_specification(blocks: int, downs: int) -> None:
    net = global_generator(2, 3, labels=LABELS, base_width=2, downs=downs, blocks=blocks)
    w, labels, condition = weights_of(net), ids(2, 1, 16, 32), floats(2, 2, 16, 32).requires_grad_()
    x = torch.cat((plain.one_hot(labels, LABELS), condition), dim=1)
    assert_same(net, net(labels, condition).image, w, plain.global_generator(w, x, downs), condition)


@pytest.mark.parametrize("enhancers", [1, 2])
def test_local_enhancer_agrees_with_the_specification(enhancers: int) -> None:
    net = local_enhancer(1, labels=LABELS, base_width=2, downs=2, blocks=1, enhancers=enhancers, local_blocks=2)
    w, labels, condition = weights_of(net), ids(2, 1, 32, 48), floats(2, 1, 32, 48).requires_grad_()
    x = torch.cat((plain.one_hot(labels, LABELS), condition), dim=1)
    assert_same(net, net(labels, condition).image, w, plain.local_enhancer(w, x, 2), condition)


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


class Largest(TorchDispatchMode):
    """The most numbers that a floating-point tensor had."""

    def __init__(self) -> None:
        super().__init__()
        self.found = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        made = [x for x in tree_leaves(result) if isinstance(x, Tensor) and x.is_floating_point()]
        self.found = max([self.found, *(x.numel() for x in made)])
        return result


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


# Around a trained network.


def test_enhanced_copies_the_global_network_but_for_its_image() -> None:
    torch.manual_seed(0)
    generator = global_generator(1, labels=LABELS, base_width=4, downs=2, blocks=2, upsampling="resize")
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    net = enhanced(generator, local_blocks=1)
    copied = {name for name, value in net.state_dict().items() if name in before and torch.equal(value, before[name])}
    assert set(before) - copied == {"model.19.weight", "model.19.bias"}
    new = set(net.state_dict()) - copied
    assert {name.partition(".")[0] for name in new} == {"model1_1", "model1_2"}
    for value in net.parameters():  # a copy: what is trained on is not the model that was given
        nn.init.zeros_(value)
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())
    assert (net.labels, net.in_channels, net.multiple) == (LABELS, 1, 8)


@pytest.mark.parametrize("enhancers", [1, 2])
def test_enhanced_sees_the_global_network_as_it_was_at_a_fraction_of_the_size(enhancers: int) -> None:
    generator = global_generator(3, base_width=4, downs=1, blocks=1)
    weights_of(generator)
    net = enhanced(generator, local_blocks=0, enhancers=enhancers)
    assert next(net.parameters()).dtype == torch.float64
    x = floats(1, 3, 16, 16)
    small = x
    for _ in range(enhancers):
        small = plain.pooled(small)
    seen = {}
    generator.model[-4].register_forward_hook(lambda _m, _i, out: seen.update(alone=out))  # type: ignore[index,operator]
    net.model[-1].register_forward_hook(lambda _m, _i, out: seen.update(within=out))  # type: ignore[index,operator]
    generator(small)
    net(x)
    assert torch.equal(seen["alone"], seen["within"])


def test_enhanced_is_made_on_the_device_of_the_network() -> None:
    net = enhanced(on_meta(global_generator, 1, labels=35))
    assert {value.device.type for value in net.state_dict().values()} == {"meta"}
    assert sum(value.numel() for value in net.parameters()) == 182_857_059


def test_enhanced_refuses_what_it_cannot_halve_or_does_not_know() -> None:
    with pytest.raises(SettingsError, match=r"base_width \(=6\) .* multiple of 4 for enhancers \(=2\); use 4"):
        enhanced(global_generator(base_width=6, downs=1, blocks=0), enhancers=2)
    with pytest.raises(SettingsError, match=r"base_width \(=1\) .* multiple of 2 .*; use 2"):
        enhanced(global_generator(base_width=1, downs=1, blocks=0))
    with pytest.raises(CompositionError, match="global_generator.. made; this LocalEnhancer"):
        enhanced(local_enhancer(base_width=1, downs=1, blocks=0))  # type: ignore[arg-type]
    bare = GlobalGenerator(nn.Identity(), 3, 3, 0, multiple=1)
    with pytest.raises(CompositionError, match="this GlobalGenerator was made otherwise"):
        enhanced(bare)


def test_local_parts_are_all_but_the_global_network() -> None:
    net = local_enhancer(base_width=1, downs=1, blocks=0, enhancers=2)
    names = {id(module): name for name, module in net.named_modules()}
    assert [names[id(module)] for module in net.local_parts()] == ["model1_1", "model1_2", "model2_1", "model2_2"]


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


def test_arguments_of_the_enhancer_out_of_range_are_refused() -> None:
    for settings, message in (({"enhancers": 0}, r"enhancers \(=0\)"), ({"local_blocks": -1}, r"local_blocks \(=-1\)")):
        with pytest.raises(SettingsError, match=message):
            local_enhancer(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("factory", [global_generator, local_enhancer])
def test_conformance(factory: Any) -> None:
    check_generator(factory)
