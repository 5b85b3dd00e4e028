"""The recipe against a plain transcription of the authors' step, in float64, to 1e-10."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import attrs
import pytest
import torch
from torch import Tensor, nn

from benchmarks.reference.plain import GAN, Pool, Weights, dead, draw_weights, patch, resnet, unet
from i2i.engine import fit
from i2i.policy import Policy, Turn
from i2i.values import Pair
from i2i_cyclegan.rates import Length, learning_rate
from i2i_cyclegan.recipe import make_nets
from i2i_cyclegan.settings import Settings
from i2i_cyclegan.step import Nets, make_step

STEPS = 6
TINY = Settings(base_width=4, blocks=2, discriminator_width=4, discriminator_layers=2, crop_size=16, load_size=16)


def squared_gradient(w: Weights, x: Tensor) -> Tensor:
    """R1, which the authors do not have: half the squared gradient of the judgement, mean over the images."""
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(patch(w, x).sum(), x, create_graph=True)
    return (gradient * gradient).sum((1, 2, 3)).mean() / 2


class Result(NamedTuple):
    losses: list[dict[str, float]]
    weights: Sequence[Weights]


def authors(start: Sequence[Weights], batches: Sequence[Pair], s: Settings, rates: Sequence[float]) -> Result:
    """Train in the order of section 1.6 of the spec, and log under the authors' names.

    A term of weight 0 is computed and multiplied by 0; without adversarial terms the judges stay as they are.
    """
    weights = [{key: value.clone().requires_grad_() for key, value in w.items()} for w in start]
    g_a, g_b, d_b, d_a = weights  # ours: G, F, DA, DB; the authors' D_A judges B
    generator = resnet if s.generator == "resnet" else unet
    gan = GAN[s.criterion]
    opt_g, opt_d = (
        torch.optim.Adam([*x.values(), *y.values()], lr=rates[0], betas=(0.5, 0.999), foreach=False, fused=False)
        for x, y in ((g_a, g_b), (d_a, d_b))
    )
    pool_b, pool_a = Pool(s.pool_size), Pool(s.pool_size)
    losses = []
    for batch, rate in zip(batches, rates, strict=True):
        for optimizer in (opt_g, opt_d):
            optimizer.param_groups[0]["lr"] = rate
        a, b = batch
        fake_b = generator(g_a, a)
        rec_a = generator(g_b, fake_b)
        fake_a = generator(g_b, b)
        rec_b = generator(g_a, fake_a)
        terms = {
            "G_A": s.adversarial_weight * gan(patch(d_a, fake_b), True),
            "G_B": s.adversarial_weight * gan(patch(d_b, fake_a), True),
            "cycle_A": s.cycle_weight_a * (rec_a - a).abs().mean(),
            "cycle_B": s.cycle_weight_b * (rec_b - b).abs().mean(),
        }
        if s.identity_weight > 0:  # its weight may still be 0, with that of a cycle
            terms["idt_A"] = s.cycle_weight_b * s.identity_weight * (generator(g_a, b) - b).abs().mean()
            terms["idt_B"] = s.cycle_weight_a * s.identity_weight * (generator(g_b, a) - a).abs().mean()
        opt_g.zero_grad()
        torch.autograd.backward(torch.stack(list(terms.values())).sum())
        opt_g.step()

        shown_b, shown_a = pool_b.query(fake_b.detach()), pool_a.query(fake_a.detach())
        terms["D_A"] = (gan(patch(d_a, b), True) + gan(patch(d_a, shown_b), False)) * 0.5
        terms["D_B"] = (gan(patch(d_b, a), True) + gan(patch(d_b, shown_a), False)) * 0.5
        if s.r1_weight:
            terms["D_A"] = terms["D_A"] + s.r1_weight * squared_gradient(d_a, b)
            terms["D_B"] = terms["D_B"] + s.r1_weight * squared_gradient(d_b, a)
        if s.adversarial_weight:
            opt_d.zero_grad()
            torch.autograd.backward((terms["D_A"], terms["D_B"]))
            opt_d.step()
        losses.append({name: term.item() for name, term in terms.items()})
    return Result(losses, [{key: value.detach() for key, value in w.items()} for w in weights])


# The recipe, in the same terms.


def renamed(metrics: Mapping[str, Tensor | float], s: Settings) -> dict[str, float]:
    """Our unweighted terms under the authors' names, weighted; those of weight 0 must not be there."""
    adversarial, cycle_a, cycle_b, r1 = s.adversarial_weight, s.cycle_weight_a, s.cycle_weight_b, s.r1_weight
    judge = 0.5 if adversarial else 0.0
    names = {
        "G_A": {"g/adv_b": adversarial}, "G_B": {"g/adv_a": adversarial},
        "cycle_A": {"g/cycle_a": cycle_a}, "cycle_B": {"g/cycle_b": cycle_b},
        "idt_A": {"g/identity_b": s.identity_weight * cycle_b}, "idt_B": {"g/identity_a": s.identity_weight * cycle_a},
        "D_A": {"d/b": judge, "d/r1_b": r1}, "D_B": {"d/a": judge, "d/r1_a": r1},
    }  # fmt: skip
    there = {t: {ours: weight for ours, weight in parts.items() if weight > 0} for t, parts in names.items()}
    wanted = {ours for parts in there.values() for ours in parts}
    assert set(metrics) == wanted | {f"{name[0]}/total" for name in wanted}
    return {t: sum(w * float(metrics[ours]) for ours, w in parts.items()) for t, parts in there.items() if parts}


