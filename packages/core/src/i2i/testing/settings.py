"""Checks of what users can set: settings of recipes, flags of commands and converters."""

from __future__ import annotations

import ast
import inspect
import re
import tempfile
import textwrap
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import attrs

from i2i.errors import SettingsError
from i2i.settings import RunSettings, flag, setting
from i2i.testing.contract import Checks, ContractError, require

_SAMPLES: dict[Any, Any] = {bool: True, int: 3, float: 0.5, str: "word", Path: Path("folder")}
_KINDS = "numbers, texts, booleans, paths, Literal, tuples of these, any of them or None, or nested attrs classes"


def examine_settings(checks: Checks, name: str, settings: type[Any]) -> None:
    """Check the settings of the recipe ``name``, promise by promise."""
    with checks.promise("help"):
        missing = list(undocumented(settings))
        advice = 'write a text in """...""" in the line below the field; the command line shows it'
        require(not missing, f"no help for {', '.join(missing)}: {advice}")
        said = bool((settings.__doc__ or "").strip())
        require(said, f"{settings.__name__} has no docstring: `i2i recipes` shows its first line")
    with checks.promise("defaults", needed=True, mend="defaults must pass the validators of their fields"):
        settings()
    with checks.promise("settings file", mend=f"use {_KINDS}"):
        check_stored(name, settings)
    with checks.promise("flags"):
        check_flags(settings)


def undocumented(settings: type[Any], prefix: str = "") -> Iterator[str]:
    """Yield the flags of the fields that have no text below them, those of nested classes too."""
    for field in attrs.fields(attrs.resolve_types(settings)):
        if isinstance(field.type, type) and attrs.has(field.type):
            yield from undocumented(field.type, f"{prefix}{field.name}.")
        elif not _text_below(settings, field.name):
            yield flag(prefix + field.name)


def _text_below(settings: type[Any], field: str) -> bool:
    """Tell whether a text stands below the field in the class that defines it."""
    owner = next(each for each in settings.__mro__ if field in inspect.get_annotations(each))
    try:
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    except (OSError, TypeError):  # there is no source: tyro shows no help either
        return False
    body = node.body if isinstance(node, ast.ClassDef) else []
    for line, below in zip(body, [*body[1:], None], strict=True):
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.target.id == field:
            text = below.value if isinstance(below, ast.Expr) else None
            return isinstance(text, ast.Constant) and isinstance(text.value, str) and bool(text.value.strip())
    return False


def check_stored(recipe: str, settings: type[Any]) -> None:
    """Check that all settings come back from a settings file: the defaults, and a value of each type.

    Raises:
        ContractError: one does not; it is named.
    """
    from i2i.toml import changed, read_settings, write_settings

    defaults = settings()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "settings.toml"
        try:
            write_settings(path, recipe, RunSettings(), defaults)
            again = changed(defaults, read_settings(path).settings, "a settings file")
        except (SettingsError, TypeError, ValueError) as error:
            advice = f"use {_KINDS}, and defaults of that type"
            raise ContractError(f"the defaults cannot be stored: {error}; {advice}") from error
    for field in attrs.fields(settings):
        before, after = getattr(defaults, field.name), getattr(again, field.name)
        require(before == after, f"{setting(field.name)} is {before!r}, and {after!r} once it is stored: use {_KINDS}")
    for field in attrs.fields(attrs.resolve_types(settings)):
        for value in _samples(field.type, field.name):
            _check_one(field.name, field.type, value)


def _check_one(name: str, kind: Any, value: Any) -> None:
    """Check that a value of a field comes back, without what else the class demands of it."""
    import tomllib

    import tomli_w

    from i2i.toml import changed, table

    record: Any = attrs.make_class("Settings", {name: attrs.field(default=value, type=kind)})
    stored = tomllib.loads(tomli_w.dumps(table(record())))
    again = getattr(changed(record(), stored, "a settings file"), name)
    require(again == value, f"{setting(name)} (={value!r}) is {again!r} once it is stored: use {_KINDS}")


def _samples(kind: Any, name: str) -> list[Any]:
    """Return values of a type.

    Raises:
        ContractError: it is none that a settings file can hold.
    """
    if kind in _SAMPLES:
        return [_SAMPLES[kind]]
    inner = [each for each in get_args(kind) if each not in (type(None), Ellipsis)]
    if get_origin(kind) is Literal:
        return inner
    if get_origin(kind) in (Union, UnionType):
        return [value for each in inner for value in _samples(each, name)]
    if get_origin(kind) is tuple:
        return [tuple(_samples(each, name)[0] for each in inner)]
    if isinstance(kind, type) and attrs.has(kind):
        return [kind()]
    raise ContractError(f"{setting(name)} is of type {kind}, which no settings file can hold: use {_KINDS}")


def check_flags(settings: type[Any]) -> None:
    """Check that the command line can make flags of the settings.

    Raises:
        ContractError: it cannot; a type of a field is the cause.
    """
    from i2i.cli.flags import parse, record_flags

    defaults = settings()
    try:
        parse(settings, [], "i2i train", record_flags(defaults), defaults)
    except Exception as error:
        said = " ".join(str(error).split())
        advice = f"use {_KINDS}, and names that differ as flags (no_x is what switches x off)"
        raise ContractError(f"the command line cannot read them: {said}; {advice}") from error


def check_help(function: Callable[..., Any], names: Collection[str] | None = None) -> None:
    """Check that parameters of a function are annotated, and that its docstring says what each is.

    Args:
        function: of a command or a converter.
        names: its parameters that are flags; all of them when left out.

    Raises:
        ContractError: some are not; they are named.
    """
    parameters = inspect.signature(function).parameters
    names = list(parameters) if names is None else names
    bare = [name for name in names if parameters[name].annotation is inspect.Parameter.empty]
    require(not bare, f"no type for {', '.join(bare)}: annotate each parameter, flags are read by their types")
    about = inspect.getdoc(function) or ""
    require(bool(about), "has no docstring: its first line is the help of the command")
    arguments = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)*)", about, re.MULTILINE)
    said = set(re.findall(r"^ {4}(\w+):[ \t]*\S", arguments[1], re.MULTILINE)) if arguments else set()
    missing = [name for name in names if name not in said]
    advice = "write a line `name: what it is` for each under `Args:` of the docstring"
    require(not missing, f"no help for {', '.join(missing)}: {advice}")
