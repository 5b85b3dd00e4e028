"""The public names of i2i and of the plugins here, what their authors say of them, and which of them the site lacks."""

from __future__ import annotations

import ast
import functools
import inspect
import re
from collections.abc import Container, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path

from sphinx.pycode import ModuleAnalyzer

from i2i import hookspecs
from i2i.plugins import HOOKS
from i2i.testing import imports

ROOT = Path(__file__).resolve().parents[1]


@functools.cache
def public_names() -> dict[str, tuple[str, ...]]:
    """Return the public names of each module: ``{"i2i": ("Step", ...), "i2i.losses": ("hinge", ...), ...}``."""
    names = {module: set(found) for module, found in imports.public_names().items()}
    names["i2i.hookspecs"] |= {*HOOKS, *_given_to_hooks()}
    names |= {module: set(import_module(module).__all__) for module in _of_plugins()}
    return {module: tuple(sorted(found, key=str.lower)) for module, found in names.items()}


def _given_to_hooks() -> list[str]:
    """Return the types of what hooks are called with."""
    parameters = [inspect.signature(getattr(hookspecs, hook)).parameters.values() for hook in HOOKS]
    return [str(parameter.annotation) for found in parameters for parameter in found]


def _of_plugins() -> Iterator[str]:
    """Return the packages of plugins, and those of their subpackages, that say what is public."""
    for source in sorted(ROOT.glob("packages/*/src")):
        for path in sorted(source.glob("i2i_*/**/__init__.py")):
            if re.search(r"^__all__ = ", path.read_text("utf-8"), re.MULTILINE):
                yield ".".join(path.parent.relative_to(source).parts)


def value_of(full_name: str) -> object:
    """Return what ``"i2i.losses.hinge"`` names."""
    module, _, name = full_name.rpartition(".")
    return getattr(import_module(module), name)


@functools.cache
def homes() -> dict[int, str]:
    """Return the name under which the site has each public value, by its ``id``: of several names the shortest."""
    full_names = [f"{module}.{name}" for module, names in public_names().items() for name in names]
    found = {id(import_module(module)): module for module in public_names()}
    for full_name in sorted(full_names, key=lambda name: (name.count("."), name)):
        if not isinstance(value_of(full_name), int | float | str):  # equal numbers can be one
            found.setdefault(id(value_of(full_name)), full_name)
    return found


def home(full_name: str) -> str:
    """Return the name under which the site has a public name: ``"i2i.every"`` for ``"i2i.combine.every"``."""
    return homes().get(id(value_of(full_name)), full_name)


def is_function(value: object) -> bool:
    """Tell whether a value is documented as a function, as a kernel is that Triton has wrapped."""
    return inspect.isroutine(value) or inspect.isfunction(getattr(value, "fn", None))


def explanation(full_name: str) -> str:
    """Return the docstring of a public name, or the comment ``#:`` or the string at the place where data is defined."""
    value = value_of(full_name)
    if not (inspect.isclass(value) or is_function(value) or inspect.ismodule(value)):
        return "\n".join(comment(*full_name.rsplit(".", 1)))
    text = value.__doc__ or ""
    return "" if text.startswith(f"{full_name.rpartition('.')[2]}(") else text  # Pair(a, b): not by its author


def comment(module: str, name: str) -> list[str]:
    """Return what is written at data, in the module that defines it, whichever module hands it on."""
    analyzer = _analyzed(module)
    if ("", name) in analyzer.attr_docs:
        return list(analyzer.attr_docs["", name])
    origin = imported(module).get(name)
    return comment(*origin.rsplit(".", 1)) if origin else []


@functools.cache
def imported(module: str) -> dict[str, str]:
    """Return what a module imports from others, for type checkers only as well: ``{"Image": "PIL.Image", ...}``."""
    statements = [node for node in ast.walk(ast.parse(_analyzed(module).code)) if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name: f"{node.module}.{alias.name}" for node in statements for alias in node.names}


def _analyzed(module: str) -> ModuleAnalyzer:
    analyzer = ModuleAnalyzer.for_module(module)  # it remembers
    analyzer.analyze()
    return analyzer


def undocumented(names: Mapping[str, Sequence[str]], on_the_site: Container[str]) -> list[str]:
    """Return a line for each public name that the site does not have, or that its author does not explain."""
    lines = []
    for module, name in [(module, name) for module, found in names.items() for name in found]:
        full_name = f"{module}.{name}"
        if home(full_name) not in on_the_site:
            lines.append(f"{full_name}: no page of docs/api has it")
        if not explanation(full_name).strip():
            lines.append(f"{full_name}: no docstring")
    return lines
