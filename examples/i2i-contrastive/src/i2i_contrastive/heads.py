"""Projection heads: small networks in whose outputs patches are compared."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

import i2i
from i2i.layers import at_least
from i2i.losses import at_least_float32


class ProjectionHead(nn.Module):
    """Two linear layers with a ReLU between them; what they make has length 1."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(channels, width), nn.ReLU(), nn.Linear(width, width))
        for layer in (self.layers[0], self.layers[2]):
            assert isinstance(layer, nn.Linear)
            nn.init.xavier_normal_(layer.weight, gain=0.02)
            nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Map ``(..., channels)`` to ``(..., width)``, float32 or more, of length 1."""
        return functional.normalize(at_least_float32(self.layers(features)), dim=-1)


@i2i.part(example=i2i.Example({"channels": 4, "width": 8}, ((2, 5, 4),)))
def projection_head(channels: int, *, width: int = 256) -> ProjectionHead:
    """Make the projection head of one layer of features.

    The weights are drawn as the authors draw them: Xavier with gain 0.02, biases 0.

    Args:
        channels: of the features.
        width: channels of both layers.

    Returns:
        A module that maps ``(..., channels)`` to ``(..., width)``, of length 1.

    Raises:
        SettingsError: an argument is no positive number.

    Example:
        >>> import torch
        >>> made = projection_head(3, width=64)(torch.rand(2, 5, 3))
        >>> made.shape, bool(torch.allclose(made.norm(dim=-1), torch.ones(2, 5)))
        (torch.Size([2, 5, 64]), True)

    References:
        Park et al., Contrastive Learning for Unpaired Image-to-Image Translation, section 3: the network H_l.
    """
    at_least("channels", channels, 1)
    at_least("width", width, 1)
    return ProjectionHead(channels, width)


def heads_for(channels: Sequence[int], *, width: int = 256) -> nn.ModuleList:
    """Make a projection head for each layer, from the channels of their features.

    Example:
        >>> len(heads_for([3, 64, 128]))
        3
    """
    return nn.ModuleList(projection_head(number, width=width) for number in channels)
