"""The line on memory before training: the whole pyramid is grown without data, and nothing of that is left."""

from __future__ import annotations

import pytest
import torch

from i2i.engine import fit
from i2i.memory import estimate
from i2i_singan.pyramid import levels, plan
from i2i_singan.settings import Settings
from i2i_singan.step import Levels, make_step


@pytest.mark.parametrize("reference", [False, True])
def test_what_is_counted_is_what_a_run_keeps(reference: bool) -> None:
    pyramid = plan(20, 22, min_size=12, max_size=22)
    settings = Settings(steps=1, min_size=12, max_size=22, base_width=4, reference=reference)
    image = torch.rand(1, 3, 20, 22, generator=torch.Generator().manual_seed(0)) * 2 - 1
    batch = Levels(levels(image, pyramid))
    step = make_step(settings, pyramid, batch)
    counted = estimate(step, None, batch)
    nets = fit(step, None, [batch], device="cpu").nets  # also: no matrix without numbers is left over
    modules = [net for stage in (*nets.finished, nets.current) for net in stage]
    tensors = {id(t): t for net in modules for t in (*net.parameters(), *net.buffers())}
    assert counted.weights == sum(t.numel() * t.element_size() for t in tensors.values())
    trained = sum(p.numel() * 4 for net in nets.current for p in net.parameters())
    assert trained <= counted.gradients < 1.05 * trained  # some are parts of larger tensors
    assert counted.states > 2 * trained  # the moments of Adam
    assert counted.activations > 4 * image.numel() * 4
