"""The losses of pix2pix and who moves when: the discriminator first, then the generator through the updated one.

References:
    Isola et al., Image-to-Image Translation with Conditional Adversarial Networks (arXiv 1611.07004).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from i2i import losses
from i2i.combine import alternate
from i2i.history import replayed
from i2i.protocols import Schedule
from i2i.step import Step, player
from i2i.terms import gradient_penalty, r1
from i2i.together import together
from i2i.values import Pair, Translation
from i2i_cyclegan.discriminators import ImageDiscriminator
from i2i_cyclegan.generators import ImageGenerator
from i2i_cyclegan.pix2pix.settings import Settings
from i2i_cyclegan.rates import adam
from i2i_cyclegan.step import wanted


class Nets(NamedTuple):
    """``G`` makes ``b`` of ``a``; ``D`` judges ``a`` and ``b`` together."""

    G: ImageGenerator
    D: ImageDiscriminator


class Shared(NamedTuple):
    """What both players look at.

    Attributes:
        fake: what the generator made of ``a``, ``(b, c, h, w)``.
        shown: ``a`` and it, joined along the channels: what the discriminator judges.
    """

    fake: Tensor
    shown: Tensor


def make_step(settings: Settings, lr: float | Schedule, discriminator_lr: float | Schedule) -> Step[Nets, Pair]:
    """Wire the players; ``a`` of a batch is what the generator reads, ``b`` what it should make.

    Args:
        settings: weights, criterion, pool. What has weight 0 is left out, not computed and not trained.
        lr: learning rate of the generator.
        discriminator_lr: learning rate of the discriminator.

    References:
        Isola et al., eq. 4 and section 3.3.
    """
    players = {"g": _generator(settings, lr)}
    if settings.adversarial_weight:
        judge = _discriminator(settings, discriminator_lr)
        players = {"d": replayed(settings.pool_size, ("shown",), judge)} | players
    return alternate(share=_translate, live="g", judge=None, **players)


def _translate(n: Nets, x: Pair) -> Shared:
    fake: Tensor = n.G(x.a).image
    return Shared(fake, torch.cat((x.a, fake), dim=1))


def _generator(settings: Settings, lr: float | Schedule) -> Step[Nets, Pair]:
    criterion = getattr(losses, settings.criterion)
    weights = wanted({"adv": settings.adversarial_weight, "l1": settings.l1_weight})

    def loss(n: Nets, x: Pair, shared: Shared) -> dict[str, Tensor]:
        terms: dict[str, Callable[[], Tensor]] = {
            "adv": lambda: criterion.generator(n.D(shared.shown)),
            "l1": lambda: functional.l1_loss(shared.fake, x.b),
        }
        return {name: terms[name]() for name in weights}

    return player(lambda n: n.G, loss, adam(settings), weights=weights, lr=lr)


def _discriminator(settings: Settings, lr: float | Schedule) -> Step[Nets, Pair]:
    criterion = getattr(losses, settings.criterion)
    weights = wanted({"real_or_fake": 0.5, "penalty": settings.penalty, "r1": settings.r1_weight})

    def loss(n: Nets, x: Pair, shared: Shared) -> dict[str, Tensor]:
        true = torch.cat((x.a, x.b), dim=1)

        def judged() -> Tensor:
            fake, real = together(n.D, shared.shown, true)  # in this order: running statistics see the fake first
            told_apart: Tensor = criterion.discriminator(real, fake)
            return told_apart

        terms: dict[str, Callable[[], Tensor]] = {
            "real_or_fake": judged,
            "penalty": lambda: gradient_penalty(n.D, true, Translation(shared.shown)),
            "r1": lambda: r1(n.D, true),
        }
        return {name: terms[name]() for name in weights}

    return player(lambda n: n.D, loss, adam(settings), weights=weights, lr=lr)
