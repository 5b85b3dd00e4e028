"""The ResNet and U-Net generators, layer for layer and key for key as the authors'."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from i2i.errors import SettingsError
from i2i.layers import NORMS, Fused, Norm, at_least, check_image, check_no_condition, norm_layer, one_of, sequence
from i2i.parts import Example, part
from i2i.pixels import PixelFormat
from i2i.values import Translation
from i2i_cyclegan.initialise import Init, initialise

Padding = Literal["reflect", "replicate", "zero"]


class ImageGenerator(nn.Module):
    """A network from image to image that knows which sizes it accepts.

    Attributes:
        in_channels: channels of the image it reads.
        out_channels: channels of the image it makes.
        multiple: height and width must be multiples of it.
        smallest: the least height and width.
        reach: how many pixels to each side a pixel of the result depends on, apart from what norms take from the whole
            image.
        reads: what the images that it reads are in files; set by those who train it.
        writes: what the images that it makes become in files.
    """

    reads: PixelFormat
    writes: PixelFormat

    def __init__(
        self, model: nn.Module, in_channels: int, out_channels: int, *, multiple: int, smallest: int, reach: int
    ) -> None:
        super().__init__()
        self.model = model
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.multiple = multiple
        self.smallest = smallest
        self.reach = reach

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Translation:
        """Translate ``image (b, in_channels, h, w)`` to ``(b, out_channels, h, w)`` in ``[-1, 1]``.

        Raises:
            DataError: the image has other channels, or a size that the network cannot make again.
            CompositionError: a condition is given.
        """
        check_no_condition(condition)
        check_image(image, self.in_channels, multiple=self.multiple, smallest=self.smallest)
        return Translation(self.model(image))


class ResidualBlock(nn.Module):
    """``x + conv_block(x)``, two 3x3 convolutions; no activation after the sum."""

    def __init__(self, channels: int, norm: Norm, padding: Padding, dropout: float) -> None:
        super().__init__()
        middle: list[nn.Module] = [norm_layer(norm, channels), nn.ReLU()]
        if dropout:
            middle.append(nn.Dropout(dropout))
        convolutions = (_padded_convolution(channels, norm, padding) for _ in range(2))
        self.conv_block = Fused(*next(convolutions), *middle, *next(convolutions), norm_layer(norm, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(b, c, h, w)`` to the same shape."""
        return self.conv_block(x, residual=x)  # type: ignore[no-any-return]


