from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from i2i.checkpoint import snapshot
from i2i.errors import CompositionError
from i2i.policy import Policy, Turn
from i2i.step import Step, check_trained, frozen, modules_of, player, split, trainable


class Two(NamedTuple):
    G: Any
    D: Any


class Batch(NamedTuple):
    a: Tensor
    b: Tensor


def make_nets() -> Two:
    torch.manual_seed(0)
    return Two(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double(), nn.Linear(3, 1).double())


def make_batches(count: int = 4) -> list[Batch]:
    draw = torch.Generator().manual_seed(1)
    return [Batch(*torch.randn(2, 4, 3, generator=draw, dtype=torch.float64)) for _ in range(count)]


def train(step: Step[Any, Any], nets: Any, batches: list[Batch], policy: Policy | None = None) -> Any:
    policy = policy or Policy()
    state = step.init(nets, policy, None)
    metrics = None
    for now, x in enumerate(batches):
        state, metrics = step.update(nets, state, x, Turn(policy, now))
    return metrics


def one_term(trains: Callable[[Any], Any], term: Callable[[Any, Batch], Tensor], **options: Any) -> Step[Any, Any]:
    optimizer = options.pop("optimizer", torch.optim.SGD)
    return player(
        trains, lambda n, x: {"x": term(n, x)}, optimizer, weights={"x": 1}, lr=options.pop("lr", 0.1), **options
    )


@pytest.mark.parametrize("accumulate", [1, 2, 4])
def test_a_part_of_a_net_moves_down_the_weighted_sum_and_after_is_called_without_gradients(accumulate: int) -> None:
    batches, grad_modes = make_batches(), []
    first, _, last = (nets := make_nets()).G
    w, b = last.weight.detach().clone(), last.bias.detach().clone()
    for now, x in enumerate(batches):
        w, b = w.requires_grad_(), b.requires_grad_()
        made = torch.tanh(x.a @ first.weight.detach().T + first.bias.detach()) @ w.T + b
        total = 3 * (made - x.b).pow(2).mean() + (1 + now) * made.abs().mean()
        gradients = torch.autograd.grad(total, (w, b))
        rate = 0.1 / (1 + now)
        w, b = ((p - rate * g).detach().clamp(-0.3, 0.3) for p, g in zip((w, b), gradients, strict=True))

    def after(n: Two) -> None:
        grad_modes.append(torch.is_grad_enabled())
        for parameter in last.parameters():
            parameter.clamp_(-0.3, 0.3)

    def loss(n: Two, x: Batch) -> dict[str, Tensor]:
        made = n.G(x.a)
        return {"l2": (made - x.b).square().mean(), "l1": made.abs().mean()}

    weights: dict[str, Any] = {"l1": lambda now: 1.0 + now, "l2": 3}
    before = copy.deepcopy((first.state_dict(), nets.D.state_dict()))
    step: Step[Two, Batch] = player(
        lambda n: n.G[2],
        loss,
        torch.optim.SGD,
        weights=weights,
        lr=lambda now: 0.1 / (1 + now),
        after=after,
    )
    assert step.trains(nets) == (last,)
    train(step, nets, batches, Policy(accumulate=accumulate))
    torch.testing.assert_close((last.weight.detach(), last.bias.detach()), (w, b), rtol=0, atol=1e-12)
    torch.testing.assert_close((first.state_dict(), nets.D.state_dict()), before, rtol=0, atol=0)
    assert grad_modes == [False] * 4


def test_metrics_are_unweighted_in_the_order_of_the_weights() -> None:
    def loss(n: Two, x: Batch) -> dict[str, Tensor]:
        return {"b": n.D(x.a).mean() * 0 + 3, "a": n.D(x.a).mean() * 0 - 2}

    step: Step[Two, Batch] = player(lambda n: n.D, loss, torch.optim.SGD, weights={"a": 10, "b": lambda now: now}, lr=0)
    metrics = train(step, make_nets(), make_batches(3))
    assert {key: value.item() for key, value in metrics.items()} == {"a": -2, "b": 3, "total": -20 + 2 * 3}
    assert list(metrics) == ["a", "b", "total"]
    assert all(value.grad_fn is None and value.shape == () for value in metrics.values())


def test_one_tensor_may_be_two_terms_and_a_term_may_have_no_gradient() -> None:
    def loss(n: Two, x: Batch) -> dict[str, Tensor]:
        term = n.D.weight.sum()
        return {"once": term, "again": term, "fixed": x.a.mean()}

    nets, x = make_nets(), make_batches(1)
    wanted = nets.D.weight.detach() - 0.5 * (1 + 10)
    step: Step[Two, Batch] = player(
        lambda n: n.D, loss, torch.optim.SGD, weights={"once": 1, "again": 10, "fixed": 7}, lr=0.5
    )
    metrics = train(step, nets, x)
    torch.testing.assert_close(nets.D.weight.detach(), wanted, rtol=0, atol=1e-12)
    assert metrics["fixed"].item() == pytest.approx(x[0].a.mean().item())


