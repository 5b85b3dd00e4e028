"""Plugins that take too much of i2i, or that take too long to import."""

from __future__ import annotations

import sys
import textwrap

import pytest

from i2i.testing import ContractError
from i2i.testing.imports import check_cost, check_public, files_of, package_of, public_names, taken


@pytest.fixture
def package(tmp_path, monkeypatch):
    """``package(module=code, ...)``: an importable package ``toy_package``."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(**modules):
        root = tmp_path / "toy_package"
        root.mkdir(exist_ok=True)
        for name, code in {"__init__": "", **modules}.items():
            (root / f"{name}.py").write_text(textwrap.dedent(code))
        return root

    yield make
    for name in [name for name in sys.modules if name.startswith("toy_package")]:
        del sys.modules[name]


def names_in(root):
    return {str(each) for each in taken(sorted(root.glob("*.py")))}


def test_imports_and_attributes_are_found(package):
    root = package(
        imports="""
            import i2i.data
            import i2i.engine as motor, json
            from i2i import losses, player
            from i2i.settings import above as more
            from . import i2i
            import i2i_other.thing
            """,
        attributes="""
            import i2i
            import i2i.data as images
            from i2i import terms

            def make(x: i2i.Pair):
                from i2i.models import load
                return i2i.data.unpaired(images.read_image, terms.cycle), x.i2i.nothing, i2i.testing.nets.LIMIT
            """,
    )
    assert names_in(root) == {
        "i2i.data", "i2i.engine", "i2i.losses", "i2i.player", "i2i.settings.above", "i2i", "i2i.Pair",
        "i2i.models.load", "i2i.data.unpaired", "i2i.data.read_image", "i2i.terms", "i2i.terms.cycle",
        "i2i.testing.nets.LIMIT",
    }  # fmt: skip
    places = {str(each): each.place for each in taken(sorted(root.glob("*.py")))}
    assert places["i2i.settings.above"] == "imports.py:5"


def test_files_are_found_without_being_imported(package):
    root = package(one="raise SystemExit", two="")
    (root / "inner").mkdir()
    (root / "inner" / "three.py").touch()
    assert [path.name for path in files_of("toy_package")] == ["__init__.py", "three.py", "one.py", "two.py"]
    (root.parent / "toy_alone.py").touch()
    assert [path.name for path in files_of("toy_alone")] == ["toy_alone.py"]
    assert files_of("no_such_package") == []


def test_files_of_others_in_a_namespace_are_not_looked_at(package):
    root = package(plugin="")
    outer = root.parent / "toy_space"
    (outer / "other").mkdir(parents=True)
    root.rename(outer / "own")
    assert package_of("toy_space.own.plugin") == "toy_space.own"
    assert package_of("json.decoder") == "json"
    assert package_of("json") == "json"


@pytest.mark.parametrize(
    "code",
    [
        "import i2i; i2i.player; i2i.__version__; i2i.data.unpaired",
        "from i2i.losses import hinge, Criterion",  # public as a whole, though no plugin here needs hinge
        "from i2i import testing; testing.check_plugin",
        "from i2i.testing import check_generator, ContractError",
        "from i2i.settings import at_least",
        "import i2i.layers; i2i.layers.norm_layer",
        "import torch._dynamo",
        "from i2i import data, losses\n\ndef build(data):\n    losses = {}\n    losses.update(data.values)",
        "def f():\n    import i2i.checkpoint as c\n\ndef g(x):\n    for c in x:\n        c.weight",
    ],
)
def test_public_names_may_be_taken(package, code):
    check_public(taken(package(code=code).glob("*.py")))


@pytest.mark.parametrize(
    ("code", "named"),
    [
        ("from i2i.engine import fit", r"i2i.engine.fit \(code.py:1\)"),
        ("import i2i.sharing", r"i2i.sharing \(code.py:1\)"),
        ("from i2i.settings import _SEED_LIMIT", r"i2i.settings._SEED_LIMIT \(code.py:1\)"),
        ("from i2i.losses import _criterion", "i2i.losses._criterion"),
        ("from i2i.losses import torch", "i2i.losses.torch"),
        ("from i2i.testing.nets import LIMIT", "i2i.testing.nets.LIMIT"),
        ("import i2i\n\ni2i.checkpoint.write_tree", r"i2i.checkpoint.write_tree \(code.py:3\)"),
        (
            "def f():\n    import i2i.checkpoint as c\n    return c.write_tree",
            r"i2i.checkpoint.write_tree \(code.py:3\)",
        ),
        ("from i2i import nonsense", "i2i.nonsense"),
    ],
)
def test_other_names_may_not_be_taken(package, code, named):
    with pytest.raises(
        ContractError, match=f"takes names of i2i that may change with any version: {named}.*; the table"
    ):
        check_public(taken(package(code=code).glob("*.py")))


def test_the_table_names_what_there_is():
    for module, names in public_names().items():
        found = __import__(module, fromlist=["_"])
        assert [name for name in names if not hasattr(found, name)] == [], module


def test_torch_must_not_be_imported_for_help(package):
    package(light="import json", heavy="import toy_package.inner", inner="import torch")
    check_cost(["toy_package.light"])
    with pytest.raises(ContractError, match=r"^importing toy_package.heavy imports torch, and `i2i --help` would wait"):
        check_cost(["toy_package.light", "toy_package.heavy"])


def test_a_module_must_be_importable_in_a_new_process(package):
    package(broken="raise ValueError('no such thing')")
    with pytest.raises(
        ContractError, match="cannot be imported in a new process: ValueError: no such thing; import it"
    ):
        check_cost(["toy_package.broken"])
