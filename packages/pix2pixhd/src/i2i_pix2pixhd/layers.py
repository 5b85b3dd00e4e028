"""The layers that generators and encoder are made of, positions and names of weights as the authors'."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor, nn

from i2i.layers import NORMS, Fused, Norm, ResizedConv2d, norm_layer, one_of
from i2i_pix2pixhd.conditions import JoinedConv2d

Upsampling = Literal["transposed", "resize"]
Padding = Literal["zero", "reflect"]
Group = list[nn.Module]


class ResidualBlock(nn.Module):
    """``x + conv_block(x)``, two 3x3 convolutions padded by reflection; no activation after the sum."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        first, second = ([nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3)] for _ in range(2))
        norms = [norm_layer(norm, channels) for _ in range(2)]
        self.conv_block = Fused(*first, norms[0], nn.ReLU(), *second, norms[1])

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(b, c, h, w)`` to the same shape."""
        return self.conv_block(x, residual=x)  # type: ignore[no-any-return]


class Layers:
    """Groups of layers, each of which can be computed again by itself."""

    def __init__(self, norm: Norm, upsampling: Upsampling, padding: Padding) -> None:
        self.norm: Norm = norm
        self.upsampling = upsampling
        self.padding = padding

    def first(self, classes: int, channels: int, out: int) -> Group:
        """7x7, padded by reflection. The convolution pads itself: there is no map of the classes to pad."""
        conv = JoinedConv2d(classes, channels, out, 7, padding=3, padding_mode="reflect")
        return [nn.Identity(), conv, norm_layer(self.norm, out), nn.ReLU()]

    def down(self, channels: int) -> Group:
        """Half the size, twice the channels."""
        mode = "zeros" if self.padding == "zero" else self.padding
        conv = nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1, padding_mode=mode)
        return [conv, norm_layer(self.norm, 2 * channels), nn.ReLU()]

    def up(self, channels: int) -> Group:
        """Twice the size, half the channels."""
        out = channels // 2
        conv: nn.Module
        if self.upsampling == "resize":
            conv = ResizedConv2d(channels, out)
        else:
            conv = nn.ConvTranspose2d(channels, out, 3, stride=2, padding=1, output_padding=1)
        return [conv, norm_layer(self.norm, out), nn.ReLU()]

    def last(self, channels: int, out: int) -> Group:
        """7x7, padded by reflection, and tanh."""
        return [nn.ReflectionPad2d(3), nn.Conv2d(channels, out, 7), nn.Tanh()]

    def blocks(self, channels: int, count: int) -> list[Group]:
        """Residual blocks."""
        return [[ResidualBlock(channels, self.norm)] for _ in range(count)]

    def whole(self, classes: int, channels: int, width: int, downs: int, blocks: int) -> list[Group]:
        """All groups of the global network but the last one, which makes the image."""
        groups = [self.first(classes, channels, width)]
        groups += [self.down(width * 2**level) for level in range(downs)]
        groups += self.blocks(width * 2**downs, blocks)
        return groups + [self.up(width * 2**level) for level in range(downs, 0, -1)]


def layers_of(norm: Norm, upsampling: Upsampling, padding: Padding) -> Layers:
    """Return the layers of networks of one kind.

    Raises:
        SettingsError: an unknown word.
    """
    one_of("norm", norm, NORMS)
    one_of("upsampling", upsampling, get_args(Upsampling))
    one_of("padding", padding, get_args(Padding))
    return Layers(norm, upsampling, padding)
