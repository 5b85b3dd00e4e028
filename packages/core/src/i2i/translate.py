"""Images through a generator: any size, in batches, from files to files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from i2i.engine import backend_flags
from i2i.errors import CompositionError, DataError, I2IError
from i2i.files import writing
from i2i.policy import Policy, Precision

# What can be written without loss keeps its suffix, everything else becomes a PNG.
LOSSLESS = (".png", ".bmp", ".tif", ".tiff", ".ppm")


class Report(NamedTuple):
    """What `translate_files` did: the files it wrote, and one line for each file that it passed over."""

    written: list[Path]
    skipped: list[str]


class Job(NamedTuple):
    """One file to translate and the file to write."""

    source: Path
    target: Path


def translate(net: nn.Module, image: Tensor, *, precision: Precision = "fp32") -> Tensor:
    """Translate images of any size.

    The images are continued by reflection on all sides, as far as the net's ``multiple`` (and ``smallest``) asks, and
    the result is cropped back. The net runs in the mode (training or eval) it is in; `i2i.load` leaves it in eval mode.

    Args:
        net: a generator.
        image: ``(b, c, h, w)`` in ``[-1, 1]``, on the device of the net.
        precision: ``"bf16"`` and ``"fp16"`` run under autocast, ``"tf32"`` needs CUDA.

    Returns:
        ``(b, d, h, w)`` float32, nominally in ``[-1, 1]``, not clamped.

    Raises:
        CompositionError: the net does not keep the size of its image.
        SettingsError: a precision that the device does not have.

    Example:
        >>> from i2i import as_generator
        >>> net = as_generator(nn.Identity())
        >>> translate(net, torch.zeros(1, 3, 5, 7)).shape
        torch.Size([1, 3, 5, 7])
    """
    height, width = image.shape[-2:]
    (top, rows), (left, columns) = (_padded(size, net) for size in (height, width))
    policy = Policy(precision=precision)
    with torch.inference_mode(), backend_flags(policy, image.device), policy.autocast(image.device):
        padded = _reflected(_reflected(image, -2, top, rows), -1, left, columns)
        made: Tensor = net(padded).image
    if made.shape[-2:] != padded.shape[-2:]:
        raise CompositionError(
            f"the net makes {tuple(made.shape[-2:])} of an image of {tuple(padded.shape[-2:])}; "
            "only nets that keep the size can translate files"
        )
    return made[..., top : top + height, left : left + width].float()


def _padded(size: int, net: nn.Module) -> tuple[int, int]:
    """Return how much is put in front, and the whole length."""
    multiple, smallest = getattr(net, "multiple", 1), getattr(net, "smallest", 1)
    whole = -(-max(size, smallest) // multiple) * multiple
    return (whole - size) // 2, whole


def _reflected(image: Tensor, dim: int, before: int, whole: int) -> Tensor:
    """Continue ``image`` along ``dim`` by reflection about its outermost pixels, as often as it takes."""
    size = image.shape[dim]
    if whole == size:
        return image
    # Unlike torch's own reflection this goes on when the padding is longer than the image.
    place = torch.arange(-before, whole - before, device=image.device)
    place = place.remainder(max(2 * (size - 1), 1))
    return image.index_select(
        dim, torch.minimum(place, 2 * (size - 1) - place) if size > 1 else torch.zeros_like(place)
    )


def translate_files(
    net: nn.Module,
    inputs: Sequence[str | Path],
    out: str | Path,
    *,
    size: int | None = None,
    batch_size: int = 1,
    precision: Precision = "fp32",
    skip_bad: bool = False,
    reference: bool = False,
) -> Report:
    """Translate image files; one pass of the generator each, images of equal size together.

    The result has the name of its source and, without ``size``, its size (upright by its EXIF orientation). It is
    written in the format of the source where that is lossless (PNG, BMP, TIFF, PPM) and as PNG otherwise. Sub-folders
    of a given folder are kept. Where two sources would get one name, the name of the given folder is put in front,
    and then the whole source name kept (``photo.jpg.png``).

    Args:
        net: a generator; ``in_channels`` (1 or 3, default 3) says how images are read.
        inputs: image files and folders of them.
        out: the folder to write to.
        size: the short side is resized to this before translation, the aspect kept; None: native size.
        batch_size: images in one pass.
        precision: see `translate`.
        skip_bad: pass over files that cannot be read instead of stopping.
        reference: cut decimals off as the authors do, instead of rounding.

    Returns:
        What was written and what was passed over.

    Raises:
        DataError: no images, a file that cannot be read (named), or a result that would overwrite its source.
        RunError: a result cannot be written.
    """
    from tqdm import tqdm

    jobs = plan(inputs, Path(out))
    report = Report([], [])
    with tqdm(total=len(jobs), unit="image", desc="translate", disable=None) as bar:
        read = _readable(jobs, getattr(net, "in_channels", None) or 3, size, skip_bad, report, bar.update)
        for batch in _equal_sized(read, batch_size):
            _translate_batch(net, batch, precision, reference)
            report.written.extend(job.target for job, _ in batch)
            bar.update(len(batch))
    if not report.written:
        raise DataError(f"none of the {len(jobs)} files can be read; the first: {report.skipped[0]}")
    return report


def plan(inputs: Sequence[str | Path], out: Path) -> list[Job]:
    """Find the images and choose a name for each result; nothing is read or written.

    Raises:
        DataError: no images, two sources for one result, or a result that would overwrite a source.
    """
    from i2i.data import find_images

    roots: dict[Path, Path] = {}
    for given in map(Path, inputs):
        for source in find_images(given):
            roots.setdefault(source, given if given.is_dir() else given.parent)
    if not roots:
        raise DataError("no image or folder was named")
    choices = [[out / name(source, root) for source, root in roots.items()] for name in (_plain, _under, _whole)]
    # The first way of naming that gives each source a name of its own.
    targets = next((found for found in choices if len(set(found)) == len(found)), choices[-1])
    jobs = [Job(source, target) for source, target in zip(roots, targets, strict=True)]
    _check_targets(jobs)
    return jobs


def _plain(source: Path, root: Path) -> Path:
    relative = source.relative_to(root)
    return relative if source.suffix.lower() in LOSSLESS else relative.with_suffix(".png")


def _under(source: Path, root: Path) -> Path:
    return root.resolve().name / _plain(source, root)


def _whole(source: Path, root: Path) -> Path:
    relative = root.resolve().name / source.relative_to(root)
    return relative if source.suffix.lower() in LOSSLESS else relative.with_name(source.name + ".png")


def _check_targets(jobs: Sequence[Job]) -> None:
    target, times = Counter(job.target for job in jobs).most_common(1)[0]
    if times > 1:
        first, second, *_ = (job.source for job in jobs if job.target == target)
        raise DataError(f"{first} and {second} would both be written to {target}; translate them into two folders")
    sources = {job.source.resolve() for job in jobs}
    for job in jobs:
        if job.target.resolve() in sources:
            raise DataError(f"{job.target} would be overwritten by its translation; choose another --out")


def _readable(
    jobs: Iterable[Job],
    channels: int,
    size: int | None,
    skip_bad: bool,
    report: Report,
    advance: Callable[[int], object],
) -> Iterator[tuple[Job, Tensor]]:
    """Read one image after the other, ``(c, h, w)``; those that cannot be read are noted or raised."""
    from i2i.data import read_image, to_tensor

    for job in jobs:
        try:
            image = read_image(job.source, channels)
        except DataError as error:
            if not skip_bad:
                raise
            report.skipped.append(str(error))
            advance(1)
            continue
        if size is not None:
            scale = size / min(image.size)
            image = image.resize(tuple(max(round(side * scale), 1) for side in image.size))  # type: ignore[arg-type]
        yield job, to_tensor(image)


def _equal_sized(images: Iterable[tuple[Job, Tensor]], batch_size: int) -> Iterator[list[tuple[Job, Tensor]]]:
    """Group images of equal size; not many more than four batches wait at a time."""
    waiting: dict[torch.Size, list[tuple[Job, Tensor]]] = {}
    for job, image in images:
        group = waiting.setdefault(image.shape, [])
        group.append((job, image))
        if len(group) == batch_size:
            yield waiting.pop(image.shape)
        elif sum(map(len, waiting.values())) >= 4 * batch_size:
            yield waiting.pop(max(waiting, key=lambda shape: len(waiting[shape])))
    yield from waiting.values()


def _translate_batch(
    net: nn.Module, batch: Sequence[tuple[Job, Tensor]], precision: Precision, reference: bool
) -> None:
    from i2i.data import write_image

    device = next((parameter.device for parameter in net.parameters()), torch.device("cpu"))
    images = torch.stack([image for _, image in batch]).to(device)
    try:
        made = translate(net, images, precision=precision)
    except I2IError as error:
        raise type(error)(f"{batch[0][0].source}: {error}") from error
    for (job, _), image in zip(batch, made, strict=True):
        with writing(job.target, "what was written before is intact"):
            job.target.parent.mkdir(parents=True, exist_ok=True)
            write_image(image, job.target, reference=reference)
