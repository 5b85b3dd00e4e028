"""One pass of a generator over images of any size: continued by reflection to a size that it accepts, cropped back."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from i2i.errors import CompositionError
from i2i.values import Translation


class Extent(NamedTuple):
    """How an image is continued along one dimension.

    Attributes:
        size: pixels of the image.
        before: pixels put in front of it.
        whole: pixels of the continued image.
    """

    size: int
    before: int
    whole: int

    def places(self, device: torch.device) -> Tensor:
        """Return the pixel of the image at each pixel of the continued one, ``(whole,)``.

        The image is reflected about its outermost pixels, as often as it takes.

        Example:
            >>> Extent(3, 1, 8).places(torch.device("cpu"))
            tensor([1, 0, 1, 2, 1, 0, 1, 2])
        """
        # Unlike torch's own reflection this goes on when the padding is longer than the image.
        place = torch.arange(-self.before, self.whole - self.before, device=device)
        if self.size == 1:
            return torch.zeros_like(place)
        place = place.remainder(2 * (self.size - 1))
        return torch.minimum(place, 2 * (self.size - 1) - place)

    @property
    def crop(self) -> slice:
        """Where the image lies in the continued one."""
        return slice(self.before, self.before + self.size)


def extent(size: int, net: nn.Module) -> Extent:
    """Say how an image of ``size`` pixels is continued, on both sides alike, to what ``net`` accepts.

    Example:
        >>> from i2i import as_generator
        >>> extent(5, as_generator(nn.Identity()))
        Extent(size=5, before=0, whole=5)
    """
    multiple, smallest = getattr(net, "multiple", 1), getattr(net, "smallest", 1)
    whole = -(-max(size, smallest) // multiple) * multiple
    return Extent(size, (whole - size) // 2, whole)


def device_of(net: nn.Module, image: Tensor) -> torch.device:
    """Return where ``net`` computes: on the device of its parameters; of ``image`` if it has none."""
    return next((parameter.device for parameter in net.parameters()), image.device)


def same_size(net: nn.Module, image: Tensor) -> Tensor:
    """Run ``net`` on ``image (b, c, h, w)`` of a size that it accepts; return ``(b, d, h, w)``.

    Raises:
        CompositionError: the net is no generator, or does not keep the size of its image.
    """
    result = net(image)
    if not isinstance(result, Translation):
        raise CompositionError(f"this net makes a {type(result).__name__}, not an image; only generators can translate")
    made = result.image
    if made.shape[-2:] != image.shape[-2:]:
        raise CompositionError(
            f"the net makes {tuple(made.shape[-2:])} of an image of {tuple(image.shape[-2:])}; "
            "only nets that keep the size can translate files"
        )
    return made


def whole(net: nn.Module, image: Tensor) -> Tensor:
    """Translate ``image (b, c, h, w)`` of any size in one pass.

    Args:
        net: a generator.
        image: on any device.

    Returns:
        ``(b, d, h, w)`` float32 on the device of ``image``.

    Raises:
        CompositionError: the net does not keep the size of its image.
    """
    rows, columns = (extent(size, net) for size in image.shape[-2:])
    padded = image.to(device_of(net, image))
    for dim, axis in ((-2, rows), (-1, columns)):
        if axis.whole != axis.size:
            padded = padded.index_select(dim, axis.places(padded.device))
    made = same_size(net, padded)
    return made[..., rows.crop, columns.crop].float().to(image.device)
