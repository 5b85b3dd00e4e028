"""Where a network looks in an image of any size: its class activation maps, enlarged to the image."""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from i2i.engine import backend_flags
from i2i.errors import CompositionError, ModelError
from i2i.passes import device_of, extent
from i2i.policy import Policy
from i2i.values import Translation, Verdict, needs
from i2i_ugatit.terms import HEATMAP, LOGITS


class Look(NamedTuple):
    """Where a network looks.

    Attributes:
        heatmaps: ``(b, 1, h, w)`` of the size of the images, of any range; several of a discriminator with several
            judges.
        logits: what the classifiers of each map say, ``(b, k)``, unsquashed; None: the network does not tell.
    """

    heatmaps: tuple[Tensor, ...]
    logits: tuple[Tensor | None, ...]


def look(net: nn.Module, image: Tensor) -> Look:
    """Let any network look at images that has class activation maps: a generator or a discriminator.

    Images are continued by reflection on all sides as far as the net's ``multiple`` (and ``smallest``) asks, as
    `i2i.translate.translate` does. The maps are enlarged with that, border to border, and cropped to the images.

    Args:
        net: returns a `Translation` or `Verdict` with the extra ``heatmap``, as `i2i_ugatit.cam_head` makes it. It runs
            in the mode (training or eval) that it is in.
        image: ``(b, c, h, w)`` in ``[-1, 1]``, on any device.

    Raises:
        CompositionError: the net has no heat maps; says what it has.
        DataError: the images have other channels than the net, or a size that it does not accept.
        ModelError: a map holds numbers that are none.

    Example:
        >>> from i2i_ugatit import cam_generator
        >>> seen = look(cam_generator(base_width=2, blocks=1), torch.zeros(1, 3, 9, 14))
        >>> seen.heatmaps[0].shape, seen.logits[0].shape
        (torch.Size([1, 1, 9, 14]), torch.Size([1, 2]))
    """
    rows, columns = (extent(size, net) for size in image.shape[-2:])
    device = device_of(net, image)
    x = image.to(device)
    for dim, axis in ((-2, rows), (-1, columns)):
        x = x.index_select(dim, axis.places(device))
    with torch.inference_mode(), backend_flags(Policy(), device):
        found = net(x)
        maps = _several(found, HEATMAP)
        logits = _several(found, LOGITS) if LOGITS in found.extras else (None,) * len(maps)
        _check_maps(maps, len(image))
        whole = (F.interpolate(each.float(), size=x.shape[-2:], mode="bilinear") for each in maps)
        return Look(tuple(each[..., rows.crop, columns.crop].to(image.device) for each in whole), logits)


def _several(found: object, name: str) -> tuple[Tensor, ...]:
    """Return an extra; that of a generator is no tuple."""
    if not isinstance(found, Translation | Verdict):
        raise CompositionError(f"this net makes a {type(found).__name__}, which has no {name}")
    extra = needs(found, name)
    return extra if isinstance(extra, tuple) else (cast(Tensor, extra),)


def _check_maps(maps: tuple[Tensor, ...], images: int) -> None:
    for each in maps:
        if each.ndim != 4 or each.shape[:2] != (images, 1):
            raise CompositionError(f"a heat map of shape {tuple(each.shape)}; expected ({images}, 1, height, width)")
        if not each.isfinite().all():
            raise ModelError("the heat map of this net holds infinite numbers or none at all; its weights are broken")
