"""The networks that the settings name: registered parts of any plugin, and which of their layers are compared."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import nn

from i2i import registry
from i2i.errors import SettingsError
from i2i.parts import Spec
from i2i_contrastive.features import INPUT, FeaturedGenerator
from i2i_contrastive.settings import Settings


class Probe(NamedTuple):
    """What is known of a generator before any memory is taken for it.

    Attributes:
        multiple: height and width of images must be multiples of it.
        layers: those whose features are compared.
        channels: of the features, layer by layer.
    """

    multiple: int
    layers: tuple[str, ...]
    channels: tuple[int, ...]


def make_generator(settings: Settings) -> nn.Module:
    """Build the generator that ``settings`` name."""
    channels = dict(zip(("in_channels", "out_channels"), settings.both_channels, strict=True))
    said = {name: getattr(settings, name) for name in ("base_width", "blocks", "downs", "norm")}
    return _make("generator", settings.generator, channels, {name: (name, value) for name, value in said.items()})


def make_discriminator(settings: Settings) -> nn.Module:
    """Build the discriminator that ``settings`` name."""
    said = {
        "discriminator_width": ("base_width", settings.discriminator_width),
        "discriminator_layers": ("layers", settings.discriminator_layers),
    }
    return _make("discriminator", settings.discriminator, {"in_channels": settings.both_channels[1]}, said)


def _make(setting: str, name: str, channels: Mapping[str, int], said: Mapping[str, tuple[str, object]]) -> nn.Module:
    part = registry.part(name)  # an error names what to install
    if part.kind != setting:
        raise SettingsError(f"{setting} (={name!r}) is a {part.kind}")
    factory = part.load()
    known = inspect.signature(factory).parameters
    arguments: dict[str, object] = {key: value for key, value in channels.items() if key in known}
    for field, (argument, value) in said.items():
        if value is None:
            continue
        if argument not in known:
            raise SettingsError(f"{field} (={value}): {name} has no such argument; it has {', '.join(known)}")
        arguments[argument] = value
    if needed := [
        key for key, parameter in known.items() if parameter.default is parameter.empty and key not in arguments
    ]:
        raise SettingsError(
            f"{setting} (={name!r}) also needs {', '.join(needed)}, which no setting says; take another part"
        )
    net: nn.Module = factory(**arguments)
    return net


def probe(settings: Settings) -> Probe:
    """Try the networks on the meta device: which sizes they accept, and what the layers make."""
    with torch.device("meta"):
        net = make_generator(settings)
        layers = settings.layers or default_layers(settings.generator, net)
        size = -(-settings.crop_size // multiple_of(net)) * multiple_of(net)
        image = torch.empty(1, settings.both_channels[0], size, size)
        featured = FeaturedGenerator(net, layers)
        made = featured(image)
        make_discriminator(settings)(made.image)
    channels = tuple(maps.shape[1] for maps in featured.features_of(made))
    return Probe(multiple_of(net), tuple(layers), channels)


def multiple_of(net: nn.Module) -> int:
    """Return what height and width of the images of a generator must be multiples of."""
    return int(getattr(net, "multiple", 1))


def default_layers(name: str, net: nn.Module) -> tuple[str, ...]:
    """Return the layers that are compared where nothing is said.

    In the ResNet generator they are those of the paper: the image, the halving convolutions, the first residual block
    and the middle one, the fifth of nine. In the U-Net the image and up to four halving convolutions. These names are
    those of the files of CycleGAN's authors.

    Raises:
        SettingsError: another generator; says which layers it has.
    """
    spec = getattr(net, "spec", None)
    arguments = spec.arguments if isinstance(spec, Spec) else {}
    if name == "cyclegan/resnet_generator":
        first = 4 + 3 * int(arguments["downs"])
        blocks = [first, first + (int(arguments["blocks"]) - 1) // 2] if arguments["blocks"] else []
        numbers = dict.fromkeys([*range(4, first, 3), *blocks])
        return (INPUT, *(f"model.{number}" for number in numbers))
    if name == "cyclegan/unet_generator":
        inner = ["model.model.1" + ".model.3" * level + ".model.1" for level in range(int(arguments["downs"]) - 1)]
        return (INPUT, "model.model.0", *inner[:3])
    convolutions = [module for module, layer in net.named_modules() if isinstance(layer, nn.Conv2d)]
    raise SettingsError(
        f"layers must be named for {name}, as in --layers {INPUT} {' '.join(convolutions[:4])}; "
        f"its convolutions are {', '.join(convolutions)}"
    )
