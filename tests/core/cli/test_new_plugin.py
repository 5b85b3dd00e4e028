from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from i2i.cli import main
from i2i.cli.new_plugin import compatible

ROOT = Path(__file__).resolve().parents[3]
LONGEST = "a" * 19 + "-" + "b" * 20


def files_of(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text("utf-8") for path in folder.rglob("*") if path.is_file()}


def test_the_files_are_those_of_a_package(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["new-plugin", "my-nets_2"]) == 0
    files = files_of(tmp_path / "my-nets_2")
    modules = {"__init__", "parts", "plugin", "recipe", "settings"}
    assert set(files) == {
        *("pyproject.toml", "README.md", "CHANGELOG.md", "tests/test_plugin.py", "src/i2i_my_nets_2/py.typed"),
        *(f"src/i2i_my_nets_2/{module}.py" for module in modules),
    }
    project = tomllib.loads(files["pyproject.toml"])["project"]
    assert project["name"] == "i2i-my-nets_2"
    assert project["dependencies"] == ["i2i-core>=0.1,<0.2"]
    assert metadata.version("i2i-core").startswith("0.1.")
    assert project["entry-points"] == {"i2i": {"my-nets_2": "i2i_my_nets_2.plugin"}}
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "plugin my-nets_2: 10 files in my-nets_2. It works as it is; to try it:"
    assert [line.partition("#")[0].strip() for line in said[1:5]] == [
        "pip install -e 'my-nets_2[test]'",
        "i2i train my-nets_2 --data DIR --out runs/my-nets_2",
        "i2i translate runs/my-nets_2 DIR/testA --out translated",
        "pytest my-nets_2",
    ]


def test_nothing_of_the_template_is_left(tmp_path):
    for name in ("zzqx", "vvjk"):
        assert main(["new-plugin", name, "--out", str(tmp_path / name)]) == 0
    one, other = (files_of(tmp_path / name) for name in ("zzqx", "vvjk"))
    assert {path.replace("zzqx", "vvjk"): text.replace("zzqx", "vvjk") for path, text in one.items()} == other
    for path, text in one.items():
        assert "$" not in path + text
        assert "template" not in path + text
        if path.endswith(".py"):
            ast.parse(text)


@pytest.mark.parametrize(
    ("version", "range"),
    [
        ("0.1.0", ">=0.1,<0.2"),
        ("0.9.12", ">=0.9,<0.10"),
        ("0.2rc1", ">=0.2,<0.3"),
        ("1.0.0", ">=1.0,<2"),
        ("12.3.4.dev5", ">=12.3,<13"),
    ],
)
def test_a_plugin_is_for_the_versions_that_do_not_break_it(version, range):
    assert compatible(version) == range


