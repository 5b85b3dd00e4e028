"""A small training on a real photograph: it is reproduced, each scale adds to it, and samples vary."""

from __future__ import annotations

from pathlib import Path

import attrs
import torch
from torch import Tensor

from i2i import photographs
from i2i.demos import one_thread, write_colours
from i2i.settings import RunSettings
from i2i.training import train
from i2i_singan.demo import SETTINGS
from i2i_singan.files import load_model
from i2i_singan.sampling import generate

STEPS = 60  # of each of the four scales


def test_a_photograph_is_learned(tmp_path: Path) -> None:
    write_colours(tmp_path / "coffee.png", photographs.load(43)["coffee"])
    run = RunSettings(data=tmp_path / "coffee.png", out=tmp_path / "run", device="cpu", sample_every=0)
    with one_thread():
        train("singan", attrs.evolve(SETTINGS, steps=STEPS), run)
    model = load_model(run.out, "cpu")
    photograph = model[-1].image
    assert photograph.shape == (1, 3, 43, 64)

    def error(image: Tensor) -> float:
        """RMSE as a share of the range."""
        return float((image.clamp(-1, 1) - photograph).square().mean().sqrt()) / 2

    with torch.no_grad():
        made: Tensor = model(model[0].noise).image
        model.scales = model.scales[:-1]
        below = model.upsampled(model(model[0].noise).image, (43, 64))
    assert error(made) <= 0.07
    assert error(made) <= 0.85 * error(below)

    samples = generate(load_model(run.out, "cpu"), 16).mean(1)
    contrast = photograph.mean(1).std()
    assert 0.2 <= float(samples.std(0).mean() / contrast) <= 0.9
    assert 0.2 <= float((samples - photograph.mean(1)).square().mean().sqrt() / contrast) <= 2
