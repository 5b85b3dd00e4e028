"""Training learns: a short run of the demo on real photographs, seeded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
import torch

from i2i.models import load
from i2i.settings import RunSettings
from i2i.training import train
from i2i_cyclegan.pix2pix import demo

STEPS = 120  # of the demo's 1200


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Other jobs on the machine then cost time in proportion; threads that wait for each other cost far more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_a_short_run_learns_what_is_held_out(tmp_path: Path) -> None:
    """Measured at 120 steps: 18.1 dB, against 15.1 dB of the best colour map."""
    settings = attrs.evolve(demo.SETTINGS, steps=STEPS)
    held_out = demo.write_data(tmp_path / "data")
    best = demo.baselines(tmp_path / "data", held_out)["best colour map"]

    run = RunSettings(data=tmp_path / "data", out=tmp_path / "run", seed=0, device="cpu", sample_every=0)
    train("pix2pix", settings, run)

    after = demo.evaluate(load(tmp_path / "run" / "model"), held_out)
    assert after.psnr >= best.psnr + 1.5
