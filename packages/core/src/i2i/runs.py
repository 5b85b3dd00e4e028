"""Where the models of a run or a folder lie."""

from __future__ import annotations

from pathlib import Path

from i2i.errors import RunError, SettingsError
from i2i.nearest import nearest


def model_folder(model: str, direction: str | None) -> str:
    """Return which model is meant: ``model`` itself, or that of a run or of a folder of models.

    Args:
        model: a run, a model folder, a folder of several models (as i2i convert makes), or a Hub id.
        direction: the key of a model in a run or folder.

    Raises:
        RunError: the run has no model yet.
        SettingsError: it has none of that name, or ``model`` is no run.
    """
    folder = Path(model)
    is_run = (folder / "settings.toml").is_file()
    models = run_models(folder) if is_run else models_in(folder)
    if not is_run and ("" in models or not models):
        if direction is not None and models:
            raise SettingsError(f"{model} is one model and has no directions; leave --direction out")
        if direction is not None:
            raise SettingsError(
                f"--direction chooses a model of a run, and {model} is no run (it has no settings.toml)"
            )
        return model
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
    return models_in(run / "model")


def models_in(folder: Path) -> dict[str, Path]:
    """Return the models in a folder by key, ``""`` for itself."""
    if (folder / "config.json").is_file():
        return {"": folder}
    return {path.parent.name: path.parent for path in sorted(folder.glob("*/config.json"))}
