"""``i2i demo``."""

from __future__ import annotations

from pathlib import Path

from i2i.errors import PluginError, SettingsError
from i2i.nearest import nearest
from i2i.registry import registry


def demo(
    recipe: str | None = None, /, *, out: Path, seed: int = 0, steps: int | None = None, resume: bool = False
) -> None:
    """Train a recipe on photographs that come along with Python packages, and say how well it does.

    Args:
        recipe: which one; the first that has a demo when left out.
        out: folder of the demo.
        seed: one seed gives the same demo again on the CPU.
        steps: batches to train, for a shorter or longer demo than is made.
        resume: go on with the demo in --out.
    """
    demos = {entry.name: entry for entry in registry().tables.recipes.all() if entry.demo_reference}
    if not demos:
        raise PluginError("no installed recipe has a demo; pip install 'i2i-cyclegan[demo]'")
    name = recipe or min(demos)
    if name not in demos:
        raise SettingsError(f"no demo of a recipe {name!r}; {nearest(name, demos)}")
    if not 0 <= seed < 2**32:
        raise SettingsError(f"seed (={seed}) must lie between 0 and {2**32 - 1}")
    if steps is not None and steps < 1:
        raise SettingsError(f"steps (={steps}) must be at least 1")
    demos[name].demo()(out.expanduser().absolute(), seed, steps, resume)
