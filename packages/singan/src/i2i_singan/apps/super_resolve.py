"""Super-resolution: the finest scale of a pyramid is applied again and again, to an ever larger image.

References:
    Shaham, Dekel and Michaeli, SinGAN: Learning a Generative Model from a Single Natural Image (arXiv 1905.01164),
    section 4 (super-resolution).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from i2i.errors import DataError, OutOfMemoryError
from i2i.layers import at_least
from i2i.metrics import psnr
from i2i.shortage import binary_size, free_memory, memory_suffices
from i2i_singan.apps.derived import derived
from i2i_singan.model import PyramidGenerator
from i2i_singan.pyramid import Enlargements, enlargements
from i2i_singan.resize import resize, size_of
from i2i_singan.sampling import TILE, drawn, folded, refine

#: What a model is trained with for this, as in the authors' code (``min_size``) and in the paper.
SETTINGS = {"min_size": 18, "reconstruction_weight": 100.0, "noise_padding": False}
_COPIES = 8  # of the enlarged image that are held at once, 7 of them counted; it must never end without a word


def super_resolve(
    model: str | Path,
    factor: float,
    *,
    steps: int | None = None,
    noise: bool = True,
    seed: int = 0,
    tile: int = TILE,
    device: str = "auto",
) -> Tensor:
    """Enlarge the training image of a model.

    A model whose scales differ by a root of ``factor`` is trained for this, and kept beside the given one as
    ``RUN/super-resolution-FACTOR``; see `i2i_singan.apps.derived.derived`.

    Args:
        model: a model of SinGAN, ``RUN/model``, or its run.
        factor: above 1; need not be whole.
        steps: batches of each scale of that training; None: as many as the run of ``model`` has.
        noise: see `enlarged`.
        seed: of the noise.
        tile: see `enlarged`.
        device: auto, cpu, cuda, cuda:N, xpu or mps.

    Returns:
        See `enlarged`.

    Raises:
        DataError: the image is too small.
        I2IError: see `i2i_singan.apps.derived.derived`.
        SettingsError: a number is out of range.
    """
    _check(factor, seed, tile)  # not only after the training
    changes = SETTINGS | {"super_resolution_factor": factor}
    trained = derived(model, f"super-resolution-{factor:g}", changes, steps=steps, device=device)
    return enlarged(trained, factor, noise=noise, seed=seed, tile=tile)


def enlarged(model: PyramidGenerator, factor: float, *, noise: bool = True, seed: int = 0, tile: int = TILE) -> Tensor:
    """Enlarge the training image by the finest scale: resize it a little, add details, and so on.

    Args:
        model: trained for ``factor``.
        factor: above 1.
        noise: add noise each time, as in the paper; else the same details come out for any seed.
        seed: of the noise.
        tile: side of the parts that an image is made in, in pixels; the result is the same.

    Returns:
        ``(n, c, int(factor h), int(factor w))`` float32, nominally in ``[-1, 1]``, not clamped; of the training
        images ``(n, c, h, w)``. On the device of the model, or on the CPU where it is larger than a tile.

    Raises:
        OutOfMemoryError: the host cannot hold so large an image, or the device no tile.
        SettingsError: a number is out of range.

    Differs:
        The authors' code draws the first noise for one channel and gives it to all; so does a model of ``reference``.
    """
    count, each = _check(factor, seed, tile)
    scale, image = folded(model)[-1], model[-1].image
    size = _size(image, factor)
    if max(size) > tile:
        image = image.cpu()
    with memory_suffices("a smaller --tile or --factor", lambda: f"{size[1]}x{size[0]} pixels"):
        for step in range(count):
            larger = size_of(image.shape[2], each), size_of(image.shape[3], each)
            prior = resize(image, larger, each, reference=model.reference)
            channels = 1 if model.reference and step == 0 else image.shape[1]
            drawings = [drawn(seed, index, step, (1, channels, *larger)) for index in range(len(image))]
            image = refine(scale, prior, torch.cat(drawings).to(prior) if noise else None, tile)
    return image[..., : size[0], : size[1]]


def bicubic(image: Tensor, factor: float) -> Tensor:
    """Enlarge images ``(b, c, h, w)`` by bicubic interpolation alone: what super-resolution is compared with."""
    return resize(image, _size(image, factor), factor)


def _check(factor: float, seed: int, tile: int) -> Enlargements:
    at_least("tile", tile, 1)
    at_least("seed", seed, 0)
    return enlargements(factor)


def _size(image: Tensor, factor: float) -> tuple[int, int]:
    """Return the size of the enlarged image, if the host can hold it."""
    height, width = (int(factor * side) for side in image.shape[2:])
    needed, free = _COPIES * 4 * image.shape[0] * image.shape[1] * height * width, free_memory(torch.device("cpu"))
    if free is not None and needed > free:
        raise OutOfMemoryError(
            f"{width}x{height} pixels need about {binary_size(needed)}, but {binary_size(free)} are free; what needs "
            "less: a smaller --factor"
        )
    return height, width


class Figures(NamedTuple):
    """What was measured of an enlarged image.

    Attributes:
        sharpness: see `sharpness`.
        psnr: in decibels, against the truth; None where that is not known.
    """

    sharpness: float
    psnr: float | None = None


def figures(image: Tensor, truth: Tensor | None = None) -> Figures:
    """Measure an enlarged image.

    Args:
        image: ``(n, c, h, w)`` in ``[-1, 1]``, clamped to it.
        truth: what it should be, ``(1, c, h', w')``. Both are compared where both have pixels: enlarged images of odd
            sides differ from what they were made of by less than ``factor`` pixels at the right and at the bottom.

    Returns:
        Means over images; the sharpness as a share of that of the truth where there is one.

    Raises:
        DataError: the truth is of one colour.
        RunError: torchmetrics is not installed.
    """
    if truth is None:
        return Figures(float(sharpness(image).mean()))
    height, width = (min(sides) for sides in zip(image.shape[2:], truth.shape[2:], strict=True))
    made, real = (each[..., :height, :width].clamp(-1, 1).cpu() for each in (image, truth))
    own = float(sharpness(real))
    if not own:
        raise DataError("the truth is of one colour: nothing in it is sharp; name the image in its full size")
    return Figures(float(sharpness(made).mean()) / own, float(psnr(made, real).mean()))


def sharpness(image: Tensor) -> Tensor:
    """Measure how sharp images are: the mean absolute value of the Laplacian, over channels and pixels.

    It cannot tell details from noise.

    Args:
        image: ``(b, c, h, w)`` in ``[-1, 1]``, clamped to it; at least 3 pixels on a side.

    Returns:
        ``(b,)``: of each image, from 0 to 8.

    Example:
        >>> sharpness(torch.eye(3)[None, None])  # of one pixel, the only one with four neighbours: 0 - 4 * 1
        tensor([4.])
    """
    kernel = image.new_tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    return F.conv2d(image.clamp(-1, 1).flatten(0, 1)[:, None], kernel).abs().view(len(image), -1).mean(1)
