"""The images that a model is trained on: one photograph, or several of one kind."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import attrs
import torch
from numpy.typing import NDArray
from torch import Tensor

from i2i.data import MisfitError, find_images, read_header, read_image, to_tensor, with_remedy
from i2i.errors import DataError
from i2i.pixels import PixelFormat
from i2i_singan.pyramid import scale_between
from i2i_singan.resize import resize
from i2i_singan.settings import Settings

log = logging.getLogger("i2i.data")


def read_training(path: str | Path, settings: Settings, *, skip_bad: bool = False) -> tuple[Tensor, PixelFormat]:
    """Read the training image, or all images of a folder.

    Several images are brought to the size of the first one; those of another aspect are stretched.

    Args:
        path: an image file, or a folder with all below it in the order of the names.
        settings: channels, range and transparency.
        skip_bad: go on without files of the folder that cannot be used.

    Returns:
        Images ``(n, c, h, w)`` in ``[-1, 1]``, float32, and how they lie in files; its depth is that of the first one.

    Raises:
        DataError: there is no image, or one cannot be used; the message says why.
    """
    asked = PixelFormat(settings.channels, range=settings.range, alpha=settings.alpha)
    files, pixels = find_images(path), asked
    images: list[Tensor] = []
    for file in files:
        try:
            if not images:
                pixels = attrs.evolve(asked, depth=read_header(file).depth)
            images.append(to_tensor(_read(file, pixels), pixels))
        except DataError as error:
            if not skip_bad:
                raise (with_remedy(error) if len(files) > 1 else error) from error
            log.warning("skipped: %s", error)
    if not images:
        raise DataError(f"{path} holds no image that can be used")
    return _of_one_size(images, path), pixels


def _read(file: Path, pixels: PixelFormat) -> NDArray[Any]:
    try:
        return read_image(file, pixels)
    except DataError as error:
        if isinstance(misfit := error.__cause__, MisfitError):
            remedy = "say what the image has with --channels N or --range LOW HIGH"
            raise DataError(f"{file} {misfit.by_model}; {remedy}") from error
        raise


def _of_one_size(images: list[Tensor], path: str | Path) -> Tensor:
    height, width = images[0].shape[1:]
    resized = [image.shape[1:] != images[0].shape[1:] for image in images]
    if any(resized):
        log.warning("%d of %d images in %s are resized to %dx%d, the size of the first one",
                    sum(resized), len(images), path, width, height)  # fmt: skip
    return torch.stack([_resized(image, (height, width)) if other else image
                        for image, other in zip(images, resized, strict=True)])  # fmt: skip


def _resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    return resize(image[None], size, scale_between(tuple(image.shape[1:]), size))[0]
