from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from i2i.checkpoint import snapshot
from i2i.errors import CompositionError, RunError
from i2i.optimizers import Optimizing
from i2i.policy import Dial, Policy
from i2i.tree import tree_map

Factory = Callable[..., torch.optim.Optimizer]
optim = torch.optim
FACTORIES: dict[str, Factory] = {
    "Adam": functools.partial(optim.Adam, betas=(0.5, 0.999)),
    "Adam, not fused": functools.partial(optim.Adam, fused=False),
    "Adam, foreach": functools.partial(optim.Adam, foreach=True),
    "AdamW": functools.partial(optim.AdamW, weight_decay=0.1),
    "SGD": optim.SGD,
    "SGD with momentum": functools.partial(optim.SGD, momentum=0.9, nesterov=True),
    "Adagrad": optim.Adagrad,
    "RMSprop": optim.RMSprop,
    "Adadelta": optim.Adadelta,
    "Adamax": optim.Adamax,
    "NAdam": optim.NAdam,
    "RAdam": optim.RAdam,
    "Rprop": optim.Rprop,
    "a lambda": lambda parameters, lr: optim.Adam(parameters, lr=lr, betas=(0.5, 0.9)),
}


def make_parameters() -> list[nn.Parameter]:
    torch.manual_seed(0)
    return [nn.Parameter(torch.randn(3, 2, dtype=torch.float64)), nn.Parameter(torch.randn(2, dtype=torch.float64))]


def set_gradients(parameters: list[nn.Parameter], now: int) -> None:
    draw = torch.Generator().manual_seed(now)
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=draw, dtype=torch.float64)


def rate(now: int) -> float:
    return 0.1 / (1 + now)


@pytest.mark.parametrize("name", FACTORIES)
def test_the_schedule_reaches_every_optimiser_also_when_it_goes_on_as_saved(name: str) -> None:
    plain, ours = make_parameters(), make_parameters()
    reference = FACTORIES[name](plain, lr=rate(0))
    optimizing = Optimizing(FACTORIES[name], ours, rate, Policy())
    for now in range(5):
        if now == 3:
            saved = copy.deepcopy(snapshot(optimizing.state_dict()))
            optimizing = Optimizing(FACTORIES[name], ours, rate, Policy())
            optimizing.load_state_dict(saved)
        for group in reference.param_groups:
            group["lr"] = rate(now)
        optimizing.turn(now)
        for parameters in (plain, ours):
            set_gradients(parameters, now)
        reference.step()
        optimizing.step()
    # 1e-10: torch takes up a float32 number of NAdam's as float64.
    torch.testing.assert_close(ours, plain, rtol=0, atol=1e-10)
    assert not torch.equal(ours[0], make_parameters()[0])


@pytest.mark.parametrize(
    ("name", "fused"), [("Adam", True), ("SGD", True), ("Adam, not fused", False), ("Adam, foreach", None)]
)
def test_the_fused_form_is_asked_for_unless_another_is_chosen(name: str, fused: bool | None) -> None:
    optimizing = Optimizing(FACTORIES[name], make_parameters(), 0.1, Policy())
    (group,) = optimizing._optimizer.param_groups
    assert group["fused"] is fused
    (saved,) = optimizing.state_dict()["optimizer"]["param_groups"]
    assert not {"lr", "fused", "capturable", "foreach"} & set(saved)  # they follow from the batch and the device
    optimizing.load_state_dict(optimizing.state_dict())
    (group,) = optimizing._optimizer.param_groups
    assert group["fused"] is fused


def on_cuda(factory: Factory, policy: Policy) -> Optimizing:
    """Make an optimiser of a parameter on a device that need not be there: it has no data."""
    with FakeTensorMode():
        parameter = nn.Parameter(torch.empty(2, device="cuda"))
        with mock.patch.object(Tensor, "__bool__", return_value=True):  # torch asks whether the rate is below 0
            return Optimizing(factory, [parameter], 0.1, policy)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("Adamax", {"capturable": True}),
        ("Adagrad", {"fused": None}),  # torch 2.11 has this fused form for the CPU only
    ],
)
def test_the_form_on_a_cuda_device(name: str, form: dict[str, bool | None]) -> None:
    (group,) = on_cuda(FACTORIES[name], Policy())._optimizer.param_groups
    assert {key: group[key] for key in form} == form


