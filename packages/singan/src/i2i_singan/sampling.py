"""Images from a trained pyramid: samples of any size, and what the fixed noise gives; tile by tile.

References:
    Shaham, Dekel and Michaeli, SinGAN: Learning a Generative Model from a Single Natural Image (arXiv 1905.01164),
    sections 2 and 3.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from itertools import pairwise, product

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from i2i.errors import DataError, SettingsError
from i2i.layers import at_least
from i2i_singan.model import PyramidGenerator, Scale
from i2i_singan.resize import resize

TILE = 512  # pixels


def generate(
    model: PyramidGenerator,
    count: int = 1,
    *,
    seed: int = 0,
    first: int = 0,
    start_scale: int = 0,
    image: Tensor | None = None,
    scale_v: float = 1.0,
    scale_h: float = 1.0,
    tile: int = TILE,
) -> Tensor:
    """Make samples: new images of the kind of the training image.

    The noise of a sample depends on its number and the seed alone, and the global random state is not touched. The nets
    run in eval mode, whatever mode the model is in.

    Args:
        model: trained.
        count: how many samples.
        seed: of the noise, 0 and up.
        first: number of the first sample: samples 3 and 4 are the same whether 0 to 2 are made or not.
        start_scale: where noise begins. Above 0 the layout of the coarser scales is that of the training image; with
            several training images they take turns.
        image: ``(1, c, h, w)`` of the size of scale ``start_scale``: what that scale adds to, instead.
        scale_v: height of the samples as a multiple of that of the training image.
        scale_h: width of the samples as a multiple of that of the training image.
        tile: larger images go through the nets in tiles of this side.

    Returns:
        ``(count, c, H, W)``, not clamped; on the device of the model, or on the CPU where it is larger than a tile.

    Raises:
        SettingsError: a number out of range.
        DataError: ``image`` is not of the size of scale ``start_scale``.

    Differs:
        From the authors' code: with ``scale_v`` or ``scale_h`` the layout below ``start_scale`` is enlarged by
        bicubic, not bilinear interpolation.
    """
    made = samples(
        model,
        count,
        seed=seed,
        first=first,
        start_scale=start_scale,
        image=image,
        scale_v=scale_v,
        scale_h=scale_h,
        tile=tile,
    )
    return torch.cat(list(made))


def samples(
    model: PyramidGenerator,
    count: int,
    *,
    seed: int = 0,
    first: int = 0,
    start_scale: int = 0,
    image: Tensor | None = None,
    scale_v: float = 1.0,
    scale_h: float = 1.0,
    tile: int = TILE,
) -> Iterator[Tensor]:
    """Make the samples of `generate` one after the other, each ``(1, c, H, W)``; mistakes are told at once."""
    at_least("count", count, 1)
    at_least("tile", tile, 1)
    at_least("seed", seed, 0)
    check_start_scale(len(model), start_scale)
    sizes = scaled_sizes(model, scale_v, scale_h)
    scales = folded(model)
    place = scales[0].image.device if max(sizes[-1]) <= tile else torch.device("cpu")
    prior = prior_at(model, scales, start_scale, sizes[start_scale], image, place)

    def each(index: int) -> Tensor:
        chosen = index % len(prior)
        made = prior[chosen : chosen + 1]
        for k in range(start_scale, len(scales)):
            made = made if k == start_scale else model.upsampled(made, sizes[k])
            noise = drawn(seed, index, k, noise_shape(model, k, sizes[k])).to(made)
            made = refine(scales[k], made, noise, tile)
        return made

    return map(each, range(first, first + count))


def reconstruct(model: PyramidGenerator, *, train_mode: bool = False, tile: int = TILE) -> tuple[Tensor, ...]:
    """Return the training images as the model makes them of the fixed noise, at every scale.

    Args:
        model: trained.
        train_mode: let each net normalise by the statistics of its own image, as it did when it was trained. What a
            finer scale adds to is always made in eval mode, as in training.
        tile: larger images go through the nets in tiles of this side, in eval mode.

    Returns:
        For each scale ``(n, c, h, w)``, n training images, not clamped.
    """
    found = made_of_fixed_noise(model, folded(model), tile)
    if not train_mode:
        return tuple(found)
    priors = [torch.zeros_like(found[0])]
    priors += [model.upsampled(made, size) for made, size in zip(found, model.sizes[1:], strict=False)]
    return tuple(_as_in_training(scale, prior) for scale, prior in zip(model, priors, strict=True))


def made_of_fixed_noise(model: PyramidGenerator, scales: Sequence[Scale], tile: int = TILE) -> list[Tensor]:
    """Return the training images ``(n, c, h, w)`` as the coarsest ``scales``, which are `folded`, make them."""
    found: list[Tensor] = []
    for scale, size in zip(scales, model.sizes, strict=False):
        prior = model.upsampled(found[-1], size) if found else torch.zeros_like(scale.image)
        found.append(refine(scale, prior, scale.noise, tile))
    return found


@torch.no_grad()
def _as_in_training(scale: Scale, prior: Tensor) -> Tensor:
    net = copy.deepcopy(scale.net).train()  # its running statistics would move
    made: Tensor = net(scale.inputs(prior, scale.noise), prior).image
    return made


@torch.no_grad()
def refine(scale: Scale, prior: Tensor, noise: Tensor | None = None, tile: int = TILE) -> Tensor:
    """Let one scale add its details, in tiles that overlap by what the net sees, so that no seam can arise.

    A net whose norms look at the whole image goes over it in one pass.

    Args:
        scale: its net runs in eval mode, whatever mode it is in.
        prior: the coarser image, ``(b, c, h, w)``; it may lie on another device than the scale.
        noise: ``(b, 1 or c, h, w)``, or that of the border too: ``(..., h + 2 reach, w + 2 reach)``; None: none.
        tile: side of the tiles.

    Returns:
        ``(b, c, h, w)``, where ``prior`` lies: to rounding, that of one pass over the whole image.
    """
    net = scale.net.folded() if scale.net.training else scale.net
    tile = tile if net.local else max(prior.shape[2:])
    place, reach = scale.amplitude.device, net.reach
    result = torch.empty_like(prior)
    bordered = noise is not None and noise.shape[2:] != prior.shape[2:]
    for rows, columns in product(*(_cut(length, tile) for length in prior.shape[2:])):
        seen = _around(prior, rows, columns, reach).to(place)
        if noise is not None:
            own = noise[..., rows.start : rows.stop + 2 * reach, columns.start : columns.stop + 2 * reach]
            own = own if bordered else _around(noise, rows, columns, reach)
            seen = torch.addcmul(seen, own.to(place), scale.amplitude)
        below = prior[..., rows, columns].to(place)
        result[..., rows, columns] = net(seen, below).image.to(result)
    return result


def _cut(length: int, tile: int) -> list[slice]:
    """Cut ``length`` pixels into tiles of about equal size.

    Example:
        >>> _cut(10, 4)
        [slice(0, 3, None), slice(3, 6, None), slice(6, 10, None)]
    """
    count = math.ceil(length / tile)
    return [slice(begin, end) for begin, end in pairwise(length * k // count for k in range(count + 1))]


def _around(image: Tensor, rows: slice, columns: slice, reach: int) -> Tensor:
    """Return a part of ``image (b, c, h, w)`` and ``reach`` pixels around it; beyond the image they are 0."""
    height, width = image.shape[2:]
    top, bottom, left, right = rows.start - reach, rows.stop + reach, columns.start - reach, columns.stop + reach
    part = image[..., max(top, 0) : bottom, max(left, 0) : right]
    return F.pad(part, (max(-left, 0), max(right - width, 0), max(-top, 0), max(bottom - height, 0)))


def folded(model: PyramidGenerator) -> list[Scale]:
    """Return the scales in eval mode with norms folded into convolutions; all else is shared with ``model``."""
    scales = []
    for scale in model:
        scales.append(Scale(scale.net.folded(), scale.image, scale.noise).eval())
        scales[-1].amplitude = scale.amplitude
    return scales


def prior_at(
    model: PyramidGenerator,
    scales: Sequence[Scale],
    start: int,
    size: tuple[int, int],
    image: Tensor | None = None,
    device: torch.device | None = None,
) -> Tensor:
    """Return what scale ``start`` adds to: ``image``, or the training images as the coarser scales make them.

    Args:
        model: trained.
        scales: those of the model, `folded`.
        start: a scale.
        size: of the result, (h, w).
        image: ``(1, c, h, w)`` of that size.
        device: where the result shall be; None: where the model is.

    Returns:
        ``(n, c, h, w)``; at scale 0 zeros.

    Raises:
        DataError: ``image`` is of another size.
    """
    like = model[start].image
    place = like.device if device is None else device
    wanted = (1, model.in_channels, *size)
    if image is not None:
        if tuple(image.shape) != wanted:
            raise DataError(f"an image of shape {tuple(image.shape)}; scale {start} needs one of {wanted}")
        return image.to(place, like.dtype)
    if start == 0:
        return like.new_zeros(wanted, device=place)
    (height, width), below = model.sizes[start], made_of_fixed_noise(model, scales[:start])
    prior = model.upsampled(below[-1], (height, width)).to(place)
    return prior if (height, width) == size else resize(prior, size, (size[0] / height, size[1] / width))


def scaled_sizes(model: PyramidGenerator, scale_v: float, scale_h: float) -> list[tuple[int, int]]:
    """Return height and width of each scale of a sample that is larger or smaller than the training image.

    Raises:
        SettingsError: a factor that is not above 0.
    """
    for name, value in (("scale_v", scale_v), ("scale_h", scale_h)):
        if not 0 < value < math.inf:
            raise SettingsError(f"{name} (={value:g}) must be a number above 0; 1 keeps the size")
    return [(max(round(scale_v * height), 1), max(round(scale_h * width), 1)) for height, width in model.sizes]


def noise_shape(model: PyramidGenerator, k: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the shape of the noise of one image of ``size`` at scale ``k``: grey at the coarsest scale."""
    border = 2 * model.reach if model.noise_padding else 0
    return 1, model.in_channels if k else 1, size[0] + border, size[1] + border


def drawn(seed: int, index: int, k: int, shape: Sequence[int]) -> Tensor:
    """Draw the noise of scale ``k`` of one sample, or of one frame: float32 on the CPU."""
    words = np.random.SeedSequence((seed, index, k)).generate_state(1, np.uint64)
    return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(int(words[0])), dtype=torch.float32)


def check_start_scale(count: int, start: int) -> None:
    """Check that noise can begin at scale ``start`` of ``count`` scales.

    Raises:
        SettingsError: the model has no such scale.
    """
    if not 0 <= start < count:
        raise SettingsError(
            f"start_scale (={start}) must lie between 0, the coarsest scale, and {count - 1}, the finest one"
        )
