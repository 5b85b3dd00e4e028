"""The gate of other precisions: it lets through what only chance tells apart, and nothing that is broken."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.device import learnable
from benchmarks.device.gate import Run, Trained, allowed, judged, quantile, trained
from benchmarks.device.meter import Meter
from benchmarks.device.variants import Variant

SEEDS = range(5)
STEPS = 120
WANTED = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(1)) / 2


@pytest.mark.parametrize(
    ("probability", "freedom", "value"),
    [(0.975, 2, 4.3027), (0.975, 4, 2.7764), (0.995, 6, 3.7074), (0.9995, 8, 5.0413), (0.95, 30, 1.6973)],
)
def test_quantiles_are_those_of_the_tables(probability, freedom, value):
    assert quantile(probability, freedom) == pytest.approx(value, abs=6e-5)


def drawn(draws: np.random.Generator, shift: float = 0.0) -> Trained:
    """Return what came of five seeds: ten losses that vary by 0.1 over seeds and steps, and images."""
    curves = {
        f"loss {k}": 1 + shift + 0.1 * draws.normal(size=(5, 1)) + 0.1 * draws.normal(size=(5, 20)) for k in range(10)
    }
    return Trained(curves, [draws.normal(size=(2, 3, 4, 4)) for _ in range(5)])


def test_chance_alone_rarely_fails():
    draws = np.random.default_rng(0)
    failed = sum(not judged(drawn(draws), drawn(draws), torch.zeros(2, 3, 4, 4))["passed"] for _ in range(100))
    assert failed <= 4  # one is expected


def test_what_seeds_do_not_explain_fails():
    draws = np.random.default_rng(0)
    found = [judged(drawn(draws), drawn(draws, shift=shift), torch.zeros(2, 3, 4, 4)) for shift in (0.6, -0.6)]
    assert all(len(each["failed"]) == 10 for each in found)  # twice what is allowed, upwards and downwards
    assert allowed(5, 12) == pytest.approx(3.3, abs=0.1)


def test_images_may_be_nearer_but_not_further():
    draws = np.random.default_rng(0)
    base, other = drawn(draws), drawn(draws)
    wanted = torch.zeros(2, 3, 4, 4)
    near = other._replace(images=[0.1 * image for image in base.images])
    far = other._replace(images=[10 * image for image in other.images])
    assert judged(base, near, wanted)["passed"]
    assert judged(base, far, wanted)["failed"] == ["images: error", "images: apart"]


def test_what_is_not_finite_fails():
    draws = np.random.default_rng(0)
    base, other = drawn(draws), drawn(draws)
    other.curves["loss 3"][2, -1] = np.nan
    assert judged(base, other, torch.zeros(2, 3, 4, 4))["failed"] == ["loss 3"]


def small(seed: int, *, rounded: bool = False, scale: float = 1.0, bf16: bool = False) -> Run:
    """Return the training of nine weights, near 1, that shall halve colours; noise keeps the loss above 0.25."""
    draws = torch.Generator().manual_seed(seed)
    net = nn.Conv2d(3, 3, 1)
    with torch.no_grad():
        net.weight.copy_((torch.eye(3) + 0.1 * torch.randn(3, 3, generator=draws))[..., None, None])
        net.bias.zero_()
    optimizer = torch.optim.SGD(net.parameters(), 0.006)
    held = 2 * WANTED

    def update(_: int) -> dict[str, Tensor]:
        image, noise = torch.randn(2, 1, 3, 32, 32, generator=draws)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            made = net(image)
        loss = scale * (made.float() - (image + noise) / 2).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if rounded:
            with torch.no_grad():
                for parameter in net.parameters():
                    parameter.copy_(parameter.bfloat16())
        return {"g/error": loss, "g/total": 2 * loss}

    return Run(update, lambda: net(held), nullcontext)


@pytest.fixture(scope="module")
def base():
    return trained(small, SEEDS, STEPS)


def test_other_seeds_pass(base):
    found = judged(base, trained(small, range(5, 10), STEPS), WANTED)
    assert found["passed"], found["failed"]
    assert list(found["found"]) == ["g/error", "images: error", "images: apart"]
    curve = found["curves"]["g/error"]["base"]
    assert curve[-1] < 0.8 * curve[0]  # something was learnt


def test_autocast_passes_and_is_nearer_than_another_seed(base):
    found = judged(base, trained(partial(small, bf16=True), SEEDS, STEPS), WANTED)
    assert found["passed"], found["failed"]
    assert found["found"]["images: apart"]["tried"] < found["found"]["images: apart"]["base"] / 5


def test_a_scaled_loss_fails(base):
    assert "g/error" in judged(base, trained(partial(small, scale=1.3), SEEDS, STEPS), WANTED)["failed"]


def test_updates_that_rounding_swallows_fail(base):
    """An update moves a weight near 1 by less than half the distance of two such numbers in bfloat16."""
    found = judged(base, trained(partial(small, rounded=True), SEEDS, STEPS), WANTED)
    assert {"g/error", "images: error"} <= set(found["failed"])
    assert found["found"]["g/error"]["tried"] > found["found"]["g/error"]["base"]


NETS = {"base_width": 4, "discriminator_width": 4}
METHODS = {
    "images": {"blocks": 1, **NETS},
    "scenes": {"blocks": 1, "downs": 2, **NETS},
    "domains": {"blocks": 1, "discriminator_layers": (4, 3), **NETS},
    "photograph": {"steps": 3},
}


@pytest.mark.parametrize("name", METHODS)
def test_each_method_is_trained(name):
    training = getattr(learnable, name)(Meter(torch.device("cpu")), 32, **METHODS[name])
    assert training.wanted.abs().max() <= 1.25
    assert training.wanted.std() > 0.2
    steps = METHODS[name].get("steps", 1)
    runs = [training.trained(Variant("fp32"), [seed], steps) for seed in (0, 0, 1)]
    for each in runs:
        assert each.images[0].shape == training.wanted.shape
        assert all(np.isfinite(curve).all() and curve.shape == (1, steps) for curve in each.curves.values())
    for curve, same, other in zip(*(each.curves.values() for each in runs), strict=True):
        assert (curve == same).all()
        assert (curve != other).any()
    assert (runs[0].images[0] != runs[2].images[0]).any()


def test_domains_differ_and_discs_have_edges():
    torch.manual_seed(0)
    picture = learnable.pictures(2, 32)
    assert picture.shape == (2, 3, 32, 32)
    assert -1 <= picture.min() < picture.max() <= 1
    other = learnable.recoloured(picture)
    assert torch.equal(other[:, 0], 0.7 * picture[:, 2] + 0.25)
    assert (picture.diff(dim=3).abs().amax((1, 2, 3)) > 0.3).all()
