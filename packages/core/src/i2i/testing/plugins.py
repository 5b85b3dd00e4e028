"""The check of a whole plugin."""

from __future__ import annotations

import functools
import inspect
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from i2i import registry
from i2i.entries import ConverterEntry, Part, RecipeEntry, Tables, load_reference
from i2i.errors import I2IError
from i2i.nearest import nearest
from i2i.plugins import Plugin
from i2i.recipes import Recipe
from i2i.settings import RunSettings
from i2i.testing import losses, nets, settings
from i2i.testing.contract import Checks, ContractError, Report, example_of, require, seeded
from i2i.testing.images import write_images
from i2i.testing.imports import check_cost, check_public, files_of, package_of, taken
from i2i.testing.recipes import check_form, examine_data, examine_recipe, tiny

_BUILT = (
    "it is built with tiny(Settings) on small images of noise: let the settings refuse what it cannot be built with, "
    "and give it other images by check_plugin(name, data=PATH)"
)


def check_plugin(name: str, *, data: Path | None = None) -> Report:
    """Check all that an installed plugin registers, and how it is written.

    Each part is checked at its example, as ``check_generator`` and the others do; each recipe with ``tiny`` settings.
    Settings, and flags of commands and converters, must have help; settings must come back from a file. All that is
    registered can be imported, ``i2i --help`` need not wait for torch, and only public names of i2i are used.

    Args:
        name: the plugin's own name, that of its entry point.
        data: what the recipes are trained on, as ``--data``; small images in all layouts (`write_images`) when left
            out.

    Returns:
        What was checked, and what was not and why; printed, it is a table.

    Raises:
        ContractError: there is no such plugin, it is broken, or it breaks promises: all are listed, each with the
            remedy.

    Example:
        >>> check_plugin("core").of("broken")
        []
    """
    plugin = _installed(name)
    checks = Checks(f"{plugin.name}, {plugin.distribution} {plugin.version}")
    tables = _own(plugin)
    with checks.item("imports"):
        _check_imports(checks, plugin, tables)
    for part in tables.parts.all():
        with checks.item(part.name):
            _check_part(checks, part)
    for recipe in tables.recipes.all():
        with checks.item(f"recipe {recipe.name}"), _images(data) as places:
            _check_recipe(checks, recipe, places)
    _check_functions(checks, tables)
    return checks.report()


def _installed(name: str) -> Plugin:
    """Return the plugin.

    Raises:
        ContractError: it is not installed, or it is broken.
    """
    known = registry.registry().plugins
    found = [plugin for plugin in known if plugin.name == name]
    if not found:
        hint = nearest(name, [plugin.name for plugin in known])
        advice = f"install it (pip install -e .) and see that its entry point of the group i2i is named {name!r}"
        raise ContractError(f"no plugin {name!r} is installed, {hint}; {advice}")
    if len(found) > 1:
        owners = " and ".join(plugin.distribution for plugin in found)
        raise ContractError(f"plugin {name!r} is a name of {owners}: uninstall one of them, or rename yours")
    if found[0].problem:
        raise ContractError(f"plugin {name!r} is broken: {found[0].problem}; `i2i plugins` shows where")
    return found[0]


def _own(plugin: Plugin) -> Tables:
    """Return what the distribution of a plugin registers.

    Raises:
        ContractError: it shares a name with another distribution.
    """
    every, own = registry.registry().tables, Tables()
    own_name = re.compile(rf"(?<![\w-]){re.escape(plugin.distribution)}(?![\w-])")
    shared = [line for line in every.conflicts() if own_name.search(line)]
    require(not shared, "; ".join(shared))
    tables = ("parts", "recipes", "observers", "commands", "converters")
    for mine, of_all in ((getattr(own, name), getattr(every, name)) for name in tables):
        for entry in of_all.all():
            if entry.distribution == plugin.distribution:
                mine.add(entry)
    return own


