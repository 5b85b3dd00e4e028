from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from i2i.errors import DataError, SettingsError
from i2i_cyclegan import discriminators
from i2i_cyclegan.discriminators import PatchDiscriminator, patch_discriminator, pixel_discriminator

FACTORS = (1, 2, 4, 8, 8, 8)


def on_meta(*args: int, **settings: Any) -> PatchDiscriminator:
    with torch.device("meta"):
        return patch_discriminator(*args, **settings)


def random_weights(net: nn.Module) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    for name, value in net.double().state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2, generator=draw)
        elif value.is_floating_point():
            value.normal_(0, 0.4, generator=draw)
    return {name: value.clone() for name, value in net.state_dict().items()}


def image(*shape: int) -> Tensor:
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(9)) * 2 - 1


def reference(w: dict[str, Tensor], x: Tensor, layers: int, kind: str, train: bool) -> tuple[Tensor, list[Tensor]]:
    """The table of the specification: the logits, and what leaves each LeakyReLU."""
    x = functional.leaky_relu(functional.conv2d(x, w["model.0.weight"], w["model.0.bias"], 2, 1), 0.2)
    features = [x]
    for at in range(2, 2 + 3 * layers, 3):
        stride = 1 if at == 3 * layers - 1 else 2
        x = functional.conv2d(x, w[f"model.{at}.weight"], w.get(f"model.{at}.bias"), stride, 1)
        if kind == "instance":
            x = functional.instance_norm(x)
        if kind == "batch":
            key = f"model.{at + 1}"
            running = w[f"{key}.running_mean"].clone(), w[f"{key}.running_var"].clone()
            x = functional.batch_norm(x, *running, w[f"{key}.weight"], w[f"{key}.bias"], train)
        x = functional.leaky_relu(x, 0.2)
        features.append(x)
    last = f"model.{2 + 3 * layers}"
    return functional.conv2d(x, w[f"{last}.weight"], w[f"{last}.bias"], 1, 1), features


@pytest.mark.parametrize("layers", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("kind", ["instance", "batch", "none"])
def test_keys_and_shapes_are_the_authors(layers: int, kind: Any) -> None:
    widths = [2 * factor for factor in FACTORS]
    last = 2 + 3 * layers
    expected: dict[str, tuple[int, ...]] = {"model.0.weight": (2, 3, 4, 4), "model.0.bias": (2,)}
    for layer, at in enumerate(range(2, last, 3), start=1):
        expected[f"model.{at}.weight"] = (widths[layer], widths[layer - 1], 4, 4)
        if kind == "instance":
            expected[f"model.{at}.bias"] = (widths[layer],)
        if kind == "batch":
            for part in ("weight", "bias", "running_mean", "running_var"):
                expected[f"model.{at + 1}.{part}"] = (widths[layer],)
            expected[f"model.{at + 1}.num_batches_tracked"] = ()
    expected |= {f"model.{last}.weight": (1, widths[layers], 4, 4), f"model.{last}.bias": (1,)}
    net = on_meta(base_width=2, layers=layers, norm=kind)
    assert {name: tuple(value.shape) for name, value in net.state_dict().items()} == expected


def test_three_layers_have_the_positions_of_the_specification() -> None:
    keys = [name for name in on_meta().state_dict() if name.endswith("weight")]
    assert keys == [f"model.{at}.weight" for at in (0, 2, 5, 8, 11)]


@pytest.mark.parametrize(
    ("channels", "kind", "parameters", "tensors"),
    [(3, "instance", 2_764_737, 10), (3, "batch", 2_765_633, None), (6, "batch", 2_768_705, None)],
)
def test_parameter_counts_are_the_authors(channels: int, kind: Any, parameters: int, tensors: int | None) -> None:
    found = list(on_meta(channels, norm=kind).parameters())
    assert sum(value.numel() for value in found) == parameters
    assert tensors in (None, len(found))


@pytest.mark.parametrize("layers", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(("kind", "train"), [("instance", True), ("batch", True), ("batch", False), ("none", True)])
def test_logits_and_features_agree_with_the_specification(layers: int, kind: Any, train: bool) -> None:
    net = patch_discriminator(2, base_width=2, layers=layers, norm=kind).train(train)
    w, x = random_weights(net), image(2, 2, 100, 114)
    logits, features = reference(w, x, layers, kind, train)
    verdict = net(x)
    assert len(verdict.logits) == len(verdict.features) == 1
    assert len(verdict.features[0]) == len(features) == layers + 1
    torch.testing.assert_close(verdict.logits[0], logits, rtol=0, atol=1e-10)
    for ours, expected in zip(verdict.features[0], features, strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-10)


def test_condition_comes_before_the_image() -> None:
    net = patch_discriminator(3, base_width=2, layers=1)
    w, a, b = random_weights(net), image(1, 2, 16, 16), -image(1, 1, 16, 16)
    expected, _ = reference(w, torch.cat([a, b], 1), 1, "instance", True)
    torch.testing.assert_close(net(b, a).logits[0], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70), (4, 142), (5, 286)])
