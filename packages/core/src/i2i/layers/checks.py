"""Checks of what a user gives to a network: arguments when it is built, images when it runs."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from i2i.errors import CompositionError, DataError, SettingsError


def at_least(name: str, value: int, minimum: int, maximum: int | None = None) -> None:
    """Refuse an argument that is no whole number from ``minimum`` on (and up to ``maximum``).

    Raises:
        SettingsError: names the argument, the value and the bound.

    Example:
        >>> at_least("blocks", -1, 0)
        Traceback (most recent call last):
        ...
        i2i.errors.SettingsError: blocks (=-1) must be a whole number of at least 0
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise SettingsError(f"{name} (={value}) must be a whole number of at least {minimum}")
    if maximum is not None and value > maximum:
        raise SettingsError(f"{name} (={value}) must be at most {maximum}")


def one_of(name: str, value: str, choices: Sequence[str]) -> None:
    """Refuse a word that is none of ``choices``.

    Raises:
        SettingsError: names the argument, the value and the choices.

    Example:
        >>> one_of("norm", "layer", ("instance", "batch"))
        Traceback (most recent call last):
        ...
        i2i.errors.SettingsError: norm (='layer') must be one of: instance, batch
    """
    if value not in choices:
        raise SettingsError(f"{name} (={value!r}) must be one of: {', '.join(choices)}")


def check_image(image: Tensor, channels: int, *, multiple: int = 1, smallest: int = 1) -> None:
    """Refuse an image that a network cannot read; shapes only, nothing is read from the device.

    Args:
        image: should be ``(b, channels, h, w)``.
        channels: what the network reads.
        multiple: height and width must be multiples of it.
        smallest: the least height and width, itself a multiple of ``multiple``.

    Raises:
        DataError: names the size and the nearest ones that fit.

    Example:
        >>> import torch
        >>> check_image(torch.zeros(1, 3, 250, 256), 3, multiple=4)
        Traceback (most recent call last):
        ...
        i2i.errors.DataError: height (=250) must be a multiple of 4; use 248 or 252
    """
    if image.ndim != 4 or image.shape[1] != channels:
        raise DataError(f"image of shape {tuple(image.shape)}: this network reads (batch, {channels}, height, width)")
    for name, size in zip(("height", "width"), image.shape[-2:], strict=True):
        if size < smallest:
            raise DataError(f"{name} (={size}) must be at least {smallest}; use a larger image or a shallower network")
        if size % multiple:
            below = size - size % multiple
            raise DataError(f"{name} (={size}) must be a multiple of {multiple}; use {below} or {below + multiple}")


def check_no_condition(condition: Tensor | None) -> None:
    """Refuse a condition, in a generator that takes none.

    Raises:
        CompositionError: there is one; says where it belongs.
    """
    if condition is not None:
        raise CompositionError(
            "this generator takes no condition; join it to the image along the channels and raise in_channels"
        )
