from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from i2i.errors import SettingsError
from i2i_pix2pixhd.settings import Settings


def test_the_defaults_are_those_of_the_authors() -> None:
    s = Settings()
    authors = {
        "batch_size": 1, "load_size": 1024, "preprocess": "scale_width", "labels": 35, "flip": True,
        "base_width": 64, "downs": 4, "blocks": 9, "local_blocks": 3, "discriminator_width": 64,
        "discriminator_layers": 3, "features": 3, "encoder_width": 16, "encoder_downs": 4, "matching_weight": 10.0,
        "perceptual_weight": 10.0, "lr": 2e-4, "beta1": 0.5, "decay_start": 0.5, "norm": "instance",
        "upsampling": "transposed", "padding": "zero", "styles": False, "instances": True, "perceptual": True,
    }  # fmt: skip
    assert {name: getattr(s, name) for name in authors} == authors


@pytest.mark.parametrize(
    ("settings", "names", "lengths", "scales"),
    [
        (Settings(), ("global", "enhancer", "joint"), (2000, 100, 900), (2, 3, 3)),
        (Settings(stages="global"), ("global",), (2000,), (2,)),
        (Settings(from_="model"), ("enhancer", "joint"), (100, 900), (3, 3)),
        (Settings(steps=(5,)), ("global", "enhancer", "joint"), (5, 5, 5), (2, 3, 3)),
        (Settings(steps=(5, 6, 7), epochs=(1,)), ("global", "enhancer", "joint"), (5, 6, 7), (2, 3, 3)),
        (Settings(epochs=(1, 2, 3)), ("global", "enhancer", "joint"), (10, 20, 30), (2, 3, 3)),
        (Settings(discriminator_scales=1), ("global", "enhancer", "joint"), (2000, 100, 900), (1, 1, 1)),
        (Settings(stages="global", discriminator_scales=4), ("global",), (2000,), (4,)),
    ],
)
def test_stages(settings: Settings, names: Any, lengths: Any, scales: Any) -> None:
    assert settings.names == names
    assert settings.lengths(10) == lengths
    assert tuple(settings.scales(name) for name in settings.names) == scales


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"from_": "m", "stages": "global"}, "leave one out"),
        ({"steps": (1, 2)}, r"steps \(=1 2\) must be one number, or one for each stage: global enhancer joint"),
        ({"epochs": (1, 2), "stages": "global"}, r"epochs \(=1 2\) must be one number, or one for each stage: global"),
        ({"steps": (0,)}, r"steps \(=0\) must be 1 or more"),
        ({"colours": Path("c"), "labels": 0}, "colours belong to classes"),
        ({"styles": True, "labels": 0, "instances": False}, "styles belong to objects"),
        ({"base_width": 3}, r"base_width \(=3\) must be even"),
        ({"labels": -1}, "labels"),
        ({"vgg_checksum": ""}, r"vgg_checksum \(=\) must be the first 8 to 64 digits"),
        ({"vgg": Path("v"), "vgg_untrained": True}, "leave one out"),
    ],
)
def test_settings_at_odds(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Settings(**changes)


def test_boundaries_are_those_of_instances() -> None:
    assert Settings().edges
    assert not Settings(instances=False).edges
    assert not Settings(boundaries=False).edges


def test_settings_import_no_torch() -> None:
    code = "import i2i_pix2pixhd.settings, i2i_pix2pixhd.plugin, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
