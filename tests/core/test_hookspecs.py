from __future__ import annotations

import inspect

from i2i import hookspecs
from i2i.plugins import HOOKS
from i2i.registry import CORE_COMMANDS, Notes


def test_every_hook_is_called_with_its_documented_argument():
    specs = {name: function for name, function in vars(hookspecs).items() if name.startswith("register_")}
    assert set(specs) == set(HOOKS)
    notes = Notes(plugin=None)  # type: ignore[arg-type]
    for name, function in specs.items():
        assert set(notes.callbacks[name]) == set(inspect.signature(function).parameters)


def test_callbacks_have_the_documented_signatures():
    pairs = [
        (hookspecs.RegisterPart.__call__, Notes.part),
        (hookspecs.RegisterRecipe.__call__, Notes.recipe),
        (hookspecs.RegisterObserver.__call__, Notes.observer),
        (hookspecs.RegisterConverter.__call__, Notes.converter),
        (hookspecs.App.command, Notes.command),
    ]
    for documented, real in pairs:
        assert inspect.signature(documented) == inspect.signature(real)


def test_names_of_commands_are_kept_from_plugins():
    from i2i.cli import COMMANDS

    assert set(CORE_COMMANDS) == set(COMMANDS)
