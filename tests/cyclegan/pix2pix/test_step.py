"""The step against a plain transcription of the authors' optimisation, in float64, to 1e-10."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import attrs
import pytest
import torch
from torch import Tensor

from benchmarks.reference.plain import GAN, Pool, Weights, dead, draw_weights, patch, pixel, unet
from i2i.engine import fit
from i2i.policy import Policy, Turn
from i2i.values import Pair
from i2i_cyclegan.pix2pix.recipe import make_nets
from i2i_cyclegan.pix2pix.settings import Settings
from i2i_cyclegan.pix2pix.step import Nets, make_step

STEPS = 5
TINY = Settings(
    base_width=3, downs=3, dropout=0, discriminator_width=3, discriminator_layers=2, load_size=16, crop_size=16,
    channels_a=2, channels_b=3,
)  # fmt: skip


class Result(NamedTuple):
    losses: list[dict[str, float]]
    weights: Sequence[Weights]


def trained(w: Weights) -> list[Tensor]:
    return [value for value in w.values() if value.requires_grad]


def authors(nets: Nets, batches: Sequence[Pair], s: Settings, rates: Sequence[tuple[float, float]]) -> Result:
    """Train in the order of section 1.6: D on the fake, then on the real pair; then G through the updated D."""
    g, d = (
        {name: value.detach().clone() for name, value in net.state_dict().items()} for net in nets
    )  # in the order of the nets
    for w, net in ((g, nets.G), (d, nets.D)):
        for name, _ in net.named_parameters():
            w[name].requires_grad_()
    judge, gan = (patch if s.discriminator == "patch" else pixel), GAN[s.criterion]
    opt_g, opt_d = (torch.optim.Adam(trained(w), lr=1, betas=(0.5, 0.999), foreach=False, fused=False) for w in (g, d))
    pool, losses = Pool(s.pool_size), []
    for (a, b), (rate_g, rate_d) in zip(batches, rates, strict=True):
        opt_g.param_groups[0]["lr"], opt_d.param_groups[0]["lr"] = rate_g, rate_d
        fake = unet(g, a)

        d_fake = gan(judge(d, pool.query(torch.cat((a, fake), 1).detach())), False)
        d_real = gan(judge(d, torch.cat((a, b), 1)), True)
        opt_d.zero_grad()
        torch.autograd.backward((d_fake + d_real) * 0.5)
        opt_d.step()

        g_gan = gan(judge(d, torch.cat((a, fake), 1)), True)
        g_l1 = (fake - b).abs().mean()
        opt_g.zero_grad()
        torch.autograd.backward(g_gan + s.l1_weight * g_l1)
        opt_g.step()
        losses.append(
            {"g/adv": g_gan.item(), "g/l1": g_l1.item(), "d/real_or_fake": d_fake.item() + d_real.item()}
            | {"g/total": g_gan.item() + s.l1_weight * g_l1.item(), "d/total": 0.5 * (d_fake.item() + d_real.item())}
        )
    return Result(losses, [{name: value.detach() for name, value in w.items()} for w in (g, d)])


def beginning(settings: Settings, batch: int = 2) -> tuple[Nets, list[Pair]]:
    """Nets with weights that matter, and some batches, in float64."""
    torch.manual_seed(11)
    nets = make_nets(settings)
    for net in nets:
        draw_weights(net)
    pairs = torch.rand(STEPS, batch, 5, 16, 16, dtype=torch.float64) * 2 - 1
    return nets, [Pair(pair[:, :2], pair[:, 2:]) for pair in pairs]


def assert_equal(nets: Nets, start: Sequence[Weights], ours: list[dict[str, float]], theirs: Result) -> None:
    """Losses, weights, and the running statistics, which tell the order of the discriminator's passes."""
    for mine, wanted in zip(ours, theirs.losses, strict=True):
        assert mine == pytest.approx(wanted, rel=1e-10, abs=1e-10)
    for net, before, after in zip(nets, start, theirs.weights, strict=True):
        for name, value in net.state_dict().items():
            if not dead(name, net):
                torch.testing.assert_close(value, after[name], rtol=1e-10, atol=1e-10, msg=name)
                assert (value - before[name]).abs().max() > 1e-6, f"{name} did not move"


VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "least squares, other weight": {"criterion": "lsgan", "l1_weight": 10.0},
    "pool fills and is full": {"pool_size": 3},
    "pixels": {"discriminator": "pixel"},
    "instance norm": {"norm": "instance", "discriminator_norm": "instance"},
}


def at_first(nets: Nets) -> list[Weights]:
    return [{name: value.clone() for name, value in net.state_dict().items()} for net in nets]


@pytest.mark.parametrize("variant", VARIANTS)
def test_update_is_the_authors_step(variant: str) -> None:
    settings = attrs.evolve(TINY, **VARIANTS[variant])
    nets, batches = beginning(settings)
    start = at_first(nets)
    random.seed(5)
    theirs = authors(nets, batches, settings, [(2e-4, 2e-4)] * STEPS)

    step, policy = make_step(settings, 2e-4, 2e-4), Policy()
    random.seed(5)
    state = step.init(nets, policy, None)
    ours = []
    for now, batch in enumerate(batches):
        state, metrics = step.update(nets, state, batch, Turn(policy, now))
        ours.append({name: float(value) for name, value in metrics.items()})
    assert_equal(nets, start, ours, theirs)


