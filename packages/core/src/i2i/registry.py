"""What the installed plugins registered, by name; everything is imported only when it is used."""

from __future__ import annotations

import functools
import re
from typing import Any, get_args

import pluggy

from i2i.entries import Command, ConverterEntry, ObserverEntry, Part, RecipeEntry, Table, Tables
from i2i.errors import PluginError
from i2i.hookspecs import Kind
from i2i.nearest import nearest
from i2i.plugins import HOOKS, Plugin, guarded, load_plugins

CORE_COMMANDS = ("train", "translate", "info", "recipes", "parts", "plugins", "demo", "convert", "new-plugin")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class Notes:
    """The callbacks that the hooks of one plugin are given, and what it said."""

    def __init__(self, plugin: Plugin) -> None:
        self.plugin = plugin
        self.tables = Tables()
        self.callbacks: dict[str, dict[str, Any]] = {
            "register_parts": {"register": self.part},
            "register_recipes": {"register": self.recipe},
            "register_observers": {"register": self.observer},
            "register_commands": {"app": self},
            "register_converters": {"register": self.converter},
        }

    def part(self, name: str, reference: str, /, *, kind: Kind) -> None:
        """Note a part; see `i2i.hookspecs.RegisterPart`."""
        prefix, _, rest = name.partition("/")
        if prefix != self.plugin.name or not _NAME.fullmatch(rest):
            raise PluginError(f"part {name!r} must be named {self.plugin.name}/<part>, in lower case")
        if kind not in get_args(Kind):
            raise PluginError(f"part {name!r} has the unknown kind {kind!r}; {nearest(kind, get_args(Kind))}")
        self.tables.parts.add(Part(name, _checked(reference, name), kind, self.plugin.distribution))

    def recipe(self, name: str, settings: str, build: str, /, *, demo: str | None = None) -> None:
        """Note a recipe; see `i2i.hookspecs.RegisterRecipe`."""
        _check_bare(name, "recipe")
        for reference in (settings, build, demo):
            if reference is not None:
                _checked(reference, name)
        self.tables.recipes.add(RecipeEntry(name, settings, build, demo, self.plugin.distribution))

    def observer(self, name: str, reference: str, /) -> None:
        """Note an observer; see `i2i.hookspecs.RegisterObserver`."""
        _check_bare(name, "observer")
        self.tables.observers.add(ObserverEntry(name, _checked(reference, name), self.plugin.distribution))

    def converter(
        self, name: str, reference: str, /, *, help: str, folders: bool = False, together: bool = False
    ) -> None:
        """Note a converter; see `i2i.hookspecs.RegisterConverter`."""
        _check_bare(name, "converter")
        if folders and together:
            raise PluginError(f"converter {name!r} takes folders one by one, or files together, not both")
        entry = ConverterEntry(name, _checked(reference, name), help, self.plugin.distribution, folders, together)
        self.tables.converters.add(entry)

    def command(self, name: str, reference: str, /, *, help: str) -> None:
        """Note a command; see `i2i.hookspecs.App`."""
        _check_bare(name, "command")
        if self.plugin.name in CORE_COMMANDS:
            raise PluginError(f"a plugin named {self.plugin.name!r} can have no commands: i2i has one of that name")
        full = f"{self.plugin.name} {name}"
        self.tables.commands.add(Command(full, _checked(reference, full), help, self.plugin.distribution))


def _check_bare(name: str, what: str) -> None:
    if not _NAME.fullmatch(name):
        raise PluginError(f"{what} name {name!r} must be lower-case letters, digits, '-' and '_'")


def _checked(reference: str, name: str) -> str:
    if not _REFERENCE.fullmatch(reference):
        raise PluginError(f"{reference!r}, registered for {name!r}, must read 'package.module:name'")
    return reference


class Registry:
    """All that the installed plugins registered."""

    def __init__(self) -> None:
        self.tables = Tables()
        manager, plugins = load_plugins()
        self.plugins = [plugin if plugin.problem else self._collect(manager, plugin) for plugin in plugins]

    def _collect(self, manager: pluggy.PluginManager, plugin: Plugin) -> Plugin:
        """Call the hooks of one plugin; either all that it registers counts, or nothing."""
        notes = Notes(plugin)
        others = [module for key, module in manager.list_name_plugin() if key != plugin.key]

        def collect() -> None:
            for hook in HOOKS:
                manager.subset_hook_caller(hook, others)(**notes.callbacks[hook])

        collected = guarded(plugin, collect)
        if not collected.problem:
            self.tables.update(notes.tables)
        return collected

    def missing(self, table: Table[Any], name: str, plugin: str) -> PluginError:
        """Return the error for a name that nobody registered: misspelt, of a broken plugin, or of a missing one."""
        hint = nearest(name, table.names())
        message = f"{table.what} {name!r} is unknown; {hint}"
        broken = [found for found in self.plugins if found.problem]
        if broken:
            names = ", ".join(f"{found.name} of {found.distribution} ({found.problem})" for found in broken)
            return PluginError(f"{message}; broken plugin: {names}, see `i2i plugins`")
        installed = any(found.name == plugin for found in self.plugins)
        misspelt = plugin == name and hint.startswith("did you mean")  # a bare name: of a recipe, ...
        if installed or misspelt or not _NAME.fullmatch(plugin):
            return PluginError(message)
        return PluginError(
            f"{table.what} {name!r} is unknown; is its plugin missing? pip install i2i-{plugin} ({hint})"
        )


@functools.cache
def registry() -> Registry:
    """Return the registry of this process; plugins are loaded at the first call."""
    return Registry()


def part(name: str) -> Part:
    """Return the registered part ``<plugin>/<part>``.

    Raises:
        PluginError: nobody registered it (the nearest name, or what to install, is said), or two distributions did.
    """
    found = registry().tables.parts.find(name)
    if found is None:
        raise registry().missing(registry().tables.parts, name, name.partition("/")[0])
    return found


def recipe(name: str) -> RecipeEntry:
    """Return the registered recipe; raises `PluginError` as `part` does."""
    found = registry().tables.recipes.find(name)
    if found is None:
        raise registry().missing(registry().tables.recipes, name, name)
    return found


def observer(name: str) -> ObserverEntry:
    """Return the registered observer; raises `PluginError` as `part` does."""
    found = registry().tables.observers.find(name)
    if found is None:
        raise registry().missing(registry().tables.observers, name, name)
    return found


def converter(name: str) -> ConverterEntry:
    """Return the registered converter; raises `PluginError` as `part` does."""
    found = registry().tables.converters.find(name)
    if found is None:
        raise registry().missing(registry().tables.converters, name, name)
    return found


def help_for(part: str | None) -> str:
    """Return the command that lists what can be done with a net of ``<plugin>/<part>``, such as ``i2i singan --help``.

    It is ``i2i --help``, which lists the commands of all plugins, where the part is not known or its plugin has none.
    """
    plugin = (part or "").partition("/")[0]
    groups = {name.partition(" ")[0] for name in registry().tables.commands.names()}
    return f"i2i {plugin} --help" if plugin in groups else "i2i --help"


def part_of(net: object) -> str | None:
    """Return the name of the registered part that made ``net``, or None."""
    factory = getattr(getattr(net, "spec", None), "factory", None)  # `i2i.parts.Spec`, which needs torch
    return None if factory is None else name_of(factory)


def name_of(reference: str) -> str | None:
    """Return the name under which the factory ``"package.module:function"`` is registered, or None."""
    return next((entry.name for entry in registry().tables.parts.all() if entry.reference == reference), None)
