"""Which file each translated image is written to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from i2i.errors import DataError, SettingsError
from i2i.pixels import PixelFormat

# What can be written without loss keeps its suffix, if it holds the result; everything else becomes a PNG or a TIFF.
LOSSLESS = (".png", ".bmp", ".tif", ".tiff", ".ppm")


class Job(NamedTuple):
    """One file to translate and the file to write."""

    source: Path
    target: Path


def plan(inputs: Sequence[str | Path], out: Path, writes: PixelFormat = PixelFormat()) -> list[Job]:
    """Find the images and choose a name for each result; nothing is read or written.

    Args:
        inputs: image files and folders of them.
        out: the folder to write to; or the file, where one image file is given (see `is_file`).
        writes: what the results are: not every kind of file holds every depth and number of channels.

    Raises:
        DataError: no images, two sources for one result, a result that would overwrite a source, or a file that does
            not hold the result.
        SettingsError: ``out`` is the name of a file, and more than one image file is given.
    """
    from i2i.data import find_images
    from i2i.data.images import check_suffix, written_channels

    roots: dict[Path, Path] = {}
    for given in map(Path, inputs):
        for source in find_images(given):
            roots.setdefault(source, given if given.is_dir() else given.parent)
    if not roots:
        raise DataError("no image or folder was named")
    if is_file(out, [Path(given) for given in inputs]):
        check_suffix(out, written_channels(writes), writes.depth)
        jobs = [Job(source, out) for source in roots]
        _check_targets(jobs)
        return jobs
    choices = [
        [out / name(source, root, writes) for source, root in roots.items()] for name in (_plain, _under, _whole)
    ]
    # The first way of naming that gives each source a name of its own.
    targets = next((found for found in choices if len(set(found)) == len(found)), choices[-1])
    jobs = [Job(source, target) for source, target in zip(roots, targets, strict=True)]
    _check_targets(jobs)
    return jobs


def is_file(out: Path, inputs: Sequence[Path]) -> bool:
    """Tell whether ``out`` is the file to write, by its suffix, and not a folder.

    Args:
        out: where results go; a folder that is there is one, whatever its name.
        inputs: what is translated: images, videos and folders.

    Raises:
        SettingsError: it is a file, but for one result of its kind only.

    Example:
        >>> is_file(Path("no/x.png"), [Path("photo.jpg")]), is_file(Path("no/x"), [Path("photo.jpg")])
        (True, False)
    """
    from i2i.data.folders import EXTENSIONS
    from i2i.video import is_video

    suffix = out.suffix.lower()
    if out.is_dir() or not (is_video(out) or suffix in EXTENSIONS):
        return False
    kind = "video" if is_video(out) else "image"
    if len(inputs) != 1 or inputs[0].is_dir():
        raise SettingsError(f"{out} is a file for one {kind}; name a folder for several")
    if is_video(out) != is_video(inputs[0]):
        raise SettingsError(f"{out} is a file for one {kind}, which {inputs[0]} is not; choose another --out")
    return True


def _plain(source: Path, root: Path, writes: PixelFormat) -> Path:
    return source.relative_to(root).with_suffix(_suffix(source, writes))


def _under(source: Path, root: Path, writes: PixelFormat) -> Path:
    return root.resolve().name / _plain(source, root, writes)


def _whole(source: Path, root: Path, writes: PixelFormat) -> Path:
    relative, suffix = root.resolve().name / source.relative_to(root), _suffix(source, writes)
    return relative if suffix == source.suffix else relative.with_name(source.name + suffix)


def _suffix(source: Path, writes: PixelFormat) -> str:
    from i2i.data.images import can_hold, written_channels

    channels = written_channels(writes)
    if source.suffix.lower() in LOSSLESS and can_hold(source.suffix, channels, writes.depth):
        return source.suffix
    return ".png" if can_hold(".png", channels, writes.depth) else ".tif"


def _check_targets(jobs: Sequence[Job]) -> None:
    target, times = Counter(job.target for job in jobs).most_common(1)[0]
    if times > 1:
        first, second, *_ = (job.source for job in jobs if job.target == target)
        raise DataError(f"{first} and {second} would both be written to {target}; translate them into two folders")
    sources = {job.source.resolve() for job in jobs}
    for job in jobs:
        if job.target.resolve() in sources:
            raise DataError(f"{job.target} would be overwritten by its translation; choose another --out")
