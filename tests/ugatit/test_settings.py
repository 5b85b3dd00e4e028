from __future__ import annotations

import subprocess
import sys
from typing import Any

import attrs
import pytest

from i2i.errors import SettingsError
from i2i_ugatit.settings import Settings


def test_defaults_are_the_authors() -> None:
    s = Settings()
    assert (s.preset, s.batches, s.passes, s.batch_size) == ("pytorch", 1_000_000, None, 1)
    assert (s.loaded, s.crop_size, s.preprocess, s.flip, s.windows) == (286, 256, "resize_and_crop", True, False)
    assert (s.base_width, s.depth, s.head, s.drawn) == (64, 4, "light", "torch")
    assert (s.discriminator_width, s.discriminator_layers, s.criterion) == (64, (7, 5), "lsgan")
    assert (s.adversarial_weight, s.cycle_weight, s.identity_weight, s.cam_weight) == (1, 10, 10, 1000)
    assert (s.lr, s.beta1, s.weight_decay, s.decay_start) == (1e-4, 0.5, 1e-4, 0.5)


def test_the_article_s_preset() -> None:
    s = Settings(preset="article")
    assert (s.depth, s.drawn, s.windows, s.passes, s.loaded) == (6, "normal", True, 40, 256)


def test_what_is_said_goes_before_the_preset() -> None:
    s = Settings(preset="article", blocks=3, init="torch", augmentation="crop", epochs=5)
    assert (s.depth, s.drawn, s.windows, s.passes, s.loaded) == (3, "torch", False, 5, 286)
    assert Settings(preset="article", preprocess="crop").windows is False
    assert Settings(preset="article", steps=100).passes is None
    assert Settings(augmentation="window").windows is True


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preset": "article", "blocks": 0}, "blocks (=0) must lie between 1 and 1000"),
        ({"steps": 0}, "steps (=0) must lie between 1 and 1000000000"),
        ({"epochs": 0}, "epochs (=0) must lie between 1 and 1000000"),
        ({"batch_size": 0}, "batch_size (=0) must lie between 1 and 4096"),
        ({"load_size": -1}, "load_size (=-1) must lie between 0 and 16384"),
        ({"base_width": 0}, "base_width (=0) must lie between 1 and 4096"),
        ({"discriminator_layers": ()}, "discriminator_layers (=none) must be numbers from 3 to 16, one for each judge"),
        ({"discriminator_layers": (7, 2)}, "discriminator_layers (=7 2) must be numbers from 3 to 16"),
        ({"adversarial_weight": 0.0}, "adversarial_weight (=0.0) must be more than 0"),
        ({"cam_weight": -1.0}, "cam_weight (=-1.0) must be at least 0"),
        ({"cycle_weight": float("nan")}, "cycle_weight (=nan) must be at least 0"),
        ({"lr": 0.0}, "lr (=0.0) must be more than 0"),
        ({"weight_decay": -1e-4}, "weight_decay (=-0.0001) must be at least 0"),
        ({"decay_start": 1.5}, "decay_start (=1.5) must lie between 0 and 1"),
        ({"channels_a": 1}, "identity_weight (=10.0) needs equal channels, not channels_a (=1) and channels_b (=3)"),
        ({"channels_a": 1, "identity_weight": 0}, "cam_weight (=1000.0) needs equal channels"),
        ({"head": "full", "preprocess": "none"}, "head (=full) is built for one size of images"),
        ({"preset": "article", "load_size": 300}, "load_size (=300) has no effect on windows"),
        ({"reference": True, "decay_start": 1.0}, "decay_start (=1.0) is always 0.5 in the authors' code"),
        ({"augmentation": "window", "preprocess": "crop"}, "augmentation (=window) takes the place of preprocess"),
    ],
)
def test_wrong_settings_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(**changes)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_may_be_fractions() -> None:
    assert attrs.evolve(Settings(), adversarial_weight=0.5, cam_weight=0.1).cam_weight == 0.1


def test_domains_of_unequal_channels_need_no_terms_that_compare_them() -> None:
    assert Settings(channels_a=1, identity_weight=0, cam_weight=0).both_channels == (1, 3)


def test_no_torch_is_needed() -> None:
    code = "import sys, i2i_ugatit.settings, i2i_ugatit.plugin; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