def parameters(net: nn.Module) -> Weights:
    return {name: value.detach().clone() for name, value in net.named_parameters()}


def beginning(settings: Settings, batch: int = 2, size: int = 16) -> tuple[Nets, list[Pair]]:
    """Nets with weights that matter, and some batches, in float64."""
    torch.manual_seed(11)
    nets = make_nets(settings)
    for net in nets:
        draw_weights(net)
    images = torch.rand(2, STEPS, batch, 3, size, size, dtype=torch.float64) * 2 - 1
    return nets, [Pair(a, b) for a, b in images.unbind(1)]


def assert_equal(nets: Nets, start: Sequence[Weights], ours: list[dict[str, float]], theirs: Result) -> None:
    for mine, wanted in zip(ours, theirs.losses, strict=True):
        assert mine == pytest.approx({name: wanted[name] for name in mine}, rel=1e-10, abs=1e-10)
    for net, before, after in zip(nets, start, theirs.weights, strict=True):
        for name, value in net.named_parameters():
            if not dead(name, net):
                torch.testing.assert_close(value.detach(), after[name], rtol=1e-10, atol=1e-10, msg=name)
                moved = (value.detach() - before[name]).abs().max() > 1e-5
                # wgan's last bias has no gradient
                assert moved or name.endswith("bias") or not value.requires_grad, f"{name} did not move"


VARIANTS: dict[str, dict[str, Any]] = {
    "default": {"cycle_weight_a": 10.0, "cycle_weight_b": 7.0},
    "identity off": {"identity_weight": 0.0},
    "pool fills and is full": {"pool_size": 3},
    "no pool": {"pool_size": 0},
    "vanilla": {"criterion": "vanilla", "pool_size": 2},
    "batch norm U-Net": {"generator": "unet", "downs": 3, "norm": "batch", "discriminator_norm": "batch"},
    "the authors' wgan": {"criterion": "wgan", "reference": True},
    "cycle alone": {"adversarial_weight": 0.0, "identity_weight": 0.0},
    "GAN alone": {"cycle_weight_a": 0.0, "cycle_weight_b": 0.0, "identity_weight": 0.0},
    "GAN and forward cycle": {"cycle_weight_b": 0.0, "identity_weight": 0.0, "pool_size": 2},
    "GAN and backward cycle, one identity": {"cycle_weight_a": 0.0},
    "less of the GAN": {"adversarial_weight": 0.3},
    "r1": {"r1_weight": 2.0, "pool_size": 2},
}  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS)
def test_update_is_the_authors_step(variant: str) -> None:
    settings = attrs.evolve(TINY, **VARIANTS[variant])
    nets, batches = beginning(settings)
    start = [parameters(net) for net in nets]
    random.seed(5)
    theirs = authors(start, batches, settings, [2e-4] * STEPS)

    step, policy = make_step(settings, 2e-4), Policy()
    random.seed(5)
    state = step.init(nets, policy, None)
    ours = []
    for now, batch in enumerate(batches):
        state, metrics = step.update(nets, state, batch, Turn(policy, now))
        ours.append(renamed(metrics, settings))
    assert_equal(nets, start, ours, theirs)


def test_fit_is_the_authors_training_with_their_learning_rates() -> None:
    """One batch in each of six epochs, three of them steady."""
    settings = attrs.evolve(TINY, pool_size=2, reference=True, lr=1e-3)
    assert_trained_with(settings, [1e-3, 1e-3, 0.75e-3, 0.5e-3, 0.25e-3, 0.0])


def test_fit_with_a_warm_up() -> None:
    """Three batches of warm-up, then the decay of the second half: batches 4 and 5 have 2/3 and 1/3."""
    settings = attrs.evolve(TINY, pool_size=2, warm_up=3, lr=1e-3)
    assert_trained_with(settings, [1e-3 / 3, 2e-3 / 3, 1e-3, 1e-3, 2e-3 / 3, 1e-3 / 3])


def assert_trained_with(settings: Settings, rates: list[float]) -> None:
    nets, batches = beginning(settings, batch=1, size=24)
    start = [parameters(net) for net in nets]
    random.seed(3)
    theirs = authors(start, batches, settings, rates)

    seen: list[dict[str, float]] = []

    class Log:
        every = 1

        def __call__(self, now: Any) -> None:
            seen.append(renamed(now.metrics, settings))

    step = make_step(settings, learning_rate(settings, Length(STEPS, per_epoch=1)))
    random.seed(3)
    run = fit(step, nets, batches, steps=STEPS, observers=[Log()], device="cpu")
    assert run.batches == STEPS
    assert_equal(run.nets, start, seen, theirs)
