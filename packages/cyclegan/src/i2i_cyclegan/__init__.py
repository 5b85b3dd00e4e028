"""CycleGAN and pix2pix for i2i: networks, settings, recipes. Names are imported when they are first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from i2i_cyclegan.discriminators import patch_discriminator, pixel_discriminator
    from i2i_cyclegan.generators import resnet_generator, unet_generator
    from i2i_cyclegan.recipe import build
    from i2i_cyclegan.settings import Settings

_HOMES = {
    "Settings": "settings",
    "build": "recipe",
    "patch_discriminator": "discriminators",
    "pixel_discriminator": "discriminators",
    "resnet_generator": "generators",
    "unet_generator": "generators",
}

__all__ = ["Settings", "build", "patch_discriminator", "pixel_discriminator", "resnet_generator", "unet_generator"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'i2i_cyclegan' has no attribute {name!r}")
    return getattr(import_module(f"i2i_cyclegan.{_HOMES[name]}"), name)
