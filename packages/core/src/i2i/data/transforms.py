"""Resizing, cropping and flipping of images, as in the authors' code; the dice are handed in."""

from __future__ import annotations

import difflib
import math
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
#: Left, upper, right and lower edge in pixels, as Pillow has them.
Box: TypeAlias = tuple[float, float, float, float]


class Draw(NamedTuple):
    """The random numbers that one image takes, each in ``[0, 1)``.

    Attributes:
        left: where the crop lies horizontally; 0 is the left edge, or as far left as a `Window` may lie.
        top: where the crop lies vertically; 0 is the upper edge, or as far up as a `Window` may lie.
        mirror: the image is mirrored where this is below 0.5.
        share: how much smaller than the image a `Window` is: 0 not at all, 1 as small as it may be. None: the window is
            the whole image, unmoved.
    """

    left: float
    top: float
    mirror: float
    share: float | None = None


#: The draw of previews and validation: the middle, not mirrored.
CENTRE = Draw(0.5, 0.5, 0.5)


@frozen
class Window:
    """A random window of an image, which is brought to ``crop_size`` x ``crop_size`` in one resize.

    Its sides are one share of those of the image, evenly drawn from ``least`` to 1. It lies in the middle of an image
    whose content was moved by evenly drawn shares of its sides. Where it leaves the image, the image is continued by
    reflection.

    Attributes:
        least: the smallest share, above 0 and at most 1.
        across: bounds of the move as shares of the width, between -1 and 1; positive ones move the content right.
        down: bounds of the move as shares of the height; positive ones move the content down.

    Raises:
        SettingsError: a share out of range, or bounds in the wrong order.

    Example:
        >>> window = Window(0.75, across=(-0.125, 0.125), down=(0.25, 0.25))
        >>> window.box((80, 80), Draw(0.0, 0.0, 0.5, share=1.0))
        (0.0, -10.0, 60.0, 50.0)
    """

    least: float
    across: tuple[float, float]
    down: tuple[float, float]

    def __attrs_post_init__(self) -> None:
        if not 0 < self.least <= 1:
            raise SettingsError(f"least (={self.least}) must be above 0 and at most 1: a share of the image's sides")
        for name, (lower, upper) in (("across", self.across), ("down", self.down)):
            if not -1 < lower <= upper < 1:
                raise SettingsError(
                    f"{name} (={lower} {upper}) must be two shares between -1 and 1; name the lower one first"
                )

    def box(self, size: tuple[int, int], draw: Draw) -> Box:
        """Return the place of the window in an image of ``size`` (width, height); it may lie partly outside."""
        if draw.share is None:
            return 0.0, 0.0, float(size[0]), float(size[1])
        side = 1 - draw.share * (1 - self.least)
        places = zip(size, (self.across, self.down), (draw.left, draw.top), strict=True)
        # The further the content moves to the right, the further to its left the window lies.
        left, top = (
            length * ((1 - side) / 2 - upper + place * (upper - lower)) for length, (lower, upper), place in places
        )
        return left, top, left + size[0] * side, top + size[1] * side


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
        window: with ``resize_and_crop``, for training: take this window of the image instead of the crop.

    Raises:
        SettingsError: an unknown mode, a size below 1, a crop larger than what it is cut from, or a window with another
            mode.
    """

    preprocess: Preprocess = "resize_and_crop"
    load_size: int = 286
    crop_size: int = 256
    flip: bool = True
    multiple: int = 4
    smallest: int = 1
    window: Window | None = None

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
        if self.window is not None and self.preprocess != "resize_and_crop":
            raise SettingsError(
                f"a window brings images to crop_size x crop_size, which preprocess {self.preprocess!r} does not; "
                "use --preprocess resize_and_crop"
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


def _resized(image: Picture, size: tuple[int, int], box: Box | None = None) -> Picture:
    """Resize what lies in ``box``, or the whole image."""
    from PIL import Image

    if box is None and size == size_of(image):
        return image
    if isinstance(image, np.ndarray) and image.dtype == np.int32:
        left, top, right, bottom = box or (0, 0, *size_of(image))
        rows, columns = _nearest(top, bottom, size[1]), _nearest(left, right, size[0])
        return image[rows[:, None], columns]
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.shape[2] in (1, 3):
        image = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    if not isinstance(image, np.ndarray):
        return image.resize(size, Image.Resampling.BICUBIC, box)
    made = np.empty((size[1], size[0], image.shape[2]), np.float32)
    for channel in range(image.shape[2]):
        plane = Image.fromarray(image[..., channel].astype(np.float32))
        made[..., channel] = np.asarray(plane.resize(size, Image.Resampling.BICUBIC, box))
    if image.dtype == np.float32:
        return made
    return made.round().clip(0, np.iinfo(image.dtype).max).astype(image.dtype)


def _nearest(start: float, stop: float, new: int) -> NDArray[np.int64]:
    """Return which pixel holds the centre of each of ``new`` ones between two places.

    Centres are summed up one by one, as in Pillow: where one lies on an edge, rounding decides alike.
    """
    step = (stop - start) / new
    return np.cumsum(np.concatenate(([start + step / 2], np.full(new - 1, step)))).astype(np.int64)


def transform(image: Picture, settings: TransformSettings, draw: Draw, name: str = "the image") -> NDArray[Any]:
    """Resize (`resize`), crop and mirror ``image``.

    The crop begins at pixel ``floor(left * (width - crop_size + 1))``, so all places are equally likely. With
    ``settings.window``, that `Window` is resized instead.

    Args:
        image: ``(h, w, c)``, uint8, uint16 or float32, or int32 for ids; or Pillow's, of mode L or RGB.
        settings: what to do.
        draw: the random numbers; `CENTRE` for the crop in the middle, or the whole image as window, not mirrored.
        name: what errors call the image.

    Returns:
        ``(h, w, c)``; perhaps a view of ``image``.

    Raises:
        DataError: the image is smaller than the crop.

    References:
        The authors' code of CycleGAN, ``data/base_dataset.py``.
    """
    check_size(size_of(image), settings, name)
    make = _cropped if settings.window is None else _seen_through
    array = as_array(make(image, settings, draw))
    return array[:, ::-1] if settings.flip and draw.mirror < 0.5 else array


def _cropped(image: Picture, settings: TransformSettings, draw: Draw) -> Picture:
    width, height = resized(size_of(image), settings)
    image = _resized(image, (width, height))
    if not settings.crops:
        return image
    side = settings.crop_size
    left, top = int(draw.left * (width - side + 1)), int(draw.top * (height - side + 1))
    if isinstance(image, np.ndarray):
        return image[top : top + side, left : left + side]
    return image.crop((left, top, left + side, top + side))


def _seen_through(image: Picture, settings: TransformSettings, draw: Draw) -> Picture:
    assert settings.window is not None
    image, box = _continued(image, settings.window.box(size_of(image), draw))
    return _resized(image, (settings.crop_size, settings.crop_size), box)


def _continued(image: Picture, box: Box) -> tuple[Picture, Box]:
    """Continue an image by reflection about its outermost pixels as far as ``box`` reaches.

    Returns:
        It, and the box as it lies in it.
    """
    width, height = size_of(image)
    left, top, right, bottom = box
    before = [max(0, math.ceil(-edge)) for edge in (left, top)]
    after = [max(0, math.ceil(edge)) for edge in (right - width, bottom - height)]
    if not any((*before, *after)):
        return image, box  # as it was read: photographs are not copied
    (x, y), (x_after, y_after) = before, after
    whole = np.pad(as_array(image), ((y, y_after), (x, x_after), (0, 0)), mode="reflect")
    return whole, (left + x, top + y, right + x, bottom + y)