def test_one_logit_sees_the_field_of_the_specification(layers: int, field: int) -> None:
    net = patch_discriminator(1, base_width=1, layers=layers, norm="none")
    with torch.no_grad():
        for weight in net.parameters():
            weight.fill_(0.1)
    x = torch.ones(1, 1, 448, 448, requires_grad=True)
    logits = net(x).logits[0]
    middle = logits.shape[-1] // 2
    logits[0, 0, middle, middle].backward()
    assert x.grad is not None
    rows, columns = x.grad[0, 0].nonzero(as_tuple=True)
    assert int(rows.max() - rows.min()) + 1 == int(columns.max() - columns.min()) + 1 == field


@pytest.mark.parametrize(("size", "side"), [(256, 30), (128, 14), (24, 1)])
def test_map_of_logits_has_the_size_of_the_specification(size: int, side: int) -> None:
    verdict = on_meta()(torch.empty(2, 3, size, size, device="meta"))
    assert verdict.logits[0].shape == (2, 1, side, side)


@pytest.mark.parametrize("kind", ["instance", "batch", "none"])
@pytest.mark.parametrize("layers", [1, 2, 5])
def test_the_smallest_image_gives_one_logit(layers: int, kind: Any) -> None:
    net = patch_discriminator(base_width=1, layers=layers, norm=kind)
    assert net(torch.zeros(1, 3, net.smallest, net.smallest)).logits[0].shape == (1, 1, 1, 1)
    with pytest.raises(DataError, match=rf"width \(={net.smallest - 1}\) must be at least {3 * 2**layers}"):
        net(torch.zeros(1, 3, net.smallest, net.smallest - 1))


