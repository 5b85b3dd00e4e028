"""Loss terms: functions of values that name what they need by their parameters.

``source``, ``target``: Tensor; ``fake``, ``same``, ``back``: Translation; ``judged_real``, ``judged_fake``: Verdict;
``critic``: Discriminator. Each returns an unweighted scalar.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from i2i.layers.checks import one_of
from i2i.losses import at_least_float32
from i2i.parts import Example, part
from i2i.protocols import Discriminator
from i2i.values import Translation, Verdict

VALUES = ("source", "target", "fake", "same", "back", "judged_real", "judged_fake", "critic")
"""What a term may ask for by its parameters."""

_IMAGE = (1, 3, 16, 16)


@part(example=Example({}, (_IMAGE, _IMAGE)))
def cycle(source: Tensor, back: Translation) -> Tensor:
    """Mean absolute difference between an image ``(b, c, h, w)`` and itself translated there and back.

    References:
        Zhu et al., Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, eq. 2.

    Example:
        >>> cycle(torch.zeros(1, 3, 2, 2), Translation(torch.ones(1, 3, 2, 2))).item()
        1.0
    """
    return F.l1_loss(back.image, source)


@part(example=Example({}, (_IMAGE, _IMAGE)))
def identity(target: Tensor, same: Translation) -> Tensor:
    """Mean absolute difference between an image ``(b, c, h, w)`` and its translation into the domain it is of already.

    References:
        Zhu et al. (as above), section 5.2, photo generation from paintings.
    """
    return F.l1_loss(same.image, target)


@part(example=Example({}, ((1, 3, 16, 16), (1, 3, 16, 16))))
def gradient_penalty(
    critic: Discriminator, target: Tensor, fake: Translation, *, per: Literal["image", "pixel"] = "image"
) -> Tensor:
    """Squared distance from 1 of the critic's gradient norm, on images between real and fake ones.

    One random mixture per sample; the critic's output is summed over scales and positions. Twice differentiable nets
    only.

    Args:
        critic: judges an image alone.
        target: real images ``(b, c, h, w)``.
        fake: as many fakes; used detached.
        per: the norm is taken over all of an image; or over the channels of each pixel, and the mean over pixels.

    Raises:
        SettingsError: another word for ``per``.

    References:
        Gulrajani et al., Improved Training of Wasserstein GANs, eq. 3; its weight there is 10.

    Differs:
        ``per="pixel"`` is what the code of SinGAN (Shaham et al.) computes, with weight 0.1; its paper cites eq. 3.
    """
    one_of("per", per, ("image", "pixel"))
    share = torch.rand(len(target), 1, 1, 1, device=target.device, dtype=target.dtype)
    mixed = torch.lerp(fake.image.detach().to(target.dtype), target, share)
    slope = _input_gradient(critic, mixed)
    norm: Tensor = torch.linalg.vector_norm(slope, dim=1 if per == "pixel" else tuple(range(1, slope.ndim)))
    return (norm - 1).square().mean()


@part(example=Example({}, ((1, 3, 16, 16),)))
def r1(critic: Discriminator, target: Tensor) -> Tensor:
    """Half the squared norm of the critic's gradient on real images ``(b, c, h, w)``, mean over the batch.

    References:
        Mescheder et al., Which Training Methods for GANs do actually Converge?, eq. 9; its weight is gamma.
    """
    return _input_gradient(critic, target.detach()).flatten(1).square().sum(1).mean() / 2


def _input_gradient(critic: Discriminator, image: Tensor) -> Tensor:
    image = image.clone().requires_grad_(True)
    verdict: Verdict = critic(image)
    total = torch.stack([at_least_float32(logits).sum() for logits in verdict.logits])
    (gradient,) = torch.autograd.grad(total.sum(), image, create_graph=True)
    return gradient
