"""Class activation maps as pictures."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from i2i.grids import viewable

_ROUNDING = 1e-5  # of the values: the sums of a network differ by so much where they should be equal
_AS_HIGH = 1e-4  # of the range: what lies so close to the highest value is part of the peak


def unit_range(heatmap: Tensor) -> Tensor:
    """Bring each map ``(b, 1, h, w)`` to 0 ... 1; one that is the same everywhere, but for rounding, becomes 0.

    Example:
        >>> unit_range(torch.tensor([[[[2.0, 4.0, 3.0]]], [[[7.0, 7.0, 7.0]]]])).flatten(1)
        tensor([[0.0000, 1.0000, 0.5000],
                [0.0000, 0.0000, 0.0000]])
    """
    exact = heatmap.detach().float()
    low, high = exact.amin((-2, -1), keepdim=True), exact.amax((-2, -1), keepdim=True)
    span = high - low
    differs = span > _ROUNDING * torch.maximum(low.abs(), high.abs())
    return torch.where(differs, (exact - low) / torch.where(differs, span, 1), 0.0)


def peak(heatmap: Tensor) -> list[tuple[int, int] | None]:
    """Say where each map ``(b, 1, h, w)`` is highest.

    Returns:
        A place ``(x, y)`` for each map, counted in its pixels from the upper left one: the middle of where it is
        highest, of several such places that of the first one from above. None: the map is the same everywhere.

    Example:
        >>> peak(torch.tensor([[[[0.0, 1.0, 0.0], [2.0, 2.0, 2.0]]], [[[7.0] * 3] * 2]]))
        [(1, 1), None]
    """
    return [_peak(values[0] >= 1 - _AS_HIGH) for values in unit_range(heatmap)]


def _peak(highest: Tensor) -> tuple[int, int] | None:
    """Return the middle of the first place that is marked in ``highest (h, w)``."""
    places = highest.nonzero()
    if not len(places):  # a map that is the same everywhere is 0, not 1
        return None
    y, x = places[0].tolist()
    # A cell at the border is as high up to the border when it is enlarged: its corner is not where it is.
    across, down = (int(line.long().cumprod(0).sum()) for line in (highest[y, x:], highest[y:, x]))
    return x + (across - 1) // 2, y + (down - 1) // 2


def colours(values: Tensor) -> Tensor:
    """Colour values ``(b, 1, h, w)`` in 0 ... 1 from blue over green to red; return ``(b, 3, h, w)`` in ``[-1, 1]``.

    Example:
        >>> colours(torch.tensor([[[[0.25, 0.5, 0.75]]]]))[0, :, 0].T
        tensor([[-1.,  0.,  1.],
                [ 0.,  1.,  0.],
                [ 1.,  0., -1.]])
    """
    peaks = torch.tensor([0.75, 0.5, 0.25], device=values.device)[:, None, None]  # of red, green and blue
    return (1.5 - 4 * (values - peaks).abs()).clamp(0, 1) * 2 - 1


def overlay(images: Tensor, heatmap: Tensor, *, strength: float = 0.5) -> Tensor:
    """Lay class activation maps over the images in which they were found.

    Args:
        images: ``(b, c, h, w)`` in ``[-1, 1]``; of other than three channels the first one is shown.
        heatmap: ``(b, 1, h', w')``, of any range; enlarged to the images.
        strength: how much of the result is heat map, 0 to 1.

    Returns:
        ``(b, 3, h, w)`` in ``[-1, 1]``; red where the map is highest, blue where it is lowest.

    Example:
        >>> overlay(torch.zeros(2, 3, 16, 24), torch.rand(2, 1, 4, 6)).shape
        torch.Size([2, 3, 16, 24])
    """
    warm = F.interpolate(unit_range(heatmap), size=images.shape[-2:], mode="bilinear")
    shown = viewable(images.detach().float()).clamp(-1, 1).expand(-1, 3, -1, -1)
    return torch.lerp(shown, colours(warm), strength)
