"""The losses of CycleGAN and who moves when: whatever has weight 0 is left out, not computed and not trained.

References:
    Zhu et al., Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks (arXiv 1703.10593).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import Tensor, nn

from i2i import losses
from i2i.combine import alternate
from i2i.history import replayed
from i2i.protocols import Schedule
from i2i.step import Step, player
from i2i.terms import cycle, gradient_penalty, identity, r1
from i2i.together import together
from i2i.values import Pair, Translation
from i2i_cyclegan.discriminators import ImageDiscriminator
from i2i_cyclegan.generators import ImageGenerator
from i2i_cyclegan.rates import adam
from i2i_cyclegan.settings import Settings

Shared = Mapping[str, Translation]
"""``fake_b``, ``fake_a``, and ``same_b``, ``same_a``: images through the generator into the domain they are of."""


class Nets(NamedTuple):
    """``G`` translates A to B, ``F`` B to A; ``DA`` judges domain A, ``DB`` domain B."""

    G: ImageGenerator
    F: ImageGenerator
    DA: ImageDiscriminator
    DB: ImageDiscriminator


def generator_weights(settings: Settings) -> dict[str, float]:
    """Return the weights of the generators' terms; those of weight 0 are not there.

    Each term but the identities moves both generators or comes with its twin, so whatever is left trains both.

    Example:
        >>> generator_weights(Settings(adversarial_weight=0, cycle_weight_b=0, identity_weight=0))
        {'cycle_a': 10.0}
    """
    s = settings
    weights = {
        "adv_b": s.adversarial_weight,
        "adv_a": s.adversarial_weight,
        "cycle_a": s.cycle_weight_a,
        "cycle_b": s.cycle_weight_b,
        "identity_b": s.cycle_weight_b * s.identity_weight,
        "identity_a": s.cycle_weight_a * s.identity_weight,
    }
    return wanted(weights)


def discriminator_weights(settings: Settings) -> dict[str, float]:
    """Return the weights of the discriminators' terms; none where there is no adversarial term."""
    if not settings.adversarial_weight:
        return {}
    penalty, r1_weight = settings.penalty, settings.r1_weight
    weights = {"a": 0.5, "b": 0.5, "penalty_a": penalty, "penalty_b": penalty, "r1_a": r1_weight, "r1_b": r1_weight}
    return wanted(weights)


def make_step(settings: Settings, lr: float | Schedule) -> Step[Nets, Pair]:
    """Wire the players: the generators move first, the discriminators judge fakes from a pool.

    Args:
        settings: weights, criterion, pool.
        lr: learning rate of both optimisers.

    References:
        Zhu et al., eq. 3 and section 4; identity terms: section 5.2; single terms: section 5.1.3.
    """
    share = functools.partial(_translate, generator_weights(settings))
    players = {"g": _generators(settings, lr)}
    if settings.adversarial_weight:
        judges = _discriminators(settings, lr)
        players["d"] = replayed(settings.pool_size, ("fake_b", "fake_a"), judges)
    return alternate(share=share, live="g", judge=None, **players)


def _generators(settings: Settings, lr: float | Schedule) -> Step[Nets, Pair]:
    criterion, weights = getattr(losses, settings.criterion), generator_weights(settings)

    def loss(n: Nets, x: Pair, shared: Shared) -> dict[str, Tensor]:
        terms: dict[str, Callable[[], Tensor]] = {
            "adv_b": lambda: criterion.generator(n.DB(shared["fake_b"].image)),
            "adv_a": lambda: criterion.generator(n.DA(shared["fake_a"].image)),
            "cycle_a": lambda: cycle(x.a, n.F(shared["fake_b"].image)),
            "cycle_b": lambda: cycle(x.b, n.G(shared["fake_a"].image)),
            "identity_b": lambda: identity(x.b, shared["same_b"]),
            "identity_a": lambda: identity(x.a, shared["same_a"]),
        }
        return {name: terms[name]() for name in weights}

    return player(lambda n: (n.G, n.F), loss, adam(settings), weights=weights, lr=lr)


def _discriminators(settings: Settings, lr: float | Schedule) -> Step[Nets, Pair]:
    criterion, weights = getattr(losses, settings.criterion), discriminator_weights(settings)

    def loss(n: Nets, x: Pair, shared: Shared) -> dict[str, Tensor]:
        fake_a, fake_b = shared["fake_a"], shared["fake_b"]
        terms: dict[str, Callable[[], Tensor]] = {
            "a": lambda: criterion.discriminator(*together(n.DA, x.a, fake_a.image)),
            "b": lambda: criterion.discriminator(*together(n.DB, x.b, fake_b.image)),
            "penalty_a": lambda: gradient_penalty(n.DA, x.a, fake_a),
            "penalty_b": lambda: gradient_penalty(n.DB, x.b, fake_b),
            "r1_a": lambda: r1(n.DA, x.a),
            "r1_b": lambda: r1(n.DB, x.b),
        }
        return {name: terms[name]() for name in weights}

    return player(lambda n: (n.DA, n.DB), loss, adam(settings), weights=weights, lr=lr)


def _translate(terms: Mapping[str, float], n: Nets, x: Pair) -> Shared:
    """Make what the terms need, a pass per generator."""
    images = {
        "fake_b": x.a if terms.keys() & {"adv_b", "cycle_a"} else None,
        "same_b": x.b if "identity_b" in terms else None,
        "fake_a": x.b if terms.keys() & {"adv_a", "cycle_b"} else None,
        "same_a": x.a if "identity_a" in terms else None,
    }
    needed = {name: image for name, image in images.items() if image is not None}
    return _into("b", n.G, needed) | _into("a", n.F, needed)


def _into(domain: str, net: nn.Module, images: Mapping[str, Tensor]) -> dict[str, Translation]:
    names = [name for name in images if name.endswith(domain)]
    made = together(net, *(images[name] for name in names)) if names else ()
    return dict(zip(names, made, strict=True))


def wanted(weights: Mapping[str, float]) -> dict[str, float]:
    """Return the weights of the terms that are not left out."""
    return {name: weight for name, weight in weights.items() if weight > 0}
