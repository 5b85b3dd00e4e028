"""Resizing, cropping and flipping of images, as in the authors' code; the dice are handed in."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from i2i.errors import DataError, SettingsError

if TYPE_CHECKING:
    from PIL.Image import Image

#: An image as it was read: Pillow's own (L or RGB) where Pillow holds it, which spares photographs two copies.
Picture: TypeAlias = "NDArray[Any] | Image"
Preprocess = Literal["resize_and_crop", "crop", "scale_width", "scale_width_and_crop", "none"]
PREPROCESSES: tuple[str, ...] = get_args(Preprocess)


class Draw(NamedTuple):
    """The random numbers that one image takes, each in ``[0, 1)``.

    Attributes:
        left: where the crop lies horizontally; 0 is the left edge.
        top: where the crop lies vertically; 0 is the upper edge.
        mirror: the image is mirrored where this is below 0.5.
    """

    left: float
    top: float
    mirror: float


CENTRE = Draw(0.5, 0.5, 0.5)


@frozen
class TransformSettings:
    """How an image is brought to the size of the nets.

    Attributes:
        preprocess: ``resize_and_crop``: to ``load_size`` x ``load_size``, then a crop; ``crop``: a crop only;
            ``scale_width``: to the width ``load_size``, at least ``crop_size`` high; ``scale_width_and_crop``: both;
            ``none``: as it is.
        load_size: in pixels.
        crop_size: side of the square crop, in pixels.
        flip: mirror images at random, one in two.
        multiple: without a crop, sides are rounded to multiples of it, as the nets need.
        smallest: without a crop, the least side that the nets accept.

    Raises:
        SettingsError: an unknown mode, a size below 1, or a crop larger than what it is cut from.
    """

    preprocess: Preprocess = "resize_and_crop"
    load_size: int = 286
    crop_size: int = 256
    flip: bool = True
    multiple: int = 4
    smallest: int = 1

    def __attrs_post_init__(self) -> None:
        if self.preprocess not in PREPROCESSES:
            near = difflib.get_close_matches(str(self.preprocess), PREPROCESSES, n=1)
            hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(PREPROCESSES)}"
            raise SettingsError(f"unknown preprocess {self.preprocess!r}; {hint}")
        for name in ("load_size", "crop_size", "multiple"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} (={getattr(self, name)}) must be at least 1")
        if self.preprocess in ("resize_and_crop", "scale_width_and_crop") and self.crop_size > self.load_size:
            raise SettingsError(
                f"crop_size (={self.crop_size}) is larger than load_size (={self.load_size}), which it is cut from; "
                f"use a load_size of at least {self.crop_size}"
            )

    @property
    def crops(self) -> bool:
        """Whether every image ends as a square of ``crop_size``."""
        return self.preprocess in ("resize_and_crop", "crop", "scale_width_and_crop")


def check_multiple(size: int, multiple: int, name: str = "crop_size") -> None:
    """Check that ``size`` is what a net accepts.

    Raises:
        SettingsError: ``size`` is no multiple of ``multiple``; the message offers the nearest that are.

    Example:
        >>> check_multiple(250, 4)
        Traceback (most recent call last):
        ...
        i2i.errors.SettingsError: crop_size (=250) must be a multiple of 4; use 248 or 252
    """
    if size % multiple:
        below = size // multiple * multiple
        nearest = f"{below} or {below + multiple}" if below else f"{multiple}"
        raise SettingsError(f"{name} (={size}) must be a multiple of {multiple}; use {nearest}")


def check_size(size: tuple[int, int], settings: TransformSettings, name: str) -> None:
    """Check that the crop fits into an image of ``size`` (width, height), or that it is large enough without a crop.

    Raises:
        DataError: it does not, or is not.
    """
    if settings.preprocess == "crop" and min(size) < settings.crop_size:
        raise DataError(
            f"{name} is {size[0]}x{size[1]}, smaller than the crop ({settings.crop_size}); "
            f"use --preprocess resize_and_crop or a --crop-size of at most {min(size)}"
        )
    if not settings.crops and min(resized(size, settings)) < settings.smallest:
        width, height = resized(size, settings)
        brought = f" (brought to {width}x{height})" if settings.preprocess == "scale_width" else ""
        way = "a larger --load-size" if brought else "--preprocess resize_and_crop or larger images"
        raise DataError(
            f"{name} is {size[0]}x{size[1]}{brought}, but these nets need at least {settings.smallest} pixels each "
            f"way; use {way}"
        )


def resized(size: tuple[int, int], settings: TransformSettings) -> tuple[int, int]:
    """Return the (width, height) that an image of ``size`` is resized to, before any crop.

    Differs:
        From the authors' code: ``scale_width`` rounds to ``multiple`` too, in the same resize (``multiple=1`` does
        not), and no side is rounded to 0.

    Example:
        >>> resized((400, 300), TransformSettings("scale_width", load_size=286))
        (288, 256)
    """
    width, height = size
    if settings.preprocess == "resize_and_crop":
        return settings.load_size, settings.load_size
    if settings.preprocess.startswith("scale_width"):
        height = int(max(settings.load_size * height / width, settings.crop_size))
        width = settings.load_size
    if settings.crops:
        return width, height
    return _rounded(width, settings.multiple), _rounded(height, settings.multiple)


def _rounded(side: int, multiple: int) -> int:
    return max(1, round(side / multiple)) * multiple


def size_of(image: Picture) -> tuple[int, int]:
    """Return ``(width, height)``."""
    return (image.shape[1], image.shape[0]) if isinstance(image, np.ndarray) else image.size


def as_array(image: Picture) -> NDArray[Any]:
    """Return an image as ``(h, w, c)``."""
    return image if isinstance(image, np.ndarray) else np.atleast_3d(np.asarray(image))


def resize(image: Picture, size: tuple[int, int]) -> NDArray[Any]:
    """Resize ``image`` to ``size`` (width, height) by Pillow's antialiased bicubic filter; return ``(h, w, c)``.

    Grey and colour images of 8 bits are resized as Pillow does it; others channel by channel in floats, rounded and
    clipped to what their type holds. Ids (int32) are not mixed: each pixel takes that of the nearest one.
    """
    return as_array(_resized(image, size))


def _resized(image: Picture, size: tuple[int, int]) -> Picture:
    from PIL import Image

    if size == size_of(image):
        return image
    if isinstance(image, np.ndarray) and image.dtype == np.int32:
        rows, columns = (_nearest(old, new) for old, new in zip(image.shape, size[::-1], strict=False))
        return image[rows[:, None], columns]
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.shape[2] in (1, 3):
        image = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    if not isinstance(image, np.ndarray):
        return image.resize(size, Image.Resampling.BICUBIC)
    made = np.empty((size[1], size[0], image.shape[2]), np.float32)
    for channel in range(image.shape[2]):
        plane = Image.fromarray(image[..., channel].astype(np.float32))
        made[..., channel] = np.asarray(plane.resize(size, Image.Resampling.BICUBIC))
    if image.dtype == np.float32:
        return made
    return made.round().clip(0, np.iinfo(image.dtype).max).astype(image.dtype)


def _nearest(old: int, new: int) -> NDArray[np.int64]:
    """Return which of ``old`` pixels holds the centre of each of ``new`` ones.

    Centres are summed up one by one, as in Pillow: where one lies on an edge, rounding decides alike.
    """
    step = old / new
    return np.cumsum(np.concatenate(([step / 2], np.full(new - 1, step)))).astype(np.int64)


def transform(image: Picture, settings: TransformSettings, draw: Draw, name: str = "the image") -> NDArray[Any]:
    """Resize (`resize`), crop and mirror ``image``.

    The crop begins at pixel ``floor(left * (width - crop_size + 1))``, so all places are equally likely.

    Args:
        image: ``(h, w, c)``, uint8, uint16 or float32, or int32 for ids; or Pillow's, of mode L or RGB.
        settings: what to do.
        draw: the random numbers; `CENTRE` for the crop in the middle, not mirrored.
        name: what errors call the image.

    Returns:
        ``(h, w, c)``; perhaps a view of ``image``.

    Raises:
        DataError: the image is smaller than the crop.

    References:
        The spec of CycleGAN, section 1.8.
    """
    check_size(size_of(image), settings, name)
    width, height = resized(size_of(image), settings)
    image = _resized(image, (width, height))
    if settings.crops:
        side = settings.crop_size
        left = int(draw.left * (width - side + 1))
        top = int(draw.top * (height - side + 1))
        image = _cropped(image, left, top, side)
    array = as_array(image)
    return array[:, ::-1] if settings.flip and draw.mirror < 0.5 else array


def _cropped(image: Picture, left: int, top: int, side: int) -> Picture:
    if isinstance(image, np.ndarray):
        return image[top : top + side, left : left + side]
    return image.crop((left, top, left + side, top + side))
