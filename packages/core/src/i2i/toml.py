"""Settings to and from TOML: strict (1.9 is no whole number, true is no number), with one-line errors."""

from __future__ import annotations

import tomllib
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

import attrs
import cattrs

from i2i.errors import SettingsError
from i2i.files import write_file, writing
from i2i.nearest import nearest
from i2i.settings import setting

Record = TypeVar("Record")
_NOT_STORED = ("out", "resume")  # say where a run is and how it is begun, not what it is


class Document(NamedTuple):
    """What a settings file holds.

    Attributes:
        recipe: the name of the recipe, or None.
        run: the table ``[run]``, as written.
        settings: the table ``[settings]``, as written.
    """

    recipe: str | None
    run: Mapping[str, Any]
    settings: Mapping[str, Any]


def _exactly(kind: type, words: str) -> Callable[[Any, Any], Any]:
    def structure(value: Any, _: Any) -> Any:
        if type(value) is not kind:
            raise SettingsError(f"{value!r} is {words}")
        return value

    return structure


def _number(value: Any, _: Any) -> float:
    if type(value) not in (int, float):
        raise SettingsError(f"{value!r} is no number")
    return float(value)


def _path(value: Any, _: Any) -> Path:
    if not isinstance(value, str):
        raise SettingsError(f"{value!r} is no path")
    return Path(value)


def _union(value: Any, kind: Any) -> Any:
    kinds = get_args(kind)
    if type(None) in kinds and (value is None or value == "none"):
        return None
    reasons = []
    for member in (member for member in kinds if member is not type(None)):
        try:
            return _CONVERTER.structure(value, member)
        except SettingsError as error:
            reasons.append(str(error))
    raise SettingsError(reasons[0])


def _sequence(value: Any, kind: Any) -> tuple[Any, ...]:
    kinds = get_args(kind)
    if not isinstance(value, list | tuple):
        raise SettingsError(f"{value!r} is no list")
    members = [kinds[0]] * len(value) if kinds[-1] is Ellipsis else kinds
    if len(members) != len(value):
        raise SettingsError(f"{value!r} must hold {len(members)} values")
    return tuple(_CONVERTER.structure(item, member) for item, member in zip(value, members, strict=True))


def _choice(value: Any, kind: Any) -> Any:
    if value not in get_args(kind):
        raise SettingsError(f"{value!r} must be one of {', '.join(map(str, get_args(kind)))}")
    return value


def _is(*origins: Any) -> Callable[[Any], bool]:
    return lambda kind: get_origin(kind) in origins


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter()
    converter.register_structure_hook(int, _exactly(int, "no whole number"))
    converter.register_structure_hook(bool, _exactly(bool, "neither true nor false"))
    converter.register_structure_hook(str, _exactly(str, "no text"))
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook(Path, _path)
    converter.register_structure_hook_func(_is(Union, types.UnionType), _union)
    converter.register_structure_hook_func(_is(tuple), _sequence)
    converter.register_structure_hook_func(_is(Literal), _choice)
    converter.register_unstructure_hook(Path, str)
    return converter


_CONVERTER = _converter()


def changed(base: Record, values: Mapping[str, Any], where: str) -> Record:
    """Return ``base`` with the values of a TOML table in place of its own.

    Args:
        base: an attrs record; nested records are changed field by field.
        values: the table.
        where: what to call the table in messages, for example ``"run.toml: [run]"``.

    Raises:
        SettingsError: a name is unknown (the nearest is offered), or a value has the wrong type or range.
    """
    kind: Any = type(base)
    fields = {setting(field.name): field for field in attrs.fields(attrs.resolve_types(kind))}
    changes = {}
    for name, value in values.items():
        if name not in fields:
            raise SettingsError(f"{where} has the unknown setting {name!r}; {nearest(name, fields)}")
        field = fields[name]
        changes[field.name] = _structured(field.type, value, getattr(base, field.name), f"{where} {name}")
    try:
        return attrs.evolve(base, **changes)  # type: ignore[misc]
    except (ValueError, TypeError) as error:
        raise SettingsError(f"{where}: {error.args[0]}") from error


def _structured(kind: Any, value: Any, old: Any, where: str) -> Any:
    if attrs.has(type(old)):
        if not isinstance(value, Mapping):
            raise SettingsError(f"{where}: {value!r} is no table")
        return changed(old, value, where)
    try:
        return _CONVERTER.structure(value, kind)
    except SettingsError as error:
        raise SettingsError(f"{where}: {error}") from error


def table(record: Any) -> dict[str, Any]:
    """Return an attrs record as a TOML table.

    TOML knows no None: a field that is None is left out, or says "none" where None is not its default.
    """
    written: dict[str, Any] = {}
    for field in attrs.fields(type(record)):
        value, name = getattr(record, field.name), setting(field.name)
        if attrs.has(type(value)):
            written[name] = table(value)
        elif value is not None:
            written[name] = _CONVERTER.unstructure(value)
        elif field.default is not None:
            written[name] = "none"
    return written


def read_settings(path: Path) -> Document:
    """Read a settings file.

    Raises:
        SettingsError: it is missing, is no TOML (the line is named), or holds something else than settings.
    """
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is no valid TOML: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    for name, value in found.items():
        if name not in Document._fields:
            raise SettingsError(f"{path} has the unknown entry {name!r}; it may hold recipe, [run] and [settings]")
        if not isinstance(value, str if name == "recipe" else dict):
            raise SettingsError(f"{path}: {name} must be {'a text' if name == 'recipe' else 'a table'}")
    return Document(found.get("recipe"), found.get("run", {}), found.get("settings", {}))


def write_settings(path: Path, recipe: str, run: Any, settings: Any) -> None:
    """Write the settings of a run, all at once: a killed write leaves the old file.

    Raises:
        RunError: disk full, or no permission.
    """
    import tomli_w

    stored = {name: value for name, value in table(run).items() if name not in _NOT_STORED}
    text = tomli_w.dumps({"recipe": recipe, "run": stored, "settings": table(settings)})
    with writing(path, "no settings were changed"):
        write_file(path, lambda file: file.write(text.encode()))
