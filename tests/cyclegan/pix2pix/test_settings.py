from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from i2i.errors import SettingsError
from i2i_cyclegan.pix2pix.settings import Settings


def test_defaults_are_the_authors() -> None:
    s = Settings()
    assert (s.steps, s.epochs, s.batch_size, s.load_size, s.crop_size) == (None, 200, 1, 286, 256)
    assert (s.preprocess, s.flip, s.direction, s.colourise) == ("resize_and_crop", True, "a_to_b", False)
    assert (s.generator, s.base_width, s.downs, s.norm, s.dropout) == ("unet", 64, None, "batch", 0.5)
    assert (s.discriminator, s.discriminator_width, s.discriminator_layers, s.discriminator_norm) == (
        "patch", 64, 3, "batch",
    )  # fmt: skip
    assert (s.init, s.init_gain, s.criterion, s.pool_size) == ("normal", 0.02, "vanilla", 0)
    assert (s.adversarial_weight, s.l1_weight) == (1, 100)
    assert (s.lr, s.discriminator_lr, s.beta1, s.schedule, s.decay_start) == (2e-4, None, 0.5, "linear", 0.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"l1_weight": -1.0}, "l1_weight (=-1.0) must be at least 0"),
        ({"discriminator_lr": 0.0}, "discriminator_lr (=0.0) must be more than 0"),
        ({"dropout": 1.0}, "dropout (=1.0) must lie between 0 and 0.9"),
        ({"pool_size": -1}, "pool_size (=-1) must lie between 0 and 10000"),
        (
            {"l1_weight": 0.0, "adversarial_weight": 0.0},
            "adversarial_weight and l1_weight are both 0: nothing is left to train; set one of them above 0",
        ),
        (
            {"r1_weight": 1.0, "adversarial_weight": 0.0},
            "r1_weight (=1.0) is a penalty of the discriminators, which adversarial_weight 0 leaves out; "
            "use r1_weight 0",
        ),
        (
            {"colourise": True, "direction": "b_to_a"},
            "direction (=b_to_a) and colourise exclude each other; leave one of them out",
        ),
        ({"colourise": True, "channels_b": 3}, "channels_b (=3) must be 2 with colourise; leave it out"),
        ({"colourise": True, "channels_a": 3}, "channels_a (=3) must be 1 with colourise; leave it out"),
        ({"colourise": True, "channels": 1}, "channels (=1) and colourise exclude each other; leave one of them out"),
        (
            {"colourise": True, "range_a": (0.0, 100.0)},
            "range_a (=0.0 100.0) and colourise exclude each other; leave one of them out",
        ),
    ],
)
def test_values_out_of_range_and_at_odds_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as told:
        Settings(**changes)
    assert str(told.value) == message


@pytest.mark.parametrize(
    ("changes", "channels"),
    [
        ({}, (3, 3)),
        ({"channels_a": 1}, (1, 3)),
        ({"channels": 5, "channels_b": 2}, (5, 2)),
        ({"colourise": True}, (1, 2)),
        ({"colourise": True, "channels_a": 1, "channels_b": 2}, (1, 2)),
    ],
)
def test_channels(changes: dict[str, Any], channels: tuple[int, int]) -> None:
    assert Settings(**changes).both_channels == channels


def test_help_needs_no_torch() -> None:
    code = "import sys, i2i_cyclegan.pix2pix.settings, i2i_cyclegan.plugin; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
