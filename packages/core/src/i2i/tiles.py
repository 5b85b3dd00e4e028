"""Large images tile by tile: only one tile at a time is on the device, and parts fit together where two meet."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import count, pairwise, product
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from i2i.errors import SettingsError
from i2i.modes import fixed_statistics
from i2i.passes import Extent, device_of, extent, same_size, whole


class Share(NamedTuple):
    """What one tile gives to the result along one dimension.

    Attributes:
        start: first pixel of the tile, in the image continued to the size that the net accepts.
        first: first pixel of the result that comes from it.
        weights: what its pixels from there on count for; at each pixel the weights of all tiles add up to 1.
    """

    start: int
    first: int
    weights: Tensor

    @property
    def result(self) -> slice:
        """Where it goes in the result."""
        return slice(self.first, self.first + len(self.weights))

    @property
    def tile(self) -> slice:
        """Where it lies in the tile."""
        return slice(self.first - self.start, self.first - self.start + len(self.weights))


def in_tiles(net: nn.Module, image: Tensor, tile: int) -> Tensor:
    """Translate ``image`` tile by tile.

    An image that fits into one tile goes through whole. Of others, the statistics of the instance norms are taken once,
    from the whole image shrunk to the area of a tile, and hold for all tiles. Tiles begin at multiples of the net's
    ``multiple``, so that layers with strides fall on the same grid. They overlap by twice the net's ``reach``, and of
    each only the part is kept that does not see its edges: the result is that of one pass over the whole image with
    these statistics, to rounding. Where the reach is unknown or too large (`approximation`), tiles are blended over
    overlaps of a quarter instead.

    Args:
        net: a generator. Batch norms should be in eval mode.
        image: ``(b, c, h, w)``; only a tile of it at a time is moved to the device of the net.
        tile: side of a tile, rounded up to a multiple of ``net.multiple``.

    Returns:
        ``(b, d, h, w)`` float32 on the device of ``image``.

    Raises:
        SettingsError: a tile that is too small for the net.
        CompositionError: the net does not keep the size of its image.

    Example:
        >>> from i2i import as_generator
        >>> net = as_generator(nn.Identity())
        >>> image = torch.rand(1, 3, 20, 30)
        >>> torch.allclose(in_tiles(net, image, 8), image)
        True

    Differs:
        Taking the statistics from the shrunk image is ours; one pass over the whole image takes them from its own
        feature maps, so colours may differ a little.
    """
    tile = usable_tile(net, tile)
    rows, columns = (extent(size, net) for size in image.shape[-2:])
    if max(rows.whole, columns.whole) <= tile:
        return whole(net, image)
    cut = [shares(axis.whole, tile, net) for axis in (rows, columns)]
    with fixed_statistics(net, lambda: whole(net, _shrunk(image, tile))) as small:
        result = small.new_zeros(*small.shape[:2], rows.whole, columns.whole)
        for down, across, part in _parts(image, tile, (rows, columns), cut):
            made = same_size(net, part.to(device_of(net, image))).float().to(image.device)
            weights = (down.weights[:, None] * across.weights).to(image.device)
            result[..., down.result, across.result] += made[..., down.tile, across.tile] * weights
    return result[..., rows.crop, columns.crop]


def usable_tile(net: nn.Module, tile: int) -> int:
    """Return ``tile`` rounded up to a multiple of the net's.

    Raises:
        SettingsError: it is too small; names the smallest that can be used.
    """
    multiple, smallest = getattr(net, "multiple", 1), getattr(net, "smallest", 1)
    least = -(-max(smallest, 2 * multiple) // multiple) * multiple
    if tile < least:
        raise SettingsError(f"--tile (={tile}) must be at least {least} for this net")
    return -(-tile // multiple) * multiple


def approximation(net: nn.Module, tile: int) -> str | None:
    """Say in one line why tiles of this size do not fit together exactly; None if they do.

    Tiles are exact if at least a quarter of their side remains when ``net.reach`` is cut off at both ends. Less would
    mean to compute each pixel more than sixteen times.

    Raises:
        SettingsError: a tile that is too small for the net.

    Example:
        >>> from i2i import as_generator
        >>> approximation(as_generator(nn.Identity()), 64)
        'tiles are blended, which is approximate: this net does not say how far it sees (net.reach)'
    """
    tile = usable_tile(net, tile)
    reach = getattr(net, "reach", None)
    if reach is None:
        return "tiles are blended, which is approximate: this net does not say how far it sees (net.reach)"
    if _exact(net, tile):
        return None
    enough = next(larger for larger in count(tile, getattr(net, "multiple", 1)) if _exact(net, larger))
    return (
        f"tiles of {tile} are blended, which is approximate: this net sees {reach} pixels to each side; "
        f"tiles of {enough} or more are exact"
    )


def _exact(net: nn.Module, tile: int) -> bool:
    """Tell whether a quarter of the tile's side remains between what its edges reach."""
    multiple, reach = getattr(net, "multiple", 1), getattr(net, "reach", None)
    return reach is not None and _step(tile, 2 * reach, multiple) >= tile / 4


