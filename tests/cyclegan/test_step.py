"""Which terms there are, what they weigh and whom they move; test_parity.py holds their values against the authors'."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import attrs
import pytest
import torch
from torch import Tensor, nn

from i2i.engine import fit
from i2i.policy import Policy, Turn
from i2i.values import Pair
from i2i_cyclegan.recipe import make_nets
from i2i_cyclegan.settings import Settings
from i2i_cyclegan.step import Nets, discriminator_weights, generator_weights, make_step

TINY = Settings(base_width=2, blocks=1, discriminator_width=2, discriminator_layers=1, load_size=16, crop_size=16)


class Moved(NamedTuple):
    """What one update did."""

    terms: Mapping[str, float]
    images: Mapping[str, int]  # that went through each net
    moved: set[str]


def pair(size: int = 1) -> Pair:
    draws = torch.Generator().manual_seed(3)
    return Pair(*(torch.rand(2, size, 3, 16, 16, generator=draws) * 2 - 1))


def one_update(settings: Settings) -> Moved:
    torch.manual_seed(0)
    nets = make_nets(settings)
    before = {name: torch.cat([p.detach().flatten() for p in net.parameters()]) for name, net in named(nets)}
    seen: Counter[str] = Counter()
    for name, net in named(nets):
        net.register_forward_hook(lambda _, images, __, name=name: seen.update({name: len(images[0])}))
    step = make_step(settings, 1e-4)
    _, metrics = step.update(nets, step.init(nets, Policy(), None), pair(), Turn(Policy(), 0))
    after = {name: torch.cat([p.detach().flatten() for p in net.parameters()]) for name, net in named(nets)}
    moved = {name for name, weights in before.items() if not weights.equal(after[name])}
    return Moved({name: value.item() for name, value in metrics.items()}, seen, moved)


def named(nets: Nets) -> list[tuple[str, nn.Module]]:
    return list(zip(nets._fields, nets, strict=True))


# What is on; the terms; images through G, F, DA and DB in one update with batches of one image.
ON_OFF: list[tuple[str, str, tuple[int, int, int, int]]] = [
    ("adv a b idt", "adv_b adv_a cycle_a cycle_b identity_b identity_a", (3, 3, 3, 3)),
    ("adv a b", "adv_b adv_a cycle_a cycle_b", (2, 2, 3, 3)),
    ("adv a idt", "adv_b adv_a cycle_a identity_a", (1, 3, 3, 3)),
    ("adv a", "adv_b adv_a cycle_a", (1, 2, 3, 3)),
    ("adv b idt", "adv_b adv_a cycle_b identity_b", (3, 1, 3, 3)),
    ("adv b", "adv_b adv_a cycle_b", (2, 1, 3, 3)),
    ("adv idt", "adv_b adv_a", (1, 1, 3, 3)),
    ("adv", "adv_b adv_a", (1, 1, 3, 3)),
    ("a b idt", "cycle_a cycle_b identity_b identity_a", (3, 3, 0, 0)),
    ("a b", "cycle_a cycle_b", (2, 2, 0, 0)),
    ("a idt", "cycle_a identity_a", (1, 2, 0, 0)),
    ("a", "cycle_a", (1, 1, 0, 0)),
    ("b idt", "cycle_b identity_b", (2, 1, 0, 0)),
    ("b", "cycle_b", (1, 1, 0, 0)),
]


def switched(on: str) -> Settings:
    weights = {"adversarial_weight": ("adv", 1.0), "cycle_weight_a": ("a", 10.0), "cycle_weight_b": ("b", 5.0)}
    weights["identity_weight"] = ("idt", 0.5)
    return attrs.evolve(
        TINY, **{name: value if short in on.split() else 0.0 for name, (short, value) in weights.items()}
    )


@pytest.mark.parametrize(("on", "terms", "images"), ON_OFF)
def test_what_is_off_is_not_computed(on: str, terms: str, images: tuple[int, int, int, int]) -> None:
    result = one_update(switched(on))
    wanted = {f"g/{name}" for name in terms.split()} | {"g/total"}
    judged = {"d/a", "d/b", "d/total"} if "adv" in on.split() else set()
    assert set(result.terms) == wanted | judged
    assert tuple(result.images.get(name, 0) for name in Nets._fields) == images


@pytest.mark.parametrize("on", [on for on, _, _ in ON_OFF])
def test_whatever_is_on_trains_both_generators(on: str) -> None:
    """So that no generator is ever left over; the judges are trained exactly where they judge."""
    assert one_update(switched(on)).moved == {"G", "F"} | ({"DA", "DB"} if "adv" in on.split() else set())


def test_every_combination_is_listed() -> None:
    parts = ("adv", "a", "b", "idt")
    possible = (" ".join(p) for n in range(1, 5) for p in itertools.combinations(parts, n))
    assert {on for on, _, _ in ON_OFF} == {on for on in possible if on != "idt"}


@pytest.mark.parametrize("on", ["adv a b idt", "adv b idt", "a", "b idt"])
def test_the_total_is_the_weighted_sum(on: str) -> None:
    settings = attrs.evolve(switched(on), adversarial_weight=0.25 * ("adv" in on.split()))
    terms = one_update(settings).terms
    weights = {
        "adv_a": 0.25, "adv_b": 0.25, "cycle_a": 10, "cycle_b": 5, "identity_a": 5, "identity_b": 2.5,
    }  # fmt: skip
    total = sum(weight * terms.get(f"g/{name}", 0) for name, weight in weights.items())
    assert terms["g/total"] == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("on", ["adv", "a"])
def test_what_is_off_trains_and_resumes_as_if_undisturbed(on: str, tmp_path: Any) -> None:
    def run(steps: int, *, resume: bool = False, out: Any = None) -> Nets:
        torch.manual_seed(5)
        nets = make_nets(switched(on))
        batches = [pair(), Pair(*reversed(pair()))]
        policy = Policy(average=0.5)
        step = make_step(switched(on), 1e-3)
        found: Nets = fit(step, nets, batches, steps=steps, policy=policy, out=out, resume=resume, device="cpu").average
        return found

    whole = run(4)
    run(2, out=tmp_path / "run")
    resumed = run(4, resume=True, out=tmp_path / "run")
    for mine, wanted in zip(resumed, whole, strict=True):
        for value, other in zip(mine.parameters(), wanted.parameters(), strict=True):
            assert value.equal(other)


def test_judges_that_judge_nothing_are_frozen_on_purpose() -> None:
    nets = make_nets(switched("a b"))
    assert {name for name, net in named(nets) if any(p.requires_grad for p in net.parameters())} == {"G", "F"}
    assert all(p.requires_grad for net in make_nets(TINY) for p in net.parameters())


# Criteria and penalties that the authors do not have.


def judged(**changes: Any) -> Mapping[str, float]:
    return one_update(attrs.evolve(TINY, **changes)).terms


def test_wgan_has_a_penalty_of_weight_ten() -> None:
    terms = judged(criterion="wgan")
    plain = 0.5 * (terms["d/a"] + terms["d/b"])
    penalty = terms["d/penalty_a"] + terms["d/penalty_b"]
    assert penalty > 0.01
    assert terms["d/total"] == pytest.approx(plain + 10 * penalty, rel=1e-5)


def test_the_penalty_is_taken_between_real_images_and_fakes_of_their_domain() -> None:
    settings = attrs.evolve(TINY, gradient_penalty=1.0)
    torch.manual_seed(0)
    nets, images = make_nets(settings), pair()
    wanted = {}
    for name, judge, real, fake in (
        ("a", nets.DA, images.a, nets.F(images.b)),
        ("b", nets.DB, images.b, nets.G(images.a)),
    ):
        share = torch.rand(1, 1, 1, 1)  # the only thing that is drawn in a step
        mixed = share * real + (1 - share) * fake.image.detach()
        wanted[f"d/penalty_{name}"] = ((2 * _half_squared_gradient(judge, mixed)) ** 0.5 - 1) ** 2
    terms = one_update(settings).terms
    assert {name: terms[name] for name in wanted} == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize(
    "changes", [{"criterion": "wgan", "reference": True}, {"criterion": "wgan", "gradient_penalty": 0.0}, {}]
)
def test_there_is_no_penalty_where_none_is_wanted(changes: dict[str, Any]) -> None:
    assert set(judged(**changes)) & {"d/penalty_a", "d/penalty_b", "d/r1_a", "d/r1_b"} == set()


@pytest.mark.parametrize("criterion", ["lsgan", "hinge"])
def test_r1_is_half_the_squared_gradient_on_real_images(criterion: Any) -> None:
    settings = attrs.evolve(TINY, criterion=criterion, r1_weight=3.0)
    torch.manual_seed(0)
    nets, images = make_nets(settings), pair()
    wanted = {
        f"d/r1_{n}": _half_squared_gradient(j, x) for n, j, x in (("a", nets.DA, images.a), ("b", nets.DB, images.b))
    }
    terms = one_update(settings).terms
    assert {name: terms[name] for name in wanted} == pytest.approx(wanted, rel=1e-4)
    assert min(wanted.values()) > 0
    total = 0.5 * (terms["d/a"] + terms["d/b"]) + 3 * (terms["d/r1_a"] + terms["d/r1_b"])
    assert terms["d/total"] == pytest.approx(total, rel=1e-5)


def _half_squared_gradient(judge: nn.Module, image: Tensor) -> float:
    image = image.clone().requires_grad_()
    torch.autograd.backward([logits.sum() for logits in judge(image).logits])
    assert image.grad is not None
    return float(image.grad.square().sum() / 2)


def test_the_weights_of_the_settings() -> None:
    settings = Settings(criterion="hinge", cycle_weight_a=3.0, cycle_weight_b=2.0, identity_weight=0.25, r1_weight=7.0)
    assert generator_weights(settings) == {
        "adv_b": 1, "adv_a": 1, "cycle_a": 3, "cycle_b": 2, "identity_b": 0.5, "identity_a": 0.75,
    }  # fmt: skip
    assert discriminator_weights(settings) == {"a": 0.5, "b": 0.5, "r1_a": 7, "r1_b": 7}
    assert discriminator_weights(Settings(adversarial_weight=0, criterion="wgan")) == {}