class SkipBlock(nn.Module):
    """One level of a U-Net: ``layers``, which hold the deeper levels; its input is joined to its output if ``skip``."""

    def __init__(self, layers: nn.Sequential, *, skip: bool) -> None:
        super().__init__()
        self.model = layers
        self.skip = skip

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(b, c, h, w)`` to ``(b, c + d, h, w)`` with ``skip``, else to ``(b, d, h, w)``."""
        y: Tensor = self.model(x)
        return torch.cat((x, y), dim=1) if self.skip else y


@part(example=Example({"base_width": 2, "blocks": 1}, ((1, 3, 16, 16),)))
def resnet_generator(
    in_channels: int = 3,
    out_channels: int = 3,
    *,
    base_width: int = 64,
    blocks: int = 9,
    downs: int = 2,
    norm: Norm = "instance",
    padding: Padding = "reflect",
    dropout: float = 0.0,
    init: Init = "normal",
    init_gain: float = 0.02,
    recompute: bool = False,
) -> ImageGenerator:
    """Make the ResNet generator: a 7x7 convolution, ``downs`` halvings, ``blocks`` residual blocks, and back up.

    Height and width must be multiples of ``2 ** downs``, and at least twice that (the blocks pad by reflection).

    Args:
        in_channels: channels of the image it reads.
        out_channels: channels of the image it makes.
        base_width: channels after the first convolution; each halving doubles them.
        blocks: residual blocks at the lowest resolution; 0 and up.
        downs: halvings; 1 and up.
        norm: ``"instance"``, ``"batch"`` or ``"none"``; the convolutions have a bias with ``"instance"`` only, the
            last one always.
        padding: inside the residual blocks; the 7x7 convolutions always reflect. ``"zero"`` is the convolution's own,
            without a layer, so the positions in ``conv_block`` are closer together.
        dropout: probability inside the residual blocks, in ``[0, 1)``; above 0 it adds a layer, which shifts the
            second convolution in ``conv_block`` by one.
        init: how the weights are drawn, see `initialise`.
        init_gain: their scale.
        recompute: while training, keep only what goes into each block or change of resolution and compute the rest
            again for the backward pass: less memory, about a third more time, equal gradients.

    Returns:
        An `ImageGenerator`; its image is in ``[-1, 1]`` (tanh).

    Raises:
        SettingsError: an argument is out of range or unknown.

    Example:
        >>> net = resnet_generator(base_width=4, blocks=2)
        >>> net(torch.zeros(1, 3, 16, 24)).image.shape
        torch.Size([1, 3, 16, 24])

    References:
        Zhu et al., Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, 2017, section 7.2.
        Johnson et al., Perceptual Losses for Real-Time Style Transfer and Super-Resolution, 2016.
    """
    _check_arguments(in_channels, out_channels, base_width, downs, norm, dropout)
    at_least("blocks", blocks, 0)
    one_of("padding", padding, get_args(Padding))
    bias = norm == "instance"  # a norm with weights has a shift of its own; "none" follows the authors
    widths = [base_width * 2**level for level in range(downs + 1)]

    def normed(*layers: nn.Module, channels: int) -> list[nn.Module]:
        return [*layers, norm_layer(norm, channels), nn.ReLU()]

    groups = [normed(nn.ReflectionPad2d(3), nn.Conv2d(in_channels, base_width, 7, bias=bias), channels=base_width)]
    for before, after in pairwise(widths):
        groups.append(normed(nn.Conv2d(before, after, 3, stride=2, padding=1, bias=bias), channels=after))
    groups += [[ResidualBlock(widths[-1], norm, padding, dropout)] for _ in range(blocks)]
    for before, after in pairwise(reversed(widths)):
        up = nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, output_padding=1, bias=bias)
        groups.append(normed(up, channels=after))
    groups.append([nn.ReflectionPad2d(3), nn.Conv2d(base_width, out_channels, 7), nn.Tanh()])

    model = sequence(*groups, recompute=recompute)
    multiple = 2**downs
    # 3 for each 7x7 convolution, multiple - 1 for the way down and for the way up, 2 * multiple for each block.
    reach = 4 + 2 * multiple * (blocks + 1)
    net = ImageGenerator(model, in_channels, out_channels, multiple=multiple, smallest=2 * multiple, reach=reach)
    return initialise(net, init, init_gain)


@part(example=Example({"base_width": 2, "downs": 3}, ((1, 3, 16, 16),)))
def unet_generator(
    in_channels: int = 3,
    out_channels: int = 3,
    *,
    base_width: int = 64,
    downs: int = 8,
    norm: Norm = "batch",
    dropout: float = 0.0,
    init: Init = "normal",
    init_gain: float = 0.02,
    recompute: bool = False,
) -> ImageGenerator:
    """Make the U-Net generator: ``downs`` halvings by 4x4 convolutions and back up, with a skip at each level.

    Level ``i`` (0 is the outermost) has ``base_width * min(2**i, 8)`` channels. The outermost level has no norm on the
    way down and a tanh on the way up, the innermost no norm on the way down. Height and width must be multiples of
    ``2 ** downs``: 256 for the default, which is the authors' ``unet_256``; 7 downs are their ``unet_128``.

    Args:
        in_channels: channels of the image it reads.
        out_channels: channels of the image it makes.
        base_width: channels of the outermost level.
        downs: number of levels, 1 and up. The authors' smallest is 5; fewer leave out the deepest levels.
        norm: ``"instance"``, ``"batch"`` or ``"none"``; the convolutions have a bias with ``"instance"`` only, the
            last one always.
        dropout: probability, in ``[0, 1)``, after the upward norm of the levels 4 to ``downs - 2``.
        init: how the weights are drawn, see `initialise`.
        init_gain: their scale.
        recompute: while training, keep only what goes down into each level and comes up to it, and compute the rest
            again for the backward pass: less memory, about a third more time, equal gradients.

    Returns:
        An `ImageGenerator`; its image is in ``[-1, 1]`` (tanh).

    Raises:
        SettingsError: an argument is out of range or unknown, or there is no level that the dropout would act on.

    Example:
        >>> net = unet_generator(base_width=4, downs=3)
        >>> net(torch.zeros(1, 3, 16, 24)).image.shape
        torch.Size([1, 3, 16, 24])

    References:
        Isola et al., Image-to-Image Translation with Conditional Adversarial Networks, 2017, section 6.1.1.

    Differs:
        The authors' in-place LeakyReLU also changes what the skip carries; a ReLU follows every skip, so the result
        is the same.
    """
    _check_arguments(in_channels, out_channels, base_width, downs, norm, dropout)
    if dropout and downs < 6:
        raise SettingsError(f"dropout (={dropout}) needs at least 6 downs, not {downs}; use dropout 0 or downs 6")
    widths = [base_width * min(2**level, 8) for level in range(downs)]
    block = None
    for level in reversed(range(1, downs)):
        dropped = dropout if 4 <= level < downs - 1 else 0.0
        block = _inner_level(widths[level - 1], widths[level], block, norm, dropped, recompute)
    outermost = _outer_level(in_channels, out_channels, base_width, block, norm, recompute)
    multiple = 2**downs
    # Each level, down and up, adds three of its pixels to each side: 3 * (1 + 2 + ... + multiple / 2).
    reach = 3 * (multiple - 1)
    net = ImageGenerator(outermost, in_channels, out_channels, multiple=multiple, smallest=multiple, reach=reach)
    return initialise(net, init, init_gain)


def _check_arguments(
    in_channels: int, out_channels: int, base_width: int, downs: int, norm: Norm, dropout: float
) -> None:
    at_least("in_channels", in_channels, 1)
    at_least("out_channels", out_channels, 1)
    at_least("base_width", base_width, 1)
    at_least("downs", downs, 1, 16)  # 2 ** 16 is wider than any image
    one_of("norm", norm, NORMS)
    if not 0 <= dropout < 1:
        raise SettingsError(f"dropout (={dropout}) must be at least 0 and below 1")


def _padded_convolution(channels: int, norm: Norm, padding: Padding) -> list[nn.Module]:
    bias = norm == "instance"
    if padding == "zero":
        return [nn.Conv2d(channels, channels, 3, padding=1, bias=bias)]
    pad = nn.ReflectionPad2d(1) if padding == "reflect" else nn.ReplicationPad2d(1)
    return [pad, nn.Conv2d(channels, channels, 3, bias=bias)]


def _inner_level(
    outer: int, inner: int, deeper: SkipBlock | None, norm: Norm, dropout: float, recompute: bool
) -> SkipBlock:
    bias = norm == "instance"
    down: list[nn.Module] = [nn.LeakyReLU(0.2), nn.Conv2d(outer, inner, 4, stride=2, padding=1, bias=bias)]
    back = nn.ConvTranspose2d(inner if deeper is None else 2 * inner, outer, 4, stride=2, padding=1, bias=bias)
    up: list[nn.Module] = [nn.ReLU(), back, norm_layer(norm, outer)]
    if dropout:
        up.append(nn.Dropout(dropout))
    if deeper is None:
        return SkipBlock(sequence([*down, *up], recompute=recompute), skip=True)
    return SkipBlock(sequence([*down, norm_layer(norm, inner)], deeper, up, recompute=recompute), skip=True)


def _outer_level(
    in_channels: int, out_channels: int, inner: int, deeper: SkipBlock | None, norm: Norm, recompute: bool
) -> SkipBlock:
    down = nn.Conv2d(in_channels, inner, 4, stride=2, padding=1, bias=norm == "instance")
    back = nn.ConvTranspose2d(inner if deeper is None else 2 * inner, out_channels, 4, stride=2, padding=1)
    up = [nn.ReLU(), back, nn.Tanh()]
    deeper_levels = () if deeper is None else (deeper,)
    return SkipBlock(sequence(down, *deeper_levels, up, recompute=recompute), skip=False)
