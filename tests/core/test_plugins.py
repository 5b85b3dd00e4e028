"""Loading of plugins: what is broken is reported, and breaks nothing else."""

from __future__ import annotations

import os
import subprocess
import sys

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


# --- the versions of the core that a plugin is for --------------------------------------------------------------------


def _core(tmp_path, monkeypatch, version):
    """Let the installed core be another version."""
    info = tmp_path / "i2i_core-9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: i2i-core\nVersion: {version}\n")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.parametrize(
    ("installed", "requires", "problem"),
    [
        ("0.1.0", "i2i-core<0.2,>=0.1", None),
        ("0.1.7", "i2i-core (>=0.1,<0.2)", None),
        ("0.1.0", "I2I_Core[demo] >=0.1 , <0.2", None),
        ("0.1.0", "i2i-core ~=0.1.0", None),
        ("0.1.0", "i2i-core==0.1.*; python_version >= '3.11'", None),
        ("0.1.0", "i2i-core>=7; python_version < '3.11'", None),
        ("0.1.0", "i2i-core[x]>=7; extra == 'x'", None),
        ("0.1.0", "i2i-core-extras>=7", None),
        ("0.1.0+local.3", "i2i-core==0.1.0", None),
        ("1.0.0rc1", "i2i-core>=1.0,<2", None),  # counts as 1.0.0
        ("1.0.0rc1", "i2i-core==1.0.0rc1", None),
        (
            "0.1.0",
            "i2i-core<2,>=1.0",
            "needs i2i-core>=1.0,<2, but 0.1.0 is installed: pip install 'i2i-core>=1.0,<2', or an older x-range",
        ),
        (
            "0.2.0",
            "i2i-core<0.2,>=0.1",
            "needs i2i-core>=0.1,<0.2, but 0.2.0 is installed: pip install -U x-range, or 'i2i-core>=0.1,<0.2'",
        ),
        (
            "0.2.0.dev1",
            "i2i-core<0.2,>=0.1",
            "needs i2i-core>=0.1,<0.2, but 0.2.0.dev1 is installed: pip install -U x-range, or 'i2i-core>=0.1,<0.2'",
        ),
        (
            "1.0",
            "i2i-core==0.9.*; python_version >= '3.11'",
            "needs i2i-core==0.9.*, but 1.0 is installed: pip install -U x-range, or 'i2i-core==0.9.*'",
        ),
        (
            "0.1.0",
            "i2i-core~=0.4",
            "needs i2i-core~=0.4, but 0.1.0 is installed: pip install 'i2i-core~=0.4', or an older x-range",
        ),
    ],
)
def test_a_plugin_for_another_core_is_noted(install, tmp_path, monkeypatch, installed, requires, problem):
    install("range", "x-range", requires=["attrs>=99", requires], range_plugin=SOUND)
    _core(tmp_path, monkeypatch, installed)
    plugin = _plugin("range")
    assert (plugin.problem, plugin.traceback) == (problem, "")
    assert load_plugins()[0].has_plugin("x-range:range") == (problem is None)
    assert ("range_plugin" in sys.modules) == (problem is None)


def test_several_ranges_count_together(install):
    install("range", "x-range", requires=["i2i-core>=0.1", "i2i-core<0.1; python_version > '3'"], range_plugin=SOUND)
    assert _plugin("range").problem.startswith("needs i2i-core>=0.1,<0.1, but ")


@pytest.mark.parametrize("requires", [[], ["i2i-core"], ["attrs>=23"], ["i2i-core @ file:///x"]])
def test_a_plugin_that_names_no_range_is_loaded_and_a_note_says_so(install, requires):
    install("loose", "x-loose", requires=requires, loose_plugin=SOUND)
    plugin = _plugin("loose")
    assert (plugin.problem, plugin.note) == (None, "names no range of i2i-core")
    assert load_plugins()[0].has_plugin("x-loose:loose")


def test_a_range_that_cannot_be_read_is_noted_and_the_plugin_loaded(install):
    install("torn", "x-torn", requires=["i2i-core>=one"], torn_plugin=SOUND)
    plugin = _plugin("torn")
    assert plugin.problem is None
    assert plugin.note.startswith("its range of i2i-core cannot be read: ")
    assert ">=one" in plugin.note


def test_nothing_is_noted_of_the_packages_of_this_repository():
    own = {"core", "cyclegan", "pix2pixhd", "singan", "ugatit"}
    assert {(plugin.problem, plugin.note) for plugin in load_plugins()[1] if plugin.name in own} == {(None, None)}


def test_without_packaging_plugins_are_loaded_unseen(install, monkeypatch):
    install("range", "x-range", requires=["i2i-core>=7"], range_plugin=SOUND)
    monkeypatch.setitem(sys.modules, "packaging.specifiers", None)  # as if it were not installed
    assert (_plugin("range").problem, _plugin("range").note) == (None, None)


def test_plain_ranges_are_compared_without_the_slow_part_of_packaging(install):
    install("range", "x-range", requires=["i2i-core>=0.1", "i2i-core[demo]; extra == 'demo'"], range_plugin=SOUND)
    script = "import sys, i2i.plugins; i2i.plugins.load_plugins(); print(*sys.modules)"
    path = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], env=path, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert {"range_plugin", "packaging.specifiers"} <= set(done.stdout.split())
    assert {"packaging.markers", "packaging.requirements"} & set(done.stdout.split()) == set()
