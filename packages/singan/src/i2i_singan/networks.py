"""The nets of one scale: five convolutions without padding, keys as the authors'.

References:
    Shaham, Dekel and Michaeli, SinGAN: Learning a Generative Model from a Single Natural Image (arXiv 1905.01164),
    section 2.1 and supplementary section 1.
"""

from __future__ import annotations

import copy
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from i2i.errors import SettingsError
from i2i.layers import at_least, check_image
from i2i.parts import Example, part
from i2i.values import Translation, Verdict
from i2i_singan.norm import SampleNorm

SLOPE = 0.2  # of the leaky ReLUs


class Block(nn.Module):
    """Convolution, normalisation, leaky ReLU."""

    def __init__(self, channels: int, width: int, kernel: int, *, statistics: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, kernel)
        self.norm = SampleNorm(width, statistics=statistics)

    def forward(self, x: Tensor) -> Tensor:
        """Make ``(b, width, h - kernel + 1, w - kernel + 1)`` of ``x (b, channels, h, w)``."""
        x = self.conv(x)
        return self.norm.leaky(x, SLOPE) if isinstance(self.norm, SampleNorm) else F.leaky_relu(self.norm(x), SLOPE)


def _lay_out(net: nn.Module, form: torch.memory_format) -> None:
    """Bring the weights of convolutions into a memory format; `Module.to` does not work on fake tensors."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.weight = nn.Parameter(module.weight.detach().contiguous(memory_format=form))


class _Chain(nn.Module):
    """What both nets are: a head, a body of blocks, and a tail.

    Attributes:
        in_channels: channels of the image.
        shape: channels, width, layers and kernel.
        reach: pixels that the valid convolutions take off each side.
    """

    def __init__(self, channels: int, width: int, layers: int, kernel: int, *, statistics: bool) -> None:
        super().__init__()
        at_least("channels", channels, 1)
        at_least("width", width, 1)
        at_least("layers", layers, 2)
        at_least("kernel", kernel, 1)
        if kernel % 2 == 0:
            raise SettingsError(f"kernel (={kernel}) must be odd; use {kernel - 1} or {kernel + 1}")
        self.in_channels = channels
        self.shape = (channels, width, layers, kernel)
        self.reach = (kernel // 2) * layers
        self.head = Block(channels, width, kernel, statistics=statistics)
        self.body = nn.Sequential()
        for index in range(layers - 2):
            self.body.add_module(f"block{index + 1}", Block(width, width, kernel, statistics=statistics))

    def blocks(self) -> list[Block]:
        """The head and the blocks of the body, in order."""
        return [self.head, *self.body.children()]  # type: ignore[list-item]

    def initialised(self) -> Self:
        """Draw the weights as the authors: N(0, 0.02) for convolutions, N(1, 0.02) for norms, biases as torch does."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, 0.02)
            elif isinstance(module, SampleNorm):
                nn.init.normal_(module.weight, 1.0, 0.02)
        _lay_out(self, torch.channels_last)  # which these nets are faster in, on any device
        return self


