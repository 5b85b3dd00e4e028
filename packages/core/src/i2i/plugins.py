"""Find and load plugins so that a broken one is reported and never breaks the host."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterable
from importlib import metadata
from typing import TYPE_CHECKING

import attrs
import pluggy

from i2i import hookspecs
from i2i.errors import PluginError
from i2i.nearest import nearest

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet
    from packaging.version import Version

GROUP = "i2i"
CORE = "i2i-core"
HOOKS = ("register_parts", "register_recipes", "register_observers", "register_commands", "register_converters")
_REQUIREMENT = re.compile(
    r"i2i[-_.]+core\s*(\[[^]]*\])?\s*\(?(?P<range>[<>=!~][^();]*)\)?\s*(;(?P<marker>.*))?", re.IGNORECASE
)


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
    note: str | None = None
    """In one line, what is to be known of it though it can be used; None if nothing is."""

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
    if entry.dist is not None and name != CORE:
        plugin = _compared(plugin, entry.dist.requires or ())
    if plugin.problem:
        return plugin

    def load() -> None:
        manager.register(entry.load(), name=plugin.key)
        _check_hooks(manager, plugin)

    loaded = guarded(plugin, load)
    if loaded.problem and manager.has_plugin(plugin.key):
        manager.unregister(name=plugin.key)
    return loaded


def _compared(plugin: Plugin, requires: Iterable[str]) -> Plugin:
    """Compare the versions of the core that a plugin is for with the installed one; nothing of it is imported."""
    try:
        # Not packaging.requirements: to import that takes far longer than all of this, and every command waits for it.
        from packaging.specifiers import SpecifierSet
        from packaging.version import Version

        found = [match for line in requires if (match := _REQUIREMENT.fullmatch(line.strip()))]
        wanted = SpecifierSet(",".join(match["range"] for match in found if _applies(match["marker"])))
        installed = Version(metadata.version(CORE))
        if not wanted:
            return attrs.evolve(plugin, note=f"names no range of {CORE}")
        return attrs.evolve(plugin, problem=_misfit(wanted, installed, plugin.distribution))
    except ImportError:  # no packaging, or no metadata: nothing was installed, only put on the path
        return plugin
    except ValueError as error:
        return attrs.evolve(plugin, note=f"its range of {CORE} cannot be read: {error}")


def _applies(marker: str | None) -> bool:
    """Tell whether a requirement holds here, for the plugin without its extras."""
    if marker is None:
        return True
    from packaging.markers import Marker

    return Marker(marker).evaluate({"extra": ""})


def _misfit(wanted: SpecifierSet, installed: Version, distribution: str) -> str | None:
    """Say what does not fit and how to mend it; None where all fits. A pre-release also counts as its release."""
    from packaging.version import Version

    release = Version(installed.base_version)
    if any(wanted.contains(version, prereleases=True) for version in (installed, release)):
        return None
    shown = CORE + ",".join(sorted(map(str, wanted), reverse=True))  # >= comes before <
    lowest = [Version(each.version.removesuffix(".*")) for each in wanted if each.operator in (">=", ">", "~=", "==")]
    too_old = any(version > release for version in lowest)
    remedy = (
        f"pip install '{shown}', or an older {distribution}"
        if too_old
        else f"pip install -U {distribution}, or '{shown}'"
    )
    return f"needs {shown}, but {installed} is installed: {remedy}"


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
