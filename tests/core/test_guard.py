from __future__ import annotations

import copy
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from i2i.checkpoint import snapshot
from i2i.combine import alternate, every, repeat
from i2i.errors import NonFiniteError
from i2i.guard import Guard, PromptGuard, check_finite, non_finite
from i2i.history import replayed
from i2i.policy import Policy, Turn
from i2i.step import Step, player

CPU = torch.device("cpu")
KINDS = pytest.mark.parametrize("kind", [Guard, PromptGuard])
BAD = [float("inf"), -float("inf"), float("nan")]


def parameter(gradient: float, dtype: torch.dtype = torch.float32) -> nn.Parameter:
    made = nn.Parameter(torch.zeros(2, dtype=dtype))
    made.grad = torch.tensor([0.5, gradient], dtype=dtype)
    return made


@KINDS
@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_first_bad_batch_of_each_term_and_of_the_gradient(
    kind: type[Guard], bad: float, dtype: torch.dtype
) -> None:
    guard = kind(("a", "b"), CPU, gradients=True)
    rows = [(1.0, -2.0, 0.1), (1e30, 0.0, 3e38), (0.0, bad, 0.0), (bad, 1.0, bad), (1.0, bad, 2.0)]
    for now, (a, b, gradient) in enumerate(rows, start=10):
        guard.begin(now)
        parameters = [parameter(0.0, dtype), parameter(gradient, dtype), nn.Parameter(torch.zeros(1))]
        guard.note(torch.tensor([a, b], dtype=dtype).unbind(), parameters)
        torch.testing.assert_close(parameters[1].grad, torch.tensor([0.5, gradient], dtype=dtype), equal_nan=True)
        expected = {} if now < 12 else {"b": 12} if now == 12 else {"a": 13, "b": 12, "gradient": 13}
        assert guard.read() == expected
        again = kind(("a", "b"), CPU, gradients=True)
        again.load_state_dict(copy.deepcopy(snapshot(guard.state_dict())))
        assert again.read() == expected


@KINDS
def test_huge_float64_values_are_finite(kind: type[Guard]) -> None:
    guard = kind(("a",), CPU, gradients=True)
    guard.begin(0)
    guard.note([torch.tensor(1e300, dtype=torch.float64)], [parameter(1e300, torch.float64)])
    assert guard.read() == {}


@KINDS
def test_a_copy_watches_as_well(kind: type[Guard]) -> None:
    guard = copy.deepcopy(kind(("a",), CPU, gradients=True))
    guard.begin(3)
    guard.note([torch.tensor(1.0)], [parameter(float("nan"))])
    assert guard.read() == {"gradient": 3}


@KINDS
def test_gradients_may_go_unwatched(kind: type[Guard]) -> None:
    guard = kind(("a",), CPU, gradients=False)
    guard.begin(0)
    guard.note([torch.ones(())], [parameter(float("nan"))])
    assert guard.read() == {}


class Two(NamedTuple):
    G: nn.Module
    D: nn.Module


class Shared(NamedTuple):
    x: Tensor


def root(n: Two, x: Tensor, shared: Any = None) -> dict[str, Tensor]:
    """A term that is 0 with an infinite gradient where D answers 0."""
    return {"size": n.D(x).abs().sqrt().sum(), "fine": n.D(x).mean()}


def inverse(n: Two, x: Tensor, shared: Any = None) -> dict[str, Tensor]:
    return {"inverse": (n.G(x) * x.exp()).mean()}


def make_nets() -> Two:
    nets = Two(nn.Linear(1, 1), nn.Linear(1, 1, bias=False))
    nn.init.ones_(nets.D.weight)  # type: ignore[arg-type]
    return nets


def make_step() -> Step[Two, Tensor]:
    g: Step[Two, Tensor] = player(lambda n: n.G, inverse, torch.optim.SGD, weights={"inverse": 1}, lr=0.0)
    d: Step[Two, Tensor] = player(lambda n: n.D, root, torch.optim.SGD, weights={"size": 1, "fine": 1}, lr=0.0)
    inner = alternate(d=every(1, repeat(1, d)))
    return alternate(share=lambda n, x: Shared(x), g=g, c=replayed(0, ("x",), inner))


def run(policy: Policy, batches: list[float]) -> Any:
    nets, step = make_nets(), make_step()
    state = step.init(nets, policy, None)
    for now, value in enumerate(batches):
        state, _ = step.update(nets, state, torch.full((2, 1), float(value)), Turn(policy, now))
    return state


def test_guards_are_found_in_any_nesting_and_read_by_name() -> None:
    assert non_finite(run(Policy(), [1, 2])) == {}
    assert non_finite(run(Policy(), [1, 0, 3])) == {
        "c/d/gradient": 1,
        "c/d/size": 2,
        "c/d/fine": 2,
    }  # at first the terms are finite
    assert non_finite(run(Policy(), [1, 200, 0]))["g/inverse"] == 1  # exp overflows


def test_check_finite_names_what_came_first() -> None:
    check_finite(run(Policy(), [1]))
    with pytest.raises(NonFiniteError) as caught:
        check_finite(run(Policy(), [1, 1, 0, 200]))
    assert str(caught.value) == (
        "c/d/gradient became infinite or not a number at batch 2; nothing was saved since, earlier checkpoints "
        "are intact: go on from one with a smaller learning rate or with precision fp32"
    )


def test_unguarded_nothing_is_noted() -> None:
    check_finite(run(Policy(guarded=False), [0, 200]))