def _step(tile: int, overlap: int, multiple: int) -> int:
    """How far apart tiles may begin."""
    return (tile - overlap) // multiple * multiple


def _starts(length: int, tile: int, overlap: int, multiple: int) -> list[int]:
    """Where tiles begin that cover ``length`` and overlap by at least ``overlap``, evenly spread."""
    steps, most = (length - tile) // multiple, _step(tile, overlap, multiple) // multiple
    last = -(-steps // most)
    return [steps * i // last * multiple for i in range(last + 1)]


def shares(length: int, tile: int, net: nn.Module) -> list[Share]:
    """Cut ``length`` pixels of the continued image into tiles.

    Args:
        length: a multiple of the net's ``multiple``.
        tile: as `usable_tile` returns it.
        net: its ``reach`` says how far tiles overlap, and whether they are cut or blended.

    Example:
        >>> net = nn.Identity()
        >>> net.reach = 2
        >>> [(share.start, share.result.start, share.result.stop) for share in shares(20, 12, net)]
        [(0, 0, 10), (8, 10, 20)]
    """
    if length <= tile:
        return [Share(0, 0, torch.ones(length))]
    multiple = getattr(net, "multiple", 1)
    if _exact(net, tile):
        return _kept(_starts(length, tile, 2 * int(net.reach), multiple), tile)  # type: ignore[arg-type]
    return _blended(_starts(length, tile, -(-tile // 4), multiple), tile)


def _kept(starts: Sequence[int], tile: int) -> list[Share]:
    """Tiles of which each gives what lies between the middles of its overlaps."""
    cuts = [0, *((after + before + tile) // 2 for before, after in pairwise(starts)), starts[-1] + tile]
    return [
        Share(start, first, torch.ones(last - first))
        for start, (first, last) in zip(starts, pairwise(cuts), strict=True)
    ]


def _blended(starts: Sequence[int], tile: int) -> list[Share]:
    """Tiles whose weights fall linearly over their overlaps."""
    weights = [torch.ones(tile) for _ in starts]
    for (left, right), (before, after) in zip(pairwise(weights), pairwise(starts), strict=True):
        overlap = before + tile - after
        ramp = (torch.arange(overlap) + 0.5) / overlap
        right[:overlap] *= ramp
        left[-overlap:] *= 1 - ramp
    total = torch.zeros(starts[-1] + tile)
    for start, weight in zip(starts, weights, strict=True):
        total[start : start + tile] += weight
    # The sum is 1 except where more than two tiles overlap.
    return [
        Share(start, start, weight / total[start : start + tile]) for start, weight in zip(starts, weights, strict=True)
    ]


def _shrunk(image: Tensor, tile: int) -> Tensor:
    """Resize ``image``, antialiased, to as many pixels as a tile has; one that has fewer stays as it is."""
    scale = min(1.0, tile / math.prod(image.shape[-2:]) ** 0.5)
    size = [max(round(side * scale), 1) for side in image.shape[-2:]]
    # torch 2.14 resizes images that lie channels last wrongly where one side becomes a single pixel.
    exact = image.contiguous().to(torch.promote_types(image.dtype, torch.float32))
    small = F.interpolate(exact, size, mode="bilinear", antialias=True)
    return small.to(image.dtype)


def _parts(
    image: Tensor, tile: int, extents: tuple[Extent, Extent], cut: Sequence[Sequence[Share]]
) -> Iterator[tuple[Share, Share, Tensor]]:
    """Yield each tile with its shares; only the tile is copied, not the continued image."""
    rows, columns = (axis.places(image.device) for axis in extents)
    for down, across in product(*cut):
        part = image.index_select(-2, rows[down.start : down.start + tile])
        yield down, across, part.index_select(-1, columns[across.start : across.start + tile])