@pytest.mark.parametrize("out", ["new", "deep/er/new", "there"])
def test_a_folder_is_new_or_empty(tmp_path, out, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("there").mkdir()
    assert main(["new-plugin", "first", "--out", out]) == 0
    assert (tmp_path / out / "src" / "i2i_first" / "plugin.py").is_file()
    assert not Path("first").exists()


@pytest.mark.parametrize("name", ["2", "a", "x9", "class", "a_b-c", LONGEST])
def test_names_that_are_accepted(tmp_path, name):
    assert main(["new-plugin", name, "--out", str(tmp_path)]) == 0
    assert (tmp_path / "src" / f"i2i_{name.replace('-', '_')}" / "plugin.py").is_file()


LETTERS = "must be lower-case letters and digits, with '-' or '_' only between them"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", f"name '' {LETTERS}"),
        ("Mine", f"name 'Mine' {LETTERS}"),
        ("a b", f"name 'a b' {LETTERS}"),
        ("a.b", f"name 'a.b' {LETTERS}"),
        ("a/b", f"name 'a/b' {LETTERS}"),
        ("../b", f"name '../b' {LETTERS}"),
        ("_a", f"name '_a' {LETTERS}"),
        ("a-", f"name 'a-' {LETTERS}"),
        ("a\n", f"name 'a\\n' {LETTERS}"),
        ("größe", f"name 'größe' {LETTERS}"),
        ("a" * 41, f"name '{'a' * 41}' is 41 characters long, and must be at most 40"),
        ("i2i-mine", "name 'i2i-mine' must not begin with i2i, which is put in front of it; use 'mine'"),
        ("train", "name 'train' is taken by a command of i2i; choose another one"),
        ("new_plugin", "name 'new_plugin' is taken by a command of i2i; choose another one"),
        ("core", "name 'core' is taken by the plugin i2i-core 0.1.0; choose another one"),
        ("blur", "name 'blur' is taken by the plugin x-blur 1.0; choose another one"),
        ("soft_blur", "name 'soft_blur' is taken by the plugin x-soft 1.0; choose another one"),
        ("sharpen", "name 'sharpen' is taken by a recipe of x-soft; choose another one"),
    ],
)
def test_names_that_are_refused(blur, install, tmp_path, monkeypatch, capsys, name, message):
    plugin = """
import i2i

@i2i.hookimpl
def register_recipes(register):
    register("sharpen", "soft_settings:Settings", "soft_code:build")
"""
    install("soft-blur", "x-soft", soft_plugin=plugin)
    monkeypatch.chdir(tmp_path)
    assert main(["new-plugin", name]) == 2
    assert capsys.readouterr() == ("", f"i2i: error: {message}\n")
    assert list(tmp_path.iterdir()) == []


def test_a_broken_plugin_keeps_its_name(install, tmp_path, monkeypatch, capsys):
    install("torn", "x-torn", torn_plugin="import nowhere")
    monkeypatch.chdir(tmp_path)
    assert main(["new-plugin", "torn"]) == 2
    assert "taken by the plugin x-torn 1.0" in capsys.readouterr().err


@pytest.mark.parametrize("kept", ["file", "folder/README.md", "folder/.git/config"])
def test_nothing_is_overwritten(tmp_path, monkeypatch, capsys, kept):
    monkeypatch.chdir(tmp_path)
    Path(kept).parent.mkdir(parents=True, exist_ok=True)
    Path(kept).write_text("mine")
    out = kept.partition("/")[0]
    assert main(["new-plugin", "first", "--out", out]) == 2
    assert capsys.readouterr().err == (
        f"i2i: error: {out} exists and is no empty folder; name another one with --out FOLDER\n"
    )
    assert files_of(tmp_path) == {kept: "mine"}


def test_a_file_in_the_way_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("mine")
    assert main(["new-plugin", "first", "--out", "file/first"]) == 2
    assert capsys.readouterr().err == "i2i: error: file/first: Not a directory\n"
    assert files_of(tmp_path) == {"file": "mine"}


def test_help_says_what_is_written_and_where(capsys):
    assert main(["new-plugin", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.replace("│", "").split())
    for words in ("Write a new plugin", "called i2i-NAME", "--out", "must be new or empty; NAME when left out"):
        assert words in said


@pytest.mark.parametrize("name", ["recolour", LONGEST])
def test_the_package_is_clean_for_ruff(tmp_path, name):
    assert main(["new-plugin", name, "--out", str(tmp_path)]) == 0
    for command in (["check"], ["format", "--check"]):
        checked([sys.executable, "-m", "ruff", *command, "--no-cache", "--config", "pyproject.toml", str(tmp_path)])


def test_the_package_is_clean_for_strict_mypy(tmp_path):
    assert main(["new-plugin", "recolour", "--out", str(tmp_path)]) == 0
    checked([sys.executable, "-m", "mypy", str(tmp_path / "src"), str(tmp_path / "tests")], MYPYPATH=f"{tmp_path}/src")


def checked(command: list[str], **environment: str) -> None:
    """Run a checker with the settings of the repository."""
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
