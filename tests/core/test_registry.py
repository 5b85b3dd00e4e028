"""Names: who registered them, and what is said when nobody or too many did."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from i2i.errors import PluginError
from i2i.registry import converter, help_for, name_of, observer, part, part_of, recipe, registry

PLUGIN = """
import i2i
@i2i.hookimpl
def register_parts(register):
    register("{name}/blur", "{module}_code:blur", kind="layer")
@i2i.hookimpl
def register_recipes(register):
    register("{recipe}", "{module}_code:Settings", "{module}_code:build")
@i2i.hookimpl
def register_observers(register):
    register("{recipe}-log", "{module}_code:observe")
@i2i.hookimpl
def register_commands(app):
    app.command("animate", "{module}_code:animate", help="move")
@i2i.hookimpl
def register_converters(register):
    register("{recipe}-files", "{module}_code:convert", help="read old files")
"""
CODE = """
import attrs
@attrs.frozen
class Settings:
    width: int = 3
def blur(size=3): return size * 2
def build(settings, run): return (settings, run)
def observe(run): return ("observer of", run)
def animate(): pass
def convert(found, name): return {"a2b": found}
"""


def _install(install, name, distribution, module, recipe_name):
    plugin = PLUGIN.format(name=name, module=module, recipe=recipe_name)
    install(name, distribution, **{module: plugin, f"{module}_code": CODE})


@pytest.fixture
def good(install):
    _install(install, "good", "x-good", "good_plugin", "smooth")


def test_what_is_registered_is_found_and_imported_on_use(good):
    found = part("good/blur")
    assert (found.reference, found.kind, found.distribution) == ("good_plugin_code:blur", "layer", "x-good")
    entry = recipe("smooth")
    assert "good_plugin_code" not in sys.modules
    assert found.load()(4) == 8
    assert entry.settings()().width == 3
    assert entry.build("settings", "run") == ("settings", "run")
    assert observer("smooth-log").build("run") == ("observer of", "run")
    assert converter("smooth-files").help == "read old files"
    assert converter("smooth-files").load()({"w": 1}, "x.pth") == {"a2b": {"w": 1}}
    assert [entry.name for entry in registry().tables.commands.all() if entry.distribution == "x-good"] == [
        "good animate"
    ]


def test_name_of_a_reference(good):
    assert name_of("good_plugin_code:blur") == "good/blur"
    assert name_of("good_plugin_code:build") is None


def test_the_part_that_made_a_net_and_how_its_plugin_is_asked_for_help(good):
    made = SimpleNamespace(spec=SimpleNamespace(factory="good_plugin_code:blur"))
    assert part_of(made) == "good/blur"
    assert part_of(SimpleNamespace(spec=SimpleNamespace(factory="elsewhere:blur"))) is None
    assert part_of(SimpleNamespace()) is None
    assert help_for("good/blur") == "i2i good --help"
    assert help_for("cyclegan/resnet_generator") == "i2i --help"  # a plugin without commands
    assert help_for(None) == "i2i --help"


@pytest.mark.parametrize(
    ("look_up", "message"),
    [
        (lambda: part("good/blurr"), "part 'good/blurr' is unknown; did you mean 'good/blur'?"),
        (lambda: recipe("smoth"), "recipe 'smoth' is unknown; did you mean 'smooth'?"),
        (lambda: observer("smooth-logs"), "observer 'smooth-logs' is unknown; did you mean 'smooth-log'?"),
        (lambda: converter("smooth-file"), "converter 'smooth-file' is unknown; did you mean 'smooth-files'?"),
    ],
)
def test_a_misspelt_name_gets_the_nearest(good, look_up, message):
    with pytest.raises(PluginError) as caught:
        look_up()
    # Another plugin of this workspace may be broken while it is written; then that is said too.
    assert str(caught.value).startswith(message)


def test_a_missing_plugin_says_what_to_install(good):
    with pytest.raises(
        PluginError, match=r"^part 'zebra/q9' is unknown; is its plugin missing\? pip install i2i-zebra "
    ):
        part("zebra/q9")


def test_a_name_that_is_no_name_is_not_offered_for_installation(good):
    with pytest.raises(PluginError) as caught:
        part("--index-url=evil /x")
    assert "pip install" not in str(caught.value)


def test_a_broken_plugin_is_named_when_something_is_unknown(install):
    install("zebra", "x-zebra", zebra_plugin="1 / 0")
    with pytest.raises(PluginError, match="broken plugin: .*zebra of x-zebra.*, see `i2i plugins`"):
        part("zebra/q9")


def test_a_name_of_two_distributions_is_an_error_that_names_both_and_breaks_nothing_else(install):
    _install(install, "good", "x-good", "good_plugin", "smooth")
    _install(install, "rival", "x-rival", "rival_plugin", "smooth")
    with pytest.raises(PluginError, match="recipe 'smooth' is registered by x-good and x-rival; uninstall one of them"):
        recipe("smooth")
    assert part("good/blur").distribution == "x-good"
    assert part("rival/blur").distribution == "x-rival"
    assert "recipe 'smooth' is registered by x-good and x-rival; uninstall one of them" in registry().tables.conflicts()
    assert "smooth" not in registry().tables.recipes.names()
    with pytest.raises(PluginError, match="converter 'smooth-files' is registered by x-good and x-rival"):
        converter("smooth-files")


def _problem(install, hook, call):
    code = f"import i2i\n@i2i.hookimpl\ndef {hook}({'app' if hook.endswith('commands') else 'register'}):\n    {call}\n"
    install("odd", "x-odd", odd_plugin=code)
    return next(plugin for plugin in registry().plugins if plugin.name == "odd").problem


@pytest.mark.parametrize(
    ("hook", "call", "problem"),
    [
        ("register_parts", "register('other/x', 'm:f', kind='layer')", "part 'other/x' must be named odd/<part>"),
        ("register_parts", "register('x', 'm:f', kind='layer')", "part 'x' must be named odd/<part>"),
        ("register_parts", "register('odd/x', 'm.f', kind='layer')", "'m.f', registered for 'odd/x', must read"),
        (
            "register_parts",
            "register('odd/x', 'm:f', kind='lair')",
            "part 'odd/x' has the unknown kind 'lair'; did you mean",
        ),
        (
            "register_parts",
            "[register('odd/x', 'm:f', kind='layer') for _ in 'ab']",
            "part 'odd/x' is registered twice by",
        ),
        ("register_recipes", "register('Odd One', 'm:S', 'm:b')", "recipe name 'Odd One' must be lower-case"),
        ("register_recipes", "register('odd', 'm:S', 'm:b', demo='demo')", "'demo', registered for 'odd', must read"),
        ("register_observers", "register('a/b', 'm:S')", "observer name 'a/b' must be"),
        ("register_converters", "register('A', 'm:f', help='')", "converter name 'A' must be lower-case"),
        ("register_converters", "register('a', 'm', help='')", "'m', registered for 'a', must read"),
        (
            "register_converters",
            "register('a', 'm:f', help='', folders=True, together=True)",
            "converter 'a' takes folders one by one, or files together, not both",
        ),
        ("register_commands", "app.command('a b', 'm:S', help='')", "command name 'a b' must be"),
        ("register_commands", "1 / 0", "ZeroDivisionError"),
    ],
)
def test_callbacks_check_at_once(install, hook, call, problem):
    found = _problem(install, hook, call)
    assert found is not None
    assert found.startswith(problem)


def test_a_plugin_that_breaks_half_way_registers_nothing(install):
    assert _problem(install, "register_parts", "register('odd/x', 'm:f', kind='layer'); 1 / 0")
    assert "odd/x" not in registry().tables.parts.names()


def test_a_plugin_named_like_a_command_can_have_no_commands(install):
    code = "import i2i\n@i2i.hookimpl\ndef register_commands(app): app.command('x', 'm:f', help='')\n"
    install("train", "x-train", train_plugin=code)
    problem = next(plugin for plugin in registry().plugins if plugin.name == "train").problem
    assert problem == "a plugin named 'train' can have no commands: i2i has one of that name"