def _check_imports(checks: Checks, plugin: Plugin, tables: Tables) -> None:
    entry = plugin.module.partition(":")[0]
    with checks.promise("no torch for help"):
        check_cost([entry, *(each.settings_reference.partition(":")[0] for each in tables.recipes.all())])
    if package_of(entry) == "i2i":
        checks.skip("public names", "it is i2i itself")
        return
    with checks.promise("public names"):
        packages = sorted({package_of(module) for module in (entry, *_referred(tables))} - {"i2i"})
        check_public(taken(file for package in packages for file in files_of(package)))


def _referred(tables: Tables) -> set[str]:
    """Return the modules that references name."""
    named: list[Any] = [*tables.parts.all(), *tables.observers.all(), *tables.commands.all(), *tables.converters.all()]
    references = [each.reference for each in named]
    for recipe in tables.recipes.all():
        references += [recipe.settings_reference, recipe.build_reference]
    return {reference.partition(":")[0] for reference in references}


def _check_part(checks: Checks, part: Part) -> None:
    with checks.promise("import", needed=True):
        made: Any = part.load()
    if part.kind == "term":
        losses.examine_term(checks, made)
    elif part.kind == "criterion":
        losses.examine_criterion(checks, made)
    elif part.kind == "schedule":
        with checks.promise("example", needed=True):
            schedule = made(**example_of(made).arguments)
        losses.examine_schedule(checks, schedule)
    else:
        examine = {
            "generator": nets.examine_generator,
            "discriminator": nets.examine_discriminator,
            "layer": nets.examine_layer,
        }
        examine[part.kind](checks, made, registered=True)


def _check_recipe(checks: Checks, entry: RecipeEntry, places: list[Path]) -> None:
    with checks.promise("import", needed=True):
        kind = entry.settings()
    settings.examine_settings(checks, entry.name, kind)
    with checks.promise("build", needed=True, mend=_BUILT):
        build = _readable(entry, tiny(kind), places)
    examine_data(checks, build)
    examine_recipe(checks, build())
    if entry.demo_reference is None:
        checks.skip("demo", "it has none")
        return
    with checks.promise("demo"):
        right = _takes(entry.demo(), 4)
        require(right, f"{entry.demo_reference} must be a function demo(out, seed, steps, resume)")


def _readable(entry: RecipeEntry, small: Any, places: list[Path]) -> Callable[[], Recipe]:
    """Return a function that builds the recipe, on the first of ``places`` that it can read."""

    def build(place: Path) -> Recipe:
        with seeded():
            return entry.build(small, RunSettings(data=place, device="cpu"))

    errors: list[Exception] = []
    for place in places:
        try:
            built = build(place)
            check_form(built)
            next(iter(built.data()), None)
        except (I2IError, OSError) as error:  # it reads something else
            errors.append(error)
        else:
            return functools.partial(build, place)
    raise errors[0]


def _takes(function: object, count: int) -> bool:
    """Tell whether something can be called with so many positional arguments."""
    try:
        inspect.signature(function).bind(*range(count))  # type: ignore[arg-type]
    except TypeError:
        return False
    return True


@contextmanager
def _images(data: Path | None) -> Iterator[list[Path]]:
    """Give what recipes are trained on: ``data``, or a folder of images and, for those that read one, an image."""
    if data is not None:
        yield [data]
        return
    with tempfile.TemporaryDirectory() as folder:
        root = write_images(folder)
        yield [root, root / "trainA.png"]


def _check_functions(checks: Checks, tables: Tables) -> None:
    for command in tables.commands.all():
        with checks.item(f"command {command.name}"):
            _check_function(checks, command.load)
    for converter in tables.converters.all():
        with checks.item(f"converter {converter.name}"):
            _check_function(checks, converter.load, converter)
    for observer in tables.observers.all():
        with checks.item(f"observer {observer.name}"), checks.promise("import"):
            build = load_reference(observer.reference, observer.distribution)
            require(
                _takes(build, 1), f"{observer.reference} must be a function build(run: i2i.RunSettings) -> Observer"
            )


def _check_function(
    checks: Checks, load: Callable[[], Callable[..., Any]], converter: ConverterEntry | None = None
) -> None:
    with checks.promise("import", needed=True):
        function = load()
    with checks.promise("help"):
        settings.check_help(function, None if converter is None else list(converter.options()))
