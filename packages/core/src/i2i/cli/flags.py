"""Flags by tyro, with every mistake said in one line."""

from __future__ import annotations

import contextlib
import functools
import inspect
import io
import keyword
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, get_origin, get_type_hints

import attrs

from i2i.errors import SettingsError
from i2i.nearest import nearest
from i2i.settings import flag

# What tyro says about a value, and how i2i says it (as in settings files).
_PLAINER = (
    (r"Missing from ([^:]*): (--\S+) \[?(\S+)(?:(?!\(required\)).)*\(required\)", r"\1 needs \2 \3"),
    (r"(\S+): .*invalid literal for int\(\) with base 10: ('.*)", r"\1: \2 is no whole number"),
    (r"(\S+): .*could not convert string to float: ('.*')", r"\1: \2 is no number"),
    (r"invalid choice ('.*') for argument '(.*)'\. Expected one of \((.*?),?\)\.", r"\2: \1 must be one of \3"),
)


def call(function: Callable[..., Any], argv: Sequence[str], prog: str) -> Any:
    """Call a function with arguments from the command line.

    Its positional-only parameters are positional arguments, the others flags; defaults, types and docstring (Google
    style) say the rest.

    Args:
        function: typed; its docstring is the help.
        argv: the arguments.
        prog: what to call the command in messages.

    Raises:
        SettingsError: an argument is unknown, missing or of the wrong type.
    """

    # Only the arguments are made inside tyro: an error inside the command must not look like one of its flags.
    @functools.wraps(function)
    def collect(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return args, kwargs

    hints = get_type_hints(function)
    types = {name: hints.get(name, str) for name in inspect.signature(function).parameters}
    positional = {n for n, p in inspect.signature(function).parameters.items() if p.kind is p.POSITIONAL_ONLY}
    flags = {flag(name): kind for name, kind in types.items() if name not in positional}
    args, kwargs = parse(collect, argv, prog, flags)
    for value in (*args, *kwargs.values()):
        if attrs.has(type(value)):
            validate(value)
    return function(*args, **kwargs)


def record_flags(record: Any, prefix: str = "") -> dict[str, Any]:
    """Return the flags of an attrs record with their types; fields of nested records have its name before them."""
    flags: dict[str, Any] = {}
    for field in attrs.fields(attrs.resolve_types(type(record))):
        value = getattr(record, field.name)
        if attrs.has(type(value)):
            flags |= record_flags(value, f"{prefix}{field.name}.")
        else:
            flags[flag(prefix + field.name)] = field.type
    return flags


def parse(
    target: Callable[..., Any],
    argv: Sequence[str],
    prog: str,
    flags: Mapping[str, Any],
    default: Any = None,
) -> Any:
    """Make ``target`` from command-line arguments.

    Args:
        target: a class or function that tyro understands.
        argv: the arguments.
        prog: what to call the command in messages.
        flags: the flags that exist, with their types.
        default: an instance of ``target`` that holds the defaults.

    Raises:
        SettingsError: an argument is unknown, missing or of the wrong type.
        SystemExit: after ``--help``.
    """
    import tyro

    asked = any(argument in ("-h", "--help") for argument in argv)
    inner = _names_in_tyro(flags)
    given = argv if asked else [_renamed(argument, inner) for argument in joined(argv, flags)]
    arguments: dict[str, Any] = {"args": list(given), "prog": prog}
    if default is not None:
        arguments["default"] = default
    if asked:
        with _without_underscores(inner):
            return tyro.cli(target, **arguments)
    said = io.StringIO()
    try:
        # Validators of settings speak for themselves, after parsing; tyro would box what they say.
        with contextlib.redirect_stderr(said), _wide(), attrs.validators.disabled():
            result = tyro.cli(target, **arguments)
    except SystemExit as error:
        raise SettingsError(one_line(_plain(said.getvalue(), inner), prog)) from error
    return result


def validate(record: Any) -> None:
    """Run the validators of an attrs record and of the records in it.

    Raises:
        SettingsError: a value is out of range.
    """
    for field in attrs.fields(type(record)):
        value = getattr(record, field.name)
        if attrs.has(type(value)):
            validate(value)
    try:
        attrs.validate(record)
    except (ValueError, TypeError) as error:
        raise SettingsError(str(error.args[0])) from error


def joined(argv: Sequence[str], flags: Mapping[str, Any]) -> list[str]:
    """Check the names of all flags, and join repeated lists: ``--a X --a Y`` is ``--a X Y``.

    Raises:
        SettingsError: a flag is unknown; the nearest is offered.

    Example:
        >>> joined(["p", "--a", "X", "--a=Y", "--n", "1"], {"--a": tuple[str, ...], "--n": int})
        ['p', '--a', 'X', 'Y', '--n', '1']
    """
    groups: list[list[str]] = [[]]
    lists: dict[str, list[str]] = {}
    for argument in argv:
        if not argument.startswith("--") or argument == "--":
            groups[-1].append(argument)
            continue
        written, equals, value = argument.partition("=")
        name = _known(written, flags)
        if get_origin(flags.get(name)) is tuple:
            group = lists.setdefault(name, [name])
            group.extend([value] if equals else [])
            groups = [other for other in groups if other is not group] + [group]
        else:
            groups.append([f"{name}{equals}{value}"])
    return [argument for group in groups for argument in group]


def _known(written: str, flags: Mapping[str, Any]) -> str:
    name = written.replace("_", "-")
    switches = {f"--no-{known[2:]}" for known, kind in flags.items() if kind is bool}
    if name not in flags and name not in switches:
        raise SettingsError(f"unknown setting {written}; {nearest(name, [*flags, *switches])}")
    return name


def _names_in_tyro(flags: Mapping[str, Any]) -> dict[str, str]:
    """Return the flags that are words of Python, with what tyro makes of their fields: ``--from`` is ``--from_``."""
    words = [name for name in flags if keyword.iskeyword(name.lstrip("-").rpartition(".")[2])]
    switches = [f"--no-{name[2:]}" for name in words if flags[name] is bool]
    return {name: f"{name}_" for name in [*words, *switches]}


def _renamed(argument: str, inner: Mapping[str, str]) -> str:
    name, equals, value = argument.partition("=")
    return inner.get(name, name) + equals + value


@contextlib.contextmanager
def _without_underscores(inner: Mapping[str, str]) -> Iterator[None]:
    """Let tyro's help call flags as they are called here."""
    if not inner:
        yield
        return
    said = io.TextIOWrapper(io.BytesIO(), encoding=getattr(sys.stdout, "encoding", None))  # tyro draws boxes of these
    try:
        with contextlib.redirect_stdout(said):
            yield
    finally:
        said.seek(0)
        print(_plain(said.read(), inner), end="")


def _plain(text: str, inner: Mapping[str, str]) -> str:
    """Take the underscores of flags out of a text, and keep what stands behind them in its column."""
    for name, theirs in inner.items():
        text = re.sub(rf"(?<![\w-]){re.escape(theirs)}(?![\w-])(.*?)(?=  |\s*│|$)", rf"{name}\1 ", text, flags=re.M)
    return text


@contextlib.contextmanager
def _wide() -> Iterator[None]:
    """Let tyro write without breaking lines: a path that it breaks could not be put together again."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100000"
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def one_line(box: str, prog: str) -> str:
    """Say in one line what tyro says in a box."""
    # The first row is the title; lines are of ASCII where the terminal has no others.
    rows = [row.strip("│╭╮╰╯ ") for row in re.sub(r"\x1b\[[\d;]*m", "", box).splitlines()][1:]
    parts = "\n".join("" if set(row) <= set("-─") else row for row in rows if row).strip().split("\n\n")
    text = " ".join(parts[0].split()) or f"the arguments cannot be read; see {prog} --help"
    text = text.removeprefix("Error parsing ")
    for pattern, plain in _PLAINER:
        plainer = re.fullmatch(pattern, text)
        if plainer:
            return plainer.expand(plain)
    return text
