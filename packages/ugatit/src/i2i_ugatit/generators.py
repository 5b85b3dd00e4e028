"""The generator of U-GAT-IT: attention in the middle, and norms whose scale and shift come from what is attended to.

References:
    Kim et al., U-GAT-IT, 2020 (arXiv 1907.10830), section 3.1.1 and appendix, table 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from i2i.errors import DataError, SettingsError
from i2i.layers import Fused, ResizedConv2d, at_least, check_image, check_no_condition, one_of, recomputed, sequence
from i2i.parts import Example, part
from i2i.pixels import PixelFormat
from i2i.values import Translation
from i2i_ugatit.adalin import ILN, AdaILN
from i2i_ugatit.cam import CamHead
from i2i_ugatit.initialise import Init, initialise
from i2i_ugatit.terms import HEATMAP, LOGITS

Head = Literal["light", "full", "pooled"]
_MULTIPLE, _SMALLEST = 4, 8  # two halvings, and two pixels left for a padding by reflection
_POOLED = 4  # side of what the pooled head sees


class ResidualBlock(nn.Module):
    """``x + layers(x)``, two 3x3 convolutions and instance norms; no activation after the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = Fused(*_convolution(channels), nn.ReLU(), *_convolution(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(b, c, h, w)`` to the same shape."""
        return self.layers(x, residual=x)  # type: ignore[no-any-return]


class AdaptiveBlock(nn.Module):
    """A residual block whose norms are told their scale ``gamma`` and shift ``beta``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pad, self.relu = nn.ReflectionPad2d(1), nn.ReLU()
        self.conv1, self.norm1 = nn.Conv2d(channels, channels, 3, bias=False), AdaILN(channels)
        self.conv2, self.norm2 = nn.Conv2d(channels, channels, 3, bias=False), AdaILN(channels)

    def forward(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        """Map ``(b, c, h, w)`` to the same shape, given two ``(b, c)``."""
        y = self.norm1.followed(self.conv1(self.pad(x)), gamma, beta, by=(self.relu, self.pad))
        return self.norm2.followed(self.conv2(y), gamma, beta, residual=x)


class Doubling(nn.Sequential):
    """A convolution that doubles the size, a norm, and what `MixedNorm.followed` takes after it."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(b, c, h, w)`` to ``(b, d, 2 h, 2 w)``, and the border if there is one."""
        convolution, norm, *after = self
        return norm.followed(convolution(x), by=after)  # type: ignore[operator, no-any-return]


class Enlarging(nn.Sequential):
    """From a quarter of the size to the image: two doublings, and the last convolution.

    Args:
        width: channels before the last convolution; it reads four times as many.
        out_channels: of the image.
        recompute: of each of the three only what goes in is kept for the backward pass.
    """

    def __init__(self, width: int, out_channels: int, *, recompute: bool) -> None:
        layers: list[nn.Module] = []
        for wide in (2 * width, width):
            layers += [ResizedConv2d(2 * wide, wide, bias=False), ILN(wide), nn.ReLU()]
        super().__init__(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, out_channels, 7, bias=False), nn.Tanh())
        self.recompute = recompute

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(b, 4 width, h, w)`` to ``(b, out_channels, 4 h, 4 w)`` in ``[-1, 1]``."""
        layers = list(self)
        recomputing = self.recompute and self.training and torch.is_grad_enabled()
        for group in (Doubling(*layers[:3]), Doubling(*layers[3:7]), nn.Sequential(*layers[7:])):
            x = recomputed(group, x) if recomputing else group(x)
        return x


class StyleHead(nn.Module):
    """Finds the scale and the shift of all adaptive norms of the decoder in the attended features.

    ``light`` sees the mean of each channel, ``pooled`` a map of 4x4 means, ``full`` every pixel.
    """

    def __init__(self, kind: Head, channels: int, pixels: int) -> None:
        super().__init__()
        self.kind = kind
        wide = nn.Linear(channels * pixels, channels, bias=False)
        self.layers = nn.Sequential(wide, nn.ReLU(), nn.Linear(channels, channels, bias=False), nn.ReLU())
        self.gamma, self.beta = (nn.Linear(channels, channels, bias=False) for _ in range(2))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``(b, c, h, w)`` to gamma and beta, each ``(b, c)``."""
        if self.kind == "light":
            seen = features.mean((-2, -1))
        else:
            seen = (features if self.kind == "full" else F.adaptive_avg_pool2d(features, _POOLED)).flatten(1)
        style = self.layers(seen)
        return self.gamma(style), self.beta(style)


class CamGenerator(nn.Module):
    """Translates images, and says where it looks.

    Attributes:
        in_channels: channels of the image it reads.
        out_channels: channels of the image it makes.
        multiple: height and width must be multiples of it.
        smallest: the least height and width.
        size: the only ``(height, width)`` that it accepts, with the full head; else None.
        reach: how many pixels to each side a pixel of the result depends on, apart from what attention and norms take
            from the whole image.
        reads: what the images that it reads are in files; set by those who train it.
        writes: what the images that it makes become in files.
    """

    multiple, smallest = _MULTIPLE, _SMALLEST
    reads: PixelFormat
    writes: PixelFormat

    def __init__(
        self, in_channels: int, out_channels: int, width: int, blocks: int, style: StyleHead, *,
        size: tuple[int, int] | None, recompute: bool, encoder: nn.Sequential, cam: CamHead,
    ) -> None:  # fmt: skip
        super().__init__()
        self.in_channels, self.out_channels, self.size, self.recompute = in_channels, out_channels, size, recompute
        # Two 7x7 convolutions, two 3x3 ones on the way down, two on the way up, a cell of 4x4 pixels that is enlarged
        # as a whole, and two convolutions in each block at a quarter of the size.
        self.reach = 2 * 3 + (1 + 2) + (2 + 1) + 3 + 16 * blocks
        self.encoder, self.cam, self.style = encoder, cam, style
        self.decoder = nn.ModuleList(AdaptiveBlock(4 * width) for _ in range(blocks))
        self.up = Enlarging(width, out_channels, recompute=recompute)

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Translation:
        """Translate ``image (b, in_channels, h, w)`` to ``(b, out_channels, h, w)`` in ``[-1, 1]``.

        Returns:
            The image, and as extras ``cam_logits (b, 2)`` and ``heatmap (b, 1, h / 4, w / 4)``.

        Raises:
            DataError: the image has other channels, or a size that the network cannot make again.
            CompositionError: a condition is given.
        """
        check_no_condition(condition)
        check_image(image, self.in_channels, multiple=_MULTIPLE, smallest=_SMALLEST)
        self._check_size(image)
        attended = self.cam(self.encoder(image))
        gamma, beta = self.style(attended.features)
        x = attended.features
        for block in self.decoder:
            x = recomputed(block, x, gamma, beta) if self._recomputing else block(x, gamma, beta)
        return Translation(self.up(x), {LOGITS: attended.logits, HEATMAP: attended.heatmap})

    @property
    def _recomputing(self) -> bool:
        return self.recompute and self.training and torch.is_grad_enabled()

    def _check_size(self, image: Tensor) -> None:
        height, width = image.shape[-2:]
        if self.size is not None and (height, width) != self.size:
            raise DataError(
                f"an image of {width}x{height}: this network was built for {self.size[1]}x{self.size[0]} only (its "
                "head is full); bring images to that size, or train a light or pooled head"
            )


@part(example=Example({"base_width": 2, "blocks": 1}, ((1, 3, 16, 16),)))
def cam_generator(
    in_channels: int = 3,
    out_channels: int = 3,
    *,
    base_width: int = 64,
    blocks: int = 4,
    head: Head = "light",
    size: tuple[int, int] | None = None,
    init: Init = "torch",
    recompute: bool = False,
) -> CamGenerator:
    """Make the generator of U-GAT-IT: two halvings, residual blocks, attention, adaptive blocks, and back up.

    Height and width must be multiples of 4, and at least 8.

    Args:
        in_channels: channels of the image it reads.
        out_channels: channels of the image it makes.
        base_width: channels after the first convolution; each of the two halvings doubles them.
        blocks: residual blocks before the attention, and as many adaptive ones after it; 1 and up.
        head: what the scale and shift of the adaptive norms are found in: ``"light"``: the mean of each channel;
            ``"pooled"``: 4x4 means; ``"full"``: every pixel, for images of ``size`` alone, at 256 pixels with 268
            million weights.
        size: ``(height, width)`` of the images, with ``head="full"`` only.
        init: how the weights are drawn, see `initialise`.
        recompute: while training, keep only what goes into each block or change of resolution and compute the rest
            again for the backward pass: less memory, about a third more time, equal gradients.

    Returns:
        A `CamGenerator`; its image is in ``[-1, 1]`` (tanh), its extras are ``cam_logits (b, 2)``, high for images of
        the domain that it translates from, and ``heatmap (b, 1, h / 4, w / 4)``.

    Raises:
        SettingsError: an argument is out of range or unknown, or a size is missing or in vain.

    Example:
        >>> made = cam_generator(base_width=4, blocks=1)(torch.zeros(1, 3, 16, 24))
        >>> made.image.shape, made.extras["cam_logits"].shape, made.extras["heatmap"].shape
        (torch.Size([1, 3, 16, 24]), torch.Size([1, 2]), torch.Size([1, 1, 4, 6]))

    References:
        Kim et al., U-GAT-IT, 2020, table 4; the authors' PyTorch code, whose option ``light`` is the light head.

    Differs:
        The pooled head is ours.
    """
    for name, value in (("in_channels", in_channels), ("out_channels", out_channels), ("base_width", base_width)):
        at_least(name, value, 1)
    at_least("blocks", blocks, 1)
    one_of("head", head, get_args(Head))
    channels = 4 * base_width
    size = None if size is None else _two_sides(size)
    pixels = _pixels_seen(head, size)
    # In the authors' order, so that one seed draws the same weights.
    encoder = _encoder(in_channels, base_width, blocks, recompute)
    cam = CamHead(channels)
    style = StyleHead(head, channels, pixels)
    net = CamGenerator(
        in_channels, out_channels, base_width, blocks, style,
        size=size, recompute=recompute, encoder=encoder, cam=cam,
    )  # fmt: skip
    return initialise(net, init)


def _two_sides(size: Sequence[int]) -> tuple[int, int]:
    if not isinstance(size, Sequence) or len(size) != 2:
        raise SettingsError(f"size (={size}) must be height and width, for example (256, 256)")
    return size[0], size[1]


def _pixels_seen(head: Head, size: tuple[int, int] | None) -> int:
    """Return how many pixels of each channel the head reads."""
    if head != "full":
        if size is not None:
            raise SettingsError(f"size (={size}) is for head full only; a {head} head takes any size, leave it out")
        return 1 if head == "light" else _POOLED**2
    if size is None:
        raise SettingsError("head full is built for one size of images; say it, for example size (256, 256)")
    if any(side < _SMALLEST or side % _MULTIPLE for side in size):
        raise SettingsError(f"size (={size}) must be two multiples of {_MULTIPLE}, at least {_SMALLEST}")
    return size[0] // _MULTIPLE * (size[1] // _MULTIPLE)


def _encoder(in_channels: int, width: int, blocks: int, recompute: bool) -> nn.Sequential:
    first = nn.Conv2d(in_channels, width, 7, bias=False)
    halving = [nn.Conv2d(wide, 2 * wide, 3, stride=2, bias=False) for wide in (width, 2 * width)]
    # Each border with the norm before it, with which it is computed where kernels run.
    groups: list[list[nn.Module]] = [
        [nn.ReflectionPad2d(3), first, nn.InstanceNorm2d(width), nn.ReLU(), nn.ReflectionPad2d(1)],
        [halving[0], nn.InstanceNorm2d(2 * width), nn.ReLU(), nn.ReflectionPad2d(1)],
        [halving[1], nn.InstanceNorm2d(4 * width), nn.ReLU()],
    ]
    groups += [[ResidualBlock(4 * width)] for _ in range(blocks)]
    return sequence(*groups, recompute=recompute)


def _convolution(channels: int) -> list[nn.Module]:
    convolution = nn.Conv2d(channels, channels, 3, bias=False)
    return [nn.ReflectionPad2d(1), convolution, nn.InstanceNorm2d(channels)]
