"""Who moves when, and what is left out; the numbers are in the parity tests."""

from __future__ import annotations

from collections import Counter
from typing import Any

import attrs
import pytest
import torch
from torch import nn

from i2i.policy import Policy, Turn
from i2i.values import Pair
from i2i_ugatit.recipe import make_nets
from i2i_ugatit.settings import Settings
from i2i_ugatit.spectral import SpectralNorm
from i2i_ugatit.step import Nets, generator_weights, make_step

TINY = Settings(base_width=2, blocks=1, discriminator_width=2, discriminator_layers=(4, 3), crop_size=16)


def trained(settings: Settings, batch: Pair | None = None) -> tuple[Nets, dict[str, float], Counter[str]]:
    """Make one update; return the nets, the metrics, and how often each net ran."""
    torch.manual_seed(0)
    nets, step, policy = make_nets(settings), make_step(settings, 1e-3), Policy()
    state = step.init(nets, policy, None)
    given = Pair(*(torch.rand(2, 2, 3, 16, 16) * 2 - 1)) if batch is None else batch
    step.update(nets, state, given, Turn(policy, 0))  # the first one looks at what is shared beforehand
    ran: Counter[str] = Counter()
    for name, net in zip(nets._fields, nets, strict=True):
        net.register_forward_pre_hook(lambda *_, name=name: ran.update((name,)))
    _, metrics = step.update(nets, state, given, Turn(policy, 1))
    return nets, {name: float(value) for name, value in metrics.items()}, ran


def test_each_generator_runs_twice_and_each_discriminator_three_times() -> None:
    """Translation and identity in one pass, then the cycle; real, fake, and fake again for the generators."""
    _, _, ran = trained(TINY)
    assert ran == {"G": 2, "F": 2, "DA": 3, "DB": 3}


def test_power_iterations_are_those_of_the_authors() -> None:
    """Two passes for the discriminators, one for the generators: 2 + 1 for each layer, 96 for layers of 7 and 5."""
    settings = attrs.evolve(TINY, discriminator_layers=(7, 5), crop_size=96)
    nets = make_nets(settings)
    step, policy = make_step(settings, 1e-3), Policy()
    state = step.init(nets, policy, None)
    counted: Counter[str] = Counter()
    for judge in (nets.DA, nets.DB):
        for norm in (module for module in judge.modules() if isinstance(module, SpectralNorm)):
            usual = norm._iterate
            norm._iterate = lambda matrix, usual=usual: (counted.update(("iteration",)), usual(matrix))  # type: ignore[method-assign, misc, assignment]
    step.update(nets, state, Pair(*torch.rand(2, 1, 3, 96, 96)), Turn(policy, 0))
    assert counted["iteration"] == 96


@pytest.mark.parametrize(
    ("changes", "missing", "ran"),
    [
        ({"cycle_weight": 0}, {"cycle_a", "cycle_b"}, {"G": 1, "F": 1}),
        ({"identity_weight": 0}, {"identity_a", "identity_b"}, {"G": 2, "F": 2}),
        ({"cam_weight": 0}, {"cam_a", "cam_b"}, {"G": 2, "F": 2}),
        ({"cam_weight": 0, "identity_weight": 0}, {"identity_a", "identity_b", "cam_a", "cam_b"}, {"G": 2, "F": 2}),
    ],
)
def test_what_has_no_weight_is_left_out(changes: dict[str, Any], missing: set[str], ran: dict[str, int]) -> None:
    settings = attrs.evolve(TINY, **changes)
    _, metrics, found = trained(settings)
    every = {f"g/{name}" for name in generator_weights(Settings())}
    assert {name for name in metrics if name.startswith("g/") and name != "g/total"} == every - {
        f"g/{name}" for name in missing
    }
    assert {name: found[name] for name in ran} == ran


