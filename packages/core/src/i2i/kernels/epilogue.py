"""What follows a norm and is computed in the same pass."""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor


class Epilogue(NamedTuple):
    """What is done with normalised images: a sum, an activation, a border.

    Attributes:
        residual: ``(b, c, h, w)``, added before the activation.
        negative_slope: of the activation: 1 for none, 0 for a ReLU, between them for a leaky ReLU.
        pad: pixels by which the result is continued by reflection on all four sides.
    """

    residual: Tensor | None = None
    negative_slope: float = 1.0
    pad: int = 0

    def plain(self, z: Tensor) -> Tensor:
        """Do it by torch's own operations."""
        if self.residual is not None:
            z = z + self.residual
        if self.negative_slope == 0:
            z = F.relu(z)
        elif self.negative_slope != 1:
            z = F.leaky_relu(z, self.negative_slope)
        return F.pad(z, (self.pad,) * 4, mode="reflect") if self.pad else z


NOTHING = Epilogue()
