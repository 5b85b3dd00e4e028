"""The discriminator against a plain transcription of the specification, its tables of keys, counts and costs."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.reference import plain_pix2pixhd as plain
from benchmarks.reference.plain import draw_weights
from i2i.errors import DataError, SettingsError
from i2i.memory import Live
from i2i.testing import check_discriminator
from i2i_pix2pixhd.multiscale import MultiscaleDiscriminator, multiscale_discriminator
from tests.pix2pixhd.largest import Largest

LABELS = 5


def on_meta(*args: int, **settings: Any) -> MultiscaleDiscriminator:
    with torch.device("meta"):
        return multiscale_discriminator(*args, **settings)


def ids(*shape: int) -> Tensor:
    return torch.randint(0, LABELS, shape, generator=torch.Generator().manual_seed(1), dtype=torch.int32)


def floats(*shape: int) -> Tensor:
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 2 - 1


def weights_of(net: nn.Module) -> dict[str, Tensor]:
    torch.manual_seed(3)
    draw_weights(net)
    return {name: value.detach().clone().requires_grad_() for name, value in net.named_parameters()}


def maps(verdict: Any) -> list[list[Tensor]]:
    """As the transcription returns them: per scale, what leaves each layer, the logits last."""
    return [[*features, logits] for features, logits in zip(verdict.features, verdict.logits, strict=True)]


def flat(scales: list[list[Tensor]]) -> list[Tensor]:
    return list(itertools.chain.from_iterable(scales))


def assert_same(found: list[list[Tensor]], wanted: list[list[Tensor]]) -> None:
    assert [len(scale) for scale in found] == [len(scale) for scale in wanted]
    for ours, theirs in zip(flat(found), flat(wanted), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


# Tables of the specification.


@pytest.mark.parametrize("scales", [2, 3])
def test_keys_and_shapes_are_the_authors(scales: int) -> None:
    widths = [39, 64, 128, 256, 512, 1]
    expected: dict[str, tuple[int, ...]] = {}
    for scale in range(scales):
        for layer in range(5):
            expected[f"scale{scale}_layer{layer}.0.weight"] = (widths[layer + 1], widths[layer], 4, 4)
            expected[f"scale{scale}_layer{layer}.0.bias"] = (widths[layer + 1],)
    net = on_meta(4, labels=35, scales=scales)
    assert {name: tuple(value.shape) for name, value in net.state_dict().items()} == expected
    assert len(expected) == 10 * scales
    assert sum(value.numel() for value in net.parameters()) == {2: 5_603_202, 3: 8_404_803}[scales]


def test_channels_double_up_to_512_whatever_the_first_layer_has() -> None:
    def widths(**settings: Any) -> list[int]:
        net = on_meta(base_width=settings["base_width"], layers=settings["layers"], scales=1)
        return [len(value) for name, value in net.state_dict().items() if name.endswith("bias")]

    assert widths(base_width=8, layers=5) == [8, 16, 32, 64, 128, 256, 1]
    assert widths(base_width=64, layers=5) == [64, 128, 256, 512, 512, 512, 1]
    assert widths(base_width=8, layers=1) == [8, 16, 1]


def test_odd_maps_have_the_sizes_of_the_specification() -> None:
    labels = torch.zeros(1, 1, 512, 1024, dtype=torch.int32, device="meta")
    verdict = on_meta(4, labels=35)(torch.empty(1, 4, 512, 1024, device="meta"), labels)
    full = [(257, 513), (129, 257), (65, 129), (66, 130)]
    assert [tuple(map.shape[2:]) for map in verdict.features[0]] == full
    assert [tuple(map.shape[1:]) for map in verdict.logits] == [(1, 67, 131), (1, 35, 67)]
    assert [map.shape[1] for map in verdict.features[1]] == [64, 128, 256, 512]


@pytest.mark.parametrize(
    ("width", "height", "of_two", "of_three"),
    [(256, 128, 5.6, 6.0), (512, 256, 20.9, 22.2), (1024, 512, 80.7, 85.1), (2048, 1024, 316.7, 333.3)],
)
def test_forward_passes_cost_no_more_than_the_specification_says(
    width: int, height: int, of_two: float, of_three: float
) -> None:
    labels = torch.zeros(1, 1, height, width, dtype=torch.int32, device="meta")
    for scales, gigaflops in ((2, of_two), (3, of_three)):
        with FlopCounterMode(display=False) as counter:
            on_meta(4, labels=35, scales=scales)(torch.empty(1, 4, height, width, device="meta"), labels)
        assert 0.9 * gigaflops < counter.get_total_flops() / 1e9 < gigaflops + 0.05


# Values.


@pytest.mark.parametrize("size", [(33, 47), (32, 48), (17, 64)])
@pytest.mark.parametrize(("layers", "scales"), [(3, 2), (1, 3), (2, 1)])
def test_agrees_with_the_specification(size: tuple[int, int], layers: int, scales: int) -> None:
    net = multiscale_discriminator(4, labels=LABELS, base_width=3, layers=layers, scales=scales)
    w, labels, image = weights_of(net), ids(2, 1, *size), floats(2, 4, *size).requires_grad_()
    x = torch.cat((plain.one_hot(labels, LABELS), image), dim=1)
    ours, theirs = maps(net(image, labels)), plain.discriminator(w, x)
    assert_same(ours, theirs)
    towards = [torch.randn_like(map) for map in flat(theirs)]
    found = torch.autograd.grad(flat(ours), [image, *net.parameters()], towards)
    wanted = torch.autograd.grad(flat(theirs), [image, *w.values()], towards)
    for name, one, two in zip(["image", *w], found, wanted, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-10, msg=name)


def test_channels_of_a_condition_come_before_the_image() -> None:
    net = multiscale_discriminator(5, base_width=2, layers=1)
    w, condition, image = weights_of(net), floats(1, 2, 16, 17), -floats(1, 3, 16, 17)
    together = torch.cat((condition, image), dim=1)
    assert_same(maps(net(image, condition)), plain.discriminator(w, together))
    assert_same(maps(net(together)), plain.discriminator(w, together))


def test_scales_are_numbered_from_the_coarsest() -> None:
    net = multiscale_discriminator(3, base_width=2, layers=1, scales=3)
    x = floats(1, 3, 40, 40).float()
    before = net(x).logits
    assert [logits.shape[-1] for logits in before] == [23, 13, 8]
    with torch.no_grad():
        net.get_submodule("scale0_layer2")[0].bias.add_(1)  # type: ignore[index]
    changed = [not torch.equal(one, two) for one, two in zip(before, net(x).logits, strict=True)]
    assert changed == [False, False, True]


def test_a_finer_scale_keeps_the_coarser_ones() -> None:
    """What the next stage does: weights of two scales in a net of three, at twice the size."""
    two, three = (multiscale_discriminator(3, base_width=2, layers=1, scales=scales) for scales in (2, 3))
    result = three.load_state_dict(two.state_dict(), strict=False)
    assert not result.unexpected_keys
    assert {name.partition("_")[0] for name in result.missing_keys} == {"scale2"}
    x = floats(1, 3, 40, 40).float()
    half = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
    for ours, before in zip(three(x).logits[1:], two(half).logits, strict=True):
        assert torch.equal(ours, before)


def test_features_are_what_leaves_the_activations_and_never_the_logits() -> None:
    net = multiscale_discriminator(3, base_width=2, layers=3, scales=2)
    verdict = net(floats(1, 3, 32, 32).float())
    assert [len(scale) for scale in verdict.features] == [4, 4]
    weight, bias = (net.state_dict()[f"scale1_layer4.0.{kind}"] for kind in ("weight", "bias"))
    logits = F.conv2d(verdict.features[0][3], weight, bias, padding=2)
    torch.testing.assert_close(verdict.logits[0], logits)


def test_samples_of_a_batch_are_independent() -> None:
    net = multiscale_discriminator(3, labels=LABELS, base_width=2).double()
    labels, image = ids(3, 1, 24, 40), floats(3, 3, 24, 40)
    together = net(image, labels)
    for n in range(3):
        alone = net(image[n : n + 1], labels[n : n + 1])
        assert_same([[map[n : n + 1] for map in scale] for scale in maps(together)], maps(alone))


@pytest.mark.parametrize("labels", [0, LABELS])
def test_a_penalty_on_the_slope_trains_all_weights(labels: int) -> None:
    """R1: the gradient with respect to the image is differentiated once more."""
    net = multiscale_discriminator(3, labels=labels, base_width=2, layers=1)
    w, image = weights_of(net), floats(1, 3, 16, 18).requires_grad_()
    condition = ids(1, 1, 16, 18) if labels else None
    x = image if condition is None else torch.cat((plain.one_hot(condition, labels), image), dim=1)

    def penalty(scales: list[list[Tensor]]) -> Tensor:
        total = torch.stack([scale[-1].sum() for scale in scales]).sum()
        (slope,) = torch.autograd.grad(total, image, create_graph=True)
        return slope.square().sum()

    trained = {name for name in w if name.endswith("weight")}
    found = torch.autograd.grad(
        penalty(maps(net(image, condition))), [p for n, p in net.named_parameters() if n in trained]
    )
    wanted = torch.autograd.grad(penalty(plain.discriminator(w, x)), [w[name] for name in w if name in trained])
    for one, two in zip(found, wanted, strict=True):
        assert two.abs().max() > 1e-6
        torch.testing.assert_close(one, two, rtol=1e-8, atol=1e-8)


def test_recomputing_changes_no_gradient_and_keeps_less() -> None:
    labels, found, kept = ids(1, 1, 64, 64), [], []
    for recompute in (False, True):
        torch.manual_seed(0)
        net = multiscale_discriminator(3, labels=LABELS, base_width=8, recompute=recompute)
        image = floats(1, 3, 64, 64).float().requires_grad_()
        with Live() as live:
            verdict = net(image, labels)
            kept.append(live.now)
        score = torch.stack([map.square().mean() for map in flat(maps(verdict))]).sum()
        found.append([score.detach(), *torch.autograd.grad(score, [image, *net.parameters()])])
    for one, two in zip(*found, strict=True):
        assert torch.equal(one, two)
    assert kept[1] < 0.8 * kept[0]


# Memory and devices.


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_the_one_hot_map_is_never_there_at_full_size(device: str) -> None:
    h, w = 256, 512
    with torch.device(device):
        net = multiscale_discriminator(3, labels=100, base_width=2, layers=1)
        labels, image = torch.zeros(1, 1, h, w, dtype=torch.int32), torch.zeros(1, 3, h, w, requires_grad=True)
        with Largest() as largest:
            torch.autograd.backward([logits.sum() for logits in net(image, labels).logits])
    assert 3 * h * w <= largest.found < 100 * h * w


def test_nothing_is_read_from_the_device() -> None:
    with FakeTensorMode(allow_fallback_kernels=False):  # which have no values to read
        net = multiscale_discriminator(3, labels=LABELS, base_width=2)
        verdict = net(torch.zeros(2, 3, 17, 24), torch.zeros(2, 1, 17, 24, dtype=torch.int32))
        torch.autograd.backward([logits.sum() for logits in verdict.logits])


def test_bf16_autocast_stays_near_float32() -> None:
    torch.manual_seed(0)
    net = multiscale_discriminator(3, labels=LABELS, base_width=8)
    labels, image = ids(1, 1, 64, 64), floats(1, 3, 64, 64).float()
    with torch.autocast("cpu", torch.bfloat16):
        low = net(image, labels)
    for ours, wanted in zip(low.logits, net(image, labels).logits, strict=True):
        assert ours.dtype == torch.bfloat16
        assert 0 < (ours.float() - wanted).abs().mean() < 0.05
    torch.autograd.backward([logits.float().square().mean() for logits in low.logits])
    assert all(value.grad is not None and value.grad.isfinite().all() for value in net.parameters())


def test_no_activation_after_a_norm_is_in_place() -> None:
    for layer in [module for module in on_meta().modules() if isinstance(module, nn.Sequential)]:
        kinds = [type(module) for module in layer]
        if nn.InstanceNorm2d in kinds:
            assert not layer[kinds.index(nn.LeakyReLU)].inplace


# What is given.


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize(("scales", "smallest"), [(1, 2), (2, 3), (3, 5)])
def test_the_smallest_image_works_and_smaller_ones_are_refused(norm: Any, scales: int, smallest: int) -> None:
    net = multiscale_discriminator(base_width=1, scales=scales, norm=norm)
    assert net.smallest == smallest
    verdict = net(torch.zeros(1, 3, smallest, smallest))
    assert len(verdict.logits) == scales
    with pytest.raises(DataError, match=rf"width \(={smallest - 1}\) must be at least {smallest}"):
        net(torch.zeros(1, 3, smallest, smallest - 1))


def test_other_inputs_are_refused_in_one_line() -> None:
    net, image = multiscale_discriminator(3, labels=LABELS, base_width=2), torch.zeros(1, 3, 16, 16)
    for given, condition, message in (
        (image, None, r"class ids are None: this network reads whole numbers"),
        (image, image[:, :1], r"class ids are float32 \(1, 1, 16, 16\)"),
        (image[:, :2], ids(1, 1, 16, 16), r"2 channels are given: this network reads 3 besides the ids of 5 classes"),
        (image, ids(1, 1, 16, 8), r"differ in batch, height or width"),
    ):
        with pytest.raises(DataError, match=message):
            net(given, condition)
    with pytest.raises(DataError, match=r"an input is int32"):
        multiscale_discriminator(4, base_width=2)(image, ids(1, 1, 16, 16))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"in_channels": 0}, r"in_channels \(=0\)"),
        ({"labels": -1}, r"labels \(=-1\)"),
        ({"base_width": 0}, r"base_width \(=0\)"),
        ({"layers": 0}, r"layers \(=0\) must be a whole number of at least 1"),
        ({"scales": 0}, r"scales \(=0\)"),
        ({"scales": 9}, r"scales \(=9\) must be at most 8"),
        ({"norm": "layer"}, r"norm \(='layer'\) must be one of"),
    ],
)
def test_arguments_out_of_range_are_refused(settings: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        multiscale_discriminator(**settings)


def test_conformance() -> None:
    check_discriminator(multiscale_discriminator)
