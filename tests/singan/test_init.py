from __future__ import annotations

import inspect
import pkgutil
import subprocess
import sys
from importlib import import_module

import pytest

import i2i_singan


def test_public_names_are_functions_and_classes_of_this_package() -> None:
    for module in pkgutil.walk_packages(i2i_singan.__path__, "i2i_singan."):
        import_module(module.name)  # which puts the modules among the names of the package
    for name in i2i_singan.__all__:
        found = getattr(i2i_singan, name)
        assert inspect.isfunction(found) or inspect.isclass(found), name
        assert (found.__module__.partition(".")[0], found.__name__) == ("i2i_singan", name)
    assert sorted(i2i_singan.__all__) == i2i_singan.__all__
    with pytest.raises(AttributeError, match="module 'i2i_singan' has no attribute 'sing'"):
        i2i_singan.sing  # noqa: B018


def test_importing_the_package_waits_for_nothing() -> None:
    code = (
        "import sys, i2i_singan.plugin, i2i_singan; print([m for m in ('torch', 'numpy', 'PIL') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
