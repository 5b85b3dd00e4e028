"""``alternate(judge=...)`` against the same update written out in plain torch, in float64."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2i.checkpoint import snapshot
from i2i.combine import alternate, repeat
from i2i.errors import CompositionError
from i2i.history import replayed
from i2i.policy import Policy, Turn
from i2i.step import Step, player


class Nets(NamedTuple):
    G: nn.Module
    D: nn.Module


class Batch(NamedTuple):
    a: Tensor
    b: Tensor


class Judged(NamedTuple):
    fake: Tensor
    on_fake: Tensor
    on_real: Tensor


def make_nets() -> Nets:
    torch.manual_seed(0)
    g = nn.Sequential(nn.Conv2d(2, 4, 1), nn.Tanh(), nn.Conv2d(4, 2, 1)).double()
    d = nn.Sequential(nn.Conv2d(2, 4, 1), nn.Tanh(), nn.Conv2d(4, 1, 1)).double()
    return Nets(g, d)


def batches(count: int) -> list[Batch]:
    draw = torch.Generator().manual_seed(1)
    return [Batch(*torch.randn(2, 4, 2, 3, 3, generator=draw, dtype=torch.float64)) for _ in range(count)]


def weights(nets: Nets) -> list[nn.Parameter]:
    return [parameter for net in nets for parameter in net.parameters()]


def share(n: Nets, x: Batch) -> dict[str, Tensor]:
    return {"fake": n.G(x.a)}


def judge(n: Nets, x: Batch, shared: dict[str, Tensor]) -> Judged:
    return Judged(shared["fake"], n.D(shared["fake"]), n.D(x.b))


def g_loss(n: Nets, x: Batch, judged: Judged) -> dict[str, Tensor]:
    return {"adv": (judged.on_fake - 1).square().mean(), "rec": (judged.fake - x.b).abs().mean()}


def d_loss(n: Nets, x: Batch, judged: Judged) -> dict[str, Tensor]:
    return {"adv": (judged.on_real - 1).square().mean() + judged.on_fake.square().mean()}


G = player(lambda n: n.G, g_loss, torch.optim.Adam, weights={"adv": 1.0, "rec": 3.0}, lr=0.01)
D = player(lambda n: n.D, d_loss, torch.optim.Adam, weights={"adv": 0.5}, lr=0.02)


def step_with(g: Step[Nets, Batch] = G, d: Step[Nets, Batch] = D) -> Step[Nets, Batch]:
    return alternate(share=share, live="g", judge=judge, g=g, d=d)


def train(step: Step[Nets, Batch], nets: Nets, policy: Policy, count: int = 4) -> list[dict[str, float]]:
    state, found = step.init(nets, policy, None), []
    for now, batch in enumerate(batches(count)):
        state, metrics = step.update(nets, state, batch, Turn(policy, now))
        found.append({name: value.item() for name, value in metrics.items()})
    return found


def plain(nets: Nets, count: int = 4) -> list[dict[str, float]]:
    """Both gradients at the weights before the update; first the generator moves, then the discriminator."""
    of_g, of_d = list(nets.G.parameters()), list(nets.D.parameters())
    adam_g, adam_d = torch.optim.Adam(of_g, lr=0.01), torch.optim.Adam(of_d, lr=0.02)
    found = []
    for x in batches(count):
        fake = nets.G(x.a)
        adv, rec = F.mse_loss(nets.D(fake), torch.ones(4, 1, 3, 3).double()), F.l1_loss(fake, x.b)
        told = F.mse_loss(nets.D(x.b), torch.ones(4, 1, 3, 3).double()) + nets.D(fake.detach()).pow(2).mean()
        gradients = torch.autograd.grad(adv + 3 * rec, of_g), torch.autograd.grad(0.5 * told, of_d)
        for optimizer, own, values in ((adam_g, of_g, gradients[0]), (adam_d, of_d, gradients[1])):
            for parameter, value in zip(own, values, strict=True):
                parameter.grad = value
            optimizer.step()
        found.append({"g/adv": adv.item(), "g/rec": rec.item(), "g/total": (adv + 3 * rec).item(),
                      "d/adv": told.item(), "d/total": 0.5 * told.item()})  # fmt: skip
    return found


@pytest.mark.parametrize("accumulate", [1, 2, 4])
def test_all_are_seen_as_they_stood_before_any_moved(accumulate: int) -> None:
    ours, theirs = make_nets(), make_nets()
    found = train(step_with(), ours, Policy(accumulate=accumulate))
    wanted = plain(theirs)
    assert [pytest.approx(one, rel=1e-10) for one in wanted] == found
    for mine, other in zip(weights(ours), weights(theirs), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-10)


def test_what_is_shared_under_two_names_learns_once() -> None:
    def shared_twice(n: Nets, x: Batch) -> dict[str, Tensor]:
        fake = n.G(x.a)
        return {"fake": fake, "shown": fake}

    ours, theirs = make_nets(), make_nets()
    # Plain descent: Adam's first moves do not tell a gradient from twice as large a one.
    g = player(lambda n: n.G, g_loss, torch.optim.SGD, weights={"adv": 1.0, "rec": 3.0}, lr=0.01)
    train(alternate(share=shared_twice, live="g", judge=judge, g=g, d=D), ours, Policy(), count=1)
    train(step_with(g=g), theirs, Policy(), count=1)
    (x,) = batches(1)
    plain_nets = make_nets()
    fake = plain_nets.G(x.a)
    loss = (plain_nets.D(fake) - 1).pow(2).mean() + 3 * (fake - x.b).abs().mean()
    gradients = torch.autograd.grad(loss, list(plain_nets.G.parameters()))
    for mine, other, start, gradient in zip(
        ours.G.parameters(), theirs.G.parameters(), plain_nets.G.parameters(), gradients, strict=True
    ):
        torch.testing.assert_close(mine, start - 0.01 * gradient, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(other, start - 0.01 * gradient, rtol=1e-10, atol=1e-12)


def counted(net: nn.Module) -> list[int]:
    calls = [0]
    net.register_forward_hook(lambda *_: calls.__setitem__(0, calls[0] + 1))
    return calls


def test_each_net_runs_no_more_often_than_it_must() -> None:
    nets = make_nets()
    g, d = counted(nets.G), counted(nets.D)
    train(step_with(), nets, Policy(), count=3)
    assert (g, d) == ([3], [6])


def test_no_gradient_is_computed_in_vain() -> None:
    """While the generator moves, nothing flows to the weights of the discriminator; and the other way round."""
    nets = make_nets()
    flowed: list[str] = []
    for name, net in nets._asdict().items():
        for parameter in net.parameters():
            parameter.register_hook(lambda _, name=name: flowed.append(name))
    train(step_with(), nets, Policy(), count=1)
    assert flowed.count("G") == flowed.count("D") == 4
    assert flowed[:4] == ["G"] * 4


def test_a_discriminator_that_moves_again_sees_its_new_weights() -> None:
    ours, theirs = make_nets(), make_nets()
    train(step_with(d=repeat(2, D)), ours, Policy(), count=1)
    (x,) = batches(1)
    before = theirs.G(x.a).detach()
    adam = torch.optim.Adam(theirs.D.parameters(), lr=0.02)
    for _ in range(2):
        adam.zero_grad()
        (0.5 * ((theirs.D(x.b) - 1).pow(2).mean() + theirs.D(before).pow(2).mean())).backward()
        adam.step()
    for mine, other in zip(ours.D.parameters(), theirs.D.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-10)


def test_a_generator_that_moves_again_is_judged_again() -> None:
    nets = make_nets()
    g, d = counted(nets.G), counted(nets.D)
    train(step_with(g=repeat(2, G)), nets, Policy(), count=1)
    assert (g, d) == ([2], [4])


def test_a_run_that_was_saved_goes_on_alike() -> None:
    whole, first = make_nets(), make_nets()
    policy = Policy()
    train(step_with(), whole, policy, count=4)
    step = step_with()
    state, data = step.init(first, policy, None), batches(4)
    for now in range(2):
        state, _ = step.update(first, state, data[now], Turn(policy, now))
    state = step.init(first, policy, snapshot(state))
    for now in range(2, 4):
        state, _ = step.update(first, state, data[now], Turn(policy, now))
    assert all(torch.equal(a, b) for a, b in zip(whole.G.parameters(), first.G.parameters(), strict=True))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: alternate(share=share, live="g", judge=judge, d=D, g=G), "a live player who moves first"),
        (lambda: alternate(share=share, judge=judge, g=G, d=D), "a live player who moves first, not live=None"),
    ],
)
def test_the_live_player_moves_first(build: Callable[[], Any], message: str) -> None:
    with pytest.raises(CompositionError, match=message):
        build()


def test_a_judge_makes_nothing() -> None:
    def makes(n: Nets, x: Batch, shared: dict[str, Tensor]) -> Judged:
        return Judged(n.G(x.a), n.D(shared["fake"]), n.D(x.b))

    step = alternate(share=share, live="g", judge=makes, g=G, d=D)
    nets = make_nets()
    before = nets.G[0].weight.clone()  # type: ignore[index]
    with pytest.raises(CompositionError, match=r"judge\(\) runs nets trained by g"):
        train(step, nets, Policy(), count=1)
    assert torch.equal(nets.G[0].weight, before)  # type: ignore[index]


def test_remembered_fakes_are_not_those_that_were_judged() -> None:
    random.seed(0)
    with pytest.raises(CompositionError, match="judge in the loss instead"):
        train(step_with(d=replayed(2, ["fake"], D)), make_nets(), Policy(), count=1)


def test_each_move_of_a_repeat_sees_its_part() -> None:
    def part(judged: Judged, k: int) -> Judged:
        return judged._replace(on_fake=judged.on_fake * (k + 2))

    def doubled(n: Nets, x: Batch, judged: Judged) -> dict[str, Tensor]:
        return {"adv": (2 * judged.on_fake - 1).square().mean(), "rec": (judged.fake - x.b).abs().mean()}

    nets, wanted = make_nets(), make_nets()
    train(step_with(g=repeat(1, G, part=part)), nets, Policy(), count=1)
    twice = player(lambda n: n.G, doubled, torch.optim.Adam, weights={"adv": 1.0, "rec": 3.0}, lr=0.01)
    train(step_with(g=twice), wanted, Policy(), count=1)
    assert all(torch.equal(a, b) for a, b in zip(weights(nets), weights(wanted), strict=True))
