from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from torch import nn

from i2i.errors import SettingsError
from i2i.parts import Spec
from i2i_cyclegan.networks import make_discriminator, make_generator
from i2i_cyclegan.settings import GanSettings


def built(net: nn.Module) -> tuple[str, Mapping[str, Any]]:
    spec: Any = net.spec
    assert isinstance(spec, Spec)
    return spec.factory.partition(":")[2], spec.arguments


@pytest.mark.parametrize(("kind", "downs"), [("resnet", 2), ("unet", 8)])
def test_halvings_that_are_left_out_are_the_authors(kind: Any, downs: int) -> None:
    name, arguments = built(make_generator(GanSettings(generator=kind, base_width=1, blocks=0), 2, 5))
    assert name == f"{kind}_generator"
    assert (arguments["in_channels"], arguments["out_channels"], arguments["downs"]) == (2, 5, downs)


def test_both_kinds_of_discriminators() -> None:
    common = {"discriminator_width": 3, "discriminator_norm": "batch", "init": "kaiming", "init_gain": 0.1}
    wanted = {"in_channels": 6, "base_width": 3, "norm": "batch", "init": "kaiming", "init_gain": 0.1}
    patch = GanSettings(discriminator_layers=2, **common)  # type: ignore[arg-type]
    assert built(make_discriminator(patch, 6)) == ("patch_discriminator", wanted | {"layers": 2})
    pixel = GanSettings(discriminator="pixel", **common)  # type: ignore[arg-type]
    assert built(make_discriminator(pixel, 6)) == ("pixel_discriminator", wanted)


def test_settings_at_odds_are_told() -> None:
    with pytest.raises(SettingsError, match="needs at least 6 downs, not 3; use dropout 0 or downs 6"):
        make_generator(GanSettings(generator="unet", downs=3, dropout=0.5), 3, 3)
