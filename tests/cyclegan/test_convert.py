"""The authors' files: built here from the tables of their layout, and computed here by plain functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import color, data
from torch import Tensor, nn
from torch.nn import functional

import i2i
from i2i.convert import convert_files
from i2i.errors import ModelError
from i2i.parts import Spec
from i2i.pixels import PixelFormat
from i2i.translate import translate_files
from i2i_cyclegan.convert import cyclegan, key_of, network, pix2pix

Weights = dict[str, Tensor]
Layout = tuple[int, int]  # the positions of the two convolutions of a residual block


# What the authors' code saves: their keys and shapes, from the tables.


class File:
    """Collects the tensors of one network."""

    def __init__(self, norm: str, device: str = "cpu") -> None:
        self.weights: Weights = {}
        self.norm_kind = norm
        self._device, self._draw = device, torch.Generator().manual_seed(3)

    def _random(self, *shape: int) -> Tensor:
        if self._device == "meta":
            return torch.empty(shape, device="meta")
        return torch.randn(shape, generator=self._draw) * 0.3

    def convolution(self, key: str, *shape: int, always: bool = False) -> None:
        """``always``: with a bias whatever the norm."""
        self.weights[f"{key}.weight"] = self._random(*shape)
        if always or self.norm_kind == "instance":
            self.weights[f"{key}.bias"] = self._random(shape[0])

    def transposed(self, key: str, *shape: int, always: bool = False) -> None:
        self.weights[f"{key}.weight"] = self._random(*shape)
        if always or self.norm_kind == "instance":
            self.weights[f"{key}.bias"] = self._random(shape[1])

    def norm(self, key: str, channels: int) -> None:
        if self.norm_kind == "batch":
            for field in ("weight", "bias", "running_mean"):
                self.weights[f"{key}.{field}"] = self._random(channels)
            self.weights[f"{key}.running_var"] = self._random(channels).abs() + 0.5
            self.weights[f"{key}.num_batches_tracked"] = torch.tensor(7, device=self._device)


def resnet_file(
    width: int = 3,
    blocks: int = 2,
    norm: str = "instance",
    layout: Layout = (1, 5),
    channels: tuple[int, int] = (3, 3),
    device: str = "cpu",
) -> Weights:
    """Two halvings: ``model.{1, 4, 7}``, blocks from 10 on, then the way up."""
    file, up = File(norm, device), 10 + blocks
    file.convolution("model.1", width, channels[0], 7, 7)
    file.norm("model.2", width)
    file.convolution("model.4", 2 * width, width, 3, 3)
    file.norm("model.5", 2 * width)
    file.convolution("model.7", 4 * width, 2 * width, 3, 3)
    file.norm("model.8", 4 * width)
    for block in range(10, up):
        for place in layout:
            file.convolution(f"model.{block}.conv_block.{place}", 4 * width, 4 * width, 3, 3)
            file.norm(f"model.{block}.conv_block.{place + 1}", 4 * width)
    file.transposed(f"model.{up}", 4 * width, 2 * width, 3, 3)
    file.norm(f"model.{up + 1}", 2 * width)
    file.transposed(f"model.{up + 3}", 2 * width, width, 3, 3)
    file.norm(f"model.{up + 4}", width)
    file.convolution(f"model.{up + 7}", channels[1], width, 7, 7, always=True)
    return file.weights


def unet_file(
    width: int = 2,
    downs: int = 5,
    norm: str = "batch",
    channels: tuple[int, int] = (3, 3),
    device: str = "cpu",
) -> Weights:
    """Nested: the block of level i + 1 is position 3 of the block of level i."""
    file = File(norm, device)
    widths = [width, 2 * width, 4 * width] + [8 * width] * (downs - 3)
    file.convolution("model.model.0", width, channels[0], 4, 4)
    file.transposed("model.model.3", 2 * width, channels[1], 4, 4, always=True)
    key = "model.model.1.model"
    for level in range(1, downs):
        outer, inner, innermost = widths[level - 1], widths[level], level == downs - 1
        file.convolution(f"{key}.1", inner, outer, 4, 4)
        if innermost:
            file.transposed(f"{key}.3", inner, outer, 4, 4)
            file.norm(f"{key}.4", outer)
        else:
            file.norm(f"{key}.2", inner)
            file.transposed(f"{key}.5", 2 * inner, outer, 4, 4)
            file.norm(f"{key}.6", outer)
        key += ".3.model"
    return file.weights


def patch_file(
    width: int = 2, layers: int = 3, norm: str = "instance", channels: int = 3, device: str = "cpu"
) -> Weights:
    file = File(norm, device)
    widths = [width * factor for factor in (1, 2, 4, 8, 8, 8)]
    file.convolution("model.0", width, channels, 4, 4, always=True)
    for layer in range(1, layers + 1):
        file.convolution(f"model.{3 * layer - 1}", widths[layer], widths[layer - 1], 4, 4)
        file.norm(f"model.{3 * layer}", widths[layer])
    file.convolution(f"model.{3 * layers + 2}", 1, widths[layers], 4, 4, always=True)
    return file.weights


def pixel_file(width: int = 2, norm: str = "instance", channels: int = 3, device: str = "cpu") -> Weights:
    file = File(norm, device)
    file.convolution("net.0", width, channels, 1, 1, always=True)
    file.convolution("net.2", 2 * width, width, 1, 1)
    file.norm("net.3", 2 * width)
    file.convolution("net.5", 1, 2 * width, 1, 1)
    return file.weights


# What the authors' networks compute.


def conv(w: Weights, key: str, x: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    return functional.conv2d(x, w[f"{key}.weight"], w.get(f"{key}.bias"), stride, padding)


def up(w: Weights, key: str, x: Tensor, output_padding: int) -> Tensor:
    return functional.conv_transpose2d(x, w[f"{key}.weight"], w.get(f"{key}.bias"), 2, 1, output_padding)


def normed(w: Weights, key: str, x: Tensor, kind: str) -> Tensor:
    if kind == "none":
        return x
    if kind == "instance":
        return functional.instance_norm(x)
    shape = (1, -1, 1, 1)
    x = (x - w[f"{key}.running_mean"].view(shape)) / (w[f"{key}.running_var"].view(shape) + 1e-5).sqrt()
    return x * w[f"{key}.weight"].view(shape) + w[f"{key}.bias"].view(shape)


def padded(x: Tensor, width: int, mode: str = "reflect") -> Tensor:
    return functional.pad(x, (width,) * 4, mode=mode)


def resnet(w: Weights, x: Tensor, norm: str, blocks: int, layout: Layout = (1, 5)) -> Tensor:
    """In eval mode, so without dropout."""
    y = normed(w, "model.2", conv(w, "model.1", padded(x, 3)), norm).relu()
    y = normed(w, "model.5", conv(w, "model.4", y, 2, 1), norm).relu()
    y = normed(w, "model.8", conv(w, "model.7", y, 2, 1), norm).relu()
    mode = "constant" if layout[0] == 0 else "reflect"
    for block in range(10, 10 + blocks):
        first, second = (f"model.{block}.conv_block.{place}" for place in layout)
        after = [f"model.{block}.conv_block.{place + 1}" for place in layout]
        z = normed(w, after[0], conv(w, first, padded(y, 1, mode)), norm).relu()
        y = y + normed(w, after[1], conv(w, second, padded(z, 1, mode)), norm)
    at = 10 + blocks
    y = normed(w, f"model.{at + 1}", up(w, f"model.{at}", y, 1), norm).relu()
    y = normed(w, f"model.{at + 4}", up(w, f"model.{at + 3}", y, 1), norm).relu()
    return conv(w, f"model.{at + 7}", padded(y, 3)).tanh()


def unet(w: Weights, x: Tensor, norm: str, downs: int) -> Tensor:
    """Skips after the LeakyReLU, as the authors' in-place one leaves them."""

    def level(number: int, key: str, x: Tensor) -> Tensor:
        x = functional.leaky_relu(x, 0.2)
        y, back = conv(w, f"{key}.1", x, 2, 1), 3
        if number < downs - 1:
            y, back = level(number + 1, f"{key}.3.model", normed(w, f"{key}.2", y, norm)), 5
        return torch.cat([x, normed(w, f"{key}.{back + 1}", up(w, f"{key}.{back}", y.relu(), 0), norm)], 1)

    y = level(1, "model.model.1.model", conv(w, "model.model.0", x, 2, 1))
    return up(w, "model.model.3", y.relu(), 0).tanh()