def test_channels_that_do_not_add_up_are_refused() -> None:
    net, x = on_meta(6, base_width=1), torch.empty(1, 3, 32, 32, device="meta")
    assert net(x, x).logits[0].shape == (1, 1, 2, 2)
    with pytest.raises(DataError, match=r"image of shape \(1, 3, 32, 32\): this network reads \(batch, 6, height"):
        net(x)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": 0}, r"layers \(=0\) must be a whole number of at least 1"),
        ({"base_width": 0}, r"base_width \(=0\)"),
        ({"in_channels": 0}, r"in_channels \(=0\)"),
        ({"norm": "layer"}, r"norm \(='layer'\) must be one of: instance, batch, none"),
        ({"init": "he"}, r"init \(='he'\) must be one of"),
        ({"init_gain": 0.0}, r"init_gain \(=0.0\)"),
    ],
)
def test_arguments_out_of_range_are_refused(settings: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        patch_discriminator(**settings)


def test_a_discriminator_is_built_again_from_its_spec() -> None:
    net = on_meta(4, base_width=2, layers=2, norm="batch")
    spec: Any = net.spec
    assert spec.factory == f"{discriminators.__name__}:patch_discriminator"
    again = on_meta(**spec.arguments)
    shapes = [{key: value.shape for key, value in each.state_dict().items()} for each in (net, again)]
    assert shapes[0] == shapes[1]


def test_weights_are_drawn_with_the_given_gain() -> None:
    torch.manual_seed(0)
    weight = next(patch_discriminator(base_width=32, layers=1, init_gain=0.5).parameters())
    assert weight.std().item() == pytest.approx(0.5, rel=0.1)


def test_no_activation_is_in_place() -> None:
    assert not any(module.inplace for module in on_meta().modules() if isinstance(module, nn.LeakyReLU))


def test_bf16_autocast_stays_near_float32() -> None:
    torch.manual_seed(0)
    net = patch_discriminator(base_width=8, init="torch")
    x = image(1, 3, 64, 64).float()
    with torch.autocast("cpu", torch.bfloat16):
        low = net(x).logits[0]
    assert (low.float() - net(x).logits[0]).abs().mean() < 0.02
    low.float().square().mean().backward()
    assert all(value.grad is not None and value.grad.isfinite().all() for value in net.parameters())


# The discriminator of pixels.


@pytest.mark.parametrize("kind", ["instance", "batch", "none"])
def test_keys_of_the_pixel_discriminator_are_the_authors(kind: Any) -> None:
    expected: dict[str, tuple[int, ...]] = {
        "net.0.weight": (4, 5, 1, 1), "net.0.bias": (4,), "net.2.weight": (8, 4, 1, 1), "net.5.weight": (1, 8, 1, 1),
    }  # fmt: skip
    if kind == "instance":
        expected |= {"net.2.bias": (8,), "net.5.bias": (1,)}
    if kind == "batch":
        expected |= {f"net.3.{name}": (8,) for name in ("weight", "bias", "running_mean", "running_var")}
        expected["net.3.num_batches_tracked"] = ()
    net = pixel_discriminator(5, base_width=4, norm=kind)
    assert {name: tuple(value.shape) for name, value in net.state_dict().items()} == expected


def test_parameters_of_the_pixel_discriminator_are_the_authors() -> None:
    with torch.device("meta"):
        assert sum(value.numel() for value in pixel_discriminator().parameters()) == 8_705


@pytest.mark.parametrize(("kind", "train"), [("instance", True), ("batch", True), ("batch", False), ("none", True)])
def test_pixel_logits_agree_with_the_specification(kind: Any, train: bool) -> None:
    net = pixel_discriminator(3, base_width=3, norm=kind).train(train)
    w, a, b = random_weights(net), image(2, 1, 5, 7), -image(2, 2, 5, 7)
    first = functional.leaky_relu(functional.conv2d(torch.cat((a, b), 1), w["net.0.weight"], w["net.0.bias"]), 0.2)
    x = functional.conv2d(first, w["net.2.weight"], w.get("net.2.bias"))
    if kind == "instance":
        x = functional.instance_norm(x)
    if kind == "batch":
        running = w["net.3.running_mean"].clone(), w["net.3.running_var"].clone()
        x = functional.batch_norm(x, *running, w["net.3.weight"], w["net.3.bias"], train)
    second = functional.leaky_relu(x, 0.2)
    verdict = net(b, a)
    logits = functional.conv2d(second, w["net.5.weight"], w.get("net.5.bias"))
    torch.testing.assert_close(verdict.logits[0], logits, rtol=0, atol=1e-10)
    assert logits.shape == (2, 1, 5, 7)
    for ours, expected in zip(verdict.features[0], (first, second), strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-10)


def test_a_pixel_is_judged_by_itself() -> None:
    net = pixel_discriminator(2, base_width=3, norm="none")
    random_weights(net)
    x = image(1, 2, 6, 6)
    changed = x.clone()
    changed[..., 3, 4] = 0.9
    differs = (net(x).logits[0] != net(changed).logits[0])[0, 0].nonzero().tolist()
    assert differs == [[3, 4]]


@pytest.mark.parametrize(("kind", "smallest"), [("instance", 2), ("batch", 1), ("none", 1)])
def test_the_smallest_image_of_pixels(kind: Any, smallest: int) -> None:
    net = pixel_discriminator(base_width=1, norm=kind)
    assert net(torch.zeros(2, 3, smallest, smallest)).logits[0].shape == (2, 1, smallest, smallest)
    assert net.smallest == smallest


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"base_width": 0}, r"base_width \(=0\)"),
        ({"in_channels": 0}, r"in_channels \(=0\)"),
        ({"norm": "layer"}, r"norm \(='layer'\) must be one of: instance, batch, none"),
    ],
)
def test_arguments_of_the_pixel_discriminator_out_of_range_are_refused(settings: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        pixel_discriminator(**settings)
