from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from i2i.errors import CompositionError, DataError, SettingsError
from i2i.tiles import approximation
from i2i.translate import translate
from i2i_cyclegan import generators
from i2i_cyclegan.generators import ImageGenerator, resnet_generator, unet_generator

Weights = Mapping[str, Tensor]
BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def on_meta(factory: Any, *args: int, **settings: Any) -> ImageGenerator:
    with torch.device("meta"):
        return factory(*args, **settings)  # type: ignore[no-any-return]


def random_weights(net: nn.Module, seed: int = 0) -> dict[str, Tensor]:
    """Give every tensor of ``net`` a random value, in float64, and return copies by name."""
    draw = torch.Generator().manual_seed(seed)
    for name, value in net.double().state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2, generator=draw)
        elif value.is_floating_point():
            value.normal_(0, 0.4, generator=draw)
    return {name: value.clone() for name, value in net.state_dict().items()}


def image(*shape: int) -> Tensor:
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(9)) * 2 - 1


def conv(w: Weights, key: str, x: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    return functional.conv2d(x, w[f"{key}.weight"], w.get(f"{key}.bias"), stride, padding)


def up(w: Weights, key: str, x: Tensor, output_padding: int) -> Tensor:
    bias = w.get(f"{key}.bias")
    return functional.conv_transpose2d(x, w[f"{key}.weight"], bias, 2, 1, output_padding)


def norm(w: Weights, key: str, x: Tensor, kind: str, training: bool) -> Tensor:
    if kind == "none":
        return x
    if kind == "instance":
        return functional.instance_norm(x)
    running = w[f"{key}.running_mean"].clone(), w[f"{key}.running_var"].clone()
    return functional.batch_norm(x, *running, w[f"{key}.weight"], w[f"{key}.bias"], training)


def reference_resnet(w: Weights, x: Tensor, blocks: int, kind: str, padding: str, dropout: bool, train: bool) -> Tensor:
    """The table of the specification, two halvings; dropout as in eval mode."""
    reflect = {"mode": "reflect"}
    y = conv(w, "model.1", functional.pad(x, (3, 3, 3, 3), **reflect))  # type: ignore[arg-type]
    y = norm(w, "model.2", y, kind, train).relu()
    y = norm(w, "model.5", conv(w, "model.4", y, 2, 1), kind, train).relu()
    y = norm(w, "model.8", conv(w, "model.7", y, 2, 1), kind, train).relu()
    pads = padding != "zero"  # zero padding is the convolution's own and takes no position
    first = 1 if pads else 0
    second = first + (4 if pads else 3) + (1 if dropout else 0)
    mode = {"reflect": "reflect", "replicate": "replicate", "zero": "constant"}[padding]
    for block in range(10, 10 + blocks):
        key = f"model.{block}.conv_block"
        z = conv(w, f"{key}.{first}", functional.pad(y, (1, 1, 1, 1), mode=mode))
        z = norm(w, f"{key}.{first + 1}", z, kind, train).relu()
        z = conv(w, f"{key}.{second}", functional.pad(z, (1, 1, 1, 1), mode=mode))
        y = y + norm(w, f"{key}.{second + 1}", z, kind, train)
    at = 10 + blocks
    y = norm(w, f"model.{at + 1}", up(w, f"model.{at}", y, 1), kind, train).relu()
    y = norm(w, f"model.{at + 4}", up(w, f"model.{at + 3}", y, 1), kind, train).relu()
    return conv(w, f"model.{at + 7}", functional.pad(y, (3, 3, 3, 3), **reflect)).tanh()  # type: ignore[arg-type]


def reference_unet(w: Weights, x: Tensor, downs: int, kind: str, train: bool) -> Tensor:
    """The table of the specification, skips after the LeakyReLU as the authors' in-place one leaves them."""

    def level(number: int, key: str, x: Tensor) -> Tensor:
        x = functional.leaky_relu(x, 0.2)
        y = conv(w, f"{key}.1", x, 2, 1)
        back = 3
        if number < downs - 1:
            y = level(number + 1, f"{key}.3.model", norm(w, f"{key}.2", y, kind, train))
            back = 5
        y = norm(w, f"{key}.{back + 1}", up(w, f"{key}.{back}", y.relu(), 0), kind, train)
        return torch.cat([x, y], 1)

    y = conv(w, "model.model.0", x, 2, 1)
    if downs > 1:
        y = level(1, "model.model.1.model", y)
    return up(w, f"model.model.{3 if downs > 1 else 2}", y.relu(), 0).tanh()


def resnet_keys(blocks: int, kind: str, dropout: bool) -> set[str]:
    last = 10 + blocks
    convolutions = {"1", "4", "7", f"{last}", f"{last + 3}"}
    norms = {"2", "5", "8", f"{last + 1}", f"{last + 4}"}
    for block in range(10, last):
        convolutions |= {f"{block}.conv_block.{position}" for position in ((1, 6) if dropout else (1, 5))}
        norms |= {f"{block}.conv_block.{position}" for position in ((2, 7) if dropout else (2, 6))}
    parts = ("weight", "bias") if kind == "instance" else ("weight",)
    keys = {f"model.{at}.{part}" for at in convolutions for part in parts}
    keys |= {f"model.{last + 7}.{part}" for part in ("weight", "bias")}
    return keys | ({f"model.{at}.{part}" for at in norms for part in BATCH_NORM} if kind == "batch" else set())


@pytest.mark.parametrize("blocks", [0, 6, 9])
@pytest.mark.parametrize("kind", ["instance", "batch", "none"])
@pytest.mark.parametrize("dropout", [False, True])
def test_resnet_keys_are_the_authors(blocks: int, kind: Any, dropout: bool) -> None:
    net = on_meta(resnet_generator, base_width=2, blocks=blocks, norm=kind, dropout=0.5 if dropout else 0.0)
    assert set(net.state_dict()) == resnet_keys(blocks, kind, dropout)


def test_resnet_with_nine_blocks_has_the_positions_of_the_specification() -> None:
    shapes = {name: tuple(value.shape) for name, value in on_meta(resnet_generator, 3, 2).state_dict().items()}
    assert shapes["model.1.weight"] == (64, 3, 7, 7)
    assert shapes["model.4.weight"] == (128, 64, 3, 3)
    assert shapes["model.7.weight"] == (256, 128, 3, 3)
    assert all(shapes[f"model.{at}.conv_block.{p}.weight"] == (256, 256, 3, 3) for at in range(10, 19) for p in (1, 5))
    assert shapes["model.19.weight"] == (256, 128, 3, 3)
    assert shapes["model.22.weight"] == (128, 64, 3, 3)
    assert shapes["model.26.weight"] == (2, 64, 7, 7)
    assert shapes["model.26.bias"] == (2,)


def unet_shapes(downs: int, width: int, kind: str) -> dict[str, tuple[int, ...]]:
    widths = [width * factor for factor in (1, 2, 4, 8, 8, 8, 8, 8)[:downs]]
    shapes: dict[str, tuple[int, ...]] = {"model.model.0.weight": (width, 3, 4, 4)}
    biases = {"model.model.0": width}
    norms: dict[str, int] = {}
    for level in range(1, downs):
        key = "model.model.1.model" + ".3.model" * (level - 1)
        outer, inner, innermost = widths[level - 1], widths[level], level == downs - 1
        back = 3 if innermost else 5
        shapes[f"{key}.1.weight"] = (inner, outer, 4, 4)
        shapes[f"{key}.{back}.weight"] = (inner if innermost else 2 * inner, outer, 4, 4)
        biases |= {f"{key}.1": inner, f"{key}.{back}": outer}
        norms |= {f"{key}.{back + 1}": outer} | ({} if innermost else {f"{key}.2": inner})
    if kind == "instance":
        shapes |= {f"{key}.bias": (channels,) for key, channels in biases.items()}
    if kind == "batch":
        shapes |= {f"{key}.{part}": (channels,) for key, channels in norms.items() for part in BATCH_NORM[:-1]}
        shapes |= {f"{key}.{BATCH_NORM[-1]}": () for key in norms}
    return shapes | {"model.model.3.weight": (2 * width, 3, 4, 4), "model.model.3.bias": (3,)}


@pytest.mark.parametrize("downs", [2, 3, 4, 5, 7, 8])
@pytest.mark.parametrize("kind", ["instance", "batch", "none"])
def test_unet_keys_and_shapes_are_the_authors(downs: int, kind: Any) -> None:
    net = on_meta(unet_generator, base_width=2, downs=downs, norm=kind)
    assert {name: tuple(value.shape) for name, value in net.state_dict().items()} == unet_shapes(downs, 2, kind)


def test_unet_dropout_follows_the_norm_of_the_deep_levels_and_changes_no_key() -> None:
    def level(number: int) -> str:
        return "model.model.1" + ".model.3" * (number - 1)

    for downs, levels in ((6, (4,)), (7, (4, 5)), (8, (4, 5, 6))):
        net = on_meta(unet_generator, base_width=2, downs=downs, dropout=0.5)
        found = {name: module.p for name, module in net.named_modules() if isinstance(module, nn.Dropout)}
        assert found == {f"{level(number)}.model.7": 0.5 for number in levels}
        assert net.state_dict().keys() == on_meta(unet_generator, base_width=2, downs=downs).state_dict().keys()


@pytest.mark.parametrize(
    ("factory", "settings", "parameters", "tensors"),
    [
        (resnet_generator, {}, 11_378_179, 48),
        (resnet_generator, {"blocks": 6}, 7_837_699, 36),
        (resnet_generator, {"norm": "batch"}, 11_383_427, None),
        (unet_generator, {}, 54_413_955, None),
        (unet_generator, {"norm": "instance"}, 54_409_603, None),
        (unet_generator, {"downs": 7}, 41_828_995, None),
    ],
)
def test_parameter_counts_are_the_authors(factory: Any, settings: Any, parameters: int, tensors: int | None) -> None:
    found = list(on_meta(factory, **settings).parameters())
    assert sum(value.numel() for value in found) == parameters
    assert tensors in (None, len(found))


@pytest.mark.parametrize("padding", ["reflect", "replicate", "zero"])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("kind", ["instance", "batch", "none"])
def test_resnet_agrees_with_the_specification_in_eval_mode(padding: Any, dropout: float, kind: Any) -> None:
    net = resnet_generator(3, 2, base_width=3, blocks=2, norm=kind, padding=padding, dropout=dropout).eval()
    w, x = random_weights(net), image(2, 3, 12, 16)
    expected = reference_resnet(w, x, 2, kind, padding, dropout > 0, False)
    torch.testing.assert_close(net(x).image, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", ["instance", "batch"])
def test_resnet_agrees_with_the_specification_in_train_mode(kind: Any) -> None:
    net = resnet_generator(base_width=3, blocks=1, norm=kind)
    w, x = random_weights(net), image(2, 3, 12, 16)
    torch.testing.assert_close(
        net(x).image, reference_resnet(w, x, 1, kind, "reflect", False, True), rtol=0, atol=1e-10
    )


def test_batch_norm_of_the_resnet_keeps_running_statistics() -> None:
    net = resnet_generator(base_width=3, blocks=0, norm="batch")
    w, x = random_weights(net), image(2, 3, 12, 16)
    net(x)
    first = conv(w, "model.1", functional.pad(x, (3, 3, 3, 3), mode="reflect"))
    expected = 0.9 * w["model.2.running_mean"] + 0.1 * first.mean((0, 2, 3))
    torch.testing.assert_close(net.state_dict()["model.2.running_mean"], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("downs", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("kind", ["instance", "batch", "none"])
@pytest.mark.parametrize("train", [True, False])
def test_unet_agrees_with_the_specification(downs: int, kind: Any, train: bool) -> None:
    net = unet_generator(3, 2, base_width=2, downs=downs, norm=kind).train(train)
    w, x = random_weights(net), image(1, 3, 2**downs, 2 ** max(downs, 3))
    torch.testing.assert_close(net(x).image, reference_unet(w, x, downs, kind, train), rtol=0, atol=1e-10)


def test_unet_with_dropout_agrees_with_the_specification_in_eval_mode() -> None:
    net = unet_generator(base_width=2, downs=6, dropout=0.5).eval()
    w, x = random_weights(net), image(1, 3, 64, 64)
    torch.testing.assert_close(net(x).image, reference_unet(w, x, 6, "batch", False), rtol=0, atol=1e-10)


def test_dropout_acts_in_train_mode_only() -> None:
    for net, size in (
        (resnet_generator(base_width=2, blocks=1, dropout=0.5, init="torch"), 8),
        (unet_generator(base_width=2, downs=6, dropout=0.5, init="torch"), 64),
    ):
        x = image(1, 3, size, size).float()
        assert not torch.equal(net(x).image, net(x).image)
        net.eval()
        assert torch.equal(net(x).image, net(x).image)


@pytest.mark.parametrize("downs", [1, 3])
def test_resnet_of_any_depth_halves_and_doubles(downs: int) -> None:
    net = on_meta(resnet_generator, 1, 4, base_width=2, blocks=1, downs=downs)
    deepest = f"model.{4 + 3 * downs}.conv_block.1.weight"
    assert tuple(net.state_dict()[deepest].shape) == (2 * 2**downs, 2 * 2**downs, 3, 3)
    side = 2 * 2**downs
    assert net(torch.empty(2, 1, side, 2 * side, device="meta")).image.shape == (2, 4, side, 2 * side)


def test_generators_say_what_they_read_make_and_accept() -> None:
    resnet, unet = resnet_generator(1, 2, base_width=2, blocks=0, downs=3), unet_generator(4, 5, base_width=2, downs=4)
    assert (resnet.in_channels, resnet.out_channels, resnet.multiple, resnet.smallest) == (1, 2, 8, 16)
    assert (unet.in_channels, unet.out_channels, unet.multiple, unet.smallest) == (4, 5, 16, 16)


@pytest.mark.parametrize("factory", [resnet_generator, unet_generator])
def test_the_smallest_image_can_be_trained_on(factory: Any) -> None:
    for kind in ("instance", "batch", "none"):
        net = factory(base_width=2, norm=kind, downs=2)
        net(torch.rand(1, 3, net.smallest, net.smallest)).image.sum().backward()
        assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in net.parameters())


@pytest.mark.parametrize(
    ("factory", "shape", "message"),
    [
        (resnet_generator, (1, 3, 250, 256), r"height \(=250\) must be a multiple of 4; use 248 or 252"),
        (resnet_generator, (1, 3, 4, 8), r"height \(=4\) must be at least 8"),
        (resnet_generator, (1, 1, 8, 8), r"image of shape \(1, 1, 8, 8\): this network reads \(batch, 3, height"),
        (unet_generator, (1, 3, 256, 300), r"width \(=300\) must be a multiple of 256; use 256 or 512"),
        (unet_generator, (1, 3, 128, 256), r"height \(=128\) must be at least 256"),
    ],
)
def test_images_that_do_not_fit_are_refused(factory: Any, shape: tuple[int, ...], message: str) -> None:
    net = on_meta(factory, base_width=1)
    with pytest.raises(DataError, match=message):
        net(torch.empty(shape, device="meta"))


def test_a_condition_is_refused() -> None:
    x = torch.zeros(1, 3, 8, 8)
    with pytest.raises(CompositionError, match="takes no condition; join it to the image"):
        resnet_generator(base_width=1, blocks=0)(x, x)


@pytest.mark.parametrize(
    ("factory", "settings", "message"),
    [
        (resnet_generator, {"blocks": -1}, r"blocks \(=-1\) must be a whole number of at least 0"),
        (resnet_generator, {"downs": 0}, r"downs \(=0\) must be a whole number of at least 1"),
        (resnet_generator, {"base_width": 0}, r"base_width \(=0\)"),
        (resnet_generator, {"in_channels": 0}, r"in_channels \(=0\)"),
        (resnet_generator, {"out_channels": 0}, r"out_channels \(=0\)"),
        (
            resnet_generator,
            {"padding": "circular"},
            r"padding \(='circular'\) must be one of: reflect, replicate, zero",
        ),
        (resnet_generator, {"norm": "layer"}, r"norm \(='layer'\) must be one of: instance, batch, none"),
        (resnet_generator, {"dropout": 1.0}, r"dropout \(=1.0\) must be at least 0 and below 1"),
        (resnet_generator, {"init": "he", "base_width": 1}, r"init \(='he'\) must be one of"),
        (unet_generator, {"downs": 0}, r"downs \(=0\) must be a whole number of at least 1"),
        (unet_generator, {"dropout": -0.1}, r"dropout \(=-0.1\)"),
        (unet_generator, {"dropout": 0.5, "downs": 5}, r"dropout \(=0.5\) needs at least 6 downs, not 5"),
        (unet_generator, {"norm": "layer"}, r"norm \(='layer'\)"),
    ],
)
def test_arguments_out_of_range_are_refused(factory: Any, settings: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        factory(**settings)


@pytest.mark.parametrize("factory", [resnet_generator, unet_generator])
def test_a_generator_is_built_again_from_its_spec(factory: Any) -> None:
    net = on_meta(factory, 1, base_width=2, downs=3, norm="none")
    spec: Any = net.spec
    module, _, name = spec.factory.partition(":")
    assert module == generators.__name__
    again = on_meta(getattr(generators, name), **spec.arguments)
    shapes = [{key: value.shape for key, value in each.state_dict().items()} for each in (net, again)]
    assert shapes[0] == shapes[1]


def test_weights_are_drawn_with_the_given_gain() -> None:
    torch.manual_seed(0)
    for factory in (resnet_generator, unet_generator):
        weight = next(factory(base_width=32, downs=2, init="normal", init_gain=0.5).parameters())
        assert weight.std().item() == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize("kind", ["instance", "batch"])
@pytest.mark.parametrize("factory", [resnet_generator, unet_generator])
def test_bf16_autocast_stays_near_float32(factory: Any, kind: Any) -> None:
    torch.manual_seed(0)
    net = factory(base_width=8, downs=2, norm=kind, init="torch")
    x = image(1, 3, 32, 32).float()
    with torch.autocast("cpu", torch.bfloat16):
        low = net(x).image
    assert (low.float() - net(x).image).abs().mean() < 0.02
    low.float().square().mean().backward()
    assert all(value.grad is not None and value.grad.isfinite().all() for value in net.parameters())


class Count(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls[str(func.overloadpacket)] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("factory", [resnet_generator, unet_generator])
def test_backward_copies_no_maps(factory: Any) -> None:
    """An in-place activation on the view that an instance norm returns would cost fills and copies in the backward."""

    def copies(net: nn.Module) -> int:
        total: Tensor = net(torch.zeros(1, 3, 16, 16)).image.sum()
        with Count() as count:
            total.backward()  # type: ignore[no-untyped-call]
        assert count.calls["aten.convolution_backward"] == sum("weight" in name for name, _ in net.named_parameters())
        return sum(count.calls[f"aten.{name}"] for name in ("copy_", "new_zeros", "clone"))

    net = factory(base_width=2, downs=3, norm="instance")
    assert copies(net) == 0
    for module in net.modules():
        if isinstance(module, nn.ReLU | nn.LeakyReLU):
            module.inplace = True
    assert copies(net) > 0


SEEING: list[tuple[Any, dict[str, Any]]] = [
    *((resnet_generator, {"downs": downs, "blocks": blocks}) for downs, blocks in ((1, 0), (1, 2), (2, 0), (2, 1))),
    (resnet_generator, {"downs": 3, "blocks": 0, "norm": "batch"}),
    (resnet_generator, {"downs": 1, "blocks": 1, "padding": "zero"}),
    *((unet_generator, {"downs": downs}) for downs in (1, 2, 3)),
]


@pytest.mark.parametrize(("factory", "settings"), SEEING)
def test_reach_is_how_far_a_change_of_one_pixel_shows(factory, settings) -> None:
    """No farther than that, and that far at least once, over all places of the pixel on the grid of the net."""
    net = factory(base_width=1, **({"norm": "none"} | settings)).double().eval()
    for parameter in net.parameters():
        nn.init.uniform_(parameter, 0.01, 0.02)  # all positive: nothing cancels out, no ReLU is off
    size = (2 * net.reach // net.multiple + 4) * net.multiple
    middle = size // 2 // net.multiple * net.multiple
    farthest = 0
    for place in range(middle, middle + net.multiple):
        x = ((image(1, 3, size, size) + 1) / 2).requires_grad_()
        (slope,) = torch.autograd.grad(net(x).image[0, 0, place, place], x)  # of the farthest pixels it is tiny
        farthest = max(farthest, int((slope.any(1)[0].nonzero() - place).abs().max()))
    assert farthest == net.reach


@pytest.mark.parametrize(
    ("factory", "settings", "tile"),
    [
        (resnet_generator, {"blocks": 1}, 64),
        (resnet_generator, {"blocks": 0, "downs": 1, "norm": "batch"}, 32),
        (unet_generator, {"downs": 2, "norm": "instance"}, 32),
        (unet_generator, {"downs": 3}, 80),
    ],
)
def test_tiles_are_one_pass_with_the_statistics_of_the_shrunk_image(factory, settings, tile) -> None:
    net = factory(base_width=4, **settings).eval()
    random_weights(net)
    x = image(1, 3, 117, 90)
    scale = tile / (117 * 90) ** 0.5
    small = functional.interpolate(x, (round(117 * scale), round(90 * scale)), mode="bilinear", antialias=True)
    norms = [layer for layer in net.modules() if isinstance(layer, nn.InstanceNorm2d)]
    found: list[tuple[Tensor, Tensor]] = []
    hooks = [norm.register_forward_pre_hook(lambda _, args: found.append(moments(args[0]))) for norm in norms]
    translate(net, small)
    uses = iter(found.copy())
    hooks += [norm.register_forward_hook(lambda _, args, __: normed(args[0], *next(uses))) for norm in norms]
    expected = translate(net, x)
    for hook in hooks:
        hook.remove()
    assert approximation(net, tile) is None
    torch.testing.assert_close(translate(net, x, tile=tile), expected, rtol=0, atol=1e-6)


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.mean((2, 3), keepdim=True), x.var((2, 3), unbiased=False, keepdim=True)


def normed(x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    return (x - mean) / (variance + 1e-5).sqrt()


@pytest.mark.parametrize(
    "settings", [{"norm": "instance"}, {"norm": "batch"}, {"norm": "batch", "dropout": 0.5}], ids=str
)
@pytest.mark.parametrize(("factory", "sizes"), [(resnet_generator, {"blocks": 2}), (unet_generator, {"downs": 6})])
def test_recomputing_changes_no_gradient_no_statistics_and_no_draw(factory: Any, sizes: Any, settings: Any) -> None:
    found = []
    for recompute in (False, True):
        net = factory(base_width=2, **sizes, **settings, recompute=recompute)
        random_weights(net)
        torch.manual_seed(3)
        x = image(2, 3, 64, 64).requires_grad_()
        net(net(x).image).image.square().sum().backward()  # there and back, as in a cycle
        found.append({"x": x.grad, **{n: p.grad for n, p in net.named_parameters()}, **dict(net.named_buffers())})
    assert found[0].keys() == found[1].keys()
    assert all(value.abs().sum() > 0 for name, value in found[0].items() if name.endswith("weight"))
    for name, value in found[0].items():
        assert value.equal(found[1][name]), name


def kept_maps(net: ImageGenerator, x: Tensor) -> int:
    """Return the numbers that a forward pass keeps for backward, besides weights."""
    sizes = {}
    weights = {p.untyped_storage()._cdata for p in net.parameters()}

    def pack(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        sizes[storage._cdata] = storage.nbytes() // value.itemsize
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        result = net(x).image  # alive until all are counted: no storage takes the place of another
    assert result.requires_grad
    return sum(size for storage, size in sizes.items() if storage not in weights)


def test_recomputing_resnet_keeps_what_goes_into_blocks_and_changes_of_resolution() -> None:
    x = torch.empty(1, 3, 256, 256, device="meta")
    there = 3 * 256**2 + 64 * 256**2 + 128 * 128**2
    back = 256 * 64**2 + 128 * 128**2 + 64 * 256**2
    assert kept_maps(on_meta(resnet_generator, recompute=True), x) == there + 9 * 256 * 64**2 + back
    assert kept_maps(on_meta(resnet_generator), x) > 3.5 * (there + 9 * 256 * 64**2 + back)


def test_recomputing_unet_keeps_what_goes_into_levels_and_comes_up_to_them() -> None:
    x = torch.empty(1, 3, 256, 256, device="meta")
    levels = [(width, 128 >> level) for level, width in enumerate((64, 128, 256, 512, 512, 512, 512))]
    kept = 3 * 256**2 + sum(3 * width * side**2 for width, side in levels)  # down, and both halves of what comes up
    assert kept_maps(on_meta(unet_generator, recompute=True), x) == kept
    assert kept_maps(on_meta(unet_generator), x) > 1.7 * kept