def test_fit_is_the_authors_training_with_two_falling_rates() -> None:
    nets, batches = beginning(TINY, batch=1)
    start = at_first(nets)
    rates = [(1e-3 / (1 + now), 5e-4 / (1 + now)) for now in range(STEPS)]
    theirs = authors(nets, batches, TINY, rates)

    seen: list[dict[str, float]] = []

    class Log:
        every = 1

        def __call__(self, now: Any) -> None:
            seen.append({name: float(value) for name, value in now.metrics.items()})

    step = make_step(TINY, lambda now: 1e-3 / (1 + now), lambda now: 5e-4 / (1 + now))
    run = fit(step, nets, batches, steps=STEPS, observers=[Log()], device="cpu")
    assert_equal(run.nets, start, seen, theirs)


def test_training_is_resumed_as_if_undisturbed(tmp_path: Path) -> None:
    """With what else there is to save: dropout, a pool, running statistics, an average."""
    settings = attrs.evolve(TINY, generator="resnet", blocks=1, downs=2, dropout=0.5, pool_size=2)
    rates = [(lambda now, first=first: first / (1 + now)) for first in (1e-3, 5e-4)]

    def finish(name: str, steps: int, *, resume: bool = False) -> list[Tensor]:
        random.seed(5)
        nets, batches = beginning(settings)
        policy = Policy(average=0.5)
        run = fit(
            make_step(settings, *rates), nets, batches, steps=steps, policy=policy, out=tmp_path / name, resume=resume,
            device="cpu",
        )  # fmt: skip
        return [value for found in (run.nets, run.average) for net in found for value in net.state_dict().values()]

    whole, half = finish("whole", 4), finish("again", 2)
    resumed = finish("again", 4, resume=True)
    assert all(mine.equal(wanted) for mine, wanted in zip(resumed, whole, strict=True))
    assert not all(mine.equal(wanted) for mine, wanted in zip(half, whole, strict=True))


# What the authors do not have.


def one_update(**changes: Any) -> tuple[Nets, list[Weights], dict[str, float]]:
    settings = attrs.evolve(TINY, **changes)
    nets, batches = beginning(settings)
    start = at_first(nets)
    step = make_step(settings, 1e-3, 1e-3)
    _, metrics = step.update(nets, step.init(nets, Policy(), None), batches[0], Turn(Policy(), 0))
    return nets, start, {name: float(value) for name, value in metrics.items()}


def test_wgan_has_a_penalty_of_weight_ten() -> None:
    _, _, terms = one_update(criterion="wgan", discriminator_norm="none")
    assert terms["d/penalty"] > 0.01
    assert terms["d/total"] == pytest.approx(0.5 * terms["d/real_or_fake"] + 10 * terms["d/penalty"])


def test_the_penalty_is_taken_between_the_real_pair_and_the_fake_one() -> None:
    settings = attrs.evolve(TINY, gradient_penalty=1.0, discriminator_norm="instance")
    nets, batches = beginning(settings)
    g, d = at_first(nets)
    a, b = batches[0]
    torch.manual_seed(2)
    share = torch.rand(2, 1, 1, 1, dtype=torch.float64)  # the only thing that is drawn in a step
    mixed = (share * torch.cat((a, b), 1) + (1 - share) * torch.cat((a, unet(g, a)), 1)).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(patch(d, mixed).sum(), mixed)
    wanted = ((gradient.square().sum((1, 2, 3)).sqrt() - 1) ** 2).mean()
    step = make_step(settings, 1e-3, 1e-3)
    torch.manual_seed(2)
    _, terms = step.update(nets, step.init(nets, Policy(), None), batches[0], Turn(Policy(), 0))
    assert float(terms["d/penalty"]) == pytest.approx(float(wanted))


def test_r1_is_half_the_squared_gradient_on_the_real_pair() -> None:
    nets, batches = beginning(TINY)
    nets.D.eval()
    true = torch.cat(tuple(batches[0]), 1).requires_grad_()
    (gradient,) = torch.autograd.grad(nets.D(true).logits[0].sum(), true)
    step = make_step(attrs.evolve(TINY, r1_weight=3.0), 1e-3, 1e-3)
    _, terms = step.update(nets, step.init(nets, Policy(), None), batches[0], Turn(Policy(), 0))
    assert float(terms["d/r1"]) == pytest.approx(float(gradient.square().sum((1, 2, 3)).mean() / 2))
    assert float(terms["d/total"]) == pytest.approx(0.5 * float(terms["d/real_or_fake"]) + 3 * float(terms["d/r1"]))


def test_without_adversarial_terms_only_the_generator_moves() -> None:
    nets, start, terms = one_update(adversarial_weight=0.0)
    assert set(terms) == {"g/l1", "g/total"}
    assert all(value.equal(start[1][name]) for name, value in nets.D.state_dict().items())
    assert not nets.G.state_dict()["model.model.0.weight"].equal(start[0]["model.model.0.weight"])


def test_without_the_difference_the_adversarial_term_is_left() -> None:
    _, _, terms = one_update(l1_weight=0.0, adversarial_weight=2.0)
    assert set(terms) == {"g/adv", "g/total", "d/real_or_fake", "d/total"}
    assert terms["g/total"] == pytest.approx(2 * terms["g/adv"])
