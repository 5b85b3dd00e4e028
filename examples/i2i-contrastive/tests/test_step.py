"""The step against a plain one: two batches in float64, written out with torch alone."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
from i2i_contrastive.features import FeaturedGenerator
from i2i_contrastive.heads import heads_for
from i2i_contrastive.networks import make_discriminator, make_generator, probe
from i2i_contrastive.settings import Settings
from i2i_contrastive.step import Nets, build_step
from torch import Tensor

import i2i
from i2i import Pair

SMALL = {
    "crop_size": 8,
    "base_width": 2,
    "blocks": 1,
    "downs": 1,
    "norm": "none",  # weights before a norm have no gradient but rounding
    "discriminator_width": 2,
    "discriminator_layers": 1,
    "projection_width": 3,
    "lr": 0.01,
}


def make_nets(settings: Settings) -> Nets:
    torch.manual_seed(0)
    found = probe(settings)
    heads = heads_for(found.channels, width=settings.projection_width)
    nets = Nets(FeaturedGenerator(make_generator(settings), found.layers), heads, make_discriminator(settings))
    for net in nets:
        net.double()
        with torch.no_grad():
            for weight in net.parameters():
                weight.mul_(10)  # far enough from 0 that features differ
    return nets


@pytest.fixture
def batches() -> list[Pair]:
    torch.manual_seed(1)
    return [Pair(*(torch.rand(2, 3, 8, 8, dtype=torch.float64) * 2 - 1 for _ in "ab")) for _ in range(2)]


class Plain:
    """The method as the paper has it, all places of each layer."""

    def __init__(self, nets: Nets, *, weights: tuple[float, float], flips: bool) -> None:
        self.sequence = nets.G.net.get_submodule("model")
        self.heads, self.judge, self.weights, self.flips = nets.H, nets.D, weights, flips
        learn = {"lr": 0.01, "betas": (0.5, 0.999)}
        self.g = torch.optim.Adam([*self.sequence.parameters(), *self.heads.parameters()], **learn)
        self.d = torch.optim.Adam(self.judge.parameters(), **learn)

    def features(self, image: Tensor) -> list[Tensor]:
        return [image, self.sequence[:5](image), self.sequence[:8](image)]

    def contrast(self, image: Tensor, fake: Tensor, turned: Tensor) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for query, key, head in zip(self.features(fake), self.features(image), self.heads, strict=True):
            back = torch.stack([maps.flip(2) if turn else maps for maps, turn in zip(query, turned, strict=True)])
            for q, k in zip(back, key, strict=True):
                logits = head(q.flatten(1).T) @ head(k.flatten(1).T).detach().T / 0.07
                total = total + (logits.logsumexp(1) - logits.diagonal()).mean() / (3 * len(image))
        return total

    def learn(self, batch: Pair, share: float) -> None:
        for group in (*self.g.param_groups, *self.d.param_groups):
            group["lr"] = 0.01 * share
        images = [image for image, weight in zip(batch, self.weights, strict=True) if weight]
        turned = [torch.rand(2) < 0.5 if self.flips else torch.zeros(2, dtype=torch.bool) for _ in images]
        fakes = [
            self.sequence(torch.stack([x.flip(2) if turn else x for x, turn in zip(image, turns, strict=True)]))
            for image, turns in zip(images, turned, strict=True)
        ]
        real, fake = (self.judge(image).logits[0] for image in (batch.b, fakes[0].detach()))
        self.d.zero_grad()
        (((real - 1) ** 2).mean() / 2 + (fake**2).mean() / 2).backward()
        self.d.step()
        loss = ((self.judge(fakes[0]).logits[0] - 1) ** 2).mean()
        for image, made, turns, weight in zip(images, fakes, turned, self.weights, strict=False):
            loss = loss + weight * self.contrast(image, made, turns)
        self.g.zero_grad()
        loss.backward()
        self.g.step()


class Seeded:
    """The batches, each with the random draws of its own number."""

    def __init__(self, batches: list[Pair]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Pair]:
        for number, batch in enumerate(self.batches):
            torch.manual_seed(number)
            yield batch


@pytest.mark.parametrize(
    ("settings", "weights", "flips"),
    [
        (Settings(**SMALL), (1.0, 1.0), False),
        (Settings(**SMALL, preset="fastcut"), (10.0, 0.0), True),
        (Settings(**SMALL, flip_equivariance=True, nce_weight=0.5, decay_start=0.0), (0.5, 1.0), True),
    ],
    ids=["cut", "fastcut", "others"],
)
def test_two_batches(batches: list[Pair], settings: Settings, weights: tuple[float, float], flips: bool) -> None:
    nets = make_nets(settings)
    first, plain_nets = copy.deepcopy(nets), copy.deepcopy(nets)
    i2i.fit(build_step(settings, 4), nets, Seeded(batches), steps=2, device="cpu")
    plain = Plain(plain_nets, weights=weights, flips=flips)
    for now, batch in enumerate(Seeded(batches)):
        plain.learn(batch, share=1 - now / 4 if settings.decay_start == 0 else 1)
    for net, expected, old in zip(nets, plain_nets, first, strict=True):
        for (name, weight), wanted, before in zip(
            net.named_parameters(), expected.parameters(), old.parameters(), strict=True
        ):
            assert not torch.equal(weight, before), name
            torch.testing.assert_close(weight, wanted, rtol=0, atol=1e-9, msg=name)
