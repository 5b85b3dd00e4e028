"""The training against a plain transcription of the authors' iteration, in float64, to 1e-9 and mostly 1e-10."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import attrs
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.reference import singan as authors
from benchmarks.reference.plain import Weights
from benchmarks.reference.singan import weights_of
from i2i.policy import Policy, Turn
from i2i.values import Single
from i2i_singan.coarser import Coarser
from i2i_singan.model import Scale
from i2i_singan.networks import scale_discriminator, scale_generator
from i2i_singan.pyramid import Pyramid
from i2i_singan.settings import Settings
from i2i_singan.step import Levels, Nets, make_step, new_scale

FACTOR = 0.8
SIZES = ((15, 17), (19, 22), (24, 27), (30, 34), (37, 42))  # up to a pixel less than 1 / 0.8 times the last: cropped
PYRAMID = Pyramid(SIZES, FACTOR)
STEPS = 4
TINY = Settings(base_width=3, max_width=6, layers=3, decay_at=0.5, steps=STEPS, lr=2e-3)


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def photograph(height: int, width: int) -> Tensor:
    """Smooth, with values at and beyond the ends of the range cut off, as an image of a scale has them."""
    y, x = torch.meshgrid(torch.linspace(0, 3, height), torch.linspace(0, 4, width), indexing="ij")
    return torch.stack([torch.sin(x * (k + 1)) * torch.cos(y - k) * 1.2 for k in range(3)])[None].clamp(-1, 1)


def drawn(net: nn.Module) -> Any:
    """Draw weights that matter; scales of norms and running variances around 1."""
    with torch.no_grad():
        for name, value in net.state_dict().items():
            around = 1.0 if name.endswith(("norm.weight", "running_var")) else 0.0
            value.normal_(around, 0.1 if value.ndim == 1 else 0.3)
    return net


def options_of(s: Settings) -> authors.Options:
    return authors.Options(
        factor=FACTOR,
        generator_gradient=s.gradient,
        penalty_per=s.penalty_per,
        noise_padding=s.noise_padding,
        fixed_noise=not s.redraws,
        exact_resize=not s.reference,
        lr=s.lr,
        decay_at=s.decays_after,
        penalty_weight=s.penalty_weight,
        reconstruction_weight=s.reconstruction_weight,
        noise_weight=s.noise_weight,
    )


class AllAtOnce(authors.Random):
    """What a batch needs, in our order: noise of the scale, that of all scales below for three moves, three shares."""

    def __init__(self, k: int, border: int, own: int) -> None:
        self._shapes = [(3 if number else 1, h + border, w + border) for number, (h, w) in enumerate(SIZES[: k + 1])]
        self._own, self._normal, self._uniform = own, list[Tensor](), list[Tensor]()

    def _draw(self) -> None:
        *below, shape = self._shapes
        own = [torch.randn(1, *shape) for _ in range(self._own)]
        counts = [3 * prod(each) for each in below]
        parts = torch.randn(sum(counts)).split(counts)
        moves = [part.view(3, 1, *each) for part, each in zip(parts, below, strict=False)]
        self._normal = own + [noise[move] for move in range(3) for noise in moves]
        self._uniform = list(torch.rand(3, 1, 1))

    def normal(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        if not self._normal:
            self._draw()
        noise = self._normal.pop(0)
        assert noise.shape == shape
        return noise

    def uniform(self, like: Tensor) -> Tensor:
        return self._uniform.pop(0)


class Both:
    """The same scale, ours and theirs, above trained scales with weights that matter."""

    def __init__(self, settings: Settings, k: int) -> None:
        torch.manual_seed(k)
        s = settings
        border = 6 if s.noise_padding else 0
        level = [photograph(*size) for size in SIZES[: k + 1]]
        below, finished = [], []
        for number, image in enumerate(level[:-1]):
            height, width = SIZES[number]
            noise = torch.randn(1, 1, height + border, width + border).expand(-1, 3, -1, -1).clone()
            scale = Scale(drawn(scale_generator(width=3, layers=3)), image, None if number else noise)
            scale.amplitude.fill_(0.3 if number else 1.0)
            below.append(scale.requires_grad_(False).eval())
            shown = noise if number == 0 else torch.zeros_like(noise)
            shown = shown if border else F.pad(shown, (3,) * 4)
            finished.append(authors.Finished(weights_of(scale.net), shown, scale.amplitude, image))
        net, critic = (drawn(make(width=3, layers=3)) for make in (scale_generator, scale_discriminator))
        self.level = level[-1]
        self.theirs = authors.Scale(weights_of(net), weights_of(critic), level[-1], finished, options_of(s))
        stage = new_scale(s, net, critic, Coarser(below, PYRAMID, s, level[-1]))
        self.nets, self.step = stage.nets, stage.step
        if not s.redraws and k == 0:
            assert self.nets.G.noise is not None
            self.theirs.noise = self.nets.G.noise.clone() if border else F.pad(self.nets.G.noise, (3,) * 4)
        if not s.reference:
            self.theirs.random = AllAtOnce(k, border, own=2 if k == 0 and s.redraws else 1)

    def run(self, count: int) -> None:
        """Train both, and compare the terms of each iteration and the random numbers left."""
        policy = Policy()
        state = self.step.init(self.nets, policy, None)
        for module in self.step.trains(self.nets):
            module.train()
        for now in range(count):
            torch.manual_seed(100 + now)
            wanted = self.theirs()
            left = torch.get_rng_state()
            torch.manual_seed(100 + now)
            state, metrics = self.step.update(self.nets, state, Single(self.level), Turn(policy, now))
            assert torch.equal(torch.get_rng_state(), left)
            found = {name: float(value) for name, value in metrics.items() if not name.endswith("total")}
            assert found == pytest.approx(renamed(wanted), rel=1e-9)

    def compare(self) -> None:
        torch.testing.assert_close(self.nets.G.amplitude, self.theirs.amplitude.detach(), rtol=1e-10, atol=0)
        assert_equal(self.nets, self.theirs)


def renamed(terms: dict[str, float]) -> dict[str, float]:
    return {
        "d/adv": terms["fake"] - terms["real"],
        "d/penalty": terms["penalty"],
        "g/adv": terms["adversarial"],
        "g/reconstruction": terms["reconstruction"],
    }


def assert_equal(nets: Nets, theirs: authors.Scale) -> None:
    """Weights, and the running statistics of the generator; biases before a norm have no gradient but rounding."""
    for net, wanted in ((nets.G.net, theirs.G), (nets.D, theirs.D)):
        for name, value in net.state_dict().items():
            if not name.endswith("conv.bias"):  # which a running mean contains, with what Adam makes of the rounding
                tolerance = 1e-6 if name.endswith("running_mean") else 1e-10
                torch.testing.assert_close(
                    value, wanted[name].detach(), rtol=1e-9, atol=tolerance, msg=lambda told, n=name: f"{n}: {told}"
                )


VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "reference": {"reference": True},
    "stale": {"generator_gradient": "stale"},
    "single": {"generator_gradient": "single"},
    "norm of the image": {"penalty_per": "image"},
    "animation": {"noise_padding": True},
    "animation of the authors": {"noise_padding": True, "reference": True},
    "other weights": {"penalty_weight": 0.7, "reconstruction_weight": 3.0, "noise_weight": 0.4, "fixed_noise": False},
}


@pytest.mark.parametrize("k", [0, 1, 3])
@pytest.mark.parametrize("variant", VARIANTS)
def test_iteration_is_the_authors(variant: str, k: int) -> None:
    both = Both(attrs.evolve(TINY, **VARIANTS[variant]), k)
    before = weights_of(both.nets.G.net)
    both.run(1)
    both.compare()
    moved = [(value - before[name]).abs().max() > 1e-4 for name, value in both.nets.G.net.state_dict().items()]
    assert sum(moved) >= len(moved) - 2  # all but biases before a norm


@pytest.mark.parametrize("k", [0, 3])
@pytest.mark.parametrize("variant", ["default", "reference", "single"])
def test_iterations_stay_the_authors_also_where_the_rate_falls(variant: str, k: int) -> None:
    both = Both(attrs.evolve(TINY, **VARIANTS[variant]), k)
    both.run(STEPS)
    both.compare()


def new_weights(width: int, out: int, tail: str) -> Weights:
    """Draw weights as the authors: torch's own first, and over them those of convolutions and norms, in order."""
    convs = [nn.Conv2d(3, width, 3), nn.Conv2d(width, width, 3), nn.Conv2d(width, out, 3)]
    net = nn.Sequential()
    for key, conv in zip(("head", "body.block1"), convs, strict=False):
        net.add_module(key.replace(".", "-"), nn.Sequential())
        net[-1].add_module("conv", conv)
        net[-1].add_module("norm", nn.BatchNorm2d(width))
    net.add_module(tail.replace(".", "-"), convs[-1])
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
            nn.init.normal_(module.weight, 0.0 if isinstance(module, nn.Conv2d) else 1.0, 0.02)
    return {name.replace("-", "."): value.detach().clone() for name, value in net.state_dict().items()}


