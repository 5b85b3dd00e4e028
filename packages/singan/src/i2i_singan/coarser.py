"""The finished scales below one, which make what it adds to."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from i2i_singan.model import Scale
from i2i_singan.pyramid import Pyramid
from i2i_singan.resize import resize
from i2i_singan.settings import Settings


class Coarser:
    """Finished scales, for use: folded, frozen, and without gradients.

    Args:
        scales: from coarse to fine; there may be none.
        pyramid: sizes and factor.
        settings: of the method.
        image: the training images at the next scale, ``(n, c, h, w)``, on its device.
        seen: what the next scale sees of the prior that is made for it; all of it, if None.
    """

    def __init__(
        self,
        scales: Sequence[Scale],
        pyramid: Pyramid,
        settings: Settings,
        image: Tensor,
        seen: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.image = image
        self._scales = [(scale, scale.net.folded()) for scale in scales]
        self._factor, self._reference = pyramid.factor, settings.reference
        self._padding = settings.noise_padding
        self.seen: Callable[[Tensor], Tensor] = seen or (lambda prior: prior)

    def __len__(self) -> int:
        return len(self._scales)

    def noises(self, count: int) -> list[Tensor]:
        """Draw noise for ``count`` images per training image, at each of the scales."""
        shapes = [noise_shape(scale, count * len(self.image), padding=self._padding) for scale, _ in self._scales]
        if self._reference:
            return [drawn(shape, self.image) for shape in shapes]
        sizes = [math.prod(shape) for shape in shapes]
        parts = torch.split(drawn((sum(sizes),), self.image), sizes)  # one draw: each would be a kernel of its own
        return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]

    def made(self, noises: Sequence[Tensor | None]) -> Tensor:
        """Return priors of the next scale, ``(b, c, h, w)``: what noise at each of the scales gives.

        Args:
            noises: that of the coarsest scale ``(b, 1 or c, h, w)``, and of the others, or None.
        """
        if not noises or noises[0] is None:
            return torch.zeros_like(self.image)
        (_, net), *others = self._scales
        image = noises[0].expand(-1, net.in_channels, -1, -1)  # of amplitude 1, on nothing
        with torch.no_grad():
            made = net(image if self._padding else F.pad(image, (net.reach,) * 4)).image
            for (scale, net), noise in zip(others, noises[1:], strict=True):
                prior = self._upsampled(made, scale.image)
                made = net(scale.inputs(prior, noise), prior).image
            return self._upsampled(made, self.image)

    def reconstructed(self) -> Tensor:
        """Return the prior of the next scale that the fixed noise gives, ``(n, c, h, w)``; zeros without any."""
        return self.made([scale.noise for scale, _ in self._scales])

    def _upsampled(self, made: Tensor, like: Tensor) -> Tensor:
        return resize(made, (like.shape[2], like.shape[3]), 1 / self._factor, reference=self._reference)


def noise_shape(scale: Scale, count: int, *, padding: bool) -> tuple[int, int, int, int]:
    """Return the shape of noise for ``count`` images: grey at the coarsest scale; with ``padding``, its border too."""
    channels, height, width = scale.image.shape[1:]
    border = 2 * scale.net.reach if padding else 0
    return count, channels if scale.noise is None else 1, height + border, width + border


def fixed_noise(scale: Scale, *, padding: bool) -> Tensor:
    """Draw the noise that shall give the training images, for the coarsest scale."""
    count, channels = scale.image.shape[:2]
    grey = drawn((count, 1, *noise_shape(scale, count, padding=padding)[2:]), scale.image)
    return grey.expand(-1, channels, -1, -1).contiguous()


def drawn(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Draw normal noise, of the type and on the device of ``like``."""
    return torch.randn(shape, dtype=like.dtype, device=like.device)
