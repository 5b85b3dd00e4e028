"""The command ``i2i``: finds the command that is asked for, and says every mistake in one line."""

from __future__ import annotations

import os
import sys
import textwrap
import traceback
from collections.abc import Sequence
from importlib import import_module, metadata
from typing import Any

from i2i.errors import I2IError, SettingsError

# Imported only when asked for.
COMMANDS = {
    "train": ("i2i.cli.train:main", "train a recipe: i2i train RECIPE --data DIR --out RUN"),
    "translate": ("i2i.cli.translate:translate", "translate images: i2i translate MODEL IMAGE... --out DIR"),
    "info": ("i2i.cli.info:info", "say what a model or a run is: i2i info MODEL_OR_RUN"),
    "convert": ("i2i.cli.convert:main", "convert checkpoints of other code: i2i convert NAME FILE... --out MODEL"),
    "demo": ("i2i.cli.demo:demo", "train on photographs that come along: i2i demo --out DIR"),
    "new-plugin": ("i2i.cli.new_plugin:new_plugin", "write a plugin to begin with: i2i new-plugin NAME"),
    "recipes": ("i2i.cli.listing:recipes", "list what can be trained"),
    "parts": ("i2i.cli.listing:parts", "list networks, losses and other parts"),
    "plugins": ("i2i.cli.listing:plugins", "list plugins, and what is wrong with broken ones"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``i2i``.

    Args:
        argv: the arguments; those of the process when left out. ``--debug`` anywhere shows tracebacks.

    Returns:
        0 when all went well; 1 for an unexpected error, 2 for a mistake of the user's, 130 after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    try:
        return _dispatch([argument for argument in arguments if argument != "--debug"])
    except SystemExit as error:
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
            return 1
        return error.code or 0
    except KeyboardInterrupt:
        print("i2i: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read our output is gone (| head); nothing may be flushed into it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        if debug:
            traceback.print_exc()
        return _report(error)


def _report(error: Exception) -> int:
    message = " ".join(str(error).split())
    if isinstance(error, I2IError):
        print(f"i2i: error: {message}", file=sys.stderr)
        return 2
    if isinstance(error, OSError) and error.strerror:  # no permission, disk full, a file where a folder should be
        print(f"i2i: error: {error.filename or 'cannot go on'}: {error.strerror}", file=sys.stderr)
        return 2
    print(f"i2i: error: {type(error).__name__}: {message} (--debug shows where)", file=sys.stderr)
    return 1


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        return 0
    name, *rest = arguments
    if name == "--version":
        print(f"i2i {metadata.version('i2i-core')}")
        return 0
    if name in COMMANDS:
        function = _imported(COMMANDS[name][0])
        if name in ("train", "convert"):  # which flags there are depends on what is named first
            return int(function(rest))
        return _call(function, rest, f"i2i {name}")
    return _plugin_command(name, rest)


def _imported(reference: str) -> Any:
    module, _, attribute = reference.partition(":")
    return getattr(import_module(module), attribute)


def _call(function: Any, arguments: Sequence[str], prog: str) -> int:
    from i2i.cli.flags import call

    return int(call(function, arguments, prog) or 0)


def _plugin_command(plugin: str, arguments: list[str]) -> int:
    from i2i.nearest import nearest
    from i2i.registry import registry

    commands = registry().tables.commands
    names = [name.partition(" ")[2] for name in commands.names() if name.partition(" ")[0] == plugin]
    if not names and not plugin.startswith("-"):
        groups = {name.partition(" ")[0] for name in commands.names()}
        raise SettingsError(f"unknown command {plugin!r}; {nearest(plugin, {*COMMANDS, *groups})}")
    if not names:
        raise SettingsError(f"unknown option {plugin}; {nearest(plugin, ['--help', '--version', '--debug'])}")
    if not arguments or arguments[0] in ("-h", "--help"):
        print(
            _table(f"commands of {plugin}", [(e.name, e.help) for e in commands.all() if e.name.split()[0] == plugin])
        )
        return 0
    found = commands.find(f"{plugin} {arguments[0]}")
    if found is None:
        raise SettingsError(f"unknown command '{plugin} {arguments[0]}'; {nearest(arguments[0], names)}")
    return _call(found.load(), arguments[1:], f"i2i {found.name}")


def _help() -> str:
    from i2i.registry import registry

    found = registry()
    sections = [
        "usage: i2i COMMAND ...   (i2i COMMAND --help says more; --debug shows tracebacks; --version)\n",
        "GAN image-to-image translation.\n",
        _table("commands", [(name, words) for name, (_, words) in COMMANDS.items()]),
    ]
    extra = [(entry.name, entry.help) for entry in found.tables.commands.all()]
    if extra:
        sections.append("\n" + _table("commands of plugins", extra))
    if converters := found.tables.converters.all():
        sections.append("\n" + _table("converters", [(entry.name, entry.help) for entry in converters]))
    sections.append(f"\nrecipes: {', '.join(found.tables.recipes.names()) or 'none; pip install i2i-cyclegan'}")
    broken = [plugin.name for plugin in found.plugins if plugin.problem]
    if broken or found.tables.conflicts():
        sections.append(f"\nplugins with problems ({', '.join(broken) or 'names used twice'}): see i2i plugins")
    return "\n".join(sections)


def _table(title: str, rows: Sequence[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in rows)
    return f"{title}:\n" + textwrap.indent("\n".join(f"{name:<{width}}  {words}" for name, words in rows), "  ")
