"""A few colours that stand for all of an image.

References:
    Shaham, Dekel and Michaeli, SinGAN: Learning a Generative Model from a Single Natural Image (arXiv 1905.01164),
    supplementary section 4 (paint to image).
"""

from __future__ import annotations

import torch
from torch import Tensor

_STARTS = 10  # of which the best is kept


def palette(image: Tensor, colours: int = 5, *, reference: bool = False) -> Tensor:
    """Return the colours that the pixels of an image lie around, by k-means.

    Args:
        image: ``(b, c, h, w)``; one palette for all of the batch.
        colours: how many; fewer where the image has no more.
        reference: take the image's memory in runs of ``c`` numbers for colours, as the authors' code does: those are
            neighbours in a row of one channel.

    Returns:
        ``(colours, c)`` on the device and in the type of ``image``.

    Differs:
        From the authors' code: the colours are those of pixels.

    Example:
        >>> image = torch.tensor([-1.0, -1.0, 0.5, 0.5]).expand(1, 3, 2, 4)
        >>> palette(image, 2).sort(dim=0).values.tolist()
        [[-1.0, -1.0, -1.0], [0.5, 0.5, 0.5]]
    """
    from sklearn.cluster import KMeans

    values = _values(image, reference=reference)
    count = min(colours, len(torch.unique(values, dim=0)))
    found = KMeans(n_clusters=count, random_state=0, n_init=_STARTS).fit(values.double().cpu().numpy())
    return torch.from_numpy(found.cluster_centers_).to(image)


def quantised(image: Tensor, palette: Tensor, *, reference: bool = False) -> Tensor:
    """Give each pixel the nearest colour of a palette.

    Args:
        image: ``(b, c, h, w)``.
        palette: ``(colours, c)``.
        reference: see `palette`.

    Returns:
        An image of the same shape.

    Example:
        >>> quantised(torch.tensor([[[[-0.4, 0.1, 9.0]]]]), torch.tensor([[-1.0], [1.0]])).tolist()
        [[[[-1.0, 1.0, 1.0]]]]
    """
    distances = (_values(image, reference=reference)[:, None] - palette).square().sum(dim=2)
    chosen = palette.index_select(0, distances.argmin(dim=1))
    if reference:
        return chosen.view(image.shape)
    return chosen.view(*image.movedim(1, -1).shape).movedim(-1, 1).contiguous()


def _values(image: Tensor, *, reference: bool) -> Tensor:
    """Return ``(pixels, c)``."""
    rows = image.contiguous() if reference else image.movedim(1, -1)
    return rows.reshape(-1, image.shape[1])
