"""SinGAN for i2i: a generative model of one photograph. Names are imported when they are first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from i2i_singan.model import PyramidGenerator, pyramid_generator
    from i2i_singan.networks import scale_discriminator, scale_generator
    from i2i_singan.pyramid import Pyramid, levels, plan
    from i2i_singan.recipe import build
    from i2i_singan.resize import resize
    from i2i_singan.settings import Settings

_HOMES = {
    "Pyramid": "pyramid",
    "PyramidGenerator": "model",
    "Settings": "settings",
    "build": "recipe",
    "levels": "pyramid",
    "plan": "pyramid",
    "pyramid_generator": "model",
    "resize": "resize",
    "scale_discriminator": "networks",
    "scale_generator": "networks",
}

__all__ = [
    "Pyramid",
    "PyramidGenerator",
    "Settings",
    "build",
    "levels",
    "plan",
    "pyramid_generator",
    "resize",
    "scale_discriminator",
    "scale_generator",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'i2i_singan' has no attribute {name!r}")
    return getattr(import_module(f"i2i_singan.{_HOMES[name]}"), name)
