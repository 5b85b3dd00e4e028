from __future__ import annotations

import pytest
import torch
from i2i_contrastive.features import FeaturedGenerator
from i2i_contrastive.networks import default_layers, make_discriminator, make_generator, probe
from i2i_contrastive.settings import Settings
from torch import nn

from i2i.errors import DataError, PluginError, SettingsError

SMALL = {"crop_size": 32, "base_width": 2, "discriminator_width": 2, "discriminator_layers": 1}
UNET = {"generator": "cyclegan/unet_generator", "downs": 5}


def test_the_layers_of_the_paper_in_the_resnet_of_the_paper() -> None:
    settings = Settings(base_width=2)
    net = make_generator(settings)
    layers = default_layers(settings.generator, net)
    halving = [name for name, layer in net.named_modules() if isinstance(layer, nn.Conv2d) and layer.stride == (2, 2)]
    blocks = [name for name, layer in net.named_modules() if type(layer).__name__ == "ResidualBlock"]
    assert (len(halving), len(blocks)) == (2, 9)
    assert layers == ("input", *halving, blocks[0], blocks[4])
    image = torch.rand(1, 3, 16, 16)
    maps = FeaturedGenerator(net, layers).features(image)
    sequence = next(layer for layer in net.modules() if isinstance(layer, nn.Sequential))
    for found, layer in zip(maps[1:], layers[1:], strict=True):
        torch.testing.assert_close(found, sequence[: int(layer.removeprefix("model.")) + 1](image))


@pytest.mark.parametrize(
    ("given", "layers", "channels"),
    [
        ({"blocks": 6}, ("input", "model.4", "model.7", "model.10", "model.12"), (3, 4, 8, 8, 8)),
        ({"blocks": 1, "downs": 1}, ("input", "model.4", "model.7"), (3, 4, 4)),
        ({"blocks": 0}, ("input", "model.4", "model.7"), (3, 4, 8)),
        ({"blocks": 1, "channels_a": 1}, ("input", "model.4", "model.7", "model.10"), (1, 4, 8, 8)),
        ({"layers": ("model.1",)}, ("model.1",), (2,)),
    ],
)
def test_layers_and_their_channels(
    given: dict[str, object], layers: tuple[str, ...], channels: tuple[int, ...]
) -> None:
    found = probe(Settings(**SMALL | given))
    assert (found.layers, found.channels) == (layers, channels)


def test_the_halvings_of_a_unet() -> None:
    found = probe(Settings(**SMALL | UNET))
    assert (found.multiple, found.channels) == (32, (3, 2, 4, 8, 16))
    net = make_generator(Settings(**SMALL | UNET))
    sizes = [maps.shape[-1] for maps in FeaturedGenerator(net, found.layers).features(torch.zeros(2, 3, 32, 32))]
    assert sizes == [32, 16, 8, 4, 2]


def test_any_registered_part_can_be_taken() -> None:
    pytest.importorskip("i2i_ugatit")
    given = {"generator": "ugatit/cam_generator", "blocks": 1, "layers": ("input", "encoder.5")}
    assert probe(Settings(**SMALL | given)).channels == (3, 4)


def test_channels_of_both_domains() -> None:
    settings = Settings(**SMALL | {"blocks": 1, "channels_a": 1, "channels_b": 2})
    made = make_generator(settings)(torch.zeros(1, 1, 8, 8)).image
    assert made.shape == (1, 2, 8, 8)
    make_discriminator(settings)(made)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"generator": "nowhere/net"}, PluginError, "pip install i2i-nowhere"),
        ({"generator": "cyclegan/patch_discriminator"}, SettingsError, "is a discriminator"),
        (
            {"generator": "ugatit/attended_generator", "base_width": None},
            SettingsError,
            "also needs net, at, channels, which",
        ),
        (
            UNET | {"blocks": 3},
            SettingsError,
            r"blocks \(=3\): cyclegan/unet_generator has no such argument; it has .*downs",
        ),
        ({"generator": "ugatit/cam_generator"}, SettingsError, "layers must be named .* as in --layers input encoder"),
        ({"layers": ("model.99",)}, SettingsError, "'model.99'"),
        ({"discriminator_layers": 5}, DataError, "at least 96"),
    ],
)
def test_mistakes(given: dict[str, object], error: type[Exception], message: str) -> None:
    if str(given.get("generator")).startswith("ugatit/"):
        pytest.importorskip("i2i_ugatit")
    with pytest.raises(error, match=message):
        probe(Settings(**SMALL | given))
