"""``i2i ugatit attention``: class activation maps, laid over the images in which they were found."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from i2i.errors import DataError, SettingsError

if TYPE_CHECKING:
    from torch import Tensor

    from i2i.fitting import Fitting
    from i2i_ugatit.findings import Found
    from i2i_ugatit.viewers import Viewer

_STRENGTH = 0.5
_NOTES = "attention.json"
_PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")


def attention(
    model: str,
    images: tuple[Path, ...],
    /,
    *,
    out: Path,
    direction: str | None = None,
    judges: bool = False,
    strength: float | None = None,
    raw: bool = False,
    fit: bool = False,
    skip_bad: bool = False,
    device: str = "auto",
) -> None:
    """Show where a model looks: its class activation maps, laid over the images.

    Args:
        model: a run, a model folder (of a generator or a discriminator), or a Hub id such as owner/name.
        images: image files and folders of them.
        out: folder for the results: NAME.png for each image, and attention.json.
        direction: which model of a run, for example b2a; the first (a2b) when left out.
        judges: show also where the discriminator looks that judges such images; it is in the checkpoint of the run.
        strength: how much of the result is heat map, 0 to 1; 0.5 when left out.
        raw: write the maps themselves, in 16 bits of grey from lowest to highest, instead of laying them over the
            images.
        fit: resize each image to the only size that the model accepts, and the map back to that of the image.
        skip_bad: pass over files that are no images, cannot be read or are too small, instead of stopping.
        device: auto, cpu, cuda, cuda:N, xpu or mps.
    """
    _check(images, out, strength, raw)
    jobs = _jobs(images, out)
    from i2i.devices import usable_device
    from i2i.fitting import fitting
    from i2i_ugatit.viewers import load_viewers

    viewers = load_viewers(model, direction, judge=judges, device=usable_device(device))
    sizes = fitting(viewers[0].net, fit=fit)
    taken = {source.resolve() for source in jobs}
    if not viewers[0].judges:  # the maps of judges have further names, which are known when there are maps
        _check_free(jobs.values(), taken)
    rows: list[dict[str, Any]] = []
    for source, image, found in _looks(jobs, sizes, viewers, skip_bad=skip_bad):
        maps = dict(zip(_places(jobs[source], found, taken), found, strict=True))
        for path, each in maps.items():
            _write(image, each.heatmap, path, strength, raw=raw)
        noted = {path.relative_to(out).as_posix(): each.as_json() for path, each in maps.items()}
        rows.append({"image": str(source), "size": [image.shape[3], image.shape[2]], "maps": noted})
        print(f"{source}: {'; '.join(map(str, found))}", flush=True)
    if not rows:
        raise DataError(f"none of the {len(jobs)} images can be used; name others")
    _note(out, {"model": model, "images": rows})
    count = sum(len(row["maps"]) for row in rows)
    print(f"{count} map{'s' * (count != 1)} of {len(rows)} image{'s' * (len(rows) != 1)}: {out}")


def _looks(
    jobs: Iterable[Path], sizes: Fitting, viewers: Sequence[Viewer], *, skip_bad: bool
) -> Iterator[tuple[Path, Tensor, list[Found]]]:
    """Let the viewers look at one image after the other, once it is known that all of them can be used."""
    from i2i.data import header_size
    from i2i_ugatit.findings import look_at
    from i2i_ugatit.viewers import check_size

    usable: list[Path] = []
    for source in jobs:
        with _passing(skip_bad):
            check_size(source, header_size(source), sizes, viewers)
            usable.append(source)
    for source in usable:
        seen: list[tuple[Tensor, list[Found]]] = []
        with _passing(skip_bad):
            seen.append(look_at(source, sizes, viewers))
        yield from ((source, image, found) for image, found in seen)


@contextmanager
def _passing(skip_bad: bool) -> Iterator[None]:
    """Pass over a bad file and say so, or say how it could be passed over."""
    try:
        yield
    except DataError as error:
        if not skip_bad:
            raise DataError(f"{error}; --skip-bad passes over such files") from error
        print(f"i2i: skipped: {error}", file=sys.stderr)


def _check(images: Sequence[Path], out: Path, strength: float | None, raw: bool) -> None:
    if not images:
        raise SettingsError("which images? i2i ugatit attention MODEL IMAGE_OR_FOLDER... --out DIR")
    if out.exists() and not out.is_dir():
        raise SettingsError(f"--out {out} is a file; name a folder for the results")
    if out.suffix.lower() in _PICTURES and not out.exists():
        raise SettingsError(f"--out {out} is named like an image; name a folder for the results")
    if strength is not None and not 0 <= strength <= 1:
        raise SettingsError(f"--strength (={strength:g}) must lie between 0 and 1")
    if strength is not None and raw:
        raise SettingsError(f"--strength (={strength:g}) is for maps laid over images, not for --raw; leave one out")


def _jobs(images: Sequence[Path], out: Path) -> dict[Path, Path]:
    """Return each image, once, with the PNG file that is named after it."""
    from i2i.data import find_images

    roots: dict[Path, Path] = {}
    for given in images:
        for source in find_images(given):
            roots.setdefault(source, given if given.is_dir() else given.parent)
    targets = [out / source.relative_to(root).with_suffix(".png") for source, root in roots.items()]
    if len(set(targets)) < len(targets):  # photo.jpg and photo.png, or two folders with equal names in them
        names = ((root.resolve().name, source.relative_to(root)) for source, root in roots.items())
        targets = [out / folder / path.with_name(f"{path.name}.png") for folder, path in names]
    if len(set(targets)) < len(targets):
        raise DataError("two images have the same name in folders of the same name; show them one after the other")
    return dict(zip(roots, targets, strict=True))


def _places(target: Path, found: Sequence[Found], taken: set[Path]) -> list[Path]:
    """Return the file for each map of an image, and note that it is taken."""
    paths = [target.with_name(f"{target.stem}-{each.name}.png") if each.name else target for each in found]
    _check_free(paths, taken)
    taken |= {path.resolve() for path in paths}
    return paths


def _check_free(targets: Iterable[Path], taken: set[Path]) -> None:
    """Check that no map is written over an image that is looked at, or over another map."""
    for target in targets:
        if target.resolve() in taken:
            raise DataError(f"{target} would be overwritten by a map; choose another --out, or show fewer images")


def _write(image: Tensor, heatmap: Tensor, path: Path, strength: float | None, *, raw: bool) -> None:
    from i2i.data import write_image
    from i2i.files import writing
    from i2i.pixels import PixelFormat
    from i2i_ugatit.heatmaps import overlay, unit_range

    if raw:
        picture, pixels = unit_range(heatmap) * 2 - 1, PixelFormat(channels=1, depth=16)
    else:
        picture = overlay(image, heatmap, strength=_STRENGTH if strength is None else strength)
        pixels = PixelFormat()
    with writing(path, "what was written before is intact"):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(picture[0], path, pixels)


def _note(out: Path, notes: dict[str, Any]) -> None:
    from i2i.files import write_file, writing

    path = out / _NOTES
    with writing(path, "the maps are written"):
        write_file(path, lambda file: file.write(json.dumps(notes, indent=1).encode()))
