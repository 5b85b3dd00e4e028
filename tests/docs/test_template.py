"""What ``i2i new-plugin`` writes is what the page explains, and works in an environment made of the wheels."""

from __future__ import annotations

import json
import re
import resource
import sys
import sysconfig
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from i2i.cli.new_plugin import rendered
from tests.docs.packages import OFFLINE, run

# Several commands in one process: torch is imported once.
COMMANDS = "import json, sys; from i2i.cli import main; sys.exit(max(map(main, json.loads(sys.argv[1]))))"


def test_the_page_shows_the_files_of_the_template(page):
    shown, written = page("docs/write-a-plugin.md").files(), rendered("recolour")
    del shown["src/i2i_recolour/logger.py"]  # which the page adds
    assert set(shown) == {path for path in written if path.endswith((".py", ".toml")) and "__init__" not in path}
    for path, text in shown.items():
        assert text == written[path], path


def test_the_page_lists_the_files_of_the_template(page):
    tree = page("docs/write-a-plugin.md").blocks("text")[0]
    folders: list[str] = []
    listed = set()
    for indent, name in re.findall(r"^( *)([\w./]+)", tree, re.MULTILINE):
        folders[len(indent) // 4 :] = [name]
        if not name.endswith("/"):
            listed.add("".join(folders))
    assert listed == {f"recolour/{path}" for path in rendered("recolour")}


class Fresh(NamedTuple):
    """An environment in which i2i comes from the wheels, and all else from the one that runs the tests."""

    python: Path
    home: Path

    def run(self, *arguments: str) -> str:
        """Run Python there; return what it says."""
        return run([str(self.python), *arguments], HOME=str(self.home), PYTHONPATH="").stdout

    def i2i(self, *arguments: str) -> str:
        """Run the command that was installed; return what it says."""
        command = [str(self.python.with_name("i2i")), *arguments]
        return run(command, HOME=str(self.home), PYTHONPATH="").stdout

    def install(self, *arguments: str) -> None:
        """Install there, from files only."""
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "install", *OFFLINE, *arguments]
        run(pip, HOME=str(self.home), PYTHONPATH="")


@pytest.fixture
def fresh(wheels: dict[str, Path], tmp_path: Path) -> Fresh:
    run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")])
    (tmp_path / "home").mkdir()
    made = Fresh(tmp_path / "venv" / "bin" / "python", tmp_path / "home")
    made.install(*map(str, wheels.values()))
    # A path is added, but the .pth files there are not read: what is installed as editable stays out.
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (site / "shared.pth").write_text(sysconfig.get_path("purelib"))
    return made


def test_a_new_plugin_works_from_the_wheels(fresh, images, record_property):
    images(fresh.home / "data", "trainA", "trainB", "testA", size=20)
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "10 files in first" in fresh.i2i("new-plugin", "first")
    fresh.install("--no-build-isolation", "-e", "first")
    first, core = fresh.run("-c", "import i2i, i2i_first; print(i2i_first.__file__, i2i.__file__)").split()
    assert Path(first) == fresh.home / "first" / "src" / "i2i_first" / "__init__.py"
    assert Path(core).is_relative_to(fresh.python.parents[1])
    assert re.search(r"^first +i2i-first 0\.1\.0 +i2i_first\.plugin +ok$", fresh.i2i("plugins"), re.MULTILINE)
    assert re.search(r"^first +i2i-first +no +One translator, learnt from", fresh.i2i("recipes"), re.MULTILINE)
    assert "  first  (i2i-first)" in fresh.i2i("train", "--help")
    assert "Residual blocks of the generator." in fresh.i2i("train", "first", "--help")

    small = ["--load-size", "18", "--crop-size", "16", "--base-width", "4", "--device", "cpu"]
    train = ["train", "first", "--data", "data", "--out", "run", "--steps", "2", *small]
    translate = ["translate", "run", "data/testA", "--out", "translated", "--device", "cpu"]
    said = fresh.run("-c", COMMANDS, json.dumps([["parts"], train, translate]))
    assert re.search(r"^first/generator +generator +i2i-first ", said, re.MULTILINE)
    assert len(list((fresh.home / "translated").iterdir())) == 4
    assert "1 passed" in fresh.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "first")

    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    record_property("seconds", round(time.monotonic() - began, 1))
    record_property("seconds of CPU time", round(cpu, 1))
    print(f"i2i new-plugin to its tests passed: {time.monotonic() - began:.1f} s, {cpu:.1f} s of CPU time")