def patch(w: Weights, x: Tensor, norm: str, layers: int) -> Tensor:
    x = functional.leaky_relu(conv(w, "model.0", x, 2, 1), 0.2)
    for layer in range(1, layers + 1):
        x = conv(w, f"model.{3 * layer - 1}", x, 1 if layer == layers else 2, 1)
        x = functional.leaky_relu(normed(w, f"model.{3 * layer}", x, norm), 0.2)
    return conv(w, f"model.{3 * layers + 2}", x, 1, 1)


def pixel(w: Weights, x: Tensor, norm: str) -> Tensor:
    x = functional.leaky_relu(conv(w, "net.0", x), 0.2)
    return conv(w, "net.5", functional.leaky_relu(normed(w, "net.3", conv(w, "net.2", x), norm), 0.2))


def noise(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(9)) * 2 - 1


def spec(net: nn.Module) -> tuple[str, Mapping[str, Any]]:
    found = net.spec
    assert isinstance(found, Spec)
    return found.factory.partition(":")[2], found.arguments


def saved(folder: Path, name: str, weights: Mapping[str, Any], **options: Any) -> Path:
    torch.save(dict(weights), folder / name, **options)
    return folder / name


def converted(tmp_path: Path, weights: Mapping[str, Any], converter: str = "cyclegan") -> nn.Module:
    """Through the file and the model folder, as ``i2i convert`` and ``i2i.load``."""
    convert_files(converter, [saved(tmp_path, "latest_net_G.pth", weights)], tmp_path / "model")
    return i2i.load(tmp_path / "model")


