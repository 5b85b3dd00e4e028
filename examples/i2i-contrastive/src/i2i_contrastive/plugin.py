"""What this plugin registers; the only file that knows i2i's hooks."""

from __future__ import annotations

import i2i
from i2i.hookspecs import RegisterPart, RegisterRecipe


@i2i.hookimpl
def register_parts(register: RegisterPart) -> None:
    """Register the term and the layer of the method."""
    register("contrastive/patch_nce", "i2i_contrastive.terms:patch_nce", kind="term")
    register("contrastive/projection_head", "i2i_contrastive.heads:projection_head", kind="layer")


@i2i.hookimpl
def register_recipes(register: RegisterRecipe) -> None:
    """Register what ``i2i train contrastive`` trains."""
    register("contrastive", "i2i_contrastive.settings:Settings", "i2i_contrastive.recipe:build")
