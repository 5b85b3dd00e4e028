"""Attention by class activation maps: which domain an image is of, and which features say so.

References:
    Zhou et al., Learning Deep Features for Discriminative Localization, 2016 (arXiv 1512.04150).
    Kim et al., U-GAT-IT, 2020 (arXiv 1907.10830), section 3.1.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from i2i.layers import at_least
from i2i.losses import at_least_float32
from i2i.parts import Example, part
from i2i_ugatit.spectral import SpectralLinear


class Attended(NamedTuple):
    """What a `CamHead` makes of features.

    Attributes:
        features: ``(b, c, h, w)``, weighted by how much they say about the domain.
        logits: ``(b, 2)``, unsquashed: the domain by average and by maximum pooling.
        heatmap: ``(b, 1, h, w)``, the sum of ``features`` over the channels; to look at.
    """

    features: Tensor
    logits: Tensor
    heatmap: Tensor


class CamHead(nn.Module):
    """Tells the domain from globally pooled features, and weights the features by what tells it.

    Each of the two classifiers is one linear layer without bias; its weights say how much each channel speaks for the
    domain. The features, multiplied by the weights of the one and of the other, are brought back to ``c`` channels by a
    1x1 convolution and an activation.

    Args:
        channels: ``c`` of the features.
        slope: of the activation below 0: 0 for ReLU.
        spectral: the classifiers have spectral norm. The features are weighted by the weights before it, as in the
            authors' PyTorch code; their TensorFlow code takes those after it.
    """

    def __init__(self, channels: int, *, slope: float = 0.0, spectral: bool = False) -> None:
        super().__init__()
        kind = SpectralLinear if spectral else functools.partial(nn.Linear, bias=False)
        self.average, self.maximum = kind(channels, 1), kind(channels, 1)
        self.fuse = nn.Conv2d(2 * channels, channels, 1)
        self.slope = slope

    def forward(self, features: Tensor) -> Attended:
        """Attend to ``features (b, c, h, w)``."""
        pooled = features.mean((-2, -1)), F.adaptive_max_pool2d(features, 1).flatten(1)
        logits = torch.cat((self.average(pooled[0]), self.maximum(pooled[1])), dim=1)
        weighted = F.conv2d(features, self._weight(), self.fuse.bias)
        attended = F.leaky_relu(weighted, self.slope) if self.slope else F.relu(weighted)
        return Attended(attended, logits, at_least_float32(attended).sum(1, keepdim=True))

    def _weight(self) -> Tensor:
        """Return the kernel ``(c, c, 1, 1)`` that does the weighting as well: a sum over channels takes weights inside.

        That is half the products, and neither of the two weighted copies of the features is made.
        """
        for_average, for_maximum = self.fuse.weight.chunk(2, dim=1)
        by_average, by_maximum = (layer.weight[..., None, None] for layer in (self.average, self.maximum))
        return for_average * by_average + for_maximum * by_maximum


@part(example=Example({"channels": 4}, ((2, 4, 5, 6),)))
def cam_head(channels: int, *, slope: float = 0.0, spectral: bool = False) -> CamHead:
    """Make the attention of U-GAT-IT, for features anywhere in a generator or discriminator.

    Called with ``(b, channels, h, w)`` it returns `Attended`: weighted features of the same shape, two logits of the
    domain, a heat map. Train the logits by `i2i_ugatit.cam_loss` in a generator, by the adversarial criterion and
    `i2i_ugatit.cam_verdict` in a discriminator. `i2i_ugatit.attended_generator` and `i2i_ugatit.attended_discriminator`
    put it into a net that exists already.

    Args:
        channels: of the features.
        slope: of the activation below 0; the authors take 0 in generators, 0.2 in discriminators.
        spectral: the classifiers have spectral norm, as in the authors' discriminators.

    Raises:
        SettingsError: ``channels`` is no positive number.

    Example:
        >>> attended = cam_head(8)(torch.rand(2, 8, 4, 4))
        >>> attended.features.shape, attended.logits.shape, attended.heatmap.shape
        (torch.Size([2, 8, 4, 4]), torch.Size([2, 2]), torch.Size([2, 1, 4, 4]))

    References:
        Kim et al., section 3.1.1; Zhou et al., section 2.
    """
    at_least("channels", channels, 1)
    return CamHead(channels, slope=slope, spectral=spectral)
