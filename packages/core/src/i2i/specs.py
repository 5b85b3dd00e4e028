"""Specs on disk: which registered part made a module, with which arguments, and how to make it again."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from i2i import registry
from i2i.errors import ModelError, PluginError
from i2i.parts import Spec


def to_json(spec: Spec) -> dict[str, Any]:
    """Write down a spec as ``{"part": registered name, "arguments": {...}}``.

    Args:
        spec: ``module.spec``. Arguments may be None, booleans, numbers, strings, tuples of these, and modules that
            parts made; tuples become lists.

    Raises:
        ModelError: the factory is registered by no plugin, or an argument is of another kind.
    """
    name = registry.name_of(spec.factory)
    if name is None:
        raise ModelError(f"{spec.factory} is registered by no plugin")
    return {"part": name, "arguments": {key: _to_json(key, value) for key, value in spec.arguments.items()}}


def _to_json(name: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [_to_json(name, item) for item in value]
    if isinstance(value, nn.Module) and isinstance(getattr(value, "spec", None), Spec):
        return to_json(value.spec)  # type: ignore[arg-type]
    raise ModelError(f"argument {name} is a {type(value).__name__}, which cannot be written down")


def parts_in(spec: Any) -> list[str]:
    """Return the names of all parts in a spec that `to_json` wrote, those in arguments too.

    Example:
        >>> parts_in({"part": "a/net", "arguments": {"width": 3, "inner": {"part": "b/net", "arguments": {}}}})
        ['a/net', 'b/net']
    """
    if isinstance(spec, list):
        return [name for item in spec for name in parts_in(item)]
    if isinstance(spec, dict):
        return [spec["part"], *(name for item in spec["arguments"].values() for name in parts_in(item))]
    return []


def check(spec: Any, where: str) -> None:
    """Say what is wrong with a spec that was read from a file; nothing is imported.

    Raises:
        ModelError: it is not of the form that `to_json` writes.
    """
    if isinstance(spec, list):
        for item in spec:
            check(item, where)
    elif isinstance(spec, dict):
        arguments = spec.get("arguments")
        if set(spec) != {"part", "arguments"} or not isinstance(spec["part"], str) or not isinstance(arguments, dict):
            raise ModelError(f"{where}: a part must read {{'part': name, 'arguments': {{...}}}}, not {str(spec)[:80]}")
        for value in arguments.values():
            check(value, where)


def build(spec: Mapping[str, Any], where: str) -> nn.Module:
    """Make the module that a checked spec describes, on the current default device.

    Args:
        spec: see `to_json`.
        where: the file it was read from, for messages.

    Raises:
        ModelError: a part is registered by no installed plugin, or its arguments are refused.
    """
    name = spec["part"]
    factory = _factory(name, where)
    arguments = {key: _from_json(value, where) for key, value in spec["arguments"].items()}
    try:
        made = factory(**arguments)
    except Exception as error:  # whatever code of a plugin raises for arguments that it cannot use
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(f"{where}: {name} cannot be made with these arguments: {reason[:300]}") from error
    if not isinstance(made, nn.Module):
        raise ModelError(f"{where}: {name} makes a {type(made).__name__}, not a module")
    return made


def _factory(name: str, where: str) -> Callable[..., Any]:
    plugin = re.fullmatch(r"([a-z0-9][a-z0-9_-]*)/[a-z0-9_-]+", name)
    # A name in a file is not misspelt: here a missing plugin is likelier than one of a similar name.
    if plugin and all(found.name != plugin[1] for found in registry.registry().plugins):
        raise ModelError(
            f"{where}: part {name!r} belongs to a plugin that is not installed; for ours: pip install i2i-{plugin[1]}"
        )
    try:
        return registry.part(name).load()
    except PluginError as error:
        raise ModelError(f"{where}: {error}") from error


def _from_json(value: Any, where: str) -> Any:
    if isinstance(value, list):
        return tuple(_from_json(item, where) for item in value)
    return build(value, where) if isinstance(value, dict) else value


def build_on_meta(spec: Mapping[str, Any], where: str, *, most: int) -> nn.Module:
    """Make the module without memory for its weights, to see which shapes it would have.

    Args:
        spec: see `build`.
        where: the file it was read from.
        most: parameters that it may register; a spec with a million layers is given up there.

    Raises:
        ModelError: see `build`.
    """
    with torch.random.fork_rng(devices=[]), torch.device("meta"), _bounded(most):
        return build(spec, where)


@contextmanager
def _bounded(most: int) -> Iterator[None]:
    """Raise once this thread has registered more than ``most`` parameters."""
    thread, count = threading.get_ident(), 0

    def hook(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
        nonlocal count
        count += threading.get_ident() == thread
        if count > most:
            raise ModelError("they ask for many more layers than the file holds")

    handle = register_module_parameter_registration_hook(hook)
    try:
        yield
    finally:
        handle.remove()
