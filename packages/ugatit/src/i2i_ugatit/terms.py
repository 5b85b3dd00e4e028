"""Loss terms of U-GAT-IT, and what is done to its norms after each step.

References:
    Kim et al., U-GAT-IT, 2020 (arXiv 1907.10830), section 3.2.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from i2i.losses import at_least_float32
from i2i.parts import Example, part
from i2i.step import modules_of
from i2i.values import Translation, Verdict, needs

LOGITS, HEATMAP = "cam_logits", "heatmap"
"""What the generators and discriminators of this package call their extras."""


@part(example=Example({}, ((2, 2), (2, 2))))
def cam_loss(fake: Translation, same: Translation) -> Tensor:
    """Cross-entropy of a generator's own guess: is this image of the source domain, or of the target already?

    Args:
        fake: what the generator made of images of the source domain: its logits should be high.
        same: what it made of images of its target domain: its logits should be low.

    Returns:
        The sum of both means; 2 ln 2 where nothing is known.

    Raises:
        CompositionError: the generator has no class activation maps.

    References:
        Kim et al., eq. 6.

    Example:
        >>> unsure = Translation(torch.zeros(1, 3, 4, 4), {"cam_logits": torch.zeros(1, 2)})
        >>> round(cam_loss(unsure, unsure).item(), 4)
        1.3863
    """
    source, target = (at_least_float32(cast(Tensor, needs(each, LOGITS))) for each in (fake, same))
    return F.softplus(-source).mean() + F.softplus(target).mean()


def cam_verdict(verdict: Verdict) -> Verdict:
    """Return what the class activation maps of a discriminator say, as a verdict that any criterion can take.

    Raises:
        CompositionError: the discriminator has no class activation maps.

    References:
        Kim et al., eq. 7.

    Example:
        >>> map, logits = torch.zeros(1, 1, 4, 4), torch.ones(1, 2)
        >>> cam_verdict(Verdict((map,), extras={"cam_logits": (logits,)})).logits
        (tensor([[1., 1.]]),)
    """
    return Verdict(cast("tuple[Tensor, ...]", needs(verdict, LOGITS)))


def clip_rho(nets: Any) -> None:
    """Bring every ``rho`` (`i2i_ugatit.AdaILN`, `i2i_ugatit.ILN`) in ``nets`` back into ``[0, 1]``, in place.

    Made for ``player(..., after=clip_rho)``; it may also be called with one net.

    References:
        Kim et al., section 2.1.2.

    Example:
        >>> from i2i_ugatit import iln
        >>> norm = iln(2)
        >>> norm.rho.data.fill_(-0.5)[0, 0].item()
        -0.5
        >>> clip_rho(norm)
        >>> norm.rho.data.abs().sum().item()
        0.0
    """
    for net in modules_of(nets):
        for module in net.modules():
            if isinstance(rho := getattr(module, "rho", None), nn.Parameter):
                with torch.no_grad():
                    rho.clamp_(0, 1)
