"""Entries: what is registered is checked when it is used."""

from __future__ import annotations

import pytest

from i2i.entries import Part, Table
from i2i.errors import PluginError
from i2i.registry import part, recipe

RECIPE = """
import i2i
@i2i.hookimpl
def register_recipes(register): register("odd", "odd_code:Settings", "odd_code:build")
"""


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("Settings = 3", "must be an attrs class, not 3"),
        (
            "@attrs.frozen\nclass Settings:\n    seed: int = 3",
            r"Settings.seed of recipe 'odd' of x-odd repeats RunSettings.seed",
        ),
        ("@attrs.frozen\nclass Settings:\n    config: int = 3", "repeats --config"),
        ("@attrs.frozen\nclass Settings:\n    width: int", r"Settings.width of .* needs a default"),
    ],
)
def test_settings_of_a_recipe_are_checked_on_use(install, settings, message):
    install("odd", "x-odd", odd_plugin=RECIPE, odd_code=f"import attrs\n{settings}\n")
    with pytest.raises(PluginError, match=message):
        recipe("odd").settings()


def test_what_cannot_be_imported_names_the_distribution(install):
    hook = "import i2i\n@i2i.hookimpl\ndef register_parts(register): register('odd/x', 'odd_code:f', kind='term')\n"
    install("odd", "x-odd", odd_plugin=hook, odd_code="1 / 0\n")
    with pytest.raises(PluginError, match="odd_code:f of x-odd cannot be imported: ZeroDivisionError"):
        part("odd/x").load()


def test_a_recipe_without_a_demo_says_so(install):
    install("odd", "x-odd", odd_plugin=RECIPE)
    with pytest.raises(PluginError, match="recipe 'odd' of x-odd has no demo"):
        recipe("odd").demo()


def test_a_table_knows_who_registered_what():
    table: Table[Part] = Table("part")
    table.add(Part("a/x", "m:x", "layer", "one"))
    table.add(Part("a/b", "m:b", "layer", "one"))
    table.add(Part("a/x", "m:y", "layer", "two"))
    assert table.names() == ["a/b"]
    assert table.find("a/c") is None
    assert table.conflicts() == ["part 'a/x' is registered by one and two; uninstall one of them"]
    with pytest.raises(PluginError, match="part 'a/b' is registered twice by one"):
        table.add(Part("a/b", "m:z", "layer", "one"))
