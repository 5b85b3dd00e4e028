"""The pyramid scale by scale, for training loops of your own.

References:
    Shaham, Dekel and Michaeli, SinGAN: Learning a Generative Model from a Single Natural Image (arXiv 1905.01164),
    section 2.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from i2i_singan.coarser import drawn, fixed_noise, noise_shape
from i2i_singan.model import PyramidGenerator, Scale


def scale_noises(model: PyramidGenerator, k: int) -> list[Tensor]:
    """Draw the noise of one image for each training image, at the scales 0 to ``k``, for `scale_image`.

    Args:
        model: its scales 0 to ``k - 1`` are trained.
        k: a scale, 0 is the coarsest.

    Returns:
        For each scale ``(n, c, h, w)``, grey ``(n, 1, h, w)`` at the coarsest; with ``noise_padding`` its border too.
    """
    scales = [model[j] for j in range(k + 1)]
    shapes = [noise_shape(scale, len(scale.image), padding=model.noise_padding) for scale in scales]
    return [drawn(shape, scale.image) for shape, scale in zip(shapes, scales, strict=True)]


def scale_image(model: PyramidGenerator, k: int, noises: Sequence[Tensor | None] | None = None) -> Tensor:
    """Make images of scale ``k``: each scale adds its details to what the coarser ones make.

    Args:
        model: its nets run in the modes that they are in, and gradients reach those that are not frozen.
        k: a scale, 0 is the coarsest.
        noises: what each of the scales 0 to ``k`` is given, see `scale_noises`; None for a scale: no noise. Left out:
            the fixed noise at the coarsest scale alone, of which a trained model makes the training images.

    Returns:
        ``(n, c, h, w)`` of the size of scale ``k``, not clamped.

    References:
        Shaham et al., eq. 1 to 3.

    Example:
        >>> from i2i_singan import pyramid_generator
        >>> model = pyramid_generator(((25, 33), (33, 43)), (32, 32), factor=0.77)
        >>> scale_image(model, 1, scale_noises(model, 1)).shape
        torch.Size([1, 3, 33, 43])
    """
    given = [scale.noise for scale in model] if noises is None else noises
    made = torch.zeros_like(model[0].image)
    for j in range(k + 1):
        made = model[j](model.upsampled(made, model.sizes[j]) if j else made, given[j])
    return made


@torch.no_grad()
def begin_scale(model: PyramidGenerator, k: int, image: Tensor, *, noise_weight: float = 0.1) -> Scale:
    """Fix what scale ``k`` needs before its training, and return it.

    It keeps its training images. The coarsest draws the noise that shall give them; any other takes the weights of the
    scale below it, and as the amplitude of its noise how much that leaves to be added.

    Args:
        model: its scales 0 to ``k - 1`` are trained.
        k: a scale, 0 is the coarsest.
        image: training images at this scale ``(n, c, h, w)`` in ``[-1, 1]``, see `i2i_singan.levels`.
        noise_weight: times the root of the mean squared error of the scales below is the amplitude.

    References:
        Shaham et al., section 2.2 and supplementary section 1.
    """
    scale = model[k]
    scale.image.copy_(image)
    if scale.noise is not None:
        scale.noise.copy_(fixed_noise(scale, padding=model.noise_padding))
    if k:
        if model[k - 1].net.shape == scale.net.shape:
            scale.net.load_state_dict(model[k - 1].net.state_dict())
        below = model.upsampled(scale_image(model, k - 1), model.sizes[k])
        scale.amplitude.copy_(noise_weight * (image.to(below) - below).square().mean().sqrt())
    return scale
