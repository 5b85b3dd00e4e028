"""The losses of U-GAT-IT and who moves when: what has weight 0 is left out, not computed.

References:
    Kim et al., U-GAT-IT, 2020 (arXiv 1907.10830), section 3.2.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from i2i import losses
from i2i.combine import alternate
from i2i.protocols import Schedule
from i2i.step import Step, player
from i2i.terms import cycle, identity
from i2i.together import together
from i2i.values import Pair, Translation
from i2i_ugatit.discriminators import CamDiscriminator
from i2i_ugatit.generators import CamGenerator
from i2i_ugatit.settings import Settings
from i2i_ugatit.terms import cam_loss, cam_verdict, clip_rho


class Nets(NamedTuple):
    """``G`` translates A to B, ``F`` B to A; ``DA`` judges domain A, ``DB`` domain B."""

    G: CamGenerator
    F: CamGenerator
    DA: CamDiscriminator
    DB: CamDiscriminator


class Shared(NamedTuple):
    """What both players look at: images made by the generators.

    Attributes:
        fake_b: A translated.
        same_b: B through the generator into B, which should leave it as it is; None where no term asks for it.
        fake_a: B translated.
        same_a: A through the generator into A.
    """

    fake_b: Translation
    same_b: Translation | None
    fake_a: Translation
    same_a: Translation | None


def generator_weights(settings: Settings) -> dict[str, float]:
    """Return the weights of the generators' terms; those of weight 0 are not there.

    Example:
        >>> list(generator_weights(Settings(cycle_weight=0, identity_weight=0)))
        ['adv_b', 'adv_a', 'adv_cam_b', 'adv_cam_a', 'cam_b', 'cam_a']
    """
    s = settings
    by_kind = {
        "adv": s.adversarial_weight,
        "adv_cam": s.adversarial_weight,
        "cycle": s.cycle_weight,
        "identity": s.identity_weight,
        "cam": s.cam_weight,
    }
    return {f"{kind}_{domain}": weight for kind, weight in by_kind.items() if weight for domain in ("b", "a")}


def make_step(settings: Settings, lr: float | Schedule) -> Step[Nets, Pair]:
    """Wire the players: the discriminators move first, and judge the very fakes that the generators learn from.

    Args:
        settings: weights, criterion, optimiser.
        lr: learning rate of both optimisers.

    References:
        Kim et al., eq. 3 to 8; the order is that of the authors' code.

    Differs:
        The authors translate anew for each player, with the same result, and let gradients flow where they are thrown
        away.
    """
    same = bool(settings.identity_weight or settings.cam_weight)
    share = functools.partial(_translate, same=same)
    return alternate(share=share, live="g", judge=None, d=_discriminators(settings, lr), g=_generators(settings, lr))


def _adam(settings: Settings) -> Callable[..., torch.optim.Optimizer]:
    betas = (settings.beta1, 0.999)
    return functools.partial(torch.optim.Adam, betas=betas, weight_decay=settings.weight_decay)


def _discriminators(settings: Settings, lr: float | Schedule) -> Step[Nets, Pair]:
    criterion: losses.Criterion = getattr(losses, settings.criterion)
    weights = dict.fromkeys(("b", "a", "cam_b", "cam_a"), settings.adversarial_weight)

    def loss(n: Nets, x: Pair, shared: Shared) -> Mapping[str, Tensor]:
        # The real image first: each pass moves the estimate of the spectral norms on.
        real_a, fake_a = n.DA(x.a), n.DA(shared.fake_a.image)
        real_b, fake_b = n.DB(x.b), n.DB(shared.fake_b.image)
        return {
            "b": criterion.discriminator(real_b, fake_b),
            "a": criterion.discriminator(real_a, fake_a),
            "cam_b": criterion.discriminator(cam_verdict(real_b), cam_verdict(fake_b)),
            "cam_a": criterion.discriminator(cam_verdict(real_a), cam_verdict(fake_a)),
        }

    return player(lambda n: (n.DA, n.DB), loss, _adam(settings), weights=weights, lr=lr)


def _generators(settings: Settings, lr: float | Schedule) -> Step[Nets, Pair]:
    criterion: losses.Criterion = getattr(losses, settings.criterion)
    weights = generator_weights(settings)

    def loss(n: Nets, x: Pair, shared: Shared) -> Mapping[str, Tensor]:
        terms: dict[str, Tensor] = {}
        for domain, judge, fake in (("b", n.DB, shared.fake_b), ("a", n.DA, shared.fake_a)):
            verdict = judge(fake.image)
            terms[f"adv_{domain}"] = criterion.generator(verdict)
            terms[f"adv_cam_{domain}"] = criterion.generator(cam_verdict(verdict))
        if settings.cycle_weight:
            terms["cycle_b"] = cycle(x.b, n.G(shared.fake_a.image))
            terms["cycle_a"] = cycle(x.a, n.F(shared.fake_b.image))
        if shared.same_b is not None and shared.same_a is not None:
            terms["identity_b"] = identity(x.b, shared.same_b)
            terms["identity_a"] = identity(x.a, shared.same_a)
            terms["cam_b"] = cam_loss(shared.fake_b, shared.same_b)
            terms["cam_a"] = cam_loss(shared.fake_a, shared.same_a)
        return {name: terms[name] for name in weights}

    return player(lambda n: (n.G, n.F), loss, _adam(settings), weights=weights, lr=lr, after=clip_rho)


def _translate(n: Nets, x: Pair, *, same: bool) -> Shared:
    """Make what the players need, a pass per generator."""
    return Shared(*_through(n.G, x.a, x.b, same=same), *_through(n.F, x.b, x.a, same=same))


def _through(net: nn.Module, source: Tensor, target: Tensor, *, same: bool) -> tuple[Translation, Translation | None]:
    """Translate ``source``, and if asked for ``target``, which is of the domain that ``net`` translates into."""
    made: tuple[Translation, ...] = together(net, source, target) if same else (net(source),)
    return made[0], made[1] if same else None
