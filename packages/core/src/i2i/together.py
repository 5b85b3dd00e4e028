"""Several inputs through one net in one pass, where that changes nothing."""

from __future__ import annotations

import operator
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.spectral_norm import SpectralNorm

from i2i.tree import tree_map

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_INSTANCE_NORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


def together(net: nn.Module, *images: Tensor) -> tuple[Any, ...]:
    """Return ``net(image)`` for each of ``images (b, c, h, w)``, computed in one pass where that is exact.

    It is exact where the net treats samples apart: one pass for nets with instance norm or none, one pass per input for
    batch norm, active dropout, spectral norm and running statistics, and for inputs of unequal shapes. A layer of a
    plugin whose buffers change with each pass in training mode says so by ``changes_with_each_pass = True``.

    Example:
        >>> a, b = together(nn.Conv2d(3, 1, 1), torch.zeros(1, 3, 2, 2), torch.ones(2, 3, 2, 2))
        >>> a.shape, b.shape
        (torch.Size([1, 1, 2, 2]), torch.Size([2, 1, 2, 2]))
    """
    if len({image.shape[1:] for image in images}) > 1 or mixes_samples(net):
        return tuple(net(image) for image in images)
    joined = net(torch.cat(images))
    ends = list(accumulate(map(len, images)))
    pieces = [slice(end - len(image), end) for image, end in zip(images, ends, strict=True)]
    return tuple(tree_map(operator.itemgetter(piece), joined) for piece in pieces)


def mixes_samples(net: nn.Module) -> bool:
    """Tell whether results or buffers depend on the rest of a batch, on chance, or on the number of passes."""
    return any(_mixes(module) for module in net.modules())


def _mixes(module: nn.Module) -> bool:
    if isinstance(module, _BATCH_NORMS):
        return module.training or not module.track_running_stats
    if not module.training:
        return False
    if isinstance(module, _INSTANCE_NORMS):
        return module.track_running_stats
    if isinstance(module, _DROPOUTS):
        return module.p > 0
    # Spectral norm moves on with each pass, in both of the forms that torch has.
    old_form = any(isinstance(hook, SpectralNorm) for hook in module._forward_pre_hooks.values())
    return old_form or parametrize.is_parametrized(module) or getattr(module, "changes_with_each_pass", False)
