"""What a step costs: its floating-point operations, and how many operations are dispatched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.reference.cyclegan import CycleGAN
from i2i.memory import estimate
from i2i.policy import Policy, Turn
from i2i.values import Pair
from i2i_cyclegan.recipe import make_nets, make_step
from i2i_cyclegan.settings import Settings

#: convolutions of generators and discriminators, forward and backward, 256 pixels, batch 1, identity terms
GFLOP = 1879.2
#: dispatched operations of the authors' step on the CPU with torch's default Adam
DISPATCHED = 4622


class Dispatched(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.counts[function.overloadpacket.__name__] += 1
        return function(*args, **(kwargs or {}))


def our_step(settings: Settings, batch: Pair, policy: Policy) -> Callable[[], None]:
    nets, step = make_nets(settings), make_step(settings, 2e-4)
    state = step.init(nets, policy, None)

    def update() -> None:
        step.update(nets, state, batch, Turn(policy, 0))

    return update


def images(size: int) -> Pair:
    return Pair(torch.rand(1, 3, size, size), torch.rand(1, 3, size, size))


@pytest.fixture(scope="module")
def dispatched() -> tuple[Counter[str], Counter[str]]:
    """Operations of the second step, ours and theirs; nine blocks, so narrow that they take no time."""
    torch.manual_seed(0)
    batch = images(32)
    reference = CycleGAN(width=2)
    ours = our_step(Settings(base_width=2, discriminator_width=2), batch, Policy())
    found = []
    for step in (ours, lambda: reference(*batch)):
        step()
        with Dispatched() as mode:
            step()
        found.append(mode.counts)
    return found[0], found[1]


def test_flops_of_a_step_at_256_pixels() -> None:
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        our_step(Settings(), images(256), Policy(guarded=False))()
    assert counter.get_total_flops() / 1e9 == pytest.approx(GFLOP, rel=0.005)


def test_the_transcription_costs_what_the_authors_step_costs(dispatched: tuple[Counter[str], Counter[str]]) -> None:
    _, theirs = dispatched
    assert theirs.total() == pytest.approx(DISPATCHED, rel=0.005)
    assert theirs["convolution"] == 174
    assert (theirs["clone"], theirs["new_zeros"], theirs["copy_"]) == (102, 102, 306)


def test_our_step_dispatches_less_than_half(dispatched: tuple[Counter[str], Counter[str]]) -> None:
    ours, theirs = dispatched
    assert ours.total() < theirs.total() / 2
    assert ours["convolution"] == 116


def test_no_copies_for_activations_in_place(dispatched: tuple[Counter[str], Counter[str]]) -> None:
    ours, _ = dispatched
    assert (ours["clone"], ours["new_zeros"], ours["as_strided"]) == (0, 0, 0)
    assert ours["copy_"] == 2  # what was drawn for each of the two pools: four numbers an image


def test_memory_of_a_step_at_256_pixels() -> None:
    settings = Settings(recompute=True)
    with torch.device("meta"):
        counted = estimate(make_step(settings, 2e-4), make_nets(settings), images(256))
    weights = 4 * 2 * (11_378_179 + 2_764_737)
    pools = 4 * 2 * 51 * 3 * 256**2  # one slot more than the pool: what is not kept goes there
    assert (counted.weights, counted.gradients, counted.average) == (weights, weights, 0)
    assert counted.states == pytest.approx(2 * weights + pools, rel=1e-5)  # two moments
    assert 0.4e9 < counted.activations < 0.6e9  # 2.1e9 without recompute
