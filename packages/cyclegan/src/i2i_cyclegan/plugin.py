"""What i2i-cyclegan registers."""

from __future__ import annotations

from i2i.hookspecs import RegisterPart, RegisterRecipe, hookimpl


@hookimpl
def register_parts(register: RegisterPart) -> None:
    """Register the networks."""
    register("cyclegan/resnet_generator", "i2i_cyclegan.generators:resnet_generator", kind="generator")
    register("cyclegan/unet_generator", "i2i_cyclegan.generators:unet_generator", kind="generator")
    register("cyclegan/patch_discriminator", "i2i_cyclegan.discriminators:patch_discriminator", kind="discriminator")


@hookimpl
def register_recipes(register: RegisterRecipe) -> None:
    """Register the recipe and its demo."""
    register("cyclegan", "i2i_cyclegan.settings:Settings", "i2i_cyclegan.recipe:build", demo="i2i_cyclegan.demo:demo")
