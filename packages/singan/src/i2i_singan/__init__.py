"""SinGAN for i2i: a generative model of one photograph. Names are imported when they are first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from i2i_singan.apps.animate import animate
    from i2i_singan.apps.paint import edit, harmonize, paint
    from i2i_singan.apps.super_resolve import super_resolve
    from i2i_singan.model import PyramidGenerator, Scale, pyramid_generator
    from i2i_singan.networks import scale_discriminator, scale_generator
    from i2i_singan.pyramid import Pyramid, levels, plan
    from i2i_singan.recipe import build
    from i2i_singan.sampling import generate, reconstruct, samples
    from i2i_singan.scales import begin_scale, scale_image, scale_noises
    from i2i_singan.settings import Settings

_HOMES = {
    "Pyramid": "pyramid",
    "PyramidGenerator": "model",
    "Scale": "model",
    "Settings": "settings",
    "animate": "apps.animate",
    "begin_scale": "scales",
    "build": "recipe",
    "edit": "apps.paint",
    "generate": "sampling",
    "harmonize": "apps.paint",
    "levels": "pyramid",
    "paint": "apps.paint",
    "plan": "pyramid",
    "pyramid_generator": "model",
    "reconstruct": "sampling",
    "samples": "sampling",
    "scale_discriminator": "networks",
    "scale_generator": "networks",
    "scale_image": "scales",
    "scale_noises": "scales",
    "super_resolve": "apps.super_resolve",
}

__all__ = [
    "Pyramid",
    "PyramidGenerator",
    "Scale",
    "Settings",
    "animate",
    "begin_scale",
    "build",
    "edit",
    "generate",
    "harmonize",
    "levels",
    "paint",
    "plan",
    "pyramid_generator",
    "reconstruct",
    "samples",
    "scale_discriminator",
    "scale_generator",
    "scale_image",
    "scale_noises",
    "super_resolve",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'i2i_singan' has no attribute {name!r}")
    return getattr(import_module(f"i2i_singan.{_HOMES[name]}"), name)
