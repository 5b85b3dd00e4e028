"""Find and load plugins so that a broken one is reported and never breaks the host."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from importlib import metadata

import attrs
import pluggy

from i2i import hookspecs
from i2i.errors import PluginError
from i2i.nearest import nearest

GROUP = "i2i"
HOOKS = ("register_parts", "register_recipes", "register_observers", "register_commands", "register_converters")


@attrs.frozen
class Plugin:
    """One entry point of the group ``i2i``, loaded or broken."""

    name: str
    """The plugin's own name: that of its entry point."""
    distribution: str
    """The installed distribution it comes from."""
    version: str
    """The version of that distribution."""
    module: str
    """The module that the entry point names."""
    problem: str | None = None
    """In one line, why it cannot be used; None if it can."""
    traceback: str = ""
    """Where it broke; empty if it did not."""

    @property
    def key(self) -> str:
        """The name that pluggy knows it by; unique, for two distributions may use one plugin name."""
        return f"{self.distribution}:{self.name}"

    def broken(self, error: BaseException) -> Plugin:
        """Return the same plugin with what is wrong with it."""
        problem = str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
        shown = "".join(traceback.format_exception(error))
        return attrs.evolve(self, problem=" ".join(problem.split()), traceback=shown)


def guarded(plugin: Plugin, action: Callable[[], None]) -> Plugin:
    """Run ``action``, which is code of ``plugin``'s; whatever it raises is noted on the plugin that is returned."""
    try:
        action()
    except (Exception, SystemExit) as error:
        return plugin.broken(error)
    return plugin


def load_plugins() -> tuple[pluggy.PluginManager, list[Plugin]]:
    """Load every plugin that is installed, in the order of distributions and names.

    Returns:
        The manager, which holds the sound ones, and all plugins; broken ones say what is wrong with them.
    """
    manager = pluggy.PluginManager("i2i")
    manager.add_hookspecs(hookspecs)
    return manager, [_load(manager, entry) for entry in sorted(metadata.entry_points(group=GROUP), key=_order)]


def _order(entry: metadata.EntryPoint) -> tuple[str, str]:
    return (entry.dist.name if entry.dist else "", entry.name)


def _load(manager: pluggy.PluginManager, entry: metadata.EntryPoint) -> Plugin:
    name, version = (entry.dist.name, entry.dist.version) if entry.dist else ("unknown", "?")
    plugin = Plugin(entry.name, name, version, entry.value)

    def load() -> None:
        manager.register(entry.load(), name=plugin.key)
        _check_hooks(manager, plugin)

    loaded = guarded(plugin, load)
    if loaded.problem and manager.has_plugin(plugin.key):
        manager.unregister(name=plugin.key)
    return loaded


def _check_hooks(manager: pluggy.PluginManager, plugin: Plugin) -> None:
    """Refuse a hook that i2i does not call: pluggy would pass over a misspelt one in silence."""
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        module = manager.get_plugin(plugin.key)
        known = {caller.name for caller in manager.get_hookcallers(module) or ()}
        wrong = sorted(known - set(HOOKS))
        hints = "; ".join(f"hook {hook!r} is unknown, {nearest(hook, HOOKS)}" for hook in wrong)
        raise PluginError(f"plugin {plugin.name} of {plugin.distribution}: {hints}") from error
