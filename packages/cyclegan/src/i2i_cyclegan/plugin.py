"""What i2i-cyclegan registers."""

from __future__ import annotations

from i2i.hookspecs import RegisterConverter, RegisterPart, RegisterRecipe, hookimpl


@hookimpl
def register_parts(register: RegisterPart) -> None:
    """Register the networks."""
    register("cyclegan/resnet_generator", "i2i_cyclegan.generators:resnet_generator", kind="generator")
    register("cyclegan/unet_generator", "i2i_cyclegan.generators:unet_generator", kind="generator")
    register("cyclegan/patch_discriminator", "i2i_cyclegan.discriminators:patch_discriminator", kind="discriminator")
    register("cyclegan/pixel_discriminator", "i2i_cyclegan.discriminators:pixel_discriminator", kind="discriminator")


@hookimpl
def register_recipes(register: RegisterRecipe) -> None:
    """Register the recipes and their demos."""
    register("cyclegan", "i2i_cyclegan.settings:Settings", "i2i_cyclegan.recipe:build", demo="i2i_cyclegan.demo:demo")
    pix2pix = "i2i_cyclegan.pix2pix"
    register("pix2pix", f"{pix2pix}.settings:Settings", f"{pix2pix}.recipe:build", demo=f"{pix2pix}.demo:demo")


@hookimpl
def register_converters(register: RegisterConverter) -> None:
    """Register what reads the authors' checkpoints."""
    register("cyclegan", "i2i_cyclegan.convert:cyclegan", help="networks of the CycleGAN authors (*_net_G_A.pth, ...)")
    register("pix2pix", "i2i_cyclegan.convert:pix2pix", help="networks of the pix2pix authors (*_net_G.pth, ...)")
