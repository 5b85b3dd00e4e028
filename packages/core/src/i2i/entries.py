"""What a plugin can register: entries that hold references, and tables of them by name."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

from i2i.errors import PluginError
from i2i.hookspecs import Kind

if TYPE_CHECKING:
    from torch import nn

    from i2i.protocols import Observer
    from i2i.recipes import Recipe
    from i2i.settings import RunSettings


def load_reference(reference: str, owner: str) -> Any:
    """Import what ``"package.module:name"`` names.

    Args:
        reference: module and attribute.
        owner: who registered it, for the message.

    Raises:
        PluginError: it cannot be imported.

    Example:
        >>> load_reference("pathlib:PurePosixPath", "nobody")("a")
        PurePosixPath('a')
    """
    module, _, attribute = reference.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:
        raise PluginError(f"{reference} of {owner} cannot be imported: {type(error).__name__}: {error}") from error


@attrs.frozen
class Part:
    """A registered network, loss or other part."""

    name: str
    reference: str
    kind: Kind
    distribution: str

    def load(self) -> Callable[..., Any]:
        """Import the factory."""
        factory: Callable[..., Any] = load_reference(self.reference, self.distribution)
        return factory


@attrs.frozen
class RecipeEntry:
    """A registered recipe."""

    name: str
    settings_reference: str
    build_reference: str
    demo_reference: str | None
    distribution: str

    def settings(self) -> type[Any]:
        """Import the attrs class of its settings.

        Raises:
            PluginError: it is no attrs class, cannot be made without arguments, or repeats a setting of every run.
        """
        from i2i.settings import check_recipe_settings

        found: type[Any] = load_reference(self.settings_reference, self.distribution)
        check_recipe_settings(found, f"recipe {self.name!r} of {self.distribution}")
        return found

    def build(self, settings: Any, run: RunSettings) -> Recipe:
        """Build the recipe; no data are read yet."""
        built: Recipe = load_reference(self.build_reference, self.distribution)(settings, run)
        return built

    def demo(self) -> Callable[[Path, int, int | None, bool], None]:
        """Import the demo."""
        if self.demo_reference is None:
            raise PluginError(f"recipe {self.name!r} of {self.distribution} has no demo")
        found: Callable[[Path, int, int | None, bool], None] = load_reference(self.demo_reference, self.distribution)
        return found


@attrs.frozen
class ObserverEntry:
    """A registered observer."""

    name: str
    reference: str
    distribution: str

    def build(self, run: RunSettings) -> Observer:
        """Import and build the observer of one run."""
        built: Observer = load_reference(self.reference, self.distribution)(run)
        return built


@attrs.frozen
class ConverterEntry:
    """A registered converter of checkpoints."""

    name: str
    reference: str
    help: str
    distribution: str
    folders: bool = False
    """It takes whole folders; see `i2i.hookspecs.RegisterConverter`."""
    together: bool = False
    """It takes all files at once."""

    def load(self) -> Callable[..., Mapping[str, nn.Module]]:
        """Import the function."""
        function: Callable[..., Mapping[str, nn.Module]] = load_reference(self.reference, self.distribution)
        return function

    def options(self) -> dict[str, inspect.Parameter]:
        """Import the function, and return its keyword-only parameters: what can be said beside the files."""
        parameters = inspect.signature(self.load()).parameters
        return {name: each for name, each in parameters.items() if each.kind is each.KEYWORD_ONLY}


@attrs.frozen
class Command:
    """A registered command; its name is ``"<plugin> <command>"``."""

    name: str
    reference: str
    help: str
    distribution: str

    def load(self) -> Callable[..., Any]:
        """Import the function."""
        function: Callable[..., Any] = load_reference(self.reference, self.distribution)
        return function


Entry = TypeVar("Entry", Part, RecipeEntry, ObserverEntry, Command, ConverterEntry)


class Table(Generic[Entry]):
    """Entries by name. A name that two distributions use belongs to neither: using it is an error."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._claims: dict[str, list[Entry]] = {}

    def add(self, entry: Entry) -> None:
        """Note an entry.

        Raises:
            PluginError: its distribution has used the name already.
        """
        claims = self._claims.setdefault(entry.name, [])
        if any(claim.distribution == entry.distribution for claim in claims):
            raise PluginError(f"{self.what} {entry.name!r} is registered twice by {entry.distribution}")
        claims.append(entry)

    def update(self, other: Table[Entry]) -> None:
        """Note all entries of another table."""
        for claims in other._claims.values():
            for entry in claims:
                self.add(entry)

    def all(self) -> list[Entry]:
        """Return the usable entries in the order of their names."""
        return [claims[0] for _, claims in sorted(self._claims.items()) if len(claims) == 1]

    def names(self) -> list[str]:
        """Return the names of the usable entries."""
        return [entry.name for entry in self.all()]

    def conflicts(self) -> list[str]:
        """Say in one line each which names two or more distributions use."""
        return [self._conflict(name) for name, claims in sorted(self._claims.items()) if len(claims) > 1]

    def _conflict(self, name: str) -> str:
        owners = " and ".join(claim.distribution for claim in self._claims[name])
        return f"{self.what} {name!r} is registered by {owners}; uninstall one of them"

    def find(self, name: str) -> Entry | None:
        """Return the entry, or None.

        Raises:
            PluginError: two distributions use the name; both are named.
        """
        claims = self._claims.get(name, [])
        if len(claims) > 1:
            raise PluginError(self._conflict(name))
        return claims[0] if claims else None


@attrs.frozen
class Tables:
    """All that one plugin, or all of them, registered."""

    parts: Table[Part] = attrs.field(factory=lambda: Table[Part]("part"))
    """By ``<plugin>/<part>``."""
    recipes: Table[RecipeEntry] = attrs.field(factory=lambda: Table[RecipeEntry]("recipe"))
    """By bare name."""
    observers: Table[ObserverEntry] = attrs.field(factory=lambda: Table[ObserverEntry]("observer"))
    """By bare name."""
    commands: Table[Command] = attrs.field(factory=lambda: Table[Command]("command"))
    """By ``<plugin> <command>``."""
    converters: Table[ConverterEntry] = attrs.field(factory=lambda: Table[ConverterEntry]("converter"))
    """By bare name."""

    def update(self, other: Tables) -> None:
        """Note all entries of ``other``."""
        self.parts.update(other.parts)
        self.recipes.update(other.recipes)
        self.observers.update(other.observers)
        self.commands.update(other.commands)
        self.converters.update(other.converters)

    def conflicts(self) -> list[str]:
        """Say in one line each which names two distributions use."""
        tables = (self.parts, self.recipes, self.observers, self.commands, self.converters)
        return [line for table in tables for line in table.conflicts()]
