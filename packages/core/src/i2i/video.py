"""Videos and animated GIFs through a generator, frame by frame; the time of each frame and the sound are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from i2i.errors import DataError, SettingsError
from i2i.films import CODECS, Animation, Film, Frame, Timed, library, replacing

if TYPE_CHECKING:
    from torch import nn

    from i2i.policy import Precision

VIDEOS = (*CODECS, ".avi", ".gif")
"""Suffixes of what is read as a video."""
_STILL = 2  # levels of 255: source pixels that change less from frame to frame stand still


class VideoReport(NamedTuple):
    """What `translate_video` did.

    Attributes:
        frames: how many were translated.
        rate: frames per second, on average.
        flicker: how much the result changes from frame to frame where the source stands still (changes by less than
            2 levels): the mean absolute difference in levels of 255; None where nothing stands still.
        source_flicker: the same of the source at the same pixels: its noise.
    """

    frames: int
    rate: float
    flicker: float | None
    source_flicker: float | None


def is_video(path: str | Path) -> bool:
    """Tell by its suffix whether a file is a video.

    Example:
        >>> is_video("clip.MP4"), is_video("photo.png")
        (True, False)
    """
    return Path(path).suffix.lower() in VIDEOS


def targets(videos: Sequence[Path], out: Path, *, alone: bool) -> dict[Path, Path]:
    """Choose where each video is written: ``out`` itself, or a file of the same name in it (.mp4 for .avi).

    Args:
        videos: what is translated.
        out: a folder; or the file for one video, by its suffix.
        alone: nothing else is translated, so ``out`` may be a file.

    Raises:
        DataError: two videos would be written to one file.

    Example:
        >>> targets([Path("a/clip.avi")], Path("out"), alone=True)
        {PosixPath('a/clip.avi'): PosixPath('out/clip.mp4')}
    """
    if alone and len(videos) == 1 and is_video(out):
        return {videos[0]: out}
    found: dict[Path, Path] = {}
    for video in videos:
        target = out / (video.with_suffix(".mp4") if video.suffix.lower() == ".avi" else video).name
        if target in found.values():
            raise DataError(f"two videos would both be written to {target}; translate them into two folders")
        found[video] = target
    return found


def frames_through(
    net: nn.Module,
    *,
    precision: Precision = "fp32",
    tile: int | None = None,
    reference: bool = False,
    fit: bool = False,
) -> Callable[[Sequence[Frame]], list[Frame]]:
    """Return what translates pictures of one size with ``net``, for `translate_video`.

    Args:
        net: a generator that reads and makes colour, grey or, both of Lab, lightness and chroma.
        precision: see `i2i.translate.translate`, like ``tile``.
        tile: see there.
        reference: cut decimals off as the authors do, instead of rounding.
        fit: resize frames to the only size that the net accepts, and results back.

    Raises:
        DataError: raised by what is returned, where the net does not accept the size of the frames.
        OutOfMemoryError: raised by what is returned, where frames are too large.
        SettingsError: the net reads or makes other channels than a video has, ``fit`` for a net that accepts more than
            one size, or ``tile`` for one that does not.
    """
    import attrs

    from i2i.data.channels import Stored, as_asked, file_channels
    from i2i.data.images import to_array, to_batch, written_channels
    from i2i.data.transforms import resize
    from i2i.fitting import brought_to, fitting
    from i2i.pixels import formats_of
    from i2i.room import Room
    from i2i.shortage import IN_TRANSLATION, memory_suffices
    from i2i.translate import translate

    reads, writes = (attrs.evolve(pixels, depth=8, range=None) for pixels in formats_of(net))
    for channels, verb in ((file_channels(reads), "reads"), (written_channels(writes), "makes")):
        if channels not in (1, 3):
            raise SettingsError(f"this model {verb} {channels} channels; a video has 3 (colour) or 1 (grey)")

    room, sizes = Room(net, precision, tile), fitting(net, fit=fit, tile=tile)

    def run(frames: Sequence[Frame]) -> list[Frame]:
        size = frames[0].shape[1], frames[0].shape[0]
        sizes.check(size, "each frame")
        width, height = inside = sizes.inside(size)
        room.check((len(frames), reads.channels, height, width), "frames of ")
        with memory_suffices(IN_TRANSLATION, lambda: f"frames of {width}x{height} pixels"):
            images = to_batch([as_asked(Stored(resize(frame, inside)), reads) for frame in frames], reads)
            made = translate(net, images, precision=precision, tile=tile)
        arrays = [
            to_array(brought_to(image, size), writes, source=frame, reference=reference)
            for image, frame in zip(made, frames, strict=True)
        ]
        return [np.repeat(array, 3, axis=2) if array.shape[2] == 1 else array for array in arrays]

    return run


def translate_video(
    translate: Callable[[Sequence[Frame]], Sequence[Frame]],
    source: str | Path,
    out: str | Path,
    *,
    size: int | None = None,
    batch_size: int = 1,
) -> VideoReport:
    """Translate each frame of a video; the time of each frame and the sound are kept.

    Sound is copied, not encoded again. The picture is written upright as the source is shown, with 8 bits, as H.264
    (VP9 for .webm), or as a GIF. A GIF may become a video and a video a GIF, which has no sound and shows each frame
    for a multiple of 10 ms.

    Args:
        translate: makes as many pictures as it is given; all of one size.
        source: the video.
        out: the file to write; its suffix is one of `CODECS` or .gif. Written over where it exists, but only once the
            whole video is translated.
        size: frames are resized to this short side before they are translated; None: native size.
        batch_size: frames that are given to ``translate`` together.

    Returns:
        Counts, rate, and how much the result flickers.

    Raises:
        DataError: ``source`` is no video, has no frames, is damaged, or is ``out`` itself.
        SettingsError: ``out`` has a suffix that cannot be written.
        RunError: the extra is not installed, the sound cannot be kept in ``out``, or it cannot be written.
    """
    library()
    source, out = Path(source), Path(out)
    _check_paths(source, out)
    flicker = _Flicker()
    with replacing(out) as temporary:
        with _opened(source) as clip:
            picture = clip.streams.video[0]
            with _writer(temporary, clip) as writer:
                for batch in _batches(_timed(clip, picture, writer.sound), batch_size, picture.frames):
                    before = [_resized(timed.frame, size) for timed in batch]
                    for timed, old, new in zip(batch, before, translate(before), strict=True):
                        flicker.note(old, new)
                        writer.show(timed._replace(frame=new))
            rate = float(picture.average_rate or 0)
        if not flicker.frames:
            raise DataError(f"{source} has no frames")
    return VideoReport(flicker.frames, rate, *flicker.figures())


def _writer(path: Path, clip: Any) -> Film | Animation:
    if path.suffix.lower() == ".gif":
        return Animation(path)
    return Film(path, clip.streams.video[0].average_rate, clip.streams.audio)


def _check_paths(source: Path, out: Path) -> None:
    if out.suffix.lower() not in (*CODECS, ".gif"):
        raise SettingsError(f"cannot write {out} as a video; use one of {', '.join((*CODECS, '.gif'))}")
    if not source.is_file():
        raise DataError(f"{source} does not exist" if not source.exists() else f"{source} is no file")
    if out.resolve() == source.resolve():
        raise DataError(f"{source} would be overwritten by its translation; choose another --out")


def _opened(source: Path) -> Any:
    av = library()
    try:
        clip = av.open(str(source))
    except (av.FFmpegError, OSError) as error:
        raise DataError(f"{source} cannot be read as a video: {error.strerror}") from error
    if not clip.streams.video:
        held = ", ".join(stream.type for stream in clip.streams) or "nothing"
        clip.close()
        raise DataError(f"{source} has no pictures (it has: {held})")
    return clip


def _timed(clip: Any, picture: Any, sound: Callable[[Any], None]) -> Iterator[Timed]:
    """Yield the frames of ``picture``, upright; packets of sound are handed on as they come between them."""
    for packet in _read(clip, clip.demux([picture, *clip.streams.audio])):
        if packet.stream.type == "audio":
            if packet.dts is not None:  # the last, empty packet has none
                sound(packet)
            continue
        for frame in _read(clip, _decoded(packet)):
            pixels = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
            yield Timed(np.ascontiguousarray(pixels), frame.pts, frame.duration, frame.time_base)


def _decoded(packet: Any) -> Iterator[Any]:
    yield from packet.decode()


def _read(clip: Any, items: Iterator[Any]) -> Iterator[Any]:
    """Pass on what is read from ``clip``; only reading fails in here, not what becomes of it."""
    try:
        yield from items
    except library().FFmpegError as error:
        raise DataError(f"{clip.name} cannot be read to its end as a video: {error.strerror}") from error


def _resized(frame: Frame, size: int | None) -> Frame:
    from PIL import Image

    if size is None:
        return frame
    height, width = frame.shape[:2]
    scale = size / min(height, width)
    shape = (max(round(width * scale), 1), max(round(height * scale), 1))
    return np.asarray(Image.fromarray(frame).resize(shape, Image.Resampling.BICUBIC))


def _batches(frames: Iterator[Timed], size: int, total: int) -> Iterator[list[Timed]]:
    from tqdm import tqdm

    with tqdm(total=total or None, unit="frame", desc="translate", disable=None) as bar:
        while batch := list(islice(frames, size)):
            yield batch
            bar.update(len(batch))


class _Flicker:
    """Sums up how pixels change from frame to frame where the source stands still."""

    def __init__(self) -> None:
        self.frames = 0
        self._before: tuple[Frame, Frame] | None = None
        self._still = 0
        self._sums = [0.0, 0.0]

    def note(self, source: Frame, result: Frame) -> None:
        self.frames += 1
        if self._before is not None:
            pairs = zip((source, result), self._before, strict=True)
            changes = [np.abs(now.astype(np.int16) - then) for now, then in pairs]
            still = changes[0].max(axis=2) < _STILL
            self._still += int(still.sum())
            for index, change in enumerate(changes):
                self._sums[index] += float(change[still].mean(axis=1).sum())
        self._before = source, result

    def figures(self) -> tuple[float | None, float | None]:
        """Return the flicker of the result and of the source."""
        if not self._still:
            return None, None
        return self._sums[1] / self._still, self._sums[0] / self._still
