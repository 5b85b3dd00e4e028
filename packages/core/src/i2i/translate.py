"""Images through a generator: any size, in batches, from files to files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Never

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from i2i.engine import backend_flags
from i2i.errors import DataError, I2IError, OutOfMemoryError, SettingsError
from i2i.files import writing
from i2i.fitting import Fitting, Size, brought_to, fitting
from i2i.modes import as_in_training
from i2i.passes import device_of, whole
from i2i.pixels import PixelFormat, formats_of
from i2i.policy import Policy, Precision
from i2i.results import Job, plan
from i2i.room import Room
from i2i.shortage import IN_TRANSLATION, memory_suffices
from i2i.tiles import in_tiles

if TYPE_CHECKING:
    from tqdm import tqdm


class Report(NamedTuple):
    """What `translate_files` did: the files it wrote, and one line for each file that it passed over."""

    written: list[Path]
    skipped: list[str]


class Loaded(NamedTuple):
    """An image on its way.

    Attributes:
        job: from where to where.
        image: what goes through the net, ``(c, h, w)`` in ``[-1, 1]``.
        array: ``(h, w, c)`` where its lightness is needed.
        size: (width, height) of the result.
    """

    job: Job
    image: Tensor
    array: NDArray[Any] | None
    size: Size


def translate(net: nn.Module, image: Tensor, *, precision: Precision = "fp32", tile: int | None = None) -> Tensor:
    """Translate images of any size.

    The images are continued by reflection on all sides, as far as the net's ``multiple`` (and ``smallest``) asks, and
    the result is cropped back. The net runs in the mode (training or eval) it is in; `i2i.load` leaves it in eval mode.

    Args:
        net: a generator.
        image: ``(b, c, h, w)`` in ``[-1, 1]``; it may lie on another device than the net.
        precision: ``"bf16"`` and ``"fp16"`` run under autocast, ``"tf32"`` needs CUDA.
        tile: translate in tiles of this side, one after the other, which takes memory for one tile only; see
            `i2i.tiles.in_tiles`. None: the whole image in one pass.

    Returns:
        ``(b, d, h, w)`` float32 on the device of ``image``, nominally in ``[-1, 1]``, not clamped.

    Raises:
        CompositionError: the net does not keep the size of its image.
        SettingsError: a precision that the device does not have, or a tile that is too small for the net.

    Example:
        >>> from i2i import as_generator
        >>> net = as_generator(nn.Identity())
        >>> translate(net, torch.zeros(1, 3, 5, 7)).shape
        torch.Size([1, 3, 5, 7])
    """
    policy, device = Policy(precision=precision), device_of(net, image)
    with torch.inference_mode(), backend_flags(policy, device), policy.autocast(device):
        return whole(net, image) if tile is None else in_tiles(net, image, tile)


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
    tile: int | None = None,
    train_mode: bool = False,
    fit: bool = False,
) -> Report:
    """Translate image files; one pass of the generator each, images of equal size together.

    Images are read as ``net.reads`` and written as ``net.writes`` (`i2i.PixelFormat`) say, which `i2i.load` sets; a net
    without them reads and writes 8 bits. The result has the name of its source and, without ``size``, its size (upright
    by its EXIF orientation). It is written in the format of the source where that is lossless (PNG, BMP, TIFF, PPM) and
    holds the result; otherwise as PNG, and what PNG does not hold (floats, more than four channels) as TIFF.
    Sub-folders of a given folder are kept. Where two sources would get one name, the name of the given folder is put in
    front, and then the whole source name kept (``photo.jpg.png``).

    Args:
        net: a generator.
        inputs: image files and folders of them.
        out: the folder to write to; or the file, where one image file is given, by its suffix.
        size: the short side is resized to this before translation, the aspect kept; None: native size.
        batch_size: images in one pass.
        precision: see `translate`.
        skip_bad: pass over files that cannot be read instead of stopping.
        reference: cut decimals off as the authors do, instead of rounding.
        tile: see `translate`.
        train_mode: run the net as in training, see `i2i.modes.as_in_training`: each image with its own statistics, and
            with the same dropout each time. The net is left as it was.
        fit: for a net that accepts one size only (``net.size``, height and width): images are resized to it, whatever
            their aspect is, and results back. Of colours that a net adds to lightness only they are resized: lightness
            stays as sharp as it was.

    Returns:
        What was written and what was passed over.

    Raises:
        DataError: no images, a file that cannot be read or, without ``fit``, has a size that the net does not accept
            (named), or a result that would overwrite its source.
        OutOfMemoryError: an image is too large for the device or the host (named); of large ones it is counted before.
        RunError: a result cannot be written.
        SettingsError: ``train_mode`` with ``tile`` or with several images in one pass, ``fit`` with ``size`` or
            ``tile`` or for a net that accepts other sizes; and see `translate`.
    """
    from tqdm import tqdm

    mode = _mode(net, train_mode, batch_size, tile)
    sizes = fitting(net, fit=fit, size=size, tile=tile)
    jobs = plan(inputs, Path(out), formats_of(net)[1])
    if not skip_bad:
        sizes.check_files(job.source for job in jobs)
    report, room = Report([], []), Room(net, precision, tile)
    with tqdm(total=len(jobs), unit="image", desc="translate", disable=None) as bar:
        read = _readable(jobs, sizes, room, skip_bad, report, bar)
        for batch in _equal_sized(read, batch_size):
            with mode():
                made = _translated(net, room, batch, precision, tile)
            _write(batch, made, formats_of(net)[1], reference)
            report.written.extend(loaded.job.target for loaded in batch)
            bar.update(len(batch))
    if not report.written:
        raise DataError(f"none of the {len(jobs)} files can be read; the first: {report.skipped[0]}")
    return report


def _readable(
    jobs: Iterable[Job], sizes: Fitting, room: Room, skip_bad: bool, report: Report, bar: tqdm[Never]
) -> Iterator[Loaded]:
    """Read one image after the other; those that cannot be read are noted or raised."""
    for job in jobs:
        try:
            array = _read(job.source, sizes, room)
        except DataError as error:
            if not skip_bad:
                raise DataError(f"{error}; --skip-bad passes over such files") from error
            report.skipped.append(str(error))
            bar.update(1)
            continue
        yield _loaded(job, array, sizes)


def _read(source: Path, sizes: Fitting, room: Room) -> NDArray[Any]:
    from i2i.data import read_image
    from i2i.data.channels import MisfitError
    from i2i.data.images import read_header

    reads, _ = formats_of(sizes.net)
    try:
        size, depth = read_header(source)
        sizes.check(size, str(source))
        room.check_reading(size, depth, reads, resized=sizes.short is not None)  # with fit, results are as large
        return read_image(source, reads)
    except OutOfMemoryError as error:
        raise OutOfMemoryError(f"{source}: {error}") from error
    except DataError as error:
        if isinstance(misfit := error.__cause__, MisfitError):
            raise DataError(f"{source} {misfit.by_model}") from error
        raise


def _loaded(job: Job, array: NDArray[Any], sizes: Fitting) -> Loaded:
    from i2i.data import resize, to_tensor

    reads, writes = formats_of(sizes.net)
    size = array.shape[1], array.shape[0]
    inside = resize(array, sizes.inside(size))
    lightness = (array if sizes.fit else inside) if writes.colours == "chroma" else None
    return Loaded(job, to_tensor(inside, reads), lightness, sizes.result(size))


def _equal_sized(images: Iterable[Loaded], batch_size: int) -> Iterator[list[Loaded]]:
    """Group images of equal size; not many more than four batches wait at a time."""
    waiting: dict[torch.Size, list[Loaded]] = {}
    for loaded in images:
        group = waiting.setdefault(loaded.image.shape, [])
        group.append(loaded)
        if len(group) == batch_size:
            yield waiting.pop(loaded.image.shape)
        elif sum(map(len, waiting.values())) >= 4 * batch_size:
            yield waiting.pop(max(waiting, key=lambda shape: len(waiting[shape])))
    yield from waiting.values()


def _mode(
    net: nn.Module, train_mode: bool, batch_size: int, tile: int | None
) -> Callable[[], AbstractContextManager[None]]:
    """Return the context for each pass."""
    if not train_mode:
        return nullcontext
    if tile is not None:
        raise SettingsError("--train-mode takes its statistics and its dropout for the whole image; leave out --tile")
    if batch_size > 1:
        raise SettingsError(f"--train-mode would mix the statistics of {batch_size} images; use --batch-size 1")
    return lambda: as_in_training(net, seed=0)


def _translated(net: nn.Module, room: Room, batch: Sequence[Loaded], precision: Precision, tile: int | None) -> Tensor:
    height, width = batch[0].image.shape[-2:]
    try:
        room.check((len(batch), *batch[0].image.shape))
        with memory_suffices(IN_TRANSLATION, lambda: f"{width}x{height} pixels"):
            return translate(net, torch.stack([loaded.image for loaded in batch]), precision=precision, tile=tile)
    except I2IError as error:
        raise type(error)(f"{batch[0].job.source}: {error}") from error


def _write(batch: Sequence[Loaded], made: Tensor, writes: PixelFormat, reference: bool) -> None:
    from i2i.data import write_image

    for (job, _, array, size), image in zip(batch, made, strict=True):
        with writing(job.target, "what was written before is intact"):
            job.target.parent.mkdir(parents=True, exist_ok=True)
            write_image(brought_to(image, size), job.target, writes, source=array, reference=reference)
