"""Wheels built from the packages hold what they should, and work where nothing else of the project is."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

from tests.docs.packages import OFFLINE, PACKAGES, ROOT, run


@pytest.mark.parametrize("name", PACKAGES)
def test_a_wheel_holds_the_package_and_no_more(wheels, name):
    held = set(zipfile.ZipFile(wheels[name]).namelist())
    source = ROOT / "packages" / name / "src"
    files = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
    wanted = {path for path in files if "__pycache__" not in path}
    others = {path for path in held if ".dist-info/" not in path}
    assert others == wanted
    assert f"{PACKAGES[name]}/py.typed" in held
    ours = {path for path in held if not path.startswith("i2i/template/")}  # the tests there are those of a new plugin
    assert not any("test_" in path or "/tests/" in path for path in ours)
    assert all(path.endswith(".template") for path in held - ours)  # so nobody takes them for ours


@pytest.mark.parametrize("name", PACKAGES)
def test_a_wheel_names_its_plugin(wheels, name):
    with zipfile.ZipFile(wheels[name]) as wheel:
        (path,) = (path for path in wheel.namelist() if path.endswith(".dist-info/entry_points.txt"))
        points = wheel.read(path).decode()
    assert f"[i2i]\n{name} = {PACKAGES[name]}.plugin" in points
    assert ("i2i = i2i.cli:main" in points) == (name == "core")


@pytest.fixture(scope="module")
def alone(wheels, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which i2i comes from the wheels: the other installed packages, but not the source."""
    site, home = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("home")
    run([sys.executable, "-m", "pip", "install", *OFFLINE, "--target", str(site), *map(str, wheels.values())])
    # PYTHONPATH comes before what the editable installation added, so its metadata and modules are found first.
    return {"PYTHONPATH": str(site), "HOME": str(home)}


def test_installed_alone_it_is_imported_from_there(alone):
    names = ", ".join(PACKAGES.values())
    code = f"import {names}; print(*[module.__file__ for module in ({names})], i2i.__version__)"
    *files, version = run([sys.executable, "-c", code], **alone).stdout.split()
    assert [Path(file).parent for file in files] == [Path(alone["PYTHONPATH"], name) for name in PACKAGES.values()]
    assert version == "0.1.0"


def test_installed_alone_the_command_works(alone):
    said = run([sys.executable, "-m", "i2i", "--help"], **alone).stdout
    assert "usage: i2i COMMAND" in said
    assert "recipes: cyclegan" in said
    assert "problems" not in said
