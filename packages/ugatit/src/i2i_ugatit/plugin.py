"""What i2i-ugatit registers."""

from __future__ import annotations

from i2i.hookspecs import App, RegisterConverter, RegisterPart, RegisterRecipe, hookimpl


@hookimpl
def register_parts(register: RegisterPart) -> None:
    """Register the networks, the layers that others can reuse, and the term."""
    register("ugatit/cam_generator", "i2i_ugatit.generators:cam_generator", kind="generator")
    register("ugatit/cam_discriminator", "i2i_ugatit.discriminators:cam_discriminator", kind="discriminator")
    attended = "i2i_ugatit.attended"
    register("ugatit/attended_generator", f"{attended}:attended_generator", kind="generator")
    register("ugatit/attended_discriminator", f"{attended}:attended_discriminator", kind="discriminator")
    register("ugatit/cam_loss", "i2i_ugatit.terms:cam_loss", kind="term")
    register("ugatit/cam_head", "i2i_ugatit.cam:cam_head", kind="layer")
    register("ugatit/adailn", "i2i_ugatit.adalin:adailn", kind="layer")
    register("ugatit/iln", "i2i_ugatit.adalin:iln", kind="layer")


@hookimpl
def register_recipes(register: RegisterRecipe) -> None:
    """Register the recipe and its demo."""
    here = "i2i_ugatit"
    register("ugatit", f"{here}.settings:Settings", f"{here}.recipe:build", demo=f"{here}.demo:demo")


@hookimpl
def register_commands(app: App) -> None:
    """Register what prepares data, and what shows attention."""
    here = "i2i_ugatit.commands"
    app.command("faces", f"{here}.faces:faces", help="cut faces out of pictures into a data set")
    app.command("attention", f"{here}.attention:attention", help="show where a model looks")


@hookimpl
def register_converters(register: RegisterConverter) -> None:
    """Register what reads the authors' checkpoints."""
    help = "the authors' checkpoint of six networks (*_params_*.pt), and the generators of the article"
    register("ugatit", "i2i_ugatit.convert:convert", help=help)
