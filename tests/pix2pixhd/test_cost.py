"""What a step costs, counted on tensors without data: floating-point operations, and memory at full size."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from i2i.memory import Live, estimate
from i2i.policy import Policy, Turn
from i2i.values import Instanced
from i2i_pix2pixhd.generators import local_enhancer
from i2i_pix2pixhd.networks import Channels
from i2i_pix2pixhd.scene import scene_generator, whole_scene
from i2i_pix2pixhd.settings import Settings
from i2i_pix2pixhd.step import make_step
from i2i_pix2pixhd.vgg import Located, Vgg19

GB = 1e9
#: GFLOP of the authors' step at 1024x512 with VGG19, and without what it computes twice or in vain
AUTHORS, AT_MOST = 4654, 4492


def scene(height: int, width: int) -> Instanced:
    ids = torch.zeros(1, 1, height, width, dtype=torch.int32)
    return Instanced(ids, ids, torch.zeros(1, 3, height, width))


def gigaflops(settings: Settings, height: int, width: int) -> list[float]:
    """Count the first batch of each stage."""
    policy, found = Policy(guarded=False), []
    with torch.device("meta"):
        step = make_step(settings, [1] * len(settings.names), Channels(0, 3), Located(Vgg19()))
        state, batch = step.init(None, policy, None), scene(height, width)
        for now in range(len(settings.names)):
            with FlopCounterMode(display=False) as counter:
                state, _ = step.update(step.nets(None, state), state, batch, Turn(policy, now))
            found.append(counter.get_total_flops() / 1e9)
    return found


def test_flops_of_a_step_at_1024x512() -> None:
    (found,) = gigaflops(Settings(stages="global"), 512, 1024)
    assert 0.95 * AT_MOST < found <= AT_MOST < AUTHORS


def test_while_the_global_part_is_fixed_no_gradient_is_computed_for_it() -> None:
    fixed, joint = gigaflops(Settings(perceptual_weight=1.0), 1024, 2048)[1:]
    backward_of_the_global_part = 2 * 978.6  # the spec's forward pass, once for the weights and once for the input
    assert joint - fixed == pytest.approx(backward_of_the_global_part, rel=0.1)


@pytest.mark.parametrize(("precision", "recompute", "most"), [("fp32", False, 24), ("bf16", True, 12)])
def test_training_at_full_size_fits(precision: str, recompute: bool, most: float) -> None:
    """2048x1024, three scales, VGG19: states and all that the backward pass needs."""
    settings = Settings(recompute=recompute, stages="all")
    step = make_step(settings, [1, 1, 1], Channels(0, 3), Located(Vgg19()))
    counted = estimate(step, None, scene(1024, 2048), Policy(precision=precision))  # type: ignore[arg-type]
    weights = 4 * (182_857_059 + 8_404_803)
    assert counted.gradients == pytest.approx(weights, rel=1e-3)
    assert counted.states == pytest.approx(2 * weights, rel=1e-2)
    assert counted.total < most * GB


def test_generation_at_full_size_fits() -> None:
    ids = torch.zeros(1, 1, 1024, 2048, dtype=torch.int32, device="meta")
    with torch.device("meta"), Live() as live:
        model = scene_generator(local_enhancer(1, labels=35)).eval()
        whole_scene(model, ids, ids)
    assert 4 * 182_857_059 < live.most < 6 * GB


def test_styles_cost_little() -> None:
    plain = gigaflops(Settings(stages="global"), 256, 512)[0]
    styled = gigaflops(Settings(stages="global", styles=True), 256, 512)[0]
    encoder = 3 * 3.7  # the spec's forward pass; the backward pass of the generator reaches its input as well
    assert plain < styled < plain + 2 * encoder + 0.06 * plain
