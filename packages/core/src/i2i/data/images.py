"""Image files: to 8-bit Pillow images, to tensors in ``[-1, 1]``, and back."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError
from torch import Tensor

from i2i.errors import DataError, SettingsError

_MODES = frozenset({"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"})
_TARGETS = {1: "L", 3: "RGB"}
_JPEG_QUALITY = 95


def read_image(source: str | Path | bytes, channels: int = 3, *, name: str | None = None) -> Image.Image:
    """Read an 8-bit image as RGB or grey, turned upright by its EXIF orientation.

    Alpha is dropped, not composited: Pillow's ``convert("RGB")``, as in the authors' code. Grey is Pillow's luma.
    Of a file with several pages or frames the first is read.

    Args:
        source: a path, or the bytes of an image file.
        channels: 3 for RGB, 1 for grey.
        name: what errors call it; the path by default.

    Raises:
        DataError: no image, truncated, or with more than 8 bits per channel.
        SettingsError: another number of channels.

    References:
        The spec of CycleGAN, section 1.8.
    """
    target = mode_of(channels)
    with _opened(source, name) as image:
        ImageOps.exif_transpose(image, in_place=True)  # reads the pixels, too
        return _converted(image, target)


def _converted(image: Image.Image, target: str) -> Image.Image:
    if image.mode == target:
        return image
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # same colours; going straight to RGB makes Pillow warn
    return image.convert("RGB").convert(target)


def mode_of(channels: int) -> str:
    """Return Pillow's mode for a number of channels.

    Raises:
        SettingsError: it is neither 1 nor 3.
    """
    if channels not in _TARGETS:
        raise SettingsError(f"channels (={channels}) must be 1 (grey) or 3 (colour)")
    return _TARGETS[channels]


def header_size(source: str | Path | bytes, *, name: str | None = None) -> tuple[int, int]:
    """Return ``(width, height)`` as stored, from the header alone: no pixel is decoded.

    Raises:
        DataError: no image, or with more than 8 bits per channel. A truncated file is found only when it is read.
    """
    with _opened(source, name) as image:
        return image.size


@contextmanager
def _opened(source: str | Path | bytes, name: str | None) -> Iterator[ImageFile.ImageFile]:
    called = name or (f"{len(source)} bytes" if isinstance(source, bytes) else str(source))
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            _check_depth(image, called)
            yield image
    except DataError:
        raise
    except UnidentifiedImageError as error:
        raise DataError(f"{called} is not an image that can be read (or has an unusual number of channels)") from error
    except Exception as error:  # decoders of damaged files raise errors of any kind, struct.error and KeyError included
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{called} cannot be read as an image: {reason}") from error


def _check_depth(image: ImageFile.ImageFile, called: str) -> None:
    # Pillow reads 16-bit RGB as mode RGB and throws the low byte away: only the raw mode of the tiles tells.
    deep = ";16" in str(image.tile[:1])
    if image.mode not in _MODES or deep:
        mode = f"{image.mode} with 16 bits per channel" if deep else image.mode
        raise DataError(f"{called} has mode {mode}; only images with 8 bits per channel, grey or colour, can be used")


def to_batch(images: Sequence[Image.Image]) -> Tensor:
    """Stack images of one size into ``(b, c, h, w)``, float32 in ``[-1, 1]``: ``((x / 255) - 0.5) / 0.5``.

    Args:
        images: at least one, all of one mode (L or RGB) and one size.
    """
    first = images[0]
    batch = torch.empty(len(images), len(first.getbands()), first.height, first.width)
    for place, image in zip(batch, images, strict=True):
        pixels = torch.from_numpy(np.array(image))
        place.copy_(pixels.permute(2, 0, 1) if pixels.dim() == 3 else pixels)
    return batch.div_(255).sub_(0.5).div_(0.5)


def to_tensor(image: Image.Image) -> Tensor:
    """Turn an L or RGB image into ``(c, h, w)``, float32 in ``[-1, 1]``.

    Example:
        >>> to_tensor(Image.new("RGB", (4, 2), "white")).shape
        torch.Size([3, 2, 4])
    """
    return to_batch([image])[0]


def write_image(image: Tensor, path: str | Path, *, reference: bool = False) -> None:
    """Write ``image`` as an 8-bit file; the suffix of ``path`` says in which format.

    Args:
        image: ``(c, h, w)`` with 1 or 3 channels, nominally in ``[-1, 1]``; clamped.
        path: written over where it exists.
        reference: cut decimals off instead of rounding, as the authors' code does (about half a level darker).

    Raises:
        DataError: another number of channels, or a suffix of no image format.
    """
    if image.dim() != 3 or image.shape[0] not in _TARGETS:
        raise DataError(f"cannot write {path}: an image is (1 or 3, h, w), not {tuple(image.shape)}")
    if Path(path).suffix.lower() not in Image.registered_extensions():
        raise DataError(f"cannot write {path}: {Path(path).suffix or 'no suffix'} is no image format; use .png or .jpg")
    levels = (image.detach().to("cpu", torch.float32).clamp(-1, 1) + 1) / 2 * 255
    pixels = (levels if reference else levels.round()).to(torch.uint8).permute(1, 2, 0).numpy()
    picture = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))
    picture.save(path, quality=_JPEG_QUALITY)
