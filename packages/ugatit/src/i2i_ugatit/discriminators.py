"""The discriminators of U-GAT-IT: an image judged in large and in small, with attention in each.

References:
    Kim et al., U-GAT-IT, 2020 (arXiv 1907.10830), section 3.1.2 and appendix, tables 5 and 6.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from i2i.errors import SettingsError
from i2i.layers import at_least, check_image
from i2i.parts import Example, part
from i2i.values import Verdict
from i2i_ugatit.cam import CamHead
from i2i_ugatit.initialise import Init, initialise
from i2i_ugatit.spectral import SpectralConv2d
from i2i_ugatit.terms import HEATMAP, LOGITS

_SLOPE = 0.2


class CamScale(nn.Module):
    """One judge: halvings, attention, and a map of logits; all convolutions but that of the attention are normalised.

    Attributes:
        smallest: the least height and width of an image.
    """

    def __init__(self, in_channels: int, width: int, layers: int) -> None:
        super().__init__()
        # The last layer but the head keeps the size but for a pixel, and the head needs two pixels to reflect.
        self.smallest = 3 * 2 ** (layers - 2)
        chain: list[nn.Module] = []
        widths = [in_channels, *(width * 2**layer for layer in range(layers - 1))]
        for layer in range(layers - 1):
            stride = 1 if layer == layers - 2 else 2
            convolution = SpectralConv2d(widths[layer], widths[layer + 1], 4, stride=stride)
            chain += [nn.ReflectionPad2d(1), convolution, nn.LeakyReLU(_SLOPE)]
        self.layers = nn.Sequential(*chain)
        self.cam = CamHead(widths[-1], slope=_SLOPE, spectral=True)
        self.head = nn.Sequential(nn.ReflectionPad2d(1), SpectralConv2d(widths[-1], 1, 4, bias=False))

    def forward(self, image: Tensor) -> Verdict:
        """Judge ``image (b, c, h, w)``; the features are what comes of each activation."""
        features = []
        x = image
        for layer in self.layers:
            x = layer(x)
            if isinstance(layer, nn.LeakyReLU):
                features.append(x)
        attended = self.cam(x)
        features.append(attended.features)
        extras = {LOGITS: (attended.logits,), HEATMAP: (attended.heatmap,)}
        return Verdict((self.head(attended.features),), (tuple(features),), extras)


class CamDiscriminator(nn.Module):
    """Judges an image by several `CamScale`, each with a view of its own.

    Attributes:
        in_channels: channels of the image, those of a condition included.
        layers: of each judge.
        smallest: the least height and width.
    """

    def __init__(self, in_channels: int, width: int, layers: Sequence[int]) -> None:
        super().__init__()
        self.in_channels, self.layers = in_channels, tuple(layers)
        self.scales = nn.ModuleList(CamScale(in_channels, width, count) for count in layers)
        self.smallest = 3 * 2 ** (max(layers) - 2)

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Verdict:
        """Judge ``image (b, c, h, w)``, below ``condition (b, k, h, w)`` along the channels if there is one.

        Returns:
            A map of logits per scale; as features its activations; as extras ``cam_logits (b, 2)`` and
            ``heatmap (b, 1, h', w')`` per scale.

        Raises:
            DataError: the channels do not add up to ``in_channels``, or the image is too small for one logit.
        """
        x = image if condition is None else torch.cat((condition, image), dim=1)
        check_image(x, self.in_channels, smallest=self.smallest)
        verdicts: list[Verdict] = [scale(x) for scale in self.scales]
        return Verdict(
            tuple(verdict.logits[0] for verdict in verdicts),
            tuple(verdict.features[0] for verdict in verdicts),
            {name: tuple(verdict.extras[name][0] for verdict in verdicts) for name in (LOGITS, HEATMAP)},
        )


@part(example=Example({"base_width": 2, "layers": (4, 3)}, ((1, 3, 16, 16),)))
def cam_discriminator(
    in_channels: int = 3, *, base_width: int = 64, layers: tuple[int, ...] = (7, 5), init: Init = "torch"
) -> CamDiscriminator:
    """Make the discriminator of U-GAT-IT: a global and a local judge of one image, each with attention.

    A judge of n layers has n - 2 halving 4x4 convolutions, one that does not halve, and one that makes the logits; all
    have spectral norm. The least size of an image is ``3 * 2 ** (n - 2)``: 96 pixels for 7 layers, 24 for 5.

    Args:
        in_channels: channels of the image; with a condition, of both together.
        base_width: channels after the first convolution; they double with each layer but the last.
        layers: of each judge, 3 and up; the authors have a global one of 7 and a local one of 5.
        init: how the weights are drawn, see `initialise`.

    Returns:
        A `CamDiscriminator`; logits are unsquashed.

    Raises:
        SettingsError: an argument is out of range or unknown.

    Example:
        >>> verdict = cam_discriminator(base_width=4)(torch.zeros(1, 3, 96, 96))
        >>> [tuple(logits.shape) for logits in verdict.logits]
        [(1, 1, 1, 1), (1, 1, 10, 10)]
        >>> [tuple(heatmap.shape) for heatmap in verdict.extras["heatmap"]]
        [(1, 1, 2, 2), (1, 1, 11, 11)]

    References:
        Kim et al., U-GAT-IT, 2020, tables 5 and 6.

    Differs:
        The authors keep global and local judges as networks of their own; together they are one here.
    """
    at_least("in_channels", in_channels, 1)
    at_least("base_width", base_width, 1)
    if not isinstance(layers, Sequence) or not layers:
        raise SettingsError(f"layers (={layers}) must have a number for at least one judge, for example (7, 5)")
    for count in layers:
        at_least("layers", count, 3, 16)
    return initialise(CamDiscriminator(in_channels, base_width, layers), init)
