"""Pictures to videos, animated GIFs and animated WebP files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from i2i.errors import RunError, SettingsError

if TYPE_CHECKING:
    import av

#: An 8-bit RGB picture ``(h, w, 3)``.
Frame = NDArray[np.uint8]

CODECS = {".mp4": "libx264", ".mov": "libx264", ".mkv": "libx264", ".m4v": "libx264", ".webm": "libvpx-vp9"}
"""What a video of each suffix is written with."""
ANIMATIONS = {".gif": 10, ".webp": 1}
"""Suffixes of animated pictures, and what their frames last is a multiple of, in milliseconds."""
_QUALITY = {"crf": "18", "b": "0"}  # of x264 and vp9 alike: hardly to be told from the source
_WEBP_QUALITY = 90


class Timed(NamedTuple):
    """A frame, when it is shown and for how long, in units of ``base`` seconds."""

    frame: Frame
    begin: int
    duration: int
    base: Fraction


def library() -> Any:
    """Return PyAV.

    Raises:
        RunError: the extra is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise RunError("videos need PyAV: pip install 'i2i-core[video]'") from error
    return av


def write_film(frames: Iterable[Frame], out: str | Path, rate: float = 10.0) -> Path:
    """Write pictures as a video or an animation that repeats for ever.

    Args:
        frames: pictures of one size, at least one; they may be made one by one while they are written.
        out: its suffix is one of `CODECS`, .gif or .webp. Written over where it exists, but only once it is complete.
        rate: frames per second. A GIF shows each frame for a multiple of 10 ms, but its whole length is right.

    Returns:
        ``out``.

    Raises:
        SettingsError: a suffix that cannot be written, or a rate that is not above 0 or too high for a GIF.
        RunError: PyAV is needed and not installed, or the file cannot be written.

    Example:
        >>> import tempfile
        >>> grey = [np.full((8, 8, 3), level, np.uint8) for level in (0, 128, 255)]
        >>> write_film(grey, Path(tempfile.mkdtemp(), "grey.gif"), rate=4).stat().st_size > 0
        True
    """
    out = Path(out)
    check_film(out, rate)
    duration = 1 / Fraction(rate).limit_denominator(1001)
    animated = out.suffix.lower() in ANIMATIONS
    with replacing(out) as temporary, Animation(temporary) if animated else Film(temporary, 1 / duration) as writer:
        for index, frame in enumerate(frames):
            writer.show(Timed(frame, index, 1, duration))
    return out


def check_film(out: Path, rate: float) -> None:
    """Check before any picture is made that `write_film` can write such a file.

    Raises:
        SettingsError: it cannot.
        RunError: PyAV is needed and not installed.
    """
    suffix = out.suffix.lower()
    if suffix not in ANIMATIONS and suffix not in CODECS:
        raise SettingsError(f"cannot write {out} as a video; use one of {', '.join((*CODECS, *ANIMATIONS))}")
    fastest = 1000 // ANIMATIONS.get(suffix, 1)
    if not 0.1 <= rate <= fastest:
        raise SettingsError(f"{rate:g} frames per second: {suffix} can show 0.1 to {fastest}")
    if suffix in CODECS:
        library()


@contextlib.contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """Give a name to write a film to; it becomes ``out`` when all went well, and is removed otherwise.

    Raises:
        RunError: it cannot be written.
    """
    temporary = out.with_name(f".{out.stem}.tmp{out.suffix}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, out)
    except _failures() as error:
        raise RunError(
            f"cannot write {out} ({getattr(error, 'strerror', None) or error}); what was written before is intact"
        ) from error
    finally:
        with contextlib.suppress(OSError):  # where nothing could be written
            temporary.unlink(missing_ok=True)


def _failures() -> tuple[type[Exception], ...]:
    try:
        return OSError, library().FFmpegError
    except RunError:  # animations are written without it
        return (OSError,)


class Film:
    """Writes a video; the picture stream is made when the size of the first frame is known."""

    def __init__(self, path: Path, rate: Fraction | None, sounds: Sequence[av.audio.stream.AudioStream] = ()) -> None:
        av = library()
        self._rate = rate
        self._codec = CODECS[path.suffix.lower()]
        self._out = av.open(str(path), "w")
        self._picture: Any = None
        self._durations: dict[int, int] = {}  # of a container that only notes times, the last one would be a guess
        self._waiting: list[Any] = []
        try:
            self._sounds = {sound.index: self._out.add_stream_from_template(sound) for sound in sounds}
        except ValueError as error:
            self._out.close()
            names = ", ".join(sound.codec_context.name for sound in sounds)
            raise RunError(f"{path.suffix} cannot hold the sound of the source ({names}); use .mkv") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        if kind is None and self._picture is not None:
            self._write(None)
        self._out.close()

    def sound(self, packet: Any) -> None:
        """Take a packet of sound, as it is."""
        packet.stream = self._sounds[packet.stream.index]
        if self._picture is None:  # no packet may be written before all streams are known
            self._waiting.append(packet)
        else:
            self._out.mux(packet)

    def show(self, timed: Timed) -> None:
        """Take the next frame."""
        if self._picture is None:
            self._begin(timed)
        frame = library().VideoFrame.from_ndarray(timed.frame, format="rgb24")
        frame.pts, frame.time_base = timed.begin, timed.base
        self._durations[timed.begin] = timed.duration
        self._write(frame)

    def _write(self, frame: av.VideoFrame | None) -> None:
        """Encode a frame, or what is left; packets come late and in another order."""
        for packet in self._picture.encode(frame):
            packet.duration = self._durations.pop(packet.pts, None) or packet.duration
            self._out.mux(packet)

    def _begin(self, timed: Timed) -> None:
        height, width = timed.frame.shape[:2]
        self._picture = self._out.add_stream(self._codec, rate=self._rate, options=_QUALITY)
        self._picture.width, self._picture.height = width, height
        # Colours at half resolution need even sides.
        self._picture.pix_fmt = "yuv444p" if width % 2 or height % 2 else "yuv420p"
        self._picture.codec_context.time_base = timed.base
        self._out.mux(self._waiting)
        self._waiting.clear()


class Animation:
    """Writes an animated GIF or WebP that repeats for ever; it holds the frames until it is closed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._frames: list[Timed] = []

    def __enter__(self) -> Self:
        return self

    def sound(self, packet: Any) -> None:
        """There is no sound in an animation."""

    def show(self, timed: Timed) -> None:
        """Take the next frame."""
        self._frames.append(timed)

    def __exit__(self, kind: object, *error: object) -> None:
        from PIL import Image

        if kind is None and self._frames:
            unit = ANIMATIONS[self._path.suffix.lower()]
            per_second = 1000 // unit
            first, *rest = (Image.fromarray(timed.frame) for timed in self._frames)
            # Rounding the times, not the durations, keeps the length.
            ends = [round((t.begin + t.duration) * t.base * per_second) for t in self._frames]
            starts = [round(t.begin * t.base * per_second) for t in self._frames]
            starts.append(ends[-1])
            durations = [unit * max(1, after - before) for before, after in pairwise(starts)]
            first.save(self._path, save_all=True, append_images=rest, duration=durations, loop=0, quality=_WEBP_QUALITY)