@pytest.mark.parametrize(
    ("norm", "blocks", "layout", "padding", "dropout"),
    [
        ("instance", 6, (1, 5), "reflect", 0.0),
        ("instance", 9, (1, 5), "reflect", 0.0),
        ("instance", 2, (1, 6), "reflect", 0.5),
        ("batch", 2, (1, 5), "reflect", 0.0),
        ("batch", 2, (1, 6), "reflect", 0.5),
        ("none", 1, (1, 5), "reflect", 0.0),
        ("instance", 2, (0, 3), "zero", 0.0),
        ("batch", 1, (0, 4), "zero", 0.5),
        ("instance", 0, (1, 5), "reflect", 0.0),
    ],
)
def test_a_resnet_computes_what_the_authors_does(tmp_path, norm, blocks, layout, padding, dropout):
    w, x = resnet_file(3, blocks, norm, layout, (3, 2)), noise(2, 3, 16, 20)
    net = converted(tmp_path, w)
    name, arguments = spec(net)
    assert name == "resnet_generator"
    wanted = {"in_channels": 3, "out_channels": 2, "base_width": 3, "blocks": blocks, "downs": 2, "norm": norm}
    assert arguments == arguments | wanted | {"padding": padding, "dropout": dropout}
    torch.testing.assert_close(net(x).image, resnet(w, x, norm, blocks, layout), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("norm", "downs"), [("batch", 5), ("instance", 5), ("none", 5), ("batch", 7), ("instance", 6)])
def test_a_unet_computes_what_the_authors_does(tmp_path, norm, downs):
    w, x = unet_file(2, downs, norm, (4, 3)), noise(1, 4, 2**downs, 2**downs)
    net = converted(tmp_path, w, "pix2pix")
    name, arguments = spec(net)
    assert name == "unet_generator"
    wanted = {"in_channels": 4, "out_channels": 3, "base_width": 2, "downs": downs, "norm": norm}
    assert arguments == arguments | wanted | {"dropout": 0.5 if downs >= 6 else 0.0}
    torch.testing.assert_close(net(x).image, unet(w, x, norm, downs), rtol=0, atol=1e-6)


def test_dropout_of_a_unet_is_that_of_its_authors_method(tmp_path):
    w = unet_file(1, 6)
    assert spec(cyclegan(w, "x.pth")["x"])[1]["dropout"] == 0.0
    assert spec(pix2pix(w, "x.pth")["x"])[1]["dropout"] == 0.5
    assert spec(pix2pix(resnet_file(), "x.pth")["x"])[1]["dropout"] == 0.0  # seen in the keys


