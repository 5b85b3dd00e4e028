"""A whole training step of U-GAT-IT with the light head against the authors' in plain torch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from benchmarks.reference.ugatit import Step
from benchmarks.timing import compare
from i2i.policy import Policy, Precision, Turn, best_precision
from i2i.values import Pair
from i2i_ugatit.convert import convert
from i2i_ugatit.recipe import learning_rate, make_nets
from i2i_ugatit.settings import Settings
from i2i_ugatit.step import Nets, make_step

SIZE = 128
ROUNDS = 5  # a step of theirs takes more than ten seconds of one core
#: our terms, and the authors' that add up to them
NAMES = {
    "d/total": ("d_loss",),
    "g/total": ("g_loss",),
    "g/adv_b": ("g_GB", "g_LB"),
    "g/adv_cam_a": ("g_GA_cam", "g_LA_cam"),
    "g/cycle_a": ("cycle_A",),
    "g/identity_b": ("identity_B",),
    "g/cam_a": ("cam_A",),
}


def take_weights(nets: Nets, reference: Step) -> None:
    """Give our nets the weights of theirs, by way of the converter."""
    models = convert({name: net.state_dict() for name, net in reference.nets().items()}, "")
    for net, key in zip(nets, ("a2b", "b2a", "d_a", "d_b"), strict=True):
        net.load_state_dict(models[key].state_dict())


def ours_from(reference: Step, settings: Settings, precision: Precision) -> Callable[[Pair], dict[str, Tensor]]:
    """Our step, starting from the weights of ``reference``."""
    nets, policy = make_nets(settings), Policy(precision=precision)
    take_weights(nets, reference)
    step = make_step(settings, learning_rate(settings, 10**6))
    state = step.init(nets, policy, None)

    def update(batch: Pair) -> dict[str, Tensor]:
        return dict(step.update(nets, state, batch, Turn(policy, 0))[1])

    return update


def check(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    """Compare the losses of the first update."""
    for ours, theirs in NAMES.items():
        wanted = torch.stack([expected[name].double() for name in theirs]).sum()
        torch.testing.assert_close(found[ours].double(), wanted, rtol=tolerance, atol=0)


@pytest.mark.benchmark(group="cpu/ugatit_light128")
@pytest.mark.parametrize(
    ("precision", "tolerance", "target"),
    [
        pytest.param("fp32", 1e-4, 1.5, id="fp32"),
        pytest.param("bf16", 0.05, 2.0, id="bf16", marks=pytest.mark.skipif(
            best_precision(torch.device("cpu")) != "bf16", reason="this CPU is not fast in bf16"
        )),
    ],
)  # fmt: skip
def test_ugatit_128(benchmark: BenchmarkFixture, precision: Precision, tolerance: float, target: float) -> None:
    torch.manual_seed(0)
    size, width = (SIZE, 64) if benchmark.enabled else (96, 8)
    batch = Pair(*torch.rand(2, 1, 3, size, size).mul(2).sub(1).unbind())
    reference = Step(size=size, width=width)
    ours = ours_from(reference, Settings(crop_size=size, base_width=width, discriminator_width=width), precision)
    check(ours(batch), reference.update(*batch), tolerance)
    benchmark.extra_info.update(size=size, width=width)
    compare(benchmark, lambda: reference.update(*batch), lambda: ours(batch), rounds=ROUNDS, target=target)
