"""What an image file holds, turned upright, as the channels that a network reads."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from i2i.errors import DataError
from i2i.pixels import FULL_RANGE, Depth, PixelFormat

# Pillow's luma (ITU-R 601-2) in units of 2**-16, so that grey images of all depths are made alike.
_LUMA = (19595, 38470, 7471)


class MisfitError(DataError):
    """An image that can be read, but not as it is asked for.

    Attributes:
        by_model: what is said where a model reads it, whose settings are fixed; the message names those of training.
    """

    def __init__(self, has: str, training: str, model: str) -> None:
        super().__init__(f"{has}{training}")
        self.by_model = f"{has}, but this model reads {model}"


class Stored(NamedTuple):
    """The pixels of a file.

    Attributes:
        array: ``(h, w, c)``, uint8, uint16 or float32, as stored (not yet turned upright).
        alpha: the last channel is transparency, and the colours are not multiplied by it.
        orientation: as in EXIF, 1 to 8.
    """

    array: NDArray[Any]
    alpha: bool = False
    orientation: int = 1


def depth_of(array: NDArray[Any]) -> Depth:
    """Return the bits per channel of an image; 32 are floats."""
    return {1: 8, 2: 16}.get(array.dtype.itemsize, 32)  # type: ignore[return-value]


def levels_of(array: NDArray[Any], pixels: PixelFormat) -> tuple[float, float]:
    """Return the levels of ``array`` that become -1 and 1."""
    return FULL_RANGE[depth_of(array)] if pixels.range is None else pixels.range


def as_asked(stored: Stored, pixels: PixelFormat) -> NDArray[Any]:
    """Return the upright image with the channels that ``pixels`` asks for.

    Colour becomes grey by its luma, grey becomes colour by repetition, transparency goes as ``pixels.alpha`` says, if
    there is no channel for it. No other numbers of channels are made of one another.

    Raises:
        MisfitError: another number of channels, values outside the range, or another depth than that of the range.
        DataError: values that are not finite; the message says what the image has, without its name.
    """
    array, wanted = upright(stored.array, stored.orientation), file_channels(pixels)
    found = array.shape[2]
    if stored.alpha and found != wanted:
        array = without_alpha(array, pixels)
    if (array.shape[2], wanted) == (1, 3):
        array = np.repeat(array, 3, axis=2)
    elif (array.shape[2], wanted) == (3, 1):
        array = luma(array)
    if array.shape[2] != wanted:
        has = f"has {found} channel{'s' * (found > 1)}"
        read = f"{wanted} channel{'s' * (wanted > 1)}"
        raise MisfitError(has, f" where {wanted} are read; --channels {found} trains with all of them", read)
    _check_levels(array, pixels)
    return array


def file_channels(pixels: PixelFormat) -> int:
    """Return how many channels an image is read with: lightness and chroma are computed from three."""
    return pixels.channels if pixels.colours == "stored" else 3


def upright(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn ``(h, w, c)`` as EXIF asks.

    Example:
        >>> upright(np.array([[[1], [2]]]), 6).shape
        (2, 1, 1)
    """
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array


def luma(array: NDArray[Any]) -> NDArray[Any]:
    """Return the grey value ``(h, w, 1)`` of colours ``(h, w, 3)``: ``0.299 R + 0.587 G + 0.114 B``."""
    if array.dtype == np.float32:
        return array @ np.array(_LUMA, np.float32)[:, None] / np.float32(2**16)
    weighted = array.astype(np.uint32) @ np.array(_LUMA, np.uint32)[:, None]
    return ((weighted + 2**15) >> 16).astype(array.dtype)


def without_alpha(array: NDArray[Any], pixels: PixelFormat) -> NDArray[Any]:
    """Drop the last channel, or put the image on white or black: ``a * colour + (1 - a) * background``."""
    colours = array[..., :-1]
    if pixels.alpha == "drop":
        return colours
    share = array[..., -1:].astype(np.float32) / np.float32(FULL_RANGE[depth_of(array)][1])
    background = levels_of(array, pixels)[pixels.alpha == "white"]
    return _like(colours * share + np.float32(background) * (1 - share), array)


def straight(array: NDArray[Any]) -> NDArray[Any]:
    """Undo the multiplication of colours by the transparency behind them; where nothing is seen they are 0."""
    alpha = array[..., -1:].astype(np.float32)
    full = FULL_RANGE[depth_of(array)][1]
    colours = np.divide(array[..., :-1] * np.float32(full), alpha, out=np.zeros(array[..., :-1].shape, np.float32),
                        where=alpha > 0)  # fmt: skip
    return np.dstack([_like(colours, array), array[..., -1:]])


def _like(values: NDArray[np.float32], array: NDArray[Any]) -> NDArray[Any]:
    """Round and clip to what the type of ``array`` holds."""
    if array.dtype == np.float32:
        return values
    return values.round().clip(0, FULL_RANGE[depth_of(array)][1]).astype(array.dtype)


def _check_levels(array: NDArray[Any], pixels: PixelFormat) -> None:
    if pixels.range is not None and depth_of(array) != pixels.depth:
        low, high = pixels.range
        raise MisfitError(
            f"has {depth_of(array)} bits per channel",
            f", but the range {low:g} {high:g} is one of {pixels.depth} bits; "
            "take images of one depth, or leave --range-a (--range-b) out",
            f"{pixels.depth} bits, from {low:g} to {high:g}",
        )
    if array.dtype != np.float32:
        return
    low, high = float(array.min()), float(array.max())
    if not np.isfinite([low, high]).all():
        count = array.size - int(np.isfinite(array).sum())
        raise DataError(f"has {count} values that are not finite; replace them")
    if pixels.range is None and (low < 0 or high > 1):
        raise MisfitError(
            f"has values from {low:g} to {high:g}",
            ", but floats are read as 0 to 1; "
            f"name the levels that become -1 and 1, for example --range-a {low:g} {high:g} (--range-b for B)",
            "floats from 0 to 1",
        )
