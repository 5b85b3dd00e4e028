"""The estimate of memory, against figures counted by hand and against what real runs keep alive."""

from __future__ import annotations

import copy
import random
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from i2i import as_generator
from i2i.combine import alternate, every
from i2i.engine import fit
from i2i.history import replayed
from i2i.layers import sequence
from i2i.memory import Estimate, Live, estimate, pass_bytes
from i2i.passes import whole
from i2i.policy import Policy
from i2i.stages import Stage, staged
from i2i.step import Step, player
from i2i.values import Single


class Nets(NamedTuple):
    G: Any
    D: Any


class Fakes(NamedTuple):
    fake: Tensor


class Scaled(nn.Module):
    """``exp(tanh(w x))``: three maps of the size of the image are kept for backward."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return (self.w * x).tanh().exp()


def one(n: Any, x: Any) -> dict[str, Tensor]:
    return {"size": n[0](x).mean()}


def linear(optimizer: Any) -> Step[Any, Tensor]:
    return player(lambda n: n[0], one, optimizer, weights={"size": 1}, lr=0.1)


def gan_nets(*, recompute: bool = False) -> Nets:
    norm = nn.BatchNorm2d(6)
    g = sequence([nn.Conv2d(3, 6, 3, padding=1), norm, nn.Tanh(), nn.Dropout(0.2)], [nn.Conv2d(6, 3, 1), nn.Tanh()],
                 recompute=recompute)  # fmt: skip
    return Nets(g, nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.InstanceNorm2d(4), nn.Conv2d(4, 1, 1)))


def gan() -> Step[Nets, Single]:
    def g(n: Nets, x: Single, shared: Fakes) -> dict[str, Tensor]:
        return {"adv": n.D(shared.fake).float().square().mean(), "same": (n.G(x.image) - x.image).abs().mean()}

    def d(n: Nets, x: Single, shared: Fakes) -> dict[str, Tensor]:
        return {"adv": n.D(torch.cat([x.image, shared.fake])).float().square().mean()}

    return alternate(
        share=lambda n, x: Fakes(n.G(x.image)),
        live="g",
        g=player(lambda n: n.G, g, torch.optim.Adam, weights={"adv": 1, "same": 1}, lr=0.1),
        d=replayed(3, ("fake",), player(lambda n: n.D, d, torch.optim.AdamW, weights={"adv": 1}, lr=0.1)),
    )


class Images:
    """New images for each batch, as a loader makes them."""

    def __iter__(self):
        while True:
            yield Single(torch.rand(4, 3, 16, 16))


def test_states_counted_by_hand():
    nets = (nn.Linear(100, 10),)
    counted = estimate(linear(torch.optim.Adam), nets, torch.ones(1, 100), Policy(average=0.9))
    weights = 4 * (100 * 10 + 10)
    # Adam's step of each of two tensors, the learning rate (float64), the weight of the term, a metric
    scalars = 2 * 4 + 8 + 4 + 4
    assert counted[:4] == (weights, weights, 2 * weights + scalars, weights)
    assert counted.between == sum(counted[:4])
    assert counted.total == counted.between + counted.activations
    plain = estimate(linear(torch.optim.SGD), nets, torch.ones(1, 100))
    assert plain[:4] == (weights, weights, 8 + 4 + 4, 0)


def test_activations_counted_by_hand_of_more_than_any_machine_has():
    images = torch.empty(2**40, device="meta")
    counted = estimate(linear(torch.optim.SGD), (Scaled(),), images)
    # Backward begins with three maps that were kept (x, tanh, exp) and the gradients before and after the exp.
    assert counted.activations == pytest.approx(5 * 4 * 2**40, rel=1e-9)


@pytest.mark.parametrize(
    "policy", [Policy(), Policy(accumulate=2), Policy(precision="bf16"), Policy(average=0.9)], ids=str
)
@pytest.mark.parametrize("recompute", [False, True])
def test_it_is_what_a_real_run_keeps_alive(policy, recompute):
    counted = estimate(gan(), gan_nets(recompute=recompute), Single(torch.rand(4, 3, 16, 16)), policy)
    policy = Policy(policy.precision, policy.accumulate, policy.average, guarded=False)
    with Live() as live:
        run = fit(gan(), gan_nets(recompute=recompute), Images(), steps=3, policy=policy, device="cpu")
        del run
    # A batch norm in bf16 keeps statistics in float32, of which fake tensors do not know: bytes.
    assert live.most == pytest.approx(counted.total, abs=0 if policy.precision == "fp32" else 64)


def test_live_follows_storages():
    with Live() as live:
        x = torch.empty(1000)
        assert live.now == 4000
        view = x[:10]
        y = x + 1
        del x
        assert live.now == 8000
        del view
        assert live.now == 4000
        del y
    assert (live.now, live.most) == (0, 8000)


def test_recomputing_and_micro_batches_need_less():
    batch = Single(torch.empty(4, 3, 64, 64))
    plain = estimate(gan(), gan_nets(), batch)
    assert estimate(gan(), gan_nets(recompute=True), batch).activations < 0.9 * plain.activations
    assert estimate(gan(), gan_nets(), batch, Policy(accumulate=4)).activations < 0.5 * plain.activations


def test_nets_and_random_generators_stay_as_they_are():
    nets = gan_nets().G.eval(), gan_nets().D
    before = [value.clone() for net in nets for value in net.state_dict().values()]
    batch = Single(torch.rand(2, 3, 8, 8))
    drawn = []
    for counted in (False, True):
        for seed in (torch.manual_seed, random.seed, np.random.seed):
            seed(1)
        if counted:
            estimate(gan(), Nets(*nets), batch)
        drawn.append((torch.rand(1).item(), random.random(), np.random.random()))
    assert drawn[0] == drawn[1]
    assert all(x.equal(y) for x, y in zip(before, (v for n in nets for v in n.state_dict().values()), strict=True))
    assert all(p.grad is None and type(p) is nn.Parameter for net in nets for p in net.parameters())
    assert not nets[0].training


def test_nets_on_meta_count_the_same():
    batch = Single(torch.rand(2, 3, 8, 8))
    with torch.device("meta"):
        nets = gan_nets()
    assert estimate(gan(), nets, batch) == estimate(gan(), gan_nets(), batch)


def test_tied_weights_are_counted_once():
    first, second = nn.Linear(10, 10, bias=False), nn.Linear(10, 10, bias=False)
    second.weight = first.weight
    counted = estimate(linear(torch.optim.SGD), (nn.Sequential(first, second),), torch.ones(1, 10))
    assert (counted.weights, counted.gradients) == (400, 400)


def test_a_staged_step_is_counted_at_its_last_stage():
    def grow(k: int, finished: tuple[Any, ...]) -> Stage:
        return Stage((nn.Linear(10, 10 * (k + 1), bias=False),), every(2, linear(torch.optim.SGD)))

    assert estimate(staged(grow, [3, 4, 5]), None, torch.ones(1, 10)).weights == 400 * (1 + 2 + 3)


def test_stages_may_take_copies_of_nets_and_of_their_weights():
    """Which torch's own deep copies of tensors without data make crash."""
    count = 12

    def grow(k: int, done: Any) -> Stage:
        net = nn.Sequential(nn.Linear(10, 10, bias=False), nn.BatchNorm1d(10, affine=False))
        if k:
            net.load_state_dict(done[-1].G.state_dict())
            assert isinstance(copy.deepcopy(done[-1].G)[0].weight, nn.Parameter)
        kept = [copy.deepcopy(stage.G).eval().requires_grad_(False) for stage in done]
        net[0].weight.data.mul_(sum(each(torch.ones(2, 10)).mean() for each in kept) + 1)
        return Stage(Nets(net, nn.Identity()), linear(torch.optim.SGD))

    found = estimate(staged(grow, [2] * count), None, torch.ones(2, 10))
    assert found.weights == count * (400 + 40 + 40 + 8)