def test_a_learning_rate_that_a_graph_would_not_see_refuses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    optimizing = on_cuda(optim.Adagrad, Policy(graphed=True))
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    optimizing.step()
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    with pytest.raises(RunError, match="^Adagrad reads its learning rate on the host, where a graph would never see"):
        optimizing.step()
    on_cuda(optim.Adamax, Policy(graphed=True)).step()
    on_cuda(optim.Adagrad, Policy()).step()


def test_gradients_start_from_the_weights_shared_among_micro_batches() -> None:
    weights = Dial((3.0, 6.0), torch.float64, torch.device("cpu"))
    optimizing = Optimizing(optim.Adam, make_parameters(), 0.1, Policy())
    assert [gradient.item() for gradient in optimizing.scaled(weights, 1)] == [3, 6]
    assert [gradient.item() for gradient in optimizing.scaled(weights, 3)] == [1, 2]
    half = Optimizing(optim.Adam, make_parameters(), 0.1, Policy(precision="fp16"))
    assert [gradient.item() for gradient in half.scaled(weights, 3)] == [2.0**16, 2.0**17]


@pytest.mark.parametrize("name", ["RMSprop", "a lambda", "Adam, not fused", "Adam, foreach"])
def test_fp16_is_refused_without_a_fused_form(name: str) -> None:
    with pytest.raises(
        CompositionError, match="^fp16 needs an optimiser with a fused form, such as Adam; .* has none$"
    ):
        Optimizing(FACTORIES[name], make_parameters(), 0.1, Policy(precision="fp16"))


def test_fp16_undoes_its_loss_scale() -> None:
    plain, ours = ([nn.Parameter(torch.ones(3))] for _ in range(2))
    reference = optim.SGD(plain, lr=0.1)
    optimizing = Optimizing(optim.SGD, ours, 0.1, Policy(precision="fp16"))
    (scale,) = optimizing.scaled(Dial((1.0,), torch.float32, torch.device("cpu")), 1)
    for parameters, factor in ((plain, torch.tensor(1.0)), (ours, scale)):
        parameters[0].grad = torch.tensor([1.0, -2.0, 3.0]) * factor
    reference.step()
    optimizing.step()
    torch.testing.assert_close(ours, plain)


@pytest.mark.parametrize("name", FACTORIES)
def test_weights_of_any_memory_format_go_on_as_saved(name: str) -> None:
    """What is read from a file is contiguous, and fused forms do not look."""

    def moved(optimizing: Optimizing, weight: nn.Parameter, now: int) -> Tensor:
        optimizing.turn(now)
        draw = torch.randn(weight.shape, generator=torch.Generator().manual_seed(now), dtype=weight.dtype)
        weight.grad = torch.empty_like(weight).copy_(draw)
        optimizing.step()
        return weight.detach().clone()

    def make_weight() -> nn.Parameter:
        values = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        return nn.Parameter(values.to(memory_format=torch.channels_last))

    weight = make_weight()
    optimizing = Optimizing(FACTORIES[name], [weight], rate, Policy())
    between = moved(optimizing, weight, 0)
    state = copy.deepcopy(snapshot(optimizing.state_dict()))
    saved = tree_map(lambda leaf: leaf.contiguous() if isinstance(leaf, Tensor) else leaf, state)
    expected = moved(optimizing, weight, 1)
    again = make_weight()
    again.data.copy_(between)
    other = Optimizing(FACTORIES[name], [again], rate, Policy())
    other.load_state_dict(saved)
    torch.testing.assert_close(moved(other, again, 1), expected, rtol=0, atol=1e-9)  # torch rounds a number of NAdam


def test_what_another_optimiser_saved_is_refused() -> None:
    saved = snapshot(Optimizing(optim.Adam, make_parameters(), rate, Policy()).state_dict())
    with pytest.raises(RunError, match="^saved was the optimiser Adam, but here it is SGD$"):
        Optimizing(optim.SGD, make_parameters(), rate, Policy()).load_state_dict(saved)
    with pytest.raises(RunError, match="^saved was Adam of other parameters \\(loaded state dict contains"):
        Optimizing(optim.Adam, make_parameters()[:1], rate, Policy()).load_state_dict(saved)


def test_state_holds_nothing_but_what_a_checkpoint_can_hold() -> None:
    optimizing = Optimizing(optim.Adam, make_parameters(), rate, Policy(precision="fp16"))
    saved: Any = snapshot(optimizing.state_dict())
    assert set(saved) == {"kind", "optimizer", "scaler"}
    assert saved["scaler"]["scale"] == 2.0**16
