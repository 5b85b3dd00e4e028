"""``i2i translate``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from i2i.errors import SettingsError
from i2i.fitting import check_alone, fitting
from i2i.pixels import TAKEN
from i2i.runs import model_folder

if TYPE_CHECKING:
    from torch import nn

    from i2i.policy import Precision

_LARGEST = 16384  # pixels of the short side, as for load_size in training


def translate(
    model: str,
    images: tuple[Path, ...],
    /,
    *,
    out: Path,
    direction: str | None = None,
    size: int | None = None,
    fit: bool = False,
    tile: int | None = None,
    batch_size: int = 1,
    device: str = "auto",
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = "fp32",
    skip_bad: bool = False,
    reference: bool = False,
    train_mode: bool = False,
) -> None:
    """Translate images and videos; names and native sizes are kept.

    Args:
        model: a run, a model folder, or a Hub id such as owner/name.
        images: image files and folders of them; videos and GIFs, which keep frame times and sound.
        out: folder for the results, or the file to write where one image or video is translated.
        direction: which model of a run, for example b2a; the first (a2b) when left out.
        size: resize the short side to this before translation, keeping the aspect; native size when left out.
        fit: resize each image to the only size that the model accepts, and the result back to that of the image.
        tile: translate large images in tiles of this side, to save memory; colours may differ a little.
        batch_size: images of equal size, or frames, that go through the model together.
        device: auto, cpu, cuda, cuda:N, xpu or mps.
        precision: number format of the model; auto takes bf16 where the device is fast in it.
        skip_bad: pass over files that are no images or cannot be read, instead of stopping.
        reference: cut decimals of the 8-bit result off, as the authors' code does, instead of rounding.
        train_mode: run the model as in training, with dropout and the statistics of each image, as pix2pix is tested.
    """
    for name, value in (("--size", size), ("--batch-size", batch_size)):
        if value is not None and value < 1:
            raise SettingsError(f"{name} (={value}) must be at least 1")
    if size is not None and size > _LARGEST:
        raise SettingsError(f"--size (={size}) must be at most {_LARGEST}")
    check_alone(fit=fit, size=size, tile=tile)
    if not images:
        raise SettingsError("which images? i2i translate MODEL IMAGE_OR_FOLDER... --out DIR")
    found = model_folder(model, direction)
    from i2i.devices import usable_device
    from i2i.models import load
    from i2i.policy import best_precision
    from i2i.results import is_file
    from i2i.tiles import approximation
    from i2i.translate import translate_files
    from i2i.video import is_video, targets

    videos = [path for path in images if is_video(path)]
    pictures = [path for path in images if not is_video(path)]
    if videos and train_mode:
        raise SettingsError(f"--train-mode is for images, not for videos such as {videos[0]}; leave it out")
    is_file(out, images)  # or it is said before the model is loaded that it cannot be
    films = targets(videos, out, alone=not pictures)
    place = usable_device(device)
    net = load(found, device=place)
    _check_translates(net, found)
    fitting(net, fit=fit, size=size, tile=tile)
    if tile is not None and (line := approximation(net, tile)):
        print(f"i2i: {line}", file=sys.stderr)
    number_format = best_precision(place) if precision == "auto" else precision
    if films:
        _translate_videos(net, films, size, batch_size, number_format, tile, reference, fit)
    if not pictures:
        return
    report = translate_files(
        net,
        pictures,
        out,
        size=size,
        batch_size=batch_size,
        precision=number_format,
        skip_bad=skip_bad,
        reference=reference,
        tile=tile,
        train_mode=train_mode,
        fit=fit,
    )
    for line in report.skipped:
        print(f"i2i: skipped: {line}", file=sys.stderr)
    count = len(report.written)
    print(f"{count} image{'s' * (count != 1)} translated by {found}: {out}")


def _check_translates(net: nn.Module, model: str) -> None:
    taken = TAKEN.get(getattr(net, "takes", None) or "")
    if taken is None:
        return
    from i2i.registry import help_for, part_of

    raise SettingsError(
        f"{model} makes images of {taken} and translates none; {help_for(part_of(net))} lists what it can make"
    )


def _translate_videos(
    net: nn.Module,
    films: Mapping[Path, Path],
    size: int | None,
    batch_size: int,
    precision: Precision,
    tile: int | None,
    reference: bool,
    fit: bool,
) -> None:
    from i2i.video import frames_through, translate_video

    run = frames_through(net, precision=precision, tile=tile, reference=reference, fit=fit)
    for source, target in films.items():
        report = translate_video(run, source, target, size=size, batch_size=batch_size)
        flicker = "nothing stands still in it"
        if report.flicker is not None:
            flicker = f"flicker {report.flicker:.1f} levels of 255 where the source stands still"
            flicker += f" ({report.source_flicker:.1f} there)"
        print(f"{source}: {report.frames} frames at {report.rate:.4g} per second, {flicker}: {target}")
