"""What i2i-pix2pixhd registers."""

from __future__ import annotations

from i2i.hookspecs import App, RegisterConverter, RegisterPart, RegisterRecipe, hookimpl


@hookimpl
def register_parts(register: RegisterPart) -> None:
    """Register the networks and terms."""
    register("pix2pixhd/global_generator", "i2i_pix2pixhd.generators:global_generator", kind="generator")
    register("pix2pixhd/local_enhancer", "i2i_pix2pixhd.generators:local_enhancer", kind="generator")
    register("pix2pixhd/feature_encoder", "i2i_pix2pixhd.encoder:feature_encoder", kind="generator")
    register("pix2pixhd/scene_generator", "i2i_pix2pixhd.scene:scene_generator", kind="generator")
    multiscale = "i2i_pix2pixhd.multiscale:multiscale_discriminator"
    register("pix2pixhd/multiscale_discriminator", multiscale, kind="discriminator")
    register("pix2pixhd/feature_matching", "i2i_pix2pixhd.terms:feature_matching", kind="term")
    register("pix2pixhd/perceptual", "i2i_pix2pixhd.terms:perceptual", kind="term")


@hookimpl
def register_recipes(register: RegisterRecipe) -> None:
    """Register the recipe and its demo."""
    here = "i2i_pix2pixhd"
    register("pix2pixhd", f"{here}.settings:Settings", f"{here}.recipe:build", demo=f"{here}.demo:demo")


@hookimpl
def register_commands(app: App) -> None:
    """Register styles, generation and editing."""
    here = "i2i_pix2pixhd.commands"
    app.command("encode", f"{here}.encode:encode", help="find the styles of the objects in training images")
    app.command("generate", f"{here}.generate:generate", help="images from label maps, with styles")
    app.command("edit", f"{here}.edit:edit", help="change a scene step by step, as a script says")


@hookimpl
def register_converters(register: RegisterConverter) -> None:
    """Register what reads the authors' checkpoints."""
    help = "networks of the pix2pixHD authors (*_net_G.pth, *_net_E.pth, *_net_D.pth)"
    register("pix2pixhd", "i2i_pix2pixhd.convert:convert", help=help, together=True)
