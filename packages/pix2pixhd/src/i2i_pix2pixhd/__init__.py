"""pix2pixHD for i2i: photographs from label maps. Names are imported when they are first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from i2i_pix2pixhd.conditions import boundaries
    from i2i_pix2pixhd.editing import Editor
    from i2i_pix2pixhd.encoder import feature_encoder, instance_mean
    from i2i_pix2pixhd.generators import enhanced, global_generator, local_enhancer
    from i2i_pix2pixhd.multiscale import multiscale_discriminator
    from i2i_pix2pixhd.recipe import build
    from i2i_pix2pixhd.scene import SceneGenerator, scene_generator, whole_scene
    from i2i_pix2pixhd.settings import Settings
    from i2i_pix2pixhd.styles.clusters import Styles
    from i2i_pix2pixhd.terms import feature_matching, perceptual
    from i2i_pix2pixhd.vgg import vgg19

_HOMES = {
    "Editor": "editing",
    "SceneGenerator": "scene",
    "Settings": "settings",
    "Styles": "styles.clusters",
    "boundaries": "conditions",
    "build": "recipe",
    "enhanced": "generators",
    "feature_encoder": "encoder",
    "feature_matching": "terms",
    "global_generator": "generators",
    "instance_mean": "encoder",
    "local_enhancer": "generators",
    "multiscale_discriminator": "multiscale",
    "perceptual": "terms",
    "scene_generator": "scene",
    "vgg19": "vgg",
    "whole_scene": "scene",
}

__all__ = [
    "Editor",
    "SceneGenerator",
    "Settings",
    "Styles",
    "boundaries",
    "build",
    "enhanced",
    "feature_encoder",
    "feature_matching",
    "global_generator",
    "instance_mean",
    "local_enhancer",
    "multiscale_discriminator",
    "perceptual",
    "scene_generator",
    "vgg19",
    "whole_scene",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'i2i_pix2pixhd' has no attribute {name!r}")
    return getattr(import_module(f"i2i_pix2pixhd.{_HOMES[name]}"), name)
