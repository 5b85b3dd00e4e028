"""Image files of any depth and number of channels: to arrays, to tensors in ``[-1, 1]``, and back."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError
from torch import Tensor

from i2i.data import deep
from i2i.data.channels import Stored, as_asked, depth_of, file_channels, levels_of
from i2i.data.deep import Header
from i2i.data.lab import CHROMA, LIGHTNESS, lab_to_rgb, rgb_to_lab
from i2i.data.transforms import Picture, as_array, resize
from i2i.errors import DataError
from i2i.pixels import FULL_RANGE, PixelFormat

_MODES = {1: "L", 3: "RGB"}
_TYPES = {8: np.uint8, 16: np.uint16, 32: np.float32}
_JPEG_QUALITY = 95
_MOST_OF_PILLOW = 4  # channels


def read_image(
    source: str | Path | bytes, pixels: PixelFormat = PixelFormat(), *, name: str | None = None
) -> NDArray[Any]:
    """Read an image as ``(h, w, c)`` at its own depth, turned upright by its EXIF orientation.

    Alpha is dropped, not composited, unless ``pixels.alpha`` says otherwise: Pillow's ``convert("RGB")``, as in the
    authors' code. Grey is Pillow's luma. Of a file with several pages or frames the first is read.

    Args:
        source: a path, or the bytes of an image file.
        pixels: what it is read as; its depth counts where it has a range.
        name: what errors call it; the path by default.

    Returns:
        uint8, uint16 or float32; c is ``pixels.channels``, but 3 for lightness and for chroma.

    Raises:
        DataError: no image, truncated, or with other channels, depths or values than ``pixels`` allows.

    References:
        The authors' code of CycleGAN, ``data/unaligned_dataset.py``.
    """
    return as_array(open_image(source, pixels, name=name))


def open_image(source: str | Path | bytes, pixels: PixelFormat, *, name: str | None = None) -> Picture:
    """Read an image as `read_image` does, but leave it with Pillow where Pillow holds it.

    Raises:
        DataError: see `read_image`.
    """
    with named(source, name):
        found = _stored(source, pixels)
        return as_asked(found, pixels) if isinstance(found, Stored) else found


def _stored(source: str | Path | bytes, pixels: PixelFormat) -> Stored | Image.Image:
    with opened(source) as image:
        if image is None or (image.format == "TIFF" and not _suits_pillow(image, pixels)):
            return deep.read_tiff(source)
        if deep.is_plain(image):
            ImageOps.exif_transpose(image, in_place=True)  # reads the pixels, too
            return _eight_bits(image, pixels)
        if image.format == "PNG":
            return deep.read_png(source, image)
        raise _too_deep(image)


def _too_deep(image: ImageFile.ImageFile) -> DataError:
    return DataError(
        f"has more than 8 bits per channel (mode {image.mode}), which is read from PNG and TIFF files, "
        f"not from {image.format}; save it as one of them"
    )


def _suits_pillow(image: ImageFile.ImageFile, pixels: PixelFormat) -> bool:
    return deep.is_plain(image) and file_channels(pixels) in _MODES


def _eight_bits(image: Image.Image, pixels: PixelFormat) -> Stored | Image.Image:
    target = _MODES.get(file_channels(pixels))
    transparent = image.has_transparency_data
    if target is not None and (pixels.alpha == "drop" or not transparent):
        made = _converted(image, target)
        return made if pixels.range is None else Stored(as_array(made))  # whose depth is then compared
    grey = image.mode in ("1", "L", "LA", "La")
    made = image.convert(("LA" if grey else "RGBA") if transparent else ("L" if grey else "RGB"))
    return Stored(as_array(made), transparent)


def _converted(image: Image.Image, target: str) -> Image.Image:
    if image.mode == target:
        return image
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # same colours; going straight to RGB makes Pillow warn
    return image.convert("RGB").convert(target)


def read_header(source: str | Path | bytes, *, name: str | None = None) -> Header:
    """Return ``size`` (width, height; upright) and ``depth`` from the header alone: no pixel is decoded.

    Raises:
        DataError: no image, or one of a kind that cannot be read. A truncated file is found only when it is read.
    """
    with named(source, name), opened(source) as image:
        if image is not None and deep.is_plain(image):
            return Header(deep.upright_size(image), 8)
        if image is None or image.format == "TIFF":
            return deep.tiff_header(source)
        if image.format == "PNG":
            return Header(deep.upright_size(image), 16)
        raise _too_deep(image)


def header_size(source: str | Path | bytes, *, name: str | None = None) -> tuple[int, int]:
    """Return ``(width, height)``, upright; see `read_header`."""
    return read_header(source, name=name).size


@contextmanager
def opened(source: str | Path | bytes) -> Iterator[ImageFile.ImageFile | None]:
    """Open an image with Pillow; None for a TIFF that it does not know."""
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        is_tiff = deep.is_tiff(file)
        # Pillow would log an error of its own.
        if is_tiff and deep.tiff_channels(file) > _MOST_OF_PILLOW:
            yield None
            return
        file.seek(0)
        try:
            image = Image.open(file)
        except UnidentifiedImageError:
            if not is_tiff:
                raise
            yield None
            return
        with image:
            yield image


@contextmanager
def named(source: str | Path | bytes, name: str | None) -> Iterator[None]:
    """Begin every error inside with the name of the image (by default its path), and make it a `DataError`."""
    called = name or (f"{len(source)} bytes" if isinstance(source, bytes) else str(source))
    try:
        yield
    except UnidentifiedImageError as error:
        raise DataError(f"{called} is not an image that can be read") from error
    except DataError as error:
        raise DataError(f"{called} {error}") from error
    except Exception as error:  # decoders of damaged files raise errors of any kind, struct.error and KeyError included
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{called} cannot be read as an image: {reason}") from error


def to_batch(images: Sequence[NDArray[Any]], pixels: PixelFormat = PixelFormat()) -> Tensor:
    """Stack images of one size into ``(b, c, h, w)``, float32 in ``[-1, 1]``.

    The levels of ``pixels.range`` become -1 and 1, by default all that the type of an image holds: 0 and 255, 0 and
    65535, or for floats 0 and 1. Levels beyond are clipped.

    Args:
        images: at least one, ``(h, w, c)``, all of one shape, as `read_image` returns them.
        pixels: how they become numbers.
    """
    height, width, channels = images[0].shape
    batch = torch.empty(len(images), channels, height, width)
    for place, image in zip(batch, images, strict=True):
        # numpy makes the copy, because torch takes no mirrored arrays.
        place.copy_(torch.from_numpy(np.array(image)).permute(2, 0, 1))
        if image.dtype != images[0].dtype:
            place.mul_(levels_of(images[0], pixels)[1] / levels_of(image, pixels)[1])
    half, shift = _half_and_shift(levels_of(images[0], pixels))
    batch.div_(half).sub_(shift)
    if pixels.range is not None or any(image.dtype == np.float32 for image in images):
        batch.clamp_(-1, 1)
    if pixels.colours == "stored":
        return batch
    lab = rgb_to_lab((batch + 1) / 2)
    return lab[:, :1] / LIGHTNESS - 1 if pixels.colours == "lightness" else lab[:, 1:] / CHROMA


def _half_and_shift(levels: tuple[float, float]) -> tuple[float, float]:
    """Return what turns levels into numbers, ``level / half - shift``; to the last bit ``((x / 255) - 0.5) / 0.5``."""
    low, high = levels
    return (high - low) / 2, (high + low) / (high - low)


def to_tensor(image: NDArray[Any], pixels: PixelFormat = PixelFormat()) -> Tensor:
    """Turn an image ``(h, w, c)`` into ``(c, h, w)``, float32 in ``[-1, 1]``; see `to_batch`.

    Example:
        >>> to_tensor(np.full((2, 4, 3), 65535, np.uint16)).mean()
        tensor(1.)
    """
    return to_batch([image], pixels)[0]


def can_hold(suffix: str, channels: int, depth: int) -> bool:
    """Tell whether files of a kind hold images without loss of channels and depth (JPEG loses other things).

    Example:
        >>> can_hold(".png", 3, 16), can_hold(".bmp", 3, 16), can_hold(".tif", 7, 32)
        (True, False, True)
    """
    if suffix.lower() in (".tif", ".tiff"):
        return True
    if suffix.lower() == ".png":
        return channels <= 4 and depth <= 16
    return channels in _MODES and depth == 8


def written_channels(pixels: PixelFormat) -> int:
    """Return how many channels a file has that is written as ``pixels``: chroma is completed to three."""
    return 3 if pixels.colours == "chroma" else pixels.channels


def write_image(
    image: Tensor,
    path: str | Path,
    pixels: PixelFormat = PixelFormat(),
    *,
    source: NDArray[Any] | None = None,
    reference: bool = False,
) -> None:
    """Write ``image`` with the depth of ``pixels``; the suffix of ``path`` says in which format.

    PNG holds 8 or 16 bits and up to four channels, TIFF everything; other formats hold 8 bits, grey or colour.

    Args:
        image: ``(c, h, w)``, nominally in ``[-1, 1]``; clamped.
        path: written over where it exists.
        pixels: depth, range and colours; the channels are those of ``image``.
        source: for chroma: the image ``(h, w, c)`` as it was read, whose lightness is taken, resized if needed.
        reference: cut decimals off instead of rounding, as the authors' code does (about half a level darker).

    Raises:
        DataError: no image, a suffix of no image format or of one that does not hold it, or chroma without lightness.
    """
    if image.dim() != 3 or not image.numel():
        raise DataError(f"cannot write {path}: an image is (c, h, w), not {tuple(image.shape)}")
    try:
        array = to_array(image, pixels, source=source, reference=reference)
    except DataError as error:
        raise DataError(f"cannot write {path}: {error}") from error
    write_array(array, path)


def write_array(array: NDArray[Any], path: str | Path) -> None:
    """Write ``array (h, w, c)`` of uint8, uint16 or float32 as it stands; the suffix of ``path`` says in which format.

    Raises:
        DataError: a suffix of no image format or of one that does not hold it.
    """
    depth = depth_of(array)
    check_suffix(Path(path), array.shape[2], depth)
    if array.shape[2] in _MODES and depth == 8:
        picture = Image.fromarray(np.ascontiguousarray(array[..., 0] if array.shape[2] == 1 else array))
        picture.save(path, quality=_JPEG_QUALITY)
    elif Path(path).suffix.lower() == ".png":
        deep.write_png(path, array)
    else:
        deep.write_tiff(path, array)


def to_array(
    image: Tensor, pixels: PixelFormat = PixelFormat(), *, source: NDArray[Any] | None = None, reference: bool = False
) -> NDArray[Any]:
    """Turn ``image (c, h, w)`` into ``(h, w, c)`` of uint8, uint16 or float32, what `write_image` writes.

    Raises:
        DataError: chroma without lightness.

    Example:
        >>> to_array(torch.zeros(3, 1, 1)).tolist()
        [[[128, 128, 128]]]
    """
    values = _completed(image.detach().to("cpu", torch.float32).clamp(-1, 1), pixels, source)
    half, shift = _half_and_shift(pixels.levels)
    levels = values.permute(1, 2, 0).add(shift).mul_(half)
    if pixels.depth != 32:
        levels.clamp_(*FULL_RANGE[pixels.depth])  # a range may go beyond
        if not reference:
            levels.round_()
    return levels.numpy().astype(_TYPES[pixels.depth])


def _completed(image: Tensor, pixels: PixelFormat, source: NDArray[Any] | None) -> Tensor:
    """Turn lightness into grey, and chroma with the lightness of ``source`` into colours."""
    if pixels.colours == "stored":
        return image
    if pixels.colours == "lightness":
        lightness = (image + 1) * LIGHTNESS
        return lab_to_rgb(torch.cat((lightness, torch.zeros_like(image).expand(2, -1, -1))))[:1] * 2 - 1
    if source is None or image.shape[0] != 2:
        raise DataError("chroma needs two channels and the image with its lightness as source")
    colours = resize(source, (image.shape[2], image.shape[1]))
    levels = PixelFormat(depth=pixels.depth, range=pixels.range)
    rgb = (to_tensor(colours if colours.shape[2] == 3 else np.repeat(colours[..., :1], 3, axis=2), levels) + 1) / 2
    return lab_to_rgb(torch.cat((rgb_to_lab(rgb)[:1], image * CHROMA))) * 2 - 1


def check_suffix(path: Path, channels: int, depth: int) -> None:
    """Check that a file of this name can hold such an image.

    Raises:
        DataError: its suffix is that of no image format, or of one that does not hold it.
    """
    suffix = path.suffix.lower()
    if suffix not in Image.registered_extensions():
        raise DataError(f"cannot write {path}: {path.suffix or 'no suffix'} is no image format; use .png or .jpg")
    if not can_hold(suffix, channels, depth):
        best = ".png" if can_hold(".png", channels, depth) else ".tif"
        raise DataError(f"cannot write {path}: {suffix} holds no {channels} channels of {depth} bits; use {best}")
