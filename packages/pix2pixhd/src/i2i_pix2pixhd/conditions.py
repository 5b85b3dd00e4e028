"""What the networks read: class maps, boundaries of objects and float channels, joined without a one-hot map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2i.errors import DataError
from i2i.layers import check_image
from i2i_pix2pixhd.gather import Window, gathered, known


class Inputs(NamedTuple):
    """Channels that a network reads, the one-hot of the classes first; at least one of the two is there.

    Attributes:
        labels: class ids ``(b, 1, h, w)``, integers; they stand for their one-hot. None: no classes.
        channels: float channels ``(b, c, h, w)``. None: nothing but classes.
    """

    labels: Tensor | None
    channels: Tensor | None


def boundaries(instances: Tensor) -> Tensor:
    """Mark the pixels where objects meet: those that differ from their left, right, upper or lower neighbour.

    Args:
        instances: ids of objects ``(b, 1, h, w)``, any integers.

    Returns:
        ``(b, 1, h, w)`` float32, 0 or 1; both sides of a boundary are marked.

    Example:
        >>> boundaries(torch.tensor([[[[7, 7, 9, 9]]]]))
        tensor([[[[0., 1., 1., 0.]]]])

    References:
        Wang et al., High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs, 2018, section 3.3.
    """
    across = instances[..., 1:] != instances[..., :-1]
    down = instances[..., 1:, :] != instances[..., :-1, :]
    marked = torch.zeros_like(instances, dtype=torch.bool)
    marked[..., 1:] |= across
    marked[..., :-1] |= across
    marked[..., 1:, :] |= down
    marked[..., :-1, :] |= down
    return marked.float()


def joined(
    labels: Tensor | None,
    channels: Sequence[Tensor | None],
    *,
    classes: int,
    count: int,
    multiple: int = 1,
    smallest: int = 1,
) -> Inputs:
    """Check what a network is given, shapes and dtypes only, and put it in order.

    Args:
        labels: class ids ``(b, 1, h, w)`` where the network reads classes, else None.
        channels: float channels in their order; those that are None are left out.
        classes: how many the network reads; 0: none.
        count: of float channels that the network reads.
        multiple: height and width must be multiples of it.
        smallest: the least height and width.

    Raises:
        DataError: ids that are no integers, channels that do not add up, sizes that differ or do not fit.
    """
    floats = [x for x in channels if x is not None]
    if classes and (labels is None or labels.ndim != 4 or labels.shape[1] != 1 or labels.is_floating_point()):
        given = "None" if labels is None else f"{_name(labels)} {tuple(labels.shape)}"
        raise DataError(f"class ids are {given}: this network reads whole numbers (batch, 1, height, width)")
    wrong = [x for x in floats if x.ndim != 4 or not x.is_floating_point()]
    if wrong:
        raise DataError(
            f"an input is {_name(wrong[0])} {tuple(wrong[0].shape)}: this network reads floating-point channels "
            f"(batch, channels, height, width){' besides the class ids' if classes else ''}"
        )
    found = sum(x.shape[1] for x in floats)
    if found != count:
        besides = f" besides the ids of {classes} classes" if classes else ""
        raise DataError(f"{found} channels are given: this network reads {count}{besides}, condition included")
    everything = ([labels] if classes and labels is not None else []) + floats
    sizes = {(len(x), *x.shape[2:]) for x in everything}
    if len(sizes) > 1:
        listed = ", ".join(str(tuple(x.shape)) for x in everything)
        raise DataError(f"image and condition differ in batch, height or width: {listed}")
    check_image(everything[0], everything[0].shape[1], multiple=multiple, smallest=smallest)
    together = torch.cat(floats, dim=1) if len(floats) > 1 else floats[0] if floats else None
    return Inputs(labels if classes else None, together)


def convolve(conv: nn.Conv2d, inputs: Inputs | Tensor, classes: int) -> Tensor:
    """Convolve the joined channels; where the classes are ids, their weights are looked up instead of multiplied.

    Args:
        conv: of ``classes`` channels for the classes, and the float channels after them; a square kernel, padded with
            zeros or by reflection as it says.
        inputs: the channels, or all of them in one tensor ``(b, classes + c, h, w)``. An id outside
            ``0 ... classes - 1`` stands for no class.
        classes: number of classes.

    Returns:
        ``(b, out, h', w')`` in the type that the convolution computes in, that of autocast included.

    Example:
        >>> conv = nn.Conv2d(5, 2, 3, padding=1, padding_mode="reflect")
        >>> convolve(conv, Inputs(torch.zeros(1, 1, 8, 8, dtype=torch.int32), torch.ones(1, 1, 8, 8)), 4).shape
        torch.Size([1, 2, 8, 8])
    """
    dtype = compute_dtype(conv.weight)
    labels, channels = (None, inputs) if isinstance(inputs, Tensor) else inputs
    if labels is None:
        assert channels is not None  # one of the two is there
        return nn.Conv2d.forward(conv, channels.to(dtype))
    result = gathered(conv.weight[:, :classes], labels, Window.of(conv), dtype)
    if channels is None:
        return result if conv.bias is None else result.add_(conv.bias.to(dtype)[:, None, None])
    rest: Tensor = conv._conv_forward(channels.to(dtype), conv.weight[:, classes:], conv.bias)
    return result.add_(rest)


class JoinedConv2d(nn.Conv2d):
    """The first convolution of a network: of `Inputs`, or of a tensor that holds all channels.

    Args:
        classes: number of classes whose ids `Inputs` may hold; their channels come first.
        channels: float channels.
        *args: as of ``nn.Conv2d`` after its first argument.
        **kwargs: likewise.
    """

    def __init__(self, classes: int, channels: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(classes + channels, *args, **kwargs)
        self.classes = classes

    def forward(self, inputs: Inputs | Tensor) -> Tensor:
        """See `convolve`."""
        return convolve(self, inputs, self.classes)


def halved(inputs: Inputs | Tensor, classes: int, dtype: torch.dtype) -> Tensor:
    """Return the joined channels at half size: means over 3x3 pixels, of those alone that lie inside.

    Args:
        inputs: the channels, or all of them in one tensor.
        classes: number of classes.
        dtype: of the result.

    Returns:
        ``(b, classes + c, ceil(h / 2), ceil(w / 2))``; classes become fractions.

    Example:
        >>> ids = torch.tensor([[[[0, 0, 1, 1]]]])
        >>> halved(Inputs(ids, None), 2, torch.float32)[0, :, 0]
        tensor([[1.0000, 0.3333],
                [0.0000, 0.6667]])
    """
    if isinstance(inputs, Tensor):
        wide = inputs.to(torch.promote_types(inputs.dtype, dtype))
        return F.avg_pool2d(wide, 3, 2, 1, count_include_pad=False).to(dtype)
    parts = [] if inputs.labels is None else [_fractions(inputs.labels, classes, dtype)]
    if inputs.channels is not None:
        parts.append(halved(inputs.channels, classes, dtype))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _fractions(labels: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
    """Count, for each pixel of the half size, how often each class occurs under it."""
    b, _, h, w = labels.shape
    height, width = (h + 1) // 2, (w + 1) // 2
    ids = F.pad(known(labels, classes), (1, 2 * width - w, 1, 2 * height - h), value=-1)
    counts = torch.zeros((b, classes, height, width), dtype=torch.uint8, device=labels.device)  # up to nine
    inside = torch.zeros((b, 1, height, width), dtype=dtype, device=labels.device)
    for row in range(3):
        for column in range(3):
            id = ids[..., row : row + 2 * height - 1 : 2, column : column + 2 * width - 1 : 2]
            named = (id >= 0) & (id < classes)
            counts.scatter_add_(1, torch.where(named, id, 0), named.to(torch.uint8))
            inside += id >= 0
    return counts.to(dtype).div_(inside)


def compute_dtype(weight: Tensor) -> torch.dtype:
    """Return the type that a layer with this weight computes in: that of autocast where it is on, else its own."""
    kind = weight.device.type
    if weight.dtype == torch.float64 or not torch.amp.is_autocast_available(kind):
        return weight.dtype
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype


def _name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
