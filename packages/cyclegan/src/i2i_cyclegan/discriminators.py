"""The PatchGAN discriminators, of patches and of pixels, layer for layer and key for key as the authors'."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from i2i.layers import Fused, Norm, at_least, check_image, norm_layer
from i2i.parts import Example, part
from i2i.values import Verdict
from i2i_cyclegan.initialise import Init, initialise


class ImageDiscriminator(nn.Module):
    """Judges an image by a chain of layers whose output is a map of logits.

    Attributes:
        in_channels: channels of the image, those of a condition included.
        smallest: the least height and width.
    """

    def __init__(self, in_channels: int, *, smallest: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.smallest = smallest

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Verdict:
        """Judge ``image (b, c, h, w)``, below ``condition (b, k, h, w)`` along the channels if there is one.

        Returns:
            One map of logits, and as features of this one scale the activations after each LeakyReLU.

        Raises:
            DataError: the channels do not add up to ``in_channels``, or the image is too small for one logit.
        """
        x = image if condition is None else torch.cat((condition, image), dim=1)
        check_image(x, self.in_channels, smallest=self.smallest)
        features = []
        chain: Any
        (chain,) = self.children()  # "model" or "net": the authors' names for it differ
        made = x
        for layer, made in chain.each(x):
            if isinstance(layer, nn.LeakyReLU):
                features.append(made)
        return Verdict((made,), (tuple(features),))


class PatchDiscriminator(ImageDiscriminator):
    """Judges overlapping patches of an image."""

    def __init__(self, model: nn.Sequential, in_channels: int, *, smallest: int) -> None:
        super().__init__(in_channels, smallest=smallest)
        self.model = model


class PixelDiscriminator(ImageDiscriminator):
    """Judges each pixel of an image by itself."""

    def __init__(self, net: nn.Sequential, in_channels: int, *, smallest: int) -> None:
        super().__init__(in_channels, smallest=smallest)
        self.net = net


@part(example=Example({"base_width": 2, "layers": 1}, ((1, 3, 16, 16),)))
def patch_discriminator(
    in_channels: int = 3,
    *,
    base_width: int = 64,
    layers: int = 3,
    norm: Norm = "instance",
    init: Init = "normal",
    init_gain: float = 0.02,
) -> PatchDiscriminator:
    """Make the PatchGAN discriminator: ``layers`` halving 4x4 convolutions and two that keep the size.

    Each logit sees a square of 16, 34, 70, 142 or 286 pixels for 1 to 5 layers. Images of 256 pixels give 30x30 logits
    with 3 layers; the least size is ``3 * 2 ** layers``.

    Args:
        in_channels: channels of the image; with a condition, of both together.
        base_width: channels after the first convolution; they double with each layer, up to eight times.
        layers: halvings, 1 and up.
        norm: ``"instance"``, ``"batch"`` or ``"none"``, after all convolutions but the first and the last; these two
            always have a bias, the others with ``"instance"`` only.
        init: how the weights are drawn, see `initialise`.
        init_gain: their scale.

    Returns:
        A `PatchDiscriminator`; logits are unsquashed.

    Raises:
        SettingsError: an argument is out of range or unknown.

    Example:
        >>> verdict = patch_discriminator(base_width=4)(torch.zeros(1, 3, 64, 64))
        >>> verdict.logits[0].shape
        torch.Size([1, 1, 6, 6])
        >>> [feature.shape[1] for feature in verdict.features[0]]
        [4, 8, 16, 32]

    References:
        Isola et al., Image-to-Image Translation with Conditional Adversarial Networks, 2017, section 6.1.2.
    """
    at_least("in_channels", in_channels, 1)
    at_least("base_width", base_width, 1)
    at_least("layers", layers, 1, 16)
    bias = norm == "instance"
    model: list[nn.Module] = [nn.Conv2d(in_channels, base_width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    width = base_width
    for layer in range(1, layers + 1):
        wider = base_width * min(2**layer, 8)
        stride = 1 if layer == layers else 2
        model += [nn.Conv2d(width, wider, 4, stride=stride, padding=1, bias=bias), norm_layer(norm, wider)]
        model.append(nn.LeakyReLU(0.2))
        width = wider
    model.append(nn.Conv2d(width, 1, 4, padding=1))
    net = PatchDiscriminator(Fused(*model), in_channels, smallest=3 * 2**layers)
    return initialise(net, init, init_gain)


@part(example=Example({"base_width": 2}, ((1, 3, 16, 16),)))
def pixel_discriminator(
    in_channels: int = 3,
    *,
    base_width: int = 64,
    norm: Norm = "instance",
    init: Init = "normal",
    init_gain: float = 0.02,
) -> PixelDiscriminator:
    """Make the 1x1 PatchGAN discriminator, the authors' ``pixel``: three 1x1 convolutions, a logit per pixel.

    It judges colours, not structure: no logit sees a neighbour (but for the statistics of the norm).

    Args:
        in_channels: channels of the image; with a condition, of both together.
        base_width: channels after the first convolution; the second doubles them.
        norm: ``"instance"``, ``"batch"`` or ``"none"``, after the second convolution; the first convolution always has
            a bias, the others with ``"instance"`` only.
        init: how the weights are drawn, see `initialise`.
        init_gain: their scale.

    Returns:
        A `PixelDiscriminator`; logits ``(b, 1, h, w)`` are unsquashed.

    Raises:
        SettingsError: an argument is out of range or unknown.

    Example:
        >>> verdict = pixel_discriminator(base_width=4)(torch.zeros(1, 3, 8, 10))
        >>> verdict.logits[0].shape
        torch.Size([1, 1, 8, 10])

    References:
        Isola et al., Image-to-Image Translation with Conditional Adversarial Networks, 2017, sections 4.4 and 6.1.2.
    """
    at_least("in_channels", in_channels, 1)
    at_least("base_width", base_width, 1)
    bias, wider = norm == "instance", 2 * base_width
    layers: list[nn.Module] = [nn.Conv2d(in_channels, base_width, 1), nn.LeakyReLU(0.2)]
    layers += [nn.Conv2d(base_width, wider, 1, bias=bias), norm_layer(norm, wider), nn.LeakyReLU(0.2)]
    layers.append(nn.Conv2d(wider, 1, 1, bias=bias))
    smallest = 2 if norm == "instance" else 1  # a single pixel has no variance
    return initialise(PixelDiscriminator(Fused(*layers), in_channels, smallest=smallest), init, init_gain)
