"""Loss terms: features of the discriminator, and of a network that knows photographs.

References:
    Wang et al., High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs (arXiv 1711.11585).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from i2i.errors import CompositionError
from i2i.losses import at_least_float32
from i2i.parts import Example, part
from i2i.values import Translation, Verdict, needs

Features = Callable[[Tensor], Sequence[Tensor]]
_IMAGE = (1, 3, 8, 8)


@part(example=Example({}, ((1, 4, 8, 8), (1, 4, 8, 8))))
def feature_matching(judged_real: Verdict, judged_fake: Verdict) -> Tensor:
    """Mean absolute difference between the discriminator's features of real images and of fakes, times four.

    The mean over the scales of the mean over the layers of each; the real features are a fixed target.

    Args:
        judged_real: of real images.
        judged_fake: of as many fakes, by the same discriminator.

    Raises:
        CompositionError: the discriminator offers no features, or other ones for the two.

    Example:
        >>> one, two = (Verdict((torch.zeros(1),), ((torch.full((1, 2, 3, 3), v),),)) for v in (0.0, 0.5))
        >>> feature_matching(one, two).item()
        2.0

    References:
        Wang et al., eq. 4. The factor four and the means are those of the authors' code: with two scales of four layers
        and weight 10, each layer counts 5.
    """
    needs(judged_real, "features")
    needs(judged_fake, "features")
    shapes = [[[map.shape for map in scale] for scale in judged.features] for judged in (judged_real, judged_fake)]
    if shapes[0] != shapes[1]:
        raise CompositionError("feature_matching compares layer by layer, but the features differ in size")
    scales = []
    for real, fake in zip(judged_real.features, judged_fake.features, strict=True):
        layers = [_apart(made, true) for true, made in zip(real, fake, strict=True)]
        scales.append(torch.stack(layers).mean())
    return 4 * torch.stack(scales).mean()


def _pooled(image: Tensor) -> tuple[Tensor, ...]:
    """Stand in for a network in the example: the image itself and at half its size."""
    return image, F.avg_pool2d(image, 2)


@part(example=Example({"features": _pooled}, (_IMAGE, _IMAGE)))
def perceptual(target: Tensor, fake: Translation, *, features: Features) -> Tensor:
    """Mean absolute difference of the features that a fixed network has of fakes and of what they should be.

    The last features count 1, those before them 1/4, 1/8 and so on: 1/32, 1/16, 1/8, 1/4, 1 for the five of VGG19.

    Args:
        target: real images ``(b, c, h, w)`` in ``[-1, 1]``.
        fake: what was made in their place.
        features: ``features(images) -> maps``, from fine to coarse, such as `i2i_pix2pixhd.vgg.vgg19`; its weights are
            not trained.

    Example:
        >>> zeros = torch.zeros(1, 3, 4, 4)
        >>> perceptual(zeros, Translation(zeros + 1), features=lambda image: [image, image]).item()
        1.25

    References:
        Wang et al., section 3.3 (footnote); Johnson et al., Perceptual Losses for Real-Time Style Transfer, 2016. The
        weights of the layers are those of the authors' code.
    """
    with torch.no_grad():
        wanted = features(target)
    made = features(fake.image)
    terms = [_apart(ours, theirs) for theirs, ours in zip(wanted, made, strict=True)]
    weights = [1.0, *(2.0**-k for k in range(2, len(terms) + 1))]
    return torch.stack([weight * term for weight, term in zip(reversed(weights), terms, strict=True)]).sum()


def _apart(made: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference in at least float32; ``target`` is fixed."""
    return F.l1_loss(at_least_float32(made), at_least_float32(target.detach()))
