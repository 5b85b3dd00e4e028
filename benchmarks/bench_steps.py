"""A whole training step of CycleGAN (generators, discriminators, both Adams) against the authors' in plain torch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from benchmarks.reference.cyclegan import CycleGAN
from benchmarks.timing import compare
from i2i.policy import Policy, Precision, Turn, best_precision
from i2i.values import Pair
from i2i_cyclegan.rates import Length, learning_rate
from i2i_cyclegan.recipe import make_nets
from i2i_cyclegan.settings import Settings
from i2i_cyclegan.step import make_step

SIZE, WIDTH, BLOCKS = 128, 64, 6  # as the authors train at 128 pixels
ROUNDS = 9
SETTINGS = Settings(crop_size=SIZE, load_size=SIZE, base_width=WIDTH, blocks=BLOCKS)
#: the authors' names and weights of our terms
NAMES = {
    "g/adv_b": ("G_A", 1.0),
    "g/adv_a": ("G_B", 1.0),
    "g/cycle_a": ("cycle_A", 10.0),
    "g/cycle_b": ("cycle_B", 10.0),
    "g/identity_b": ("idt_A", 5.0),
    "g/identity_a": ("idt_B", 5.0),
    "d/b": ("D_A", 0.5),
    "d/a": ("D_B", 0.5),
}


def ours_from(reference: CycleGAN, precision: Precision, batch: Pair) -> Callable[[], dict[str, Tensor]]:
    """Our step, starting from the weights of ``reference``."""
    nets, policy = make_nets(SETTINGS), Policy(precision=precision)
    theirs = (reference.G_A, reference.G_B, reference.D_B, reference.D_A)
    for net, other in zip(nets, theirs, strict=True):
        net.load_state_dict(other.state_dict())
    step = make_step(SETTINGS, learning_rate(SETTINGS, Length(1000, 0)))
    state = step.init(nets, policy, None)
    now = 0

    def update() -> dict[str, Tensor]:
        nonlocal state, now
        state, metrics = step.update(nets, state, batch, Turn(policy, now))
        now += 1
        return dict(metrics)

    return update


@pytest.mark.benchmark(group="cpu/cyclegan128")
@pytest.mark.parametrize(
    ("precision", "tolerance", "target"),
    [
        pytest.param("fp32", 1e-5, 1.0, id="fp32"),
        pytest.param("bf16", 0.02, 1.6, id="bf16", marks=pytest.mark.skipif(
            best_precision(torch.device("cpu")) != "bf16", reason="this CPU is not fast in bf16"
        )),
    ],
)  # fmt: skip
def test_cyclegan_128(benchmark: BenchmarkFixture, precision: Precision, tolerance: float, target: float) -> None:
    torch.manual_seed(0)
    size = SIZE if benchmark.enabled else SIZE // 2
    batch = Pair(*torch.rand(2, 1, 3, size, size).mul(2).sub(1).unbind())
    reference = CycleGAN(WIDTH, BLOCKS)
    ours = ours_from(reference, precision, batch)
    expected, found = reference(*batch), ours()
    for name, (theirs, weight) in NAMES.items():
        torch.testing.assert_close(
            weight * found[name].double(), expected[theirs].detach().double(), rtol=tolerance, atol=0
        )

    benchmark.extra_info.update(size=size, width=WIDTH, blocks=BLOCKS)
    compare(benchmark, lambda: reference(*batch), ours, rounds=ROUNDS, target=target)