@pytest.mark.parametrize(
    ("norm", "layers"), [("instance", 3), ("batch", 3), ("none", 3), ("instance", 1), ("batch", 5)]
)
def test_a_patch_discriminator_computes_what_the_authors_does(tmp_path, norm, layers):
    w, x = patch_file(2, layers, norm, 6), noise(1, 6, 96, 96)
    net = converted(tmp_path, w, "pix2pix")
    name, arguments = spec(net)
    assert name == "patch_discriminator"
    assert arguments == arguments | {"in_channels": 6, "base_width": 2, "layers": layers, "norm": norm}
    torch.testing.assert_close(net(x).logits[0], patch(w, x, norm, layers), rtol=0, atol=1e-6)


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
def test_a_pixel_discriminator_computes_what_the_authors_does(tmp_path, norm):
    w, x = pixel_file(2, norm, 6), noise(1, 6, 8, 8)
    net = converted(tmp_path, w, "pix2pix")
    name, arguments = spec(net)
    assert name == "pixel_discriminator"
    assert arguments == arguments | {"in_channels": 6, "base_width": 2, "norm": norm}
    torch.testing.assert_close(net(x).logits[0], pixel(w, x, norm), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("weights", "parameters"),
    [
        (lambda: resnet_file(64, 9, device="meta"), 11_378_179),
        (lambda: resnet_file(64, 6, device="meta"), 7_837_699),
        (lambda: resnet_file(64, 9, "batch", device="meta"), 11_383_427),
        (lambda: unet_file(64, 8, device="meta"), 54_413_955),
        (lambda: unet_file(64, 8, "instance", device="meta"), 54_409_603),
        (lambda: unet_file(64, 7, device="meta"), 41_828_995),
        (lambda: patch_file(64, device="meta"), 2_764_737),
        (lambda: patch_file(64, norm="batch", device="meta"), 2_765_633),
        (lambda: patch_file(64, norm="batch", channels=6, device="meta"), 2_768_705),
        (lambda: pixel_file(64, device="meta"), 8_705),
    ],
)
def test_files_of_real_size_have_the_published_number_of_parameters(
    weights: Callable[[], Weights], parameters: int
) -> None:
    assert sum(parameter.numel() for parameter in network(weights()).parameters()) == parameters


def with_old_statistics(w: Weights) -> Weights:
    """Instance norm of old versions of PyTorch saved statistics that nothing reads."""
    old = dict(w)
    for key in ("model.2", "model.10.conv_block.2"):
        old |= {f"{key}.running_mean": torch.ones(3), f"{key}.running_var": torch.ones(3)}
        old[f"{key}.num_batches_tracked"] = torch.tensor(0)
    return old


def test_statistics_of_an_old_instance_norm_are_dropped(tmp_path):
    w = resnet_file()
    assert converted(tmp_path, with_old_statistics(w)).state_dict().keys() == w.keys()


def test_an_old_batch_norm_gets_the_counter_that_it_lacks(tmp_path):
    w = unet_file()
    net = converted(tmp_path, {key: value for key, value in w.items() if not key.endswith("num_batches_tracked")})
    counters = {key: int(value) for key, value in net.state_dict().items() if key.endswith("num_batches_tracked")}
    assert counters == {key: 0 for key in w if key.endswith("num_batches_tracked")}
    x = noise(1, 3, 32, 32)
    torch.testing.assert_close(net(x).image, unet(w, x, "batch", 5), rtol=0, atol=1e-6)


def test_weights_can_be_trained_on(tmp_path):
    net = converted(tmp_path, resnet_file())
    net(noise(1, 3, 16, 16)).image.sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_a_colourisation_gives_colours_to_the_lightness_of_a_photograph(tmp_path):
    w, lab = unet_file(channels=(1, 2)), color.rgb2lab(data.astronaut()[:32, :32])
    w["model.model.3.weight"] *= 0.1  # mild colours, which RGB has
    made = unet(w, torch.from_numpy(lab[None, None, ..., 0]).float() / 50 - 1, "batch", 5)[0] * 110
    expected = color.lab2rgb(np.dstack((lab[..., :1], made.permute(1, 2, 0).double().numpy()))) * 255
    assert np.abs(expected - color.lab2rgb(lab * (1, 0, 0)) * 255).max() > 20  # far from grey
    Image.fromarray(data.astronaut()[:32, :32]).save(tmp_path / "photo.png")
    convert_files("pix2pix", [saved(tmp_path, "latest_net_G.pth", w)], tmp_path / "model")
    translate_files(i2i.load(tmp_path / "model"), [tmp_path / "photo.png"], tmp_path / "out")
    with Image.open(tmp_path / "out" / "photo.png") as image:
        assert np.abs(np.asarray(image) - expected).max() <= 1


