"""``i2i recipes``, ``i2i parts`` and ``i2i plugins``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from i2i.cli.tables import aligned
from i2i.errors import PluginError
from i2i.plugins import Plugin
from i2i.registry import registry


def recipes() -> None:
    """List what can be trained."""
    entries = registry().tables.recipes.all()
    rows = [[e.name, e.distribution, "yes" if e.demo_reference else "no", _first_line(e.settings)] for e in entries]
    print(aligned(["recipe", "distribution", "demo", "about"], rows))


def parts() -> None:
    """List networks, losses and other parts, which i2i.load and your own code can use."""
    entries = registry().tables.parts.all()
    rows = [[e.name, e.kind, e.distribution, _first_line(e.load)] for e in entries]
    print(aligned(["part", "kind", "distribution", "about"], rows))


def _first_line(load: Callable[[], Any]) -> str:
    """Say the first line of a docstring; a part that cannot be imported must not break the list."""
    try:
        loaded = load()
        return getattr(loaded, "about", "") or (inspect.getdoc(loaded) or "").partition("\n")[0]
    except PluginError as error:
        return f"BROKEN: {' '.join(str(error).split())}"


def plugins() -> int:
    """List plugins; those with problems are explained below, and the exit code is then 1."""
    found = registry()
    rows = [[p.name, f"{p.distribution} {p.version}", p.module, _state(p)] for p in found.plugins]
    print(aligned(["plugin", "distribution", "module", "state"], rows))
    for plugin in found.plugins:
        if plugin.traceback:
            print(f"\n{plugin.name} of {plugin.distribution}:\n{plugin.traceback.rstrip()}")
    conflicts = found.tables.conflicts()
    if conflicts:
        print("\n" + "\n".join(conflicts))
    return int(bool(conflicts) or any(plugin.problem for plugin in found.plugins))


def _state(plugin: Plugin) -> str:
    if plugin.problem:
        return f"BROKEN: {plugin.problem}"
    return f"ok, but {plugin.note}" if plugin.note else "ok"
