"""``i2i singan train-each``: a model for each image of a folder."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from i2i.errors import DataError, I2IError, RunError, SettingsError
from i2i.files import writing
from i2i.settings import LENGTHS, MAY_DIFFER, RunSettings, check_resumed
from i2i.toml import changed, read_settings, write_settings
from i2i_singan.settings import Settings

_RECIPE = "singan"
_SETTINGS = "train-each.toml"  # those of all runs; each run has its own, too


def train_each(
    images: Path,
    /,
    *,
    out: Path,
    config: Path | None = None,
    steps: int | None = None,
    max_size: int | None = None,
    min_size: int | None = None,
    seed: int | None = None,
    device: str | None = None,
    resume: bool = False,
) -> int:
    """Train a model of its own for each image, one after the other, as i2i train singan does for one.

    An image that cannot be used is told, and the others go on.

    Args:
        images: a folder of images.
        out: folder for the runs; that of each has the name of its image.
        config: settings file in TOML with tables [run] and [settings], for all that has no flag here.
        steps: batches of each scale (2000).
        max_size: longer side of the finest scale, in pixels (250).
        min_size: shorter side of the coarsest scale, in pixels (25).
        seed: of the weights and of all noise, the same for each image (0).
        device: auto, cpu, cuda, cuda:N, xpu or mps (auto).
        resume: go on with the runs in --out, with their settings; those that are finished are passed over.

    Returns:
        The exit code: 2 where an image could not be trained on.
    """
    named = name_images(images)
    flags = {"steps": steps, "max_size": max_size, "min_size": min_size, "seed": seed, "device": device}
    changes = {name: value for name, value in flags.items() if value is not None}
    out, data = out.expanduser().absolute(), images.expanduser().absolute()
    settings, run = _chosen(out, data, config, changes, resume=resume)
    if not resume:
        _check_new(out, named)
    with writing(out, "nothing was trained"):
        out.mkdir(parents=True, exist_ok=True)
    write_settings(out / _SETTINGS, _RECIPE, run, settings)
    with _way_on(f"i2i singan train-each {images} --out {out} --resume"):
        failed = [path for index, (name, path) in enumerate(named.items(), 1)
                  if not _trained(settings, run, path, out / name, f"[{index}/{len(named)}] {path}")]  # fmt: skip
    count = len(named) - len(failed)
    print(f"{count} of {len(named)} models are trained: {out}")
    if failed:
        print(f"i2i: not trained: {', '.join(map(str, failed))}; what was wrong is said above", file=sys.stderr)
    return 2 if failed else 0


def name_images(source: Path) -> dict[str, Path]:
    """Return the images of a folder by the names of their runs: the path in the folder, without suffix.

    Raises:
        DataError: there are none, or two have the same name.
    """
    from i2i.data import find_images

    root = source if source.is_dir() else source.parent
    named: dict[str, Path] = {}
    for path in find_images(source):
        name = "-".join(path.relative_to(root).with_suffix("").parts)
        if name in named:
            raise DataError(f"{named[name]} and {path} would both be trained into {name}; rename one of them")
        named[name] = path
    return named


def _chosen(
    out: Path, data: Path, config: Path | None, changes: dict[str, Any], *, resume: bool
) -> tuple[Settings, RunSettings]:
    """Return the settings of all runs: defaults, then those that are resumed, then the file, then the flags."""
    settings, run = Settings(), RunSettings()
    if out.is_file():
        raise RunError(f"{out} is a file, not a folder; choose another --out")
    saved = out / _SETTINGS
    if resume and not saved.is_file():
        raise RunError(f"{out} has no runs to resume (no {_SETTINGS}); leave --resume out to begin them there")
    if resume:
        settings, run = _with(saved, settings, run)
    before = run, settings
    if config is not None:
        settings, run = _with(config, settings, run)
    of_run = {name: value for name, value in changes.items() if name in attrs.fields_dict(RunSettings)}
    settings = attrs.evolve(settings, **{name: value for name, value in changes.items() if name not in of_run})
    run = attrs.evolve(run, **of_run, data=data, out=out, resume=resume)
    if resume:
        check_resumed(before, (run, settings), may_differ=MAY_DIFFER - LENGTHS)  # or no run would go on with them
    return settings, run


def _with(path: Path, settings: Settings, run: RunSettings) -> tuple[Settings, RunSettings]:
    document = read_settings(path)
    if document.recipe not in (None, _RECIPE):
        raise SettingsError(f"{path} is for recipe {document.recipe!r}, not for {_RECIPE!r}")
    settings = changed(settings, document.settings, f"{path}: [settings]")
    return settings, changed(run, document.run, f"{path}: [run]")


def _check_new(out: Path, names: Iterable[str]) -> None:
    there = [name for name in names if (out / name / "settings.toml").is_file()]
    if there or (out / _SETTINGS).is_file():
        held = f" (the first of them {there[0]})" if there else ""
        raise RunError(f"{out} holds runs already{held}; go on with them: --resume, or choose another --out")


@contextmanager
def _way_on(command: str) -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        print(f"go on with all images: {command}", file=sys.stderr)
        raise


def _trained(settings: Settings, run: RunSettings, image: Path, out: Path, title: str) -> bool:
    """Train on one image, or go on with it; tell whether that was possible."""
    from i2i.training import train

    begun = run.resume and (out / "settings.toml").is_file()
    own = attrs.evolve(run, data=image.absolute(), out=out, resume=begun)
    print(title, flush=True)
    try:
        train(_RECIPE, settings, own)
    except I2IError as error:
        print(f"i2i: error: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
        return False
    return True
