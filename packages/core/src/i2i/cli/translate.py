"""``i2i translate``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from i2i.errors import RunError, SettingsError
from i2i.nearest import nearest


def translate(
    model: str,
    images: tuple[Path, ...],
    /,
    *,
    out: Path,
    direction: str | None = None,
    size: int | None = None,
    batch_size: int = 1,
    device: str = "auto",
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = "fp32",
    skip_bad: bool = False,
    reference: bool = False,
) -> None:
    """Translate images; names and native sizes are kept.

    Args:
        model: a run, a model folder, or a Hub id such as owner/name.
        images: image files and folders of them.
        out: folder for the results.
        direction: which model of a run, for example b2a; the first (a2b) when left out.
        size: resize the short side to this before translation, keeping the aspect; native size when left out.
        batch_size: images of equal size that go through the model together.
        device: auto, cpu, cuda, cuda:N, xpu or mps.
        precision: number format of the model; auto takes bf16 where the device is fast in it.
        skip_bad: pass over files that are no images or cannot be read, instead of stopping.
        reference: cut decimals of the 8-bit result off, as the authors' code does, instead of rounding.
    """
    for name, value in (("size", size), ("batch_size", batch_size)):
        if value is not None and value < 1:
            raise SettingsError(f"{name} (={value}) must be at least 1")
    if not images:
        raise SettingsError("which images? i2i translate MODEL IMAGE_OR_FOLDER... --out DIR")
    found = model_folder(model, direction)
    from i2i.models import load
    from i2i.policy import best_precision
    from i2i.training import usable_device
    from i2i.translate import translate_files

    place = usable_device(device)
    report = translate_files(
        load(found, device=place),
        images,
        out,
        size=size,
        batch_size=batch_size,
        precision=best_precision(place) if precision == "auto" else precision,
        skip_bad=skip_bad,
        reference=reference,
    )
    for line in report.skipped:
        print(f"i2i: skipped: {line}", file=sys.stderr)
    print(f"{len(report.written)} images translated by {found}: {out}")


def model_folder(model: str, direction: str | None) -> str:
    """Return which model is meant: ``model`` itself, or that of a run.

    Args:
        model: a run, a model folder, or a Hub id.
        direction: the key of a model in a run.

    Raises:
        RunError: the run has no model yet.
        SettingsError: it has none of that name, or ``model`` is no run.
    """
    folder = Path(model)
    if not (folder / "settings.toml").is_file():
        if direction is not None:
            raise SettingsError(
                f"--direction chooses a model of a run, and {model} is no run (it has no settings.toml)"
            )
        return model
    models = run_models(folder)
    if not models:
        raise RunError(f"{model} has no model yet; the first is saved with the first checkpoint")
    name = direction if direction is not None else min(models)
    if name not in models:
        named = [key for key in models if key]
        hint = nearest(name, named) if named else "it has one only, leave --direction out"
        raise SettingsError(f"{model} has no model for direction {name!r}; {hint}")
    return str(models[name])


def run_models(run: Path) -> dict[str, Path]:
    """Return the models of a run by key: ``""`` for one alone, otherwise for example a2b and b2a."""
    folder = run / "model"
    if (folder / "config.json").is_file():
        return {"": folder}
    return {path.parent.name: path.parent for path in sorted(folder.glob("*/config.json"))}