def test_a_pyramid_from_the_first_random_number_on() -> None:
    """Five scales, the last of another width, two iterations each."""
    # At a low rate, since the walk of the biases before a norm could push a level of a finished scale over the edge of
    # its 8 bits.
    s = attrs.evolve(TINY, reference=True, steps=2, lr=1e-6)
    levels = [photograph(*size) for size in SIZES]
    torch.manual_seed(7)
    theirs: list[authors.Scale] = []
    for k, image in enumerate(levels):
        G, D = new_weights(s.width(k), 3, "tail.0"), new_weights(s.width(k), 1, "tail")
        if k and s.width(k) == s.width(k - 1):
            G, D = ({name: x.detach().clone() for name, x in w.items()} for w in (theirs[-1].G, theirs[-1].D))
        theirs.append(authors.Scale(G, D, image, [scale.result() for scale in theirs], options_of(s)))
        for _ in range(s.steps):
            theirs[-1]()
    left = torch.get_rng_state()

    torch.manual_seed(7)
    step, policy, batch = make_step(s, PYRAMID, Levels(tuple(levels))), Policy(), Levels(tuple(levels))
    state = step.init(None, policy, None)
    for now in range(s.steps * len(levels)):
        state, _ = step.update(None, state, batch, Turn(policy, now))
    assert torch.equal(torch.get_rng_state(), left)
    nets = step.nets(None, state)
    for ours, wanted in zip((*nets.finished, nets.current), theirs, strict=True):
        assert_equal(ours, wanted)
        torch.testing.assert_close(ours.G.amplitude, wanted.amplitude.detach(), rtol=1e-9, atol=0)
    noise = nets.finished[0].G.noise
    assert noise is not None
    torch.testing.assert_close(F.pad(noise, (3,) * 4), theirs[0].noise, rtol=0, atol=0)
