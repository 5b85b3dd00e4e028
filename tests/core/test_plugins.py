"""Loading of plugins: what is broken is reported, and breaks nothing else."""

from __future__ import annotations

import pytest

from i2i.plugins import Plugin, load_plugins

SOUND = "import i2i\n@i2i.hookimpl\ndef register_parts(register): pass\n"


def _plugin(name: str) -> Plugin:
    return next(plugin for plugin in load_plugins()[1] if plugin.name == name)


def test_a_sound_plugin_is_loaded_with_its_distribution(install):
    install("fine", "x-fine", fine_plugin=SOUND)
    plugin = _plugin("fine")
    assert (plugin.distribution, plugin.version, plugin.module, plugin.problem) == (
        "x-fine",
        "1.0",
        "fine_plugin",
        None,
    )
    assert load_plugins()[0].has_plugin("x-fine:fine")


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import no_such_module_here", "ModuleNotFoundError: No module named 'no_such_module_here'"),
        ("def broken(:", "SyntaxError"),
        ("import sys; sys.exit('bye')", "SystemExit: bye"),
        ("import i2i\n@i2i.hookimpl\ndef register_parts(registre): pass\n", "PluginValidationError"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_noted_with_its_traceback(install, code, problem):
    install("bad", "x-bad", bad_plugin=code)
    install("fine", "x-fine", fine_plugin=SOUND)
    bad = _plugin("bad")
    assert bad.problem is not None
    assert bad.problem.startswith(problem)
    assert "\n" not in bad.problem
    assert "Traceback" in bad.traceback
    assert _plugin("fine").problem is None
    assert not load_plugins()[0].has_plugin("x-bad:bad")


def test_a_misspelt_hook_names_the_distribution_and_the_nearest_hook(install):
    install("typo", "x-typo", typo_plugin="import i2i\n@i2i.hookimpl\ndef register_part(register): pass\n")
    install("fine", "x-fine", fine_plugin=SOUND)
    assert _plugin("typo").problem == (
        "plugin typo of x-typo: hook 'register_part' is unknown, did you mean 'register_parts'?"
    )
    assert _plugin("fine").problem is None


def test_two_distributions_may_use_one_plugin_name(install):
    install("twin", "x-first", twin_one=SOUND)
    install("twin", "x-second", twin_two=SOUND)
    found = [(plugin.distribution, plugin.problem) for plugin in load_plugins()[1] if plugin.name == "twin"]
    assert found == [("x-first", None), ("x-second", None)]
