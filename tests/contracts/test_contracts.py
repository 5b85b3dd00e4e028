"""Everything that is registered keeps the promises of its kind, and every plugin of ours those of all plugins."""

from __future__ import annotations

import pytest

import i2i.testing as kit
from i2i.registry import registry

PARTS = registry().tables.parts.all()
RECIPES = registry().tables.recipes.all()
OURS = ("core", "cyclegan", "pix2pixhd", "singan", "ugatit")
# What cannot be checked, and why not: a promise that is skipped for another reason is one that nobody looks at.
SKIPPED = {
    "core": {("imports", "public names")},
    "cyclegan": {("cyclegan/unet_generator", "samples apart (train mode)")},
    "pix2pixhd": set(),
    "singan": {
        ("singan/pyramid_generator", "any size"),
        ("singan/scale_generator", "any size"),
        ("recipe singan", "evaluation"),
    },
    "ugatit": {
        ("ugatit/attended_discriminator", "samples apart (train mode)"),
        ("ugatit/cam_discriminator", "samples apart (train mode)"),
    },
}


@pytest.mark.parametrize("plugin", OURS)
def test_plugin_keeps_its_contract(plugin):
    report = kit.check_plugin(plugin)
    assert {(outcome.item, outcome.promise) for outcome in report.of("skipped")} == SKIPPED[plugin]
    entries = (*registry().tables.parts.all(), *registry().tables.recipes.all())
    own = {entry.name for entry in entries if entry.distribution == f"i2i-{plugin}"}
    assert own
    assert own <= {outcome.item.removeprefix("recipe ") for outcome in report.outcomes}


def test_something_is_registered():
    assert {entry.kind for entry in PARTS} >= {"generator", "discriminator", "criterion", "term", "schedule", "layer"}
    assert {entry.name for entry in RECIPES} == {"cyclegan", "pix2pix", "pix2pixhd", "singan", "ugatit"}
