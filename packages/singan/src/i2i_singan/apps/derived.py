"""Models that an application needs beside the one it is given: trained on the same picture with other settings.

They are runs of their own, kept beside the model, so that each is trained once: of ``RUN/model`` the one for
super-resolution by 4 is ``RUN/super-resolution-4``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from i2i.engine import locked
from i2i.errors import RunError, SettingsError
from i2i.files import write_file, writing
from i2i.pixels import formats_of
from i2i.settings import RunSettings, flag
from i2i.toml import changed, read_settings, write_settings
from i2i.training import train
from i2i_singan.files import load_model, write
from i2i_singan.model import PyramidGenerator
from i2i_singan.settings import Settings

_RECIPE = "singan"
_SETTINGS = "settings.toml"
_FINISHED = "finished"  # an empty file: a kill may fall between the last checkpoint and the model
_SAME = 0.02  # of a range of 2: what the depth of the file and 8 bits between scales may change


def derived(
    model: str | Path, name: str, changes: Mapping[str, Any], *, steps: int | None = None, device: str = "auto"
) -> PyramidGenerator:
    """Return the model that is trained on the picture of ``model`` with other settings.

    It is trained into ``folder_of(model, name)``, unless it is there already. A run that was stopped or killed is gone
    on with. All other settings and the seed are those of the run of ``model``.

    Args:
        model: a model of SinGAN, ``RUN/model``, or its run.
        name: of the run beside it, for example ``"animation"``.
        changes: the settings of the recipe in which it differs.
        steps: batches of each scale; None: as many as it was begun with, or at first as the run of ``model`` has.
        device: auto, cpu, cuda, cuda:N, xpu or mps.

    Returns:
        The trained model, in eval mode on the device.

    Raises:
        ModelError: ``model`` is no model of SinGAN.
        RunError: the run of that name has other settings or another picture, or is in use.
        SettingsError: a setting is out of range, or there is no such device.
    """
    source, folder = load_model(str(model), "cpu"), folder_of(model, name)
    settings = settings_of(model, source, {**changes, "quantised_scale": None}, steps=_steps(folder, steps))
    if not _finished(folder, settings):
        with locked(folder):
            _train(model, folder, _write_pictures(source, folder), settings, device)
    return _loaded(folder, source, device)


def quantised_model(
    model: str | Path, scale: int, colours: int, *, steps: int | None = None, device: str = "auto"
) -> PyramidGenerator:
    """Return ``model`` with one scale trained anew on images in a few colours; see `i2i_singan.quantised`.

    It is kept as `derived` keeps its models, as ``RUN/paint-SCALE-COLOURS``.

    Args:
        model: a model of SinGAN, ``RUN/model``, or its run.
        scale: which one, 1 (the coarsest but one) and up.
        colours: how many.
        steps: batches; None: as many as it was begun with, or at first as the run of ``model`` has for each scale.
        device: auto, cpu, cuda, cuda:N, xpu or mps.

    Raises:
        I2IError: see `derived`.
    """
    source, folder = load_model(str(model), "cpu"), folder_of(model, f"paint-{scale}-{colours}")
    changes = {"quantised_scale": scale, "colours": colours}
    settings = settings_of(model, source, changes, steps=_steps(folder, steps))
    if not _finished(folder, settings):
        with locked(folder):
            _train(model, folder, Path(model).absolute(), settings, device)
    return _loaded(folder, source, device)


def folder_of(model: str | Path, name: str) -> Path:
    """Return where the run ``name`` beside a model is kept: in the run of the model, else next to the model.

    Raises:
        SettingsError: the model lies in no folder here, but for example on the Hub.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "cow").mkdir()
        >>> folder_of(folder / "cow", "animation") == folder / "cow-animation"
        True
    """
    path, run = Path(model).absolute(), _run_folder(model)
    if not path.is_dir():
        raise SettingsError(
            f"{model} is no folder here, and what is trained for this is kept beside the model; fetch the model first"
        )
    return path.with_name(f"{path.name}-{name}") if run is None else run / name


def settings_of(
    model: str | Path, loaded: PyramidGenerator, changes: Mapping[str, Any], *, steps: int | None = None
) -> Settings:
    """Return the settings of the run of a model, with changes; the defaults where it belongs to no run.

    Args:
        model: its folder, or that of its run.
        loaded: itself; its picture keeps channels, levels and size.
        changes: settings that differ.
        steps: batches of each scale, where they differ.

    Raises:
        SettingsError: a setting is out of range.
    """
    settings, run = Settings(), _run_folder(model)
    if run is not None:
        document = read_settings(run / _SETTINGS)
        settings = changed(settings, document.settings, f"{run / _SETTINGS}: [settings]")
    kept: dict[str, Any] = {
        "channels": loaded.in_channels,
        "range": formats_of(loaded)[0].range,
        "max_size": max(settings.max_size, *loaded.sizes[-1]),
        "steps": settings.steps if steps is None else steps,
    }
    return attrs.evolve(settings, **kept, **changes)


def _run_folder(model: str | Path) -> Path | None:
    """The run that a model belongs to; None for one of no run of SinGAN."""
    path = Path(model).absolute()
    run = path.parent if path.name == "model" and not (path / _SETTINGS).is_file() else path
    return run if (run / _SETTINGS).is_file() and read_settings(run / _SETTINGS).recipe == _RECIPE else None


def _steps(folder: Path, asked: int | None) -> int | None:
    """Return the batches that were asked for, or else those of the run that is there; None without one."""
    path = folder / _SETTINGS
    if asked is not None or not path.is_file():
        return asked
    return changed(Settings(), read_settings(path).settings, f"{path}: [settings]").steps


def _finished(folder: Path, settings: Settings) -> bool:
    """Tell whether there is nothing left to train.

    Raises:
        RunError: what is there was made with other settings.
    """
    path = folder / _SETTINGS
    if not path.is_file():
        return False
    before = changed(Settings(), read_settings(path).settings, f"{path}: [settings]")
    for name, new in attrs.asdict(settings).items():
        old = getattr(before, name)
        if old != new:
            use = f"use it with --steps {old}, or remove it" if name == "steps" else "remove it"
            raise RunError(f"{folder} was begun with {flag(name)} {old}, not {new}; {use} to have it trained anew")
    return (folder / _FINISHED).is_file()


def _train(model: str | Path, folder: Path, data: Path, settings: Settings, device: str) -> None:
    source, run = _run_folder(model), RunSettings()
    if source is not None:
        run = changed(run, read_settings(source / _SETTINGS).run, f"{source / _SETTINGS}: [run]")
    run = attrs.evolve(run, data=data, out=folder, device=device, resume=True)
    print(f"this takes a model of its own, which is kept for the next time: {folder}", flush=True)
    # A run with settings but no checkpoint is one that was killed before its first: it is begun.
    write_settings(folder / _SETTINGS, _RECIPE, run, settings)
    train(_RECIPE, settings, run)
    with writing(folder / _FINISHED, "the run is intact"):
        write_file(folder / _FINISHED, lambda file: None)


def _loaded(folder: Path, source: PyramidGenerator, device: str) -> PyramidGenerator:
    model = load_model(str(folder), device)
    now, then = source[-1].image, model[-1].image.cpu()
    if now.shape != then.shape or bool((now - then).abs().max() > _SAME):
        raise RunError(f"{folder} was trained on another picture than this model; remove it to have it trained anew")
    return model


def _write_pictures(source: PyramidGenerator, folder: Path) -> Path:
    """Write the training image at its depth, or several of them into a folder; return what they are written to."""
    images = source[-1].image
    if len(images) == 1:
        return write(images, folder, ["picture"], source)[0]
    write(images, folder / "pictures", [f"{index:04}" for index in range(len(images))], source)
    return folder / "pictures"
