"""``i2i train``."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import attrs

from i2i.cli.flags import parse, record_flags, validate
from i2i.entries import RecipeEntry
from i2i.errors import RunError, SettingsError
from i2i.registry import recipe, registry
from i2i.settings import RunSettings
from i2i.toml import Document, changed, read_settings

USAGE = """usage: i2i train RECIPE --data DIR --out RUN [--config FILE.toml] [any setting]
       i2i train --config FILE.toml --out RUN
       i2i train --resume --out RUN

Train a recipe. `i2i train RECIPE --help` shows all settings, their meaning and defaults.
Order: defaults < --config < flags. A settings file may name the recipe too. --resume takes all settings from the run.
"""


def main(argv: Sequence[str]) -> int:
    """Train as the arguments say.

    Raises:
        I2IError: a mistake in the arguments, the settings file or the data.
    """
    named = argv[0] if argv and not argv[0].startswith("-") else None
    flags = argv[1:] if named else argv
    asked = any(flag in ("-h", "--help") for flag in flags)
    if not named and (asked or not argv):
        return _usage()
    entry, settings, run = arguments(named, flags, resume="--resume" in flags and not asked)
    from i2i.training import train

    train(entry.name, settings, run)
    return 0


def _usage() -> int:
    entries = registry().tables.recipes.all()
    print(USAGE + "\nrecipes:\n" + "\n".join(f"  {entry.name}  ({entry.distribution})" for entry in entries))
    return 0


def arguments(named: str | None, flags: Sequence[str], *, resume: bool) -> tuple[RecipeEntry, Any, RunSettings]:
    """Return the recipe and its settings: defaults, then what a resumed run holds, then --config, then flags."""
    config = _value(flags, "--config")
    document = read_settings(Path(config)) if config else None
    saved = _saved(_value(flags, "--out")) if resume else None
    if saved and named and saved.recipe != named:
        raise RunError(f"{_value(flags, '--out')} is a run of {saved.recipe!r}, not of {named!r}; leave the recipe out")
    entry = _recipe(named, saved, document)
    run, settings = RunSettings(), entry.settings()()
    if saved:
        run, settings = _with(saved, run, settings, f"{_value(flags, '--out')}/settings.toml")
    if config and document:
        if document.recipe not in (None, entry.name):
            raise SettingsError(f"{config} is for recipe {document.recipe!r}, not for {entry.name!r}")
        run, settings = _with(document, run, settings, config)
    run, settings = parsed(entry, flags, run, _by_one_length(flags, settings))
    return entry, settings, run


def _recipe(named: str | None, *documents: Document | None) -> RecipeEntry:
    """Return the recipe that is named, or else that of the first file that names one."""
    for name in (named, *(document.recipe for document in documents if document)):
        if name:
            return recipe(name)
    known = ", ".join(registry().tables.recipes.names()) or "none"
    raise SettingsError(f"name the recipe first: i2i train RECIPE ... (recipes: {known})")


def _by_one_length(flags: Sequence[str], settings: Any) -> Any:
    """Let ``--epochs`` say how long the run is: ``steps`` of a file or of the run before must not overrule it."""
    if _value(flags, "--epochs") is None:
        return settings
    if _value(flags, "--steps") is not None:
        raise SettingsError("--steps and --epochs both say how long the run is; give one of them")
    steps = attrs.fields_dict(type(settings)).get("steps")
    if steps is None or steps.default not in (None, ()):
        return settings
    return attrs.evolve(settings, steps=steps.default)


def _saved(out: str | None) -> Document:
    if out is None:
        raise RunError("--resume needs the run: --out RUN")
    path = Path(out, "settings.toml")
    if Path(out).is_file():
        raise RunError(f"{out} is a file, not the folder of a run")
    if not path.is_file():
        raise RunError(f"{out} is no run to resume (it has no settings.toml); leave --resume out to begin one there")
    return read_settings(path)


def _value(flags: Sequence[str], name: str) -> str | None:
    """Return the last value of a flag before the flags are parsed: which ones there are depends on it."""
    found = None
    for index, flag in enumerate(flags):
        if flag.startswith(f"{name}="):
            found = flag.partition("=")[2]
        elif flag == name and index + 1 < len(flags):
            found = flags[index + 1]
    return found


def _with(document: Document, run: RunSettings, settings: Any, where: str) -> tuple[RunSettings, Any]:
    run = changed(run, document.run, f"{where}: [run]")
    return absolute(run), absolute(changed(settings, document.settings, f"{where}: [settings]"))


def parsed(entry: RecipeEntry, flags: Sequence[str], run: RunSettings, settings: Any) -> tuple[RunSettings, Any]:
    """Change settings by flags; one flat list of flags for both records."""
    import tyro

    flat = tyro.conf.arg(name="")
    config: Any = Annotated[Path | None, tyro.conf.arg(help="Settings file in TOML with tables [run] and [settings].")]
    types: dict[str, Any] = {
        "run": Annotated[RunSettings, flat],
        "settings": Annotated[type(settings), flat],
        "config": config,
    }
    fields = {name: attrs.field(type=kind) for name, kind in types.items()}
    target: Any = attrs.make_class("Arguments", fields, frozen=True)
    about = (inspect.getdoc(entry.settings()) or "").partition("\n")[0]
    target.__doc__ = f"Train {entry.name} of {entry.distribution}. {about}"
    known = record_flags(run) | record_flags(settings) | {"--config": Path}
    result = parse(target, flags, f"i2i train {entry.name}", known, target(run, settings, None))
    run, settings = _with_folder(absolute(result.run)), absolute(result.settings)
    validate(run)
    validate(settings)
    return run, settings


def _with_folder(run: RunSettings) -> RunSettings:
    """Make ``--dataset`` absolute where it is a folder and no id on the Hub."""
    if run.dataset is None or not Path(run.dataset).expanduser().is_dir():
        return run
    return attrs.evolve(run, dataset=str(Path(run.dataset).expanduser().absolute()))


def absolute(record: Any) -> Any:
    """Return the record with absolute paths: a run is resumed from any folder."""
    changes: dict[str, Any] = {}
    for field in attrs.fields(type(record)):
        value = getattr(record, field.name)
        if isinstance(value, Path):
            changes[field.name] = value.expanduser().absolute()
        elif isinstance(value, tuple) and value and all(isinstance(item, Path) for item in value):
            changes[field.name] = tuple(item.expanduser().absolute() for item in value)
        elif attrs.has(type(value)):
            changes[field.name] = absolute(value)
    return attrs.evolve(record, **changes)
