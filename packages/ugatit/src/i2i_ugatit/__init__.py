"""U-GAT-IT for i2i: attention, adaptive norms, networks, the recipe. Names are imported when they are first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from i2i_ugatit.adalin import ILN, AdaILN, adailn, iln
    from i2i_ugatit.attended import attended_discriminator, attended_generator
    from i2i_ugatit.attention import look
    from i2i_ugatit.cam import cam_head
    from i2i_ugatit.discriminators import cam_discriminator
    from i2i_ugatit.generators import cam_generator
    from i2i_ugatit.heatmaps import overlay, peak
    from i2i_ugatit.recipe import build
    from i2i_ugatit.settings import Settings
    from i2i_ugatit.spectral import SpectralConv2d, SpectralLinear, SpectralNorm
    from i2i_ugatit.terms import cam_loss, cam_verdict, clip_rho

_HOMES = {
    "ILN": "adalin",
    "AdaILN": "adalin",
    "Settings": "settings",
    "SpectralConv2d": "spectral",
    "SpectralLinear": "spectral",
    "SpectralNorm": "spectral",
    "adailn": "adalin",
    "attended_discriminator": "attended",
    "attended_generator": "attended",
    "build": "recipe",
    "cam_discriminator": "discriminators",
    "cam_generator": "generators",
    "cam_head": "cam",
    "cam_loss": "terms",
    "cam_verdict": "terms",
    "clip_rho": "terms",
    "iln": "adalin",
    "look": "attention",
    "overlay": "heatmaps",
    "peak": "heatmaps",
}

__all__ = [
    "ILN",
    "AdaILN",
    "Settings",
    "SpectralConv2d",
    "SpectralLinear",
    "SpectralNorm",
    "adailn",
    "attended_discriminator",
    "attended_generator",
    "build",
    "cam_discriminator",
    "cam_generator",
    "cam_head",
    "cam_loss",
    "cam_verdict",
    "clip_rho",
    "iln",
    "look",
    "overlay",
    "peak",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'i2i_ugatit' has no attribute {name!r}")
    return getattr(import_module(f"i2i_ugatit.{_HOMES[name]}"), name)