def test_colourisation_reads_lightness_and_makes_chroma():
    net = network(unet_file(channels=(1, 2)))
    assert (net.reads, net.writes) == (
        PixelFormat(channels=1, colours="lightness"),
        PixelFormat(channels=2, colours="chroma"),
    )
    assert not hasattr(network(patch_file(channels=1)), "writes")


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("latest_net_G_A.pth", "a2b"),
        ("200_net_G_B.pth", "b2a"),
        ("iter_5000_net_D_A.pth", "d_b"),  # the authors' D_A judges domain B
        ("latest_net_D_B.pth", "d_a"),
        ("latest_net_G.pth", "a2b"),
        ("latest_net_D.pth", "d"),
        ("net_G_A.pt", "a2b"),
        ("horse2zebra.pth", "horse2zebra"),
        ("my net (1).pth", "my-net-1"),
        ("subnet_G_A.pth", "subnet_G_A"),
        ("...pth", "model"),
    ],
)
def test_keys_come_from_the_authors_names(name: str, key: str) -> None:
    assert key_of(name) == key


def test_both_directions_and_their_judges(tmp_path):
    files = {"G_A": resnet_file(1, 1), "G_B": unet_file(1), "D_A": patch_file(1), "D_B": pixel_file(1)}
    paths = [saved(tmp_path, f"latest_net_{name}.pth", weights) for name, weights in files.items()]
    found = convert_files("cyclegan", paths, tmp_path / "models")
    assert [model.folder.name for model in found] == ["a2b", "b2a", "d_b", "d_a"]
    assert [spec(i2i.load(model.folder))[0].split("_")[0] for model in found] == ["resnet", "unet", "patch", "pixel"]


def test_a_file_of_the_old_format_with_wrapper_and_prefix(tmp_path):
    w, x = resnet_file(), noise(1, 3, 16, 16)
    nested = {"epoch": 3, "state_dict": {f"module.{key}": value for key, value in w.items()}}
    path = saved(tmp_path, "old.pth", nested, _use_new_zipfile_serialization=False)
    convert_files("cyclegan", [path], tmp_path / "model")
    torch.testing.assert_close(i2i.load(tmp_path / "model")(x).image, resnet(w, x, "instance", 2), rtol=0, atol=1e-6)


def without(w: Weights, *keys: str) -> Weights:
    return {key: value for key, value in w.items() if key not in keys}


def tensors(*keys: str) -> Weights:
    return {key: torch.zeros(2, 2) for key in keys}


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (
            tensors("features.0.weight", "b"),
            r"holds no network of .* found 2 entries: 'features.0.weight' \[2, 2\], 'b'",
        ),
        (tensors("model.1.weight"), "holds no network of the CycleGAN and pix2pix authors"),
        (resnet_file() | tensors("model.7.filt"), "holds a network of CUT with blurred down- and upsampling, not"),
        (tensors("mlp_0.0.weight"), "the projection heads of CUT"),
        (tensors("DownBlock.1.weight"), "a generator of U-GAT-IT"),
        (tensors("scale0_layer0.0.weight"), "a discriminator of pix2pixHD"),
        (tensors("head.conv.weight"), "a network of SinGAN"),
        (
            without(resnet_file(), "model.4.bias"),
            r"does not fit resnet_generator: model.4.bias \[6\] is missing; \d+ entries",
        ),
        (
            without(resnet_file(), "model.15.weight"),
            r"does not fit resnet_generator: model\.\S+ \[\d.*\] is missing; \d+ e",
        ),
        (resnet_file() | tensors("extra"), r"does not fit resnet_generator: 'extra' \[2, 2\] belongs to nothing in it"),
        (resnet_file(layout=(2, 7)), r"model.10.conv_block.1.weight \[12, 12, 3, 3\] is missing"),
        (
            resnet_file() | {"model.4.weight": torch.zeros(6, 3, 5, 5)},
            r"model.4.weight should be \[6, 3, 3, 3\], not \[6, 3, 5, 5\]",
        ),
        (
            resnet_file(norm="none") | tensors("model.2.running_mean"),
            "'model.2.running_mean' .* belongs to nothing in it",
        ),
        (without(resnet_file(norm="batch"), "model.2.running_var"), "model.2.running_var .* is missing"),
        ({"model.1.weight": torch.zeros(2, 3, 7, 7)}, r"holds a net that cannot be built: downs \(=-1\)"),
        (without(unet_file(), "model.model.3.weight"), "looks like a U-Net generator, but model.model.3.weight"),
        ({"model.0.weight": torch.zeros(2, 3, 4, 4)}, r"cannot be built: layers \(=-1\)"),
        (without(patch_file(), "model.11.bias"), r"does not fit patch_discriminator: model.11.bias \[1\]"),
        (without(pixel_file(), "net.5.weight"), "does not fit pixel_discriminator: net.5.weight"),
    ],
)
def test_files_that_hold_something_else(weights: Weights, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        cyclegan(weights, "latest_net_G.pth")
    assert "\n" not in str(caught.value)