class Spy(torch.autograd.Function):
    """The identity; notes whether autocast is on when backward runs, and in which precision gradients come."""

    notes: list[tuple[bool, torch.dtype]]

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        Spy.notes.append((torch.is_autocast_enabled("cpu"), gradients[0].dtype))
        return gradients[0]


@pytest.mark.parametrize(
    ("precision", "expected"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_nets_and_losses_run_under_autocast_which_ends_before_backward(precision: Any, expected: torch.dtype) -> None:
    torch.manual_seed(0)
    nets = Two(nn.Linear(3, 3), nn.Linear(3, 1))
    Spy.notes, seen = [], []

    def term(n: Two, x: Batch) -> Tensor:
        logits: Tensor = Spy.apply(n.D(n.G(x.a.float())))
        seen.append((torch.is_autocast_enabled("cpu"), logits.dtype))
        return logits.mean()

    adam = torch.optim.Adam
    metrics = train(one_term(lambda n: n.D, term, optimizer=adam), nets, make_batches(2), Policy(precision=precision))
    assert seen == [(precision != "fp32", expected)] * 2
    assert Spy.notes == [(False, expected)] * 2
    assert [p.grad.dtype for p in nets.D.parameters() if p.grad is not None] == [torch.float32] * 2
    assert metrics["x"].dtype == metrics["total"].dtype == torch.float32
    assert not torch.is_autocast_enabled("cpu")


def test_bf16_moves_as_plain_autocast_does() -> None:
    torch.manual_seed(0)
    nets = Two(nn.Linear(3, 3), nn.Linear(3, 1))
    plain = copy.deepcopy(nets)
    optimizer = torch.optim.SGD(plain.D.parameters(), lr=0.1)
    for x in make_batches(3):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = (plain.D(plain.G(x.a.float())).float() - 1).square().mean()
        loss.backward()
        optimizer.step()
    step = one_term(lambda n: n.D, lambda n, x: (n.D(n.G(x.a.float())).float() - 1).square().mean())
    train(step, nets, make_batches(3), Policy(precision="bf16"))
    torch.testing.assert_close(nets.D.state_dict(), plain.D.state_dict(), rtol=0, atol=1e-7)


def test_fp16_skips_a_move_with_infinite_gradients_and_saves_its_loss_scale() -> None:
    nets = Two(nn.Linear(3, 3), nn.Linear(3, 1))
    before = copy.deepcopy(nets.D.state_dict())
    step = one_term(lambda n: n.D, lambda n, x: n.D(x.a.float()).float().mean() * 1e38, optimizer=torch.optim.Adam)
    policy = Policy(precision="fp16")
    state = step.init(nets, policy, None)
    for now, x in enumerate(make_batches(2)):
        state, _ = step.update(nets, state, x, Turn(policy, now))
    torch.testing.assert_close(nets.D.state_dict(), before, rtol=0, atol=0)
    saved = snapshot(state)
    assert saved["optimizing"]["scaler"]["scale"] == 2.0**14  # halved twice from 2^16
    again = snapshot(step.init(nets, policy, saved))
    assert again["optimizing"]["scaler"] == saved["optimizing"]["scaler"]


def test_fp16_needs_a_fused_optimiser() -> None:
    step = one_term(lambda n: n.D, lambda n, x: n.D(x.a).mean(), optimizer=torch.optim.RMSprop)
    with pytest.raises(CompositionError, match="^fp16 needs an optimiser with a fused form, such as Adam"):
        step.init(make_nets(), Policy(precision="fp16"), None)


def test_player_goes_on_as_saved() -> None:
    adam = torch.optim.Adam
    step, batches = one_term(lambda n: n.D, lambda n, x: n.D(x.a).square().mean(), optimizer=adam), make_batches(4)
    nets, policy = make_nets(), Policy()
    state = step.init(nets, policy, None)
    for now, x in enumerate(batches):
        if now == 2:
            saved, other = copy.deepcopy((snapshot(state), nets))
        state, _ = step.update(nets, state, x, Turn(policy, now))
    state = step.init(other, policy, saved)
    for now in (2, 3):
        state, _ = step.update(other, state, batches[now], Turn(policy, now))
    torch.testing.assert_close(other.D.state_dict(), nets.D.state_dict(), rtol=0, atol=0)


MISTAKES: dict[str, tuple[Callable[..., Any], str]] = {
    "unknown term": (lambda n, x: {"y": n.D(x.a).mean()}, "no term for weight x and no weight for term y: the loss "),
    "nothing depends on it": (
        lambda n, x: {"x": n.D(x.a).mean().detach()},
        "no term \\(x\\) depends on what this player trains",
    ),
    "no mapping": (lambda n, x: [n.D(x.a).mean()], "the loss returns a list; it must return"),
    "shape": (lambda n, x: {"x": n.D(x.a)}, r"term x has shape \(4, 1\), it must be a scalar; take its mean\(\)"),
    "number": (lambda n, x: {"x": 1}, "term x is a int, not a tensor"),
    "arguments": (lambda n: {}, r"the loss takes 1 arguments; here it must be loss\(nets, batch\)"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_of_a_lone_player_is_said_before_it_moves(case: str) -> None:
    loss, message = MISTAKES[case]
    nets = make_nets()
    before = copy.deepcopy(nets.D.state_dict())
    step: Step[Two, Batch] = player(lambda n: n.D, loss, torch.optim.SGD, weights={"x": 1}, lr=0.1)
    with pytest.raises(CompositionError, match=message):
        train(step, nets, make_batches(1))
    torch.testing.assert_close(nets.D.state_dict(), before, rtol=0, atol=0)


def test_a_player_trains_only_what_is_among_the_nets() -> None:
    elsewhere = torch.nn.Linear(3, 1)
    step = one_term(lambda n: elsewhere, lambda n, x: elsewhere(x.a).mean())
    with pytest.raises(CompositionError, match="a net that is not among the nets and would not be saved"):
        step.init(make_nets(), Policy(), None)


def test_loss_with_any_number_of_arguments_is_given_what_there_is() -> None:
    got = []

    def loss(*arguments: Any) -> dict[str, Tensor]:
        got.append(len(arguments))
        return {"x": arguments[0].D.weight.sum()}

    train(player(lambda n: n.D, loss, torch.optim.SGD, weights={"x": 1}, lr=0), make_nets(), make_batches(1))
    assert got == [2]


def test_check_trained_names_the_net_that_nobody_trains() -> None:
    nets = make_nets()
    step = one_term(lambda n: n.G[2], lambda n, x: n.G(x.a).mean())
    with pytest.raises(
        CompositionError, match=r"^net G: no player trains 2 of its tensors; select it in a player, or fr"
    ):
        check_trained(step, nets)
    nets.G[0].requires_grad_(False)
    with pytest.raises(CompositionError, match="^net D: no player trains 2 of its tensors"):
        check_trained(step, nets)
    nets.D.requires_grad_(False)
    check_trained(step, nets)


def test_split_cuts_equal_parts_along_the_leading_dimension() -> None:
    batch = (torch.arange(6), {"x": torch.arange(12).view(6, 2)}, "name")
    parts = split(batch, 3)
    assert [part[0].tolist() for part in parts] == [[0, 1], [2, 3], [4, 5]]
    assert [part[1]["x"][:, 0].tolist() for part in parts] == [[0, 2], [4, 6], [8, 10]]
    assert [part[2] for part in parts] == ["name"] * 3
    assert split(batch, 1) == (batch,)
    for wrong in (torch.arange(7), (torch.arange(6), torch.arange(3)), ()):
        with pytest.raises(CompositionError, match=r"cannot be cut into accumulate \(=3\) equal micro-batches"):
            split(wrong, 3)


def test_parameters_are_found_once_and_frozen_for_a_while() -> None:
    nets = make_nets()
    tied = Two(nets.G, nn.Sequential(nets.D, nets.G))
    assert modules_of({"x": tied}) == list(tied)
    assert [id(p) for p in trainable(tied)] == [id(p) for p in (*nets.G.parameters(), *nets.D.parameters())]
    with frozen(trainable([nets.D])):
        assert trainable([nets.D]) == []
        assert len(trainable(nets)) == 4
    assert len(trainable(nets)) == 6


def test_the_total_is_that_of_its_batch_however_late_it_is_read() -> None:
    def loss(n: Any, x: Tensor) -> dict[str, Tensor]:
        return {"a": n[0].weight.sum() * 0 + x, "b": n[0].weight.sum() * 0 + 1}

    weights = {"a": lambda now: float(1 + now), "b": 10.0}
    step = player(lambda n: n[0], loss, torch.optim.SGD, weights=weights, lr=0.1)
    nets = (nn.Linear(1, 1, bias=False),)
    state, seen = step.init(nets, Policy(), None), []
    for now in range(3):
        state, metrics = step.update(nets, state, torch.tensor(float(2 + now)), Turn(Policy(), now))
        seen.append(metrics)
    assert [float(metrics["total"]) for metrics in seen] == [2 * 1 + 10, 3 * 2 + 10, 4 * 3 + 10]
    assert [list(metrics) for metrics in seen] == [["a", "b", "total"]] * 3