def test_a_number_that_is_read_is_taken_as_one():
    def loss(n: Any, x: Tensor) -> dict[str, Tensor]:
        y = n[0](x).mean()
        return {"size": y / y.item()}

    step = player(lambda n: n[0], loss, torch.optim.SGD, weights={"size": 1}, lr=0.1)
    assert isinstance(estimate(step, (nn.Linear(4, 4),), torch.ones(1, 4)), Estimate)


def test_a_step_that_cannot_do_without_values_raises():
    def loss(n: Any, x: Tensor) -> dict[str, Tensor]:
        return {"size": n[0](x)[x.nonzero()[:, 0]].mean()}

    step = player(lambda n: n[0], loss, torch.optim.SGD, weights={"size": 1}, lr=0.1)
    with pytest.raises(Exception, match="nonzero"):
        estimate(step, (nn.Linear(4, 4),), torch.ones(1, 4))


def test_the_bytes_of_a_pass_are_those_that_are_alive_in_it() -> None:
    net = as_generator(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.InstanceNorm2d(8), nn.Conv2d(8, 1, 1)))
    state = torch.get_rng_state()
    counted = pass_bytes(net, (2, 3, 12, 10))
    assert torch.equal(torch.get_rng_state(), state)
    with torch.no_grad(), Live() as live:
        whole(net, torch.zeros(2, 3, 12, 10))
    assert counted == live.most
    assert pass_bytes(net, (2, 3, 12, 10), Policy(precision="bf16")) < counted
