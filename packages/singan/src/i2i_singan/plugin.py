"""What i2i-singan registers."""

from __future__ import annotations

from i2i.hookspecs import App, RegisterConverter, RegisterPart, RegisterRecipe, hookimpl


@hookimpl
def register_parts(register: RegisterPart) -> None:
    """Register the networks."""
    register("singan/scale_generator", "i2i_singan.networks:scale_generator", kind="generator")
    register("singan/scale_discriminator", "i2i_singan.networks:scale_discriminator", kind="discriminator")
    register("singan/pyramid_generator", "i2i_singan.model:pyramid_generator", kind="generator")


@hookimpl
def register_recipes(register: RegisterRecipe) -> None:
    """Register the recipe."""
    register("singan", "i2i_singan.settings:Settings", "i2i_singan.recipe:build", demo="i2i_singan.demo:demo")


@hookimpl
def register_commands(app: App) -> None:
    """Register the applications."""
    here = "i2i_singan.commands"
    app.command("sample", f"{here}.sample:sample", help="new images of the kind of the photograph, of any size")
    app.command("reconstruct", f"{here}.sample:reconstruct", help="the photograph as the model knows it")
    app.command("animate", f"{here}.sample:animate", help="a film of one photograph")
    app.command("super-resolve", f"{here}.super_resolve:super_resolve", help="enlarge the photograph")
    app.command("paint", f"{here}.compose:paint", help="turn a painting into a picture like the photograph")
    app.command("edit", f"{here}.compose:edit", help="make an edited photograph look whole")
    app.command("harmonize", f"{here}.compose:harmonize", help="fit a pasted object into the photograph")
    app.command("score", f"{here}.score:score", help="SIFID and diversity of samples")
    app.command("train-each", f"{here}.train_each:train_each", help="one model for each image of a folder")


@hookimpl
def register_converters(register: RegisterConverter) -> None:
    """Register the authors' folders."""
    register("singan", "i2i_singan.convert:singan", help="TrainedModels/<name>/<options> of the authors", folders=True)