def test_without_images_of_the_target_the_generators_see_half_as_many() -> None:
    sizes: list[int] = []
    settings = attrs.evolve(TINY, cam_weight=0, identity_weight=0)
    nets, step, policy = make_nets(settings), make_step(settings, 1e-3), Policy()
    nets.G.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    step.update(nets, step.init(nets, policy, None), Pair(*torch.rand(2, 2, 3, 16, 16)), Turn(policy, 0))
    assert set(sizes) == {2}


def test_domains_of_unequal_channels() -> None:
    settings = attrs.evolve(TINY, channels_a=1, cam_weight=0, identity_weight=0)
    _, metrics, _ = trained(settings, Pair(torch.rand(1, 1, 16, 16), torch.rand(1, 3, 16, 16)))
    assert all(value == value for value in metrics.values())


@pytest.mark.parametrize("criterion", ["vanilla", "hinge"])
def test_other_criteria(criterion: str) -> None:
    """Each of the terms is another one; both runs begin alike, so the first batch tells."""
    losses = []
    for settings in (TINY, attrs.evolve(TINY, criterion=criterion)):
        torch.manual_seed(0)
        nets, step, policy = make_nets(settings), make_step(settings, 1e-3), Policy()
        batch = Pair(*(torch.rand(2, 2, 3, 16, 16) * 2 - 1))
        losses.append(step.update(nets, step.init(nets, policy, None), batch, Turn(policy, 0))[1])
    adversarial = [name for name in losses[0] if (name[:2] == "d/" and name != "d/total") or "adv" in name]
    assert len(adversarial) == 8
    for name in adversarial:
        assert float(losses[1][name]) != pytest.approx(float(losses[0][name]), rel=1e-2), name


def test_every_weight_is_trained() -> None:
    torch.manual_seed(0)
    nets, step, policy = make_nets(TINY), make_step(TINY, 1e-3), Policy()
    before = [parameter.detach().clone() for net in nets for parameter in net.parameters()]
    step.update(nets, step.init(nets, policy, None), Pair(*torch.rand(2, 1, 3, 16, 16)), Turn(policy, 0))
    named: list[tuple[str, nn.Parameter]] = [pair for net in nets for pair in net.named_parameters()]
    still = [name for (name, now), then in zip(named, before, strict=True) if torch.equal(now, then)]
    # What begins at a border may be held there: rho of the norms that begin as layer norms.
    assert all(name.endswith("rho") for name in still)


def test_optimisers_are_as_the_settings_say() -> None:
    settings = attrs.evolve(TINY, beta1=0.25, weight_decay=0.125)
    nets, step = make_nets(settings), make_step(settings, 1e-3)
    _, players = step.init(nets, Policy(), None)
    for player in players.values():
        (group,) = player.state_dict()["optimizing"]["optimizer"]["param_groups"]
        assert (group["betas"], group["weight_decay"]) == ((0.25, 0.999), 0.125)


@pytest.mark.parametrize("policy", [Policy("bf16"), Policy("fp16"), Policy(accumulate=2), Policy(average=0.9)])
def test_other_ways_to_compute(policy: Policy) -> None:
    torch.manual_seed(0)
    nets, step = make_nets(TINY), make_step(TINY, 1e-3)
    state = step.init(nets, policy, None)
    batch = Pair(*(torch.rand(2, 2, 3, 16, 16) * 2 - 1))
    near = 0.2 if policy.accumulate > 1 else 0.05  # each part moves the spectral norms on
    exact_nets, exact = make_nets(TINY), make_step(TINY, 1e-3)
    for net, other in zip(exact_nets, nets, strict=True):
        net.load_state_dict(other.state_dict())
    _, wanted = exact.update(exact_nets, exact.init(exact_nets, Policy(), None), batch, Turn(Policy(), 0))
    for now in range(2):
        state, metrics = step.update(nets, state, batch, Turn(policy, now))
        if not now:
            assert {name: float(value) for name, value in metrics.items()} == pytest.approx(
                {name: float(value) for name, value in wanted.items()}, rel=near
            )
    assert all(bool(p.isfinite().all()) for net in nets for p in net.parameters())
