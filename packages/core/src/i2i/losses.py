"""Adversarial criteria, as pairs that work on any `Verdict`: sums over its scales of means over all else."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from i2i.values import Verdict


class Criterion(NamedTuple):
    """What generator and discriminator want.

    Attributes:
        generator: ``generator(judged_fake) -> scalar``, small when the fake passes as real.
        discriminator: ``discriminator(judged_real, judged_fake) -> scalar``, small when they are told apart; the plain
            sum of its two halves (the authors of CycleGAN and pix2pix give it weight 0.5).
        about: one line for lists.

    Example:
        >>> always_real = Verdict(logits=(torch.ones(1, 1, 2, 2),))
        >>> lsgan.generator(always_real).item(), lsgan.discriminator(always_real, always_real).item()
        (0.0, 1.0)
    """

    generator: Callable[[Verdict], Tensor]
    discriminator: Callable[[Verdict, Verdict], Tensor]
    about: str = ""


def at_least_float32(x: Tensor) -> Tensor:
    """Return half-precision values as float32 (autocast leaves logits in bf16), others as they are."""
    return x.float() if x.dtype.itemsize < 4 else x


def _over_scales(verdict: Verdict, score: Callable[[Tensor], Tensor]) -> Tensor:
    first, *rest = (score(at_least_float32(logits)).mean() for logits in verdict.logits)
    return torch.stack([first, *rest]).sum() if rest else first


def _criterion(
    about: str,
    passes: Callable[[Tensor], Tensor],
    real: Callable[[Tensor], Tensor],
    fake: Callable[[Tensor], Tensor],
) -> Criterion:
    """Join the scores of logits: of fakes for the generator, of real ones and of fakes for the discriminator."""
    return Criterion(
        lambda judged_fake: _over_scales(judged_fake, passes),
        lambda judged_real, judged_fake: _over_scales(judged_real, real) + _over_scales(judged_fake, fake),
        about,
    )


def _squared_to_one(logits: Tensor) -> Tensor:
    return (logits - 1).square()


#: Least squares: Mao et al., Least Squares Generative Adversarial Networks, eq. 9 with a = 0, b = c = 1.
lsgan = _criterion("Least squares.", _squared_to_one, _squared_to_one, torch.square)

#: Cross-entropy, non-saturating: Goodfellow et al., Generative Adversarial Nets, section 3.
vanilla = _criterion("Cross-entropy, non-saturating.", lambda x: F.softplus(-x), lambda x: F.softplus(-x), F.softplus)

#: Hinge: Lim and Ye, Geometric GAN; Miyato et al., Spectral Normalization, eq. 16 and 17.
hinge = _criterion("Hinge.", torch.neg, lambda x: F.relu(1 - x), lambda x: F.relu(1 + x))

#: Wasserstein critic: Arjovsky et al., Wasserstein GAN. Useless without `i2i.terms.gradient_penalty` or clipping.
wgan = _criterion("Wasserstein critic; needs a gradient penalty.", torch.neg, torch.neg, lambda x: x)