class ScaleGenerator(_Chain):
    """Adds to a coarser image what one scale knows."""

    def __init__(self, channels: int, width: int, layers: int, kernel: int, norm: nn.Module | None = None) -> None:
        super().__init__(channels, width, layers, kernel, statistics=True)
        self.out_channels = channels
        if norm is not None:
            for block in self.blocks():
                block.norm = copy.deepcopy(norm)  # type: ignore[assignment]
        self.tail: nn.Sequential = nn.Sequential(nn.Conv2d(width, channels, kernel), nn.Tanh())

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Translation:
        """Make an image.

        Args:
            image: what is read, with a border of ``reach`` pixels: ``(b, c, h + 2 reach, w + 2 reach)``.
            condition: what is added to: ``(b, c, h, w)``.

        Returns:
            ``(b, c, h, w)``: in ``[-1, 1]``, plus ``condition``, not clamped.

        Raises:
            DataError: ``image`` has other channels, or is no larger than its border.
        """
        check_image(image, self.in_channels, smallest=2 * self.reach + 1)
        made: Tensor = self.tail(self.body(self.head(image)))
        return Translation(made if condition is None else made + condition)

    @property
    def local(self) -> bool:
        """Tell whether in eval mode a pixel depends on those within ``reach`` alone, since all norms are fixed."""
        return all(isinstance(block.norm, SampleNorm | nn.Identity) for block in self.blocks())

    @torch.no_grad()
    def settle(self, image: Tensor) -> None:
        """Normalise, in eval mode, all images by the statistics of what is made of ``image``, which `forward` reads."""
        x = image
        for block in self.blocks():
            x = block.conv(x)
            block.norm.settle(x)
            x = F.leaky_relu(block.norm.twin()(x), SLOPE)

    def twin(self) -> ScaleGenerator:
        """Return a net in eval mode with the same weights, and statistics of its own."""
        with torch.device("meta"):  # draws nothing
            net = ScaleGenerator(*self.shape).eval()
        for block, own in zip(net.blocks(), self.blocks(), strict=True):
            block.conv, block.norm = own.conv, own.norm.twin()
        net.tail = self.tail
        return net

    def folded(self) -> ScaleGenerator:
        """Return a copy for use in eval mode that computes the same, with norms of its own folded into convolutions."""
        with torch.device("meta"):  # draws nothing
            net = ScaleGenerator(*self.shape).requires_grad_(False).eval()
        for block, own in zip(net.blocks(), self.blocks(), strict=True):
            norm: nn.Module = own.norm
            if not isinstance(norm, SampleNorm):
                _fill(block.conv, own.conv.weight, own.conv.bias)
                block.norm = copy.deepcopy(norm).requires_grad_(False).eval()  # type: ignore[assignment]
                continue
            fused = (norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
            _fill(block.conv, *fuse_conv_bn_weights(own.conv.weight, own.conv.bias, *fused))  # type: ignore[arg-type]
            block.norm = nn.Identity()  # type: ignore[assignment]
        last = self.tail[0]
        assert isinstance(last, nn.Conv2d)  # for the type checker
        _fill(net.tail[0], last.weight, last.bias)
        return net


class ScaleDiscriminator(_Chain):
    """Judges patches of one scale."""

    def __init__(self, channels: int, width: int, layers: int, kernel: int) -> None:
        # Nothing would ever read statistics: a discriminator is not used once its scale is done.
        super().__init__(channels, width, layers, kernel, statistics=False)
        self.tail: nn.Conv2d = nn.Conv2d(width, 1, kernel)

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Verdict:
        """Judge ``image (b, c, h, w)``, below ``condition`` along the channels if there is one.

        Returns:
            A map of logits ``(b, 1, h - 2 reach, w - 2 reach)``, and the activations after each block.

        Raises:
            DataError: the channels do not add up to ``in_channels``, or the image is too small for one logit.
        """
        x = image if condition is None else torch.cat((condition, image), dim=1)
        check_image(x, self.in_channels, smallest=2 * self.reach + 1)
        features = []
        for block in self.blocks():
            x = block(x)
            features.append(x)
        return Verdict((self.tail(x),), (tuple(features),))

    def sloped(self, image: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Judge images, and return the slope at the last of them: how their logits change with their pixels.

        One pass for all images; the slope is computed forwards, layer by layer, so that a penalty on it needs one
        ordinary backward pass and no double one.

        Args:
            image: ``(b, c, h, w)``.
            count: of images at the end of the batch whose slope is wanted.

        Returns:
            The logits of all but those, ``(b - count, 1, h', w')``; and the gradient of the sum of the logits of those,
            ``(count, c, h, w)``, which can be differentiated once more.
        """
        check_image(image, self.in_channels, smallest=2 * self.reach + 1)
        start, x = len(image) - count, image
        kept = []
        for block in self.blocks():
            activated = block.norm.activated(block.conv(x), SLOPE, count)
            x = activated.after
            kept.append((block, activated))
        logits: Tensor = self.tail(x)
        slope = F.conv_transpose2d(torch.ones_like(logits[start:]), self.tail.weight)
        for block, activated in reversed(kept):
            slope = F.conv_transpose2d(activated.slope(slope), block.conv.weight)
        return logits[:start], slope


def _fill(convolution: nn.Module, weight: Tensor, bias: Tensor | None) -> None:
    """Give a convolution weights that are not trained, in the layout in which images are resized."""
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None:
            copied = value.detach().clone(memory_format=torch.contiguous_format)
            setattr(convolution, name, nn.Parameter(copied, requires_grad=False))


@part(example=Example({"channels": 3, "width": 4, "layers": 2}, ((1, 3, 16, 16),)))
def scale_generator(
    channels: int = 3, *, width: int = 32, layers: int = 5, kernel: int = 3, norm: nn.Module | None = None
) -> ScaleGenerator:
    """Make the generator of one scale.

    Args:
        channels: of the images.
        width: channels within.
        layers: convolutions, 2 and up.
        kernel: their side, odd.
        norm: for ``(b, width, h, w)``; it is copied for each convolution but the last. None: each image is normalised
            by itself, as by batch norm with batches of one.

    Returns:
        A `ScaleGenerator`: newly initialised, with ``reach`` and ``in_channels``.

    Raises:
        SettingsError: an argument is out of range.

    Example:
        >>> net = scale_generator()
        >>> net(torch.zeros(1, 3, 35, 43), torch.zeros(1, 3, 25, 33)).image.shape
        torch.Size([1, 3, 25, 33])
        >>> sum(parameter.numel() for parameter in net.parameters())
        29763
    """
    return ScaleGenerator(channels, width, layers, kernel, norm).initialised()


@part(example=Example({"channels": 3, "width": 4, "layers": 2}, ((1, 3, 16, 16),)))
def scale_discriminator(channels: int = 3, *, width: int = 32, layers: int = 5, kernel: int = 3) -> ScaleDiscriminator:
    """Make the discriminator of one scale; arguments as for `scale_generator`, without the norm.

    Differs:
        Each image is normalised by itself and there are no running statistics. For one image, as the authors train,
        that is their batch norm.

    Example:
        >>> scale_discriminator()(torch.zeros(1, 3, 25, 33)).logits[0].shape
        torch.Size([1, 1, 15, 23])
    """
    return ScaleDiscriminator(channels, width, layers, kernel).initialised()
