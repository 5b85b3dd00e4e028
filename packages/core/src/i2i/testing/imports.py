"""Checks of imports: what a plugin takes of i2i, and what importing its settings costs."""

from __future__ import annotations

import ast
import functools
import importlib.util
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import i2i
from i2i.testing.contract import ContractError, require

_PROGRAM = """
import importlib, json, sys
found = None
for name in sys.argv[1:]:
    importlib.import_module(name)
    if "torch" in sys.modules:
        found = name
        break
print(json.dumps(found))
"""


class Taken(NamedTuple):
    """A name that a file takes of a module; ``name`` is None where it takes the module."""

    module: str
    name: str | None
    place: str

    def __str__(self) -> str:
        return self.module if self.name is None else f"{self.module}.{self.name}"


@functools.cache
def public_names() -> Mapping[str, frozenset[str]]:
    """Return the names that plugins may take, by module: those of public.toml, and all of modules that i2i exports.

    Example:
        >>> "player" in public_names()["i2i"], "at_least" in public_names()["i2i.settings"]
        (True, True)
    """
    listed = tomllib.loads(resources.files("i2i.testing").joinpath("public.toml").read_text("utf-8"))
    names = {module: frozenset(found) for module, found in listed.items()} | {"i2i": frozenset(i2i.__all__)}
    for exported in map(i2i.__getattr__, i2i.__all__):
        if isinstance(exported, ModuleType):
            names[exported.__name__] = names.get(exported.__name__, frozenset()) | _own_names(exported)
    return names


def _own_names(module: ModuleType) -> frozenset[str]:
    """Return ``__all__``, or the names that a module defines itself."""
    if hasattr(module, "__all__"):
        return frozenset(module.__all__)
    own = (name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__)
    return frozenset(name for name in own if not name.startswith("_"))


def package_of(module: str) -> str:
    """Return the outermost package of a module that is of one owner: namespace packages hold those of many.

    Example:
        >>> package_of("i2i.data.folders")
        'i2i'
    """
    names = module.split(".")
    for count in range(1, len(names)):
        spec = importlib.util.find_spec(".".join(names[:count]))
        if spec is None or spec.origin is not None:
            return ".".join(names[:count])
    return module


def files_of(package: str) -> list[Path]:
    """Return the Python files of an importable package or module, without importing more than its parents."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        return []
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    alone = [Path(spec.origin)] if not folders and spec.origin else []
    return sorted({file for folder in folders for file in folder.rglob("*.py")} | set(alone))


def taken(files: Iterable[Path]) -> list[Taken]:
    """Return what files of a plugin take of i2i, by imports and by attributes such as ``i2i.data.unpaired``."""
    return [each for file in files for each in _taken_by(file)]


def _taken_by(file: Path) -> Iterator[Taken]:
    nodes = list(ast.walk(ast.parse(file.read_bytes(), str(file))))
    modules: dict[str, str] = {}  # by the name that the file gives them
    for node in nodes:
        place = f"{file.name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import):
            for alias in node.names:
                if _is_of_core(alias.name):
                    modules[alias.asname or "i2i"] = alias.name if alias.asname else "i2i"
                    yield Taken(alias.name, None, place)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module and _is_of_core(node.module):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if _is_module(inner):
                    modules[alias.asname or alias.name] = inner
                    yield Taken(inner, None, place)
                else:
                    yield Taken(node.module, alias.name, place)
    for name in filter(None, map(_bound, nodes)):
        modules.pop(name, None)  # somewhere in the file it is a variable: what its attributes are of is not known
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
            owner = _module_named(node.value, modules)
            if owner is not None and not _is_module(f"{owner}.{node.attr}"):
                yield Taken(owner, node.attr, f"{file.name}:{node.lineno}")


def _bound(node: ast.AST) -> str | None:
    """Return the name of a parameter or of a variable that is set there; None elsewhere."""
    if isinstance(node, ast.arg):
        return node.arg
    return node.id if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else None


def _is_of_core(module: str) -> bool:
    return module.partition(".")[0] == "i2i"


@functools.cache
def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _module_named(node: ast.expr, modules: Mapping[str, str]) -> str | None:
    """Return the module of i2i that an expression such as ``i2i.data`` names, or None."""
    if isinstance(node, ast.Name):
        return modules.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = _module_named(node.value, modules)
        if owner is not None and _is_module(f"{owner}.{node.attr}"):
            return f"{owner}.{node.attr}"
    return None


def check_public(found: Iterable[Taken]) -> None:
    """Check that a plugin takes public names only.

    Raises:
        ContractError: it takes others; each is named with its place.
    """
    public = public_names()
    wrong = [f"{each} ({each.place})" for each in found if not _is_public(each, public)]
    told = ", ".join(dict.fromkeys(wrong))
    where = "the table 'What else the core offers' of docs/write-a-plugin.md lists what plugins may use"
    require(not wrong, f"takes names of i2i that may change with any version: {told}; {where}, `i2i.__all__` the rest")


def _is_public(each: Taken, public: Mapping[str, frozenset[str]]) -> bool:
    if each.module not in public:
        return False
    return each.name is None or each.name in public[each.module]


def check_cost(modules: Iterable[str]) -> None:
    """Check in a process of its own that none of ``modules`` imports torch: the command line reads them for help.

    Raises:
        ContractError: one does, or cannot be imported.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    command = [sys.executable, "-c", _PROGRAM, *dict.fromkeys(modules)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ContractError(f"cannot be imported in a new process: {last}; import it there to see more")
    found = json.loads(done.stdout.splitlines()[-1])
    advice = (
        "import torch inside functions or under TYPE_CHECKING there and in what it imports; an __init__.py can "
        "export lazily (__getattr__), as that of i2i does"
    )
    require(found is None, f"importing {found} imports torch, and `i2i --help` would wait for it: {advice}")
