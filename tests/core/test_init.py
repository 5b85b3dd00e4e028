"""The root of the library: few names, imported when used."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import i2i


@pytest.mark.parametrize("name", i2i.__all__)
def test_every_name_is_there(name):
    assert getattr(i2i, name) is not None
    assert name in dir(i2i)


def test_names_are_few_and_known_to_type_checkers():
    assert len(i2i.__all__) <= 50
    (typed,) = (node for node in ast.parse(Path(i2i.__file__).read_text()).body if isinstance(node, ast.If))
    imported = {alias.name for node in typed.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert imported | {"__version__"} == set(i2i.__all__)


def test_a_function_is_not_hidden_by_a_module_of_its_name():
    modules = {path.stem for path in Path(i2i.__file__).parent.glob("*.py")}
    functions = {
        name for name in i2i.__all__ if inspect.isroutine(getattr(i2i, name)) or inspect.isclass(getattr(i2i, name))
    }
    assert modules & functions == set()


def test_import_needs_no_torch_and_no_command_line_packages():
    script = "import sys, i2i; print(sorted({'torch', 'tyro', 'cattrs', 'datasets', 'PIL', 'tqdm'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "[]\n"


def test_building_blocks_need_no_packages_of_data_and_command_line():
    script = (
        "import sys, i2i; i2i.player, i2i.fit, i2i.nets, i2i.staged, i2i.losses, i2i.save;"
        "print(sorted({'tyro', 'cattrs', 'datasets', 'PIL', 'tensorboard', 'tomli_w'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "[]\n"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'i2i' has no attribute 'palyer'"):
        i2i.palyer  # type: ignore[attr-defined]  # noqa: B018
