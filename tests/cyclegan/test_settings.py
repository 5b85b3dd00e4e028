from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from i2i.errors import SettingsError
from i2i_cyclegan.settings import Settings


def test_defaults_are_the_authors() -> None:
    s = Settings()
    assert (s.steps, s.epochs, s.batch_size, s.load_size, s.crop_size) == (None, 200, 1, 286, 256)
    assert (s.preprocess, s.flip, s.serial) == ("resize_and_crop", True, False)
    assert (s.generator, s.base_width, s.blocks, s.norm, s.padding, s.dropout) == (
        "resnet",
        64,
        9,
        "instance",
        "reflect",
        0,
    )
    assert (s.discriminator_width, s.discriminator_layers, s.discriminator_norm) == (64, 3, "instance")
    assert (s.init, s.init_gain, s.criterion, s.pool_size) == ("normal", 0.02, "lsgan", 50)
    assert (s.adversarial_weight, s.cycle_weight_a, s.cycle_weight_b, s.identity_weight) == (1, 10, 10, 0.5)
    assert (s.lr, s.beta1, s.schedule, s.decay_epochs) == (2e-4, 0.5, "linear", 50)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps (=0) must lie between 1 and 1000000000"),
        ({"epochs": -1}, "epochs (=-1) must lie between 1 and 1000000"),
        ({"batch_size": 0}, "batch_size (=0) must lie between 1 and 4096"),
        ({"crop_size": 0}, "crop_size (=0) must lie between 1 and 16384"),
        ({"load_size": -286}, "load_size (=-286) must lie between 1 and 16384"),
        ({"max_images": 0}, "max_images (=0) must be at least 1"),
        ({"base_width": 0}, "base_width (=0) must lie between 1 and 4096"),
        ({"blocks": -1}, "blocks (=-1) must lie between 0 and 1000"),
        ({"downs": 0}, "downs (=0) must lie between 1 and 16"),
        ({"dropout": 1.0}, "dropout (=1.0) must lie between 0 and 0.9"),
        ({"discriminator_layers": 0}, "discriminator_layers (=0) must lie between 1 and 16"),
        ({"init_gain": 0.0}, "init_gain (=0.0) must be more than 0"),
        ({"gradient_penalty": -1.0}, "gradient_penalty (=-1.0) must be at least 0"),
        ({"cycle_weight_a": -1.0}, "cycle_weight_a (=-1.0) must be at least 0"),
        ({"cycle_weight_b": float("nan")}, "cycle_weight_b (=nan) must be at least 0"),
        ({"identity_weight": -0.5}, "identity_weight (=-0.5) must be at least 0"),
        ({"base_width": 10**8}, "base_width (=100000000) must lie between 1 and 4096"),
        ({"cycle_weight_a": float("inf")}, "cycle_weight_a (=inf) must be finite"),
        ({"pool_size": -1}, "pool_size (=-1) must lie between 0 and 10000"),
        ({"lr": 0.0}, "lr (=0.0) must be more than 0"),
        ({"lr": float("inf")}, "lr (=inf) must be finite"),
        ({"beta1": 1.0}, "beta1 (=1.0) must lie between 0 and 0.9999"),
        ({"decay_start": 1.5}, "decay_start (=1.5) must lie between 0 and 1"),
        ({"decay_epochs": 0}, "decay_epochs (=0) must lie between 1 and 1000000"),
        ({"warm_up": -1}, "warm_up (=-1) must lie between 0 and 1000000000"),
        ({"adversarial_weight": -1.0}, "adversarial_weight (=-1.0) must be at least 0"),
        ({"adversarial_weight": float("inf")}, "adversarial_weight (=inf) must be finite"),
        ({"r1_weight": -1.0}, "r1_weight (=-1.0) must be at least 0"),
        ({"r1_weight": float("nan")}, "r1_weight (=nan) must be at least 0"),
        (
            {"adversarial_weight": 0.0, "cycle_weight_a": 0.0, "cycle_weight_b": 0.0},
            "adversarial_weight, cycle_weight_a and cycle_weight_b are all 0: nothing is left to train; "
            "set one of them above 0",
        ),
        (
            {"adversarial_weight": 0.0, "r1_weight": 1.0},
            "r1_weight (=1.0) is a penalty of the discriminators, which adversarial_weight 0 leaves out; "
            "use r1_weight 0",
        ),
        (
            {"adversarial_weight": 0.0, "gradient_penalty": 10.0},
            "gradient_penalty (=10.0) is a penalty of the discriminators, which adversarial_weight 0 leaves out; "
            "use gradient_penalty 0",
        ),
        ({"channels_a": 0}, "channels_a (=0) must lie between 1 and 1024"),
        (
            {"channels_a": 1},
            "identity_weight (=0.5) needs equal channels, not channels_a (=1) and channels_b (=3); "
            "use identity_weight 0",
        ),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as told:
        Settings(**changes)
    assert str(told.value) == message


@pytest.mark.parametrize(
    ("changes", "penalty"),
    [
        ({}, 0),
        ({"criterion": "wgan"}, 10),
        ({"criterion": "wgan", "reference": True}, 0),
        ({"criterion": "wgan", "gradient_penalty": 3.0}, 3),
        ({"criterion": "wgan", "gradient_penalty": 0.0}, 0),
        ({"criterion": "hinge", "gradient_penalty": 1.0, "reference": True}, 1),
    ],
)
def test_penalty(changes: dict[str, Any], penalty: float) -> None:
    assert Settings(**changes).penalty == penalty


def test_help_needs_no_torch() -> None:
    code = "import sys, i2i_cyclegan.settings, i2i_cyclegan.plugin; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
