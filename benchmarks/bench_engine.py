"""What the engine adds to a step: ``fit`` and ``alternate`` against a bare loop over the same torch operations.

Two players with nets so small that torch's own overhead is nearly all there is. Blocks of steps of both run in turn,
within one call of ``fit``: its data time a block of its steps, then run two blocks of the bare loop (the second against
the first is the noise). Microseconds of CPU time per step, one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor, nn

from benchmarks.timing import Clock, record, threads, timed
from i2i.combine import alternate
from i2i.engine import fit
from i2i.policy import Policy
from i2i.step import Step, player

BLOCK, WARMUP = 50, 4
ADAM = partial(torch.optim.Adam, betas=(0.5, 0.999), fused=True)


class Net(nn.Module):
    """Two layers, and ``idle`` parameters that take part in nothing but being frozen."""

    def __init__(self, idle: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
        self.idle = nn.ParameterList(nn.Parameter(torch.zeros(1)) for _ in range(idle))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Nets(NamedTuple):
    G: Net
    D: Net


class Batch(NamedTuple):
    image: Tensor


def make_step() -> Step[Nets, Batch]:
    def translate(n: Nets, x: Batch) -> dict[str, Tensor]:
        return {"fake": n.G(x.image)}

    def generator(n: Nets, x: Batch, shared: dict[str, Tensor]) -> dict[str, Tensor]:
        fake = shared["fake"]
        return {"adv": (n.D(fake) - 1).square().mean(), "same": F.l1_loss(fake, x.image)}

    def discriminator(n: Nets, x: Batch, shared: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"real": (n.D(x.image) - 1).square().mean(), "fake": n.D(shared["fake"]).square().mean()}

    g = player(lambda n: n.G, generator, ADAM, weights={"adv": 1, "same": 10}, lr=1e-3)
    d = player(lambda n: n.D, discriminator, ADAM, weights={"real": 0.5, "fake": 0.5}, lr=1e-3)
    return alternate(share=translate, live="g", g=g, d=d)


def make_bare(nets: Nets) -> Callable[[Batch], dict[str, Tensor]]:
    of_D = list(nets.D.parameters())
    adam_G, adam_D = ADAM(nets.G.parameters(), lr=1e-3), ADAM(of_D, lr=1e-3)

    def step(x: Batch) -> dict[str, Tensor]:
        fake = nets.G(x.image)
        for parameter in of_D:
            parameter.requires_grad = False
        adam_G.zero_grad(set_to_none=True)
        adv, same = (nets.D(fake) - 1).square().mean(), F.l1_loss(fake, x.image)
        (adv + 10 * same).backward()
        adam_G.step()
        for parameter in of_D:
            parameter.requires_grad = True
        adam_D.zero_grad(set_to_none=True)
        real, false = (nets.D(x.image) - 1).square().mean(), nets.D(fake.detach()).square().mean()
        (0.5 * real + 0.5 * false).backward()
        adam_D.step()
        return {"adv": adv.detach(), "same": same.detach(), "real": real.detach(), "fake": false.detach()}

    return step


class Blocks:
    """Batches for ``fit``; notes the microseconds per step of each block: engine, bare loop, bare loop again."""

    def __init__(self, batch: Batch, bare: Callable[[Batch], object]) -> None:
        self.batch, self.bare = batch, bare
        self.times: list[tuple[float, float, float]] = []

    def __iter__(self) -> Iterator[Batch]:
        while True:
            start = Clock.now()
            for _ in range(BLOCK):
                yield self.batch
            engine = Clock.now().since(start)
            first, second = timed(self.bare_block), timed(self.bare_block)
            self.times.append((engine.cpu * 1e6 / BLOCK, first.cpu * 1e6 / BLOCK, second.cpu * 1e6 / BLOCK))

    def bare_block(self) -> None:
        for _ in range(BLOCK):
            self.bare(self.batch)


def measured(idle: int, guarded: bool, rounds: int) -> NDArray[np.float64]:
    """Microseconds per step ``(rounds, 3)``: engine, bare loop, bare loop again; both train alike."""
    torch.manual_seed(0)
    ours, bare = Nets(Net(idle), Net(idle)), Nets(Net(idle), Net(idle))
    for net, other in zip(bare, ours, strict=True):
        net.load_state_dict(other.state_dict())
    batch = Batch(torch.rand(1, 4))
    step = make_bare(bare)
    data = Blocks(batch, step)
    fit(make_step(), ours, data, steps=(rounds + WARMUP) * BLOCK + 1, policy=Policy(guarded=guarded), device="cpu")
    return np.array(data.times[WARMUP:])


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threads(1):
        yield
