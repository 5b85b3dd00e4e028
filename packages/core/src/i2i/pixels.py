"""What the numbers of a network stand for in image files: channels, depth, range and colours."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import attrs

from i2i.errors import SettingsError

Depth = Literal[8, 16, 32]
Colours = Literal["stored", "lightness", "chroma"]
Alpha = Literal["drop", "white", "black"]
#: What a network reads that reads no images, ``net.takes``, and how it is said.
TAKEN: dict[str, str] = {"noise": "noise", "labels": "maps of ids"}
#: The levels of a depth that stand for -1 and 1, where nothing else is said; 32 bits are floats.
FULL_RANGE: dict[int, tuple[float, float]] = {8: (0.0, 255.0), 16: (0.0, 65535.0), 32: (0.0, 1.0)}


@attrs.frozen
class PixelFormat:
    """How the images of one domain lie in files, and how they become numbers from -1 to 1.

    A network carries two of them, ``net.reads`` and ``net.writes``; they travel in the ``config.json`` of its model.

    Attributes:
        channels: of the network: 1 grey, 3 colour, or as many as a TIFF has.
        depth: bits per channel of the files that are written; 32 are floats. Files are read at the depth they have.
        range: the two levels of the file that become -1 and 1; None: all that the depth can hold (floats: 0 and 1).
        colours: ``"stored"``: as in the file; ``"lightness"``: L of CIE Lab (one channel, L / 50 - 1), ``"chroma"``:
            a and b of it (two channels, divided by 110), both computed from the colours of an RGB file.
        alpha: what happens to transparency where the network has no channel for it: ``"drop"`` it, or put the image
            on ``"white"`` or ``"black"``.

    Raises:
        SettingsError: a value that makes no sense; it is named.

    Example:
        >>> PixelFormat(depth=16).levels
        (0.0, 65535.0)
    """

    channels: int = 3
    depth: Depth = 8
    range: tuple[float, float] | None = None
    colours: Colours = "stored"
    alpha: Alpha = "drop"

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.channels, int) or self.channels < 1:
            raise SettingsError(f"channels (={self.channels}) must be at least 1")
        for name, known in (("depth", get_args(Depth)), ("colours", get_args(Colours)), ("alpha", get_args(Alpha))):
            if getattr(self, name) not in known:
                raise SettingsError(f"{name} (={getattr(self, name)}) must be {', '.join(map(str, known))}")
        if self.range is not None and not -math.inf < self.range[0] < self.range[1] < math.inf:
            raise SettingsError(f"range (={self.range[0]} {self.range[1]}) must rise; name the lower level first")
        wanted = {"lightness": 1, "chroma": 2}.get(self.colours, self.channels)
        if self.channels != wanted:
            raise SettingsError(f"{self.colours} has {wanted} channels, not {self.channels}")

    def __str__(self) -> str:
        """Say it in the words of a table."""
        kind = "" if self.colours == "stored" else f" ({self.colours})"
        return f"{self.channels} x {self.depth} bits{kind}, {self.levels[0]:g} to {self.levels[1]:g}"

    @property
    def levels(self) -> tuple[float, float]:
        """The levels of the file that become -1 and 1."""
        return FULL_RANGE[self.depth] if self.range is None else self.range


def formats_of(net: object) -> tuple[PixelFormat, PixelFormat]:
    """Return what a network reads and writes; one that carries no `PixelFormat` works on 8 bits.

    Example:
        >>> formats_of(object())[0].channels
        3
    """
    taken = getattr(net, "in_channels", None) or 3
    made = getattr(net, "out_channels", None) or taken
    reads, writes = getattr(net, "reads", None), getattr(net, "writes", None)
    return reads or PixelFormat(channels=taken), writes or PixelFormat(channels=made)


def to_json(pixels: PixelFormat) -> dict[str, Any]:
    """Return what ``config.json`` holds of a format."""
    return attrs.asdict(
        pixels, value_serializer=lambda _, __, value: list(value) if isinstance(value, tuple) else value
    )


def from_json(stored: object) -> PixelFormat:
    """Make a format of what ``config.json`` holds.

    Raises:
        SettingsError: it is no format.

    Example:
        >>> from_json(to_json(PixelFormat(depth=16, range=(0, 4095)))).levels
        (0.0, 4095.0)
    """
    try:
        fields = dict(stored)  # type: ignore[call-overload]
        if fields.keys() != attrs.fields_dict(PixelFormat).keys():
            raise ValueError("other fields")
        if fields["range"] is not None:
            low, high = fields["range"]
            fields["range"] = (float(low), float(high))
        return PixelFormat(**fields)
    except (TypeError, ValueError, SettingsError) as error:
        raise SettingsError(f"{str(stored)[:80]} is no format of pixels: {error}") from error
