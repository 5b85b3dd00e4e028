"""What a step costs at 256 pixels, counted on tensors without data: floating-point operations, and memory."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from i2i.memory import Estimate, estimate, undrawn
from i2i.policy import Policy, Turn
from i2i.values import Pair
from i2i_ugatit.recipe import make_nets
from i2i_ugatit.settings import Settings
from i2i_ugatit.step import make_step

GIB = 2**30
#: GFLOP of the authors' step with the light head (counted in test_transcription.py); without what it computes twice or
#: in vain; and with two more savings that change nothing but roundings: weights of attention inside the 1x1
#: convolution, and enlarging inside the next one
AUTHORS, AT_MOST, EXPECTED = 2797, 2137, 1930


def gigaflops(settings: Settings) -> float:
    policy = Policy(guarded=False)
    with torch.device("meta"):
        nets, step = make_nets(settings), make_step(settings, 1e-4)
        state = step.init(nets, policy, None)
        batch = Pair(torch.zeros(1, 3, 256, 256), torch.zeros(1, 3, 256, 256))
        with FlopCounterMode(display=False) as counter:
            step.update(nets, state, batch, Turn(policy, 1))
    return counter.get_total_flops() / 1e9


def test_flops_of_a_step() -> None:
    assert 0.98 * EXPECTED < gigaflops(Settings()) < 1.02 * EXPECTED < AT_MOST < AUTHORS


def memory(settings: Settings, policy: Policy) -> Estimate:
    with undrawn():
        nets = make_nets(settings)
    batch = Pair(torch.zeros(1, 3, 256, 256), torch.zeros(1, 3, 256, 256))
    return estimate(make_step(settings, 1e-4), nets, batch, policy)


@pytest.mark.parametrize(("recompute", "gibibytes"), [(False, 4.56), (True, 3.01)])
def test_states_and_saved_tensors(recompute: bool, gibibytes: float) -> None:
    """The authors' code: 6.7; at most 6."""
    counted = memory(Settings(recompute=recompute), Policy())
    weights = 4 * 134_021_248
    assert counted.gradients == pytest.approx(weights, rel=1e-3)
    assert counted.states == pytest.approx(2 * weights, rel=1e-2)
    assert counted.total / GIB == pytest.approx(gibibytes, abs=0.02)
