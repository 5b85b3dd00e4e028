"""The command as a whole: help without torch, exit codes, one line per mistake."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata

import pytest

from i2i.cli import main


def test_help_needs_no_torch_in_a_fresh_process(blur):
    script = """
import sys
from i2i.cli import main
for argv in (["--help"], ["train", "--help"], ["train", "blur", "--help"], ["translate", "--help"], ["recipes"]):
    assert main(argv) == 0
print("slow imports:", sorted({"torch", "numpy", "PIL", "datasets", "tensorboard"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "slow imports: []"
    assert "--base-width INT" in done.stdout


def test_python_m_i2i_gives_the_exit_code():
    done = subprocess.run([sys.executable, "-m", "i2i", "trian"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "i2i: error: unknown command 'trian'; did you mean 'train'?\n"


def test_help_lists_commands_of_plugins_and_recipes(blur, capsys):
    assert main([]) == 0
    text = capsys.readouterr().out
    for words in ("translate", "blur twice", "print a number twice"):
        assert words in text
    assert "blur" in text.split("recipes: ")[1]


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"i2i {metadata.version('i2i-core')}\n"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["blur", "thrice"], "unknown command 'blur thrice'; did you mean 'twice'?"),
        (["--verson"], "unknown option --verson; did you mean '--version'?"),
        (["blur", "twice", "3", "--pluss", "1"], "unknown setting --pluss; did you mean '--plus'?"),
        (["blur", "twice", "x"], "INT: 'x' is no whole number"),
        (["blur", "twice", "3", "--plus", "y"], "--plus: 'y' is no number"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(blur, capsys, argv, message):
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"i2i: error: {message}\n")


def test_a_command_of_a_plugin_gets_its_arguments(blur, capsys):
    assert main(["blur", "twice", "3", "--plus", "1"]) == 0
    assert capsys.readouterr().out == "4.0 4.0\n"
    assert main(["blur"]) == 0
    assert "twice" in capsys.readouterr().out
    assert main(["blur", "twice", "--help"]) == 0
    assert "what is added" in capsys.readouterr().out


def test_other_errors_are_one_line_and_exit_code_1_with_a_traceback_on_demand(blur, capsys):
    assert main(["blur", "twice", "3", "--fail"]) == 1
    assert capsys.readouterr().err == "i2i: error: ValueError: this failed (--debug shows where)\n"
    assert main(["blur", "twice", "3", "--fail", "--debug"]) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_debug_shows_the_traceback_of_a_mistake_too(capsys):
    assert main(["trian", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        ("raise KeyboardInterrupt", 130, "i2i: interrupted\n"),
        ("raise SystemExit", 0, ""),
        ("raise SystemExit(143)", 143, ""),
        ("raise SystemExit('because')", 1, "because\n"),
        ("return 3", 3, ""),
        ("return None", 0, ""),
    ],
)
def test_however_a_command_ends(install, capsys, end, code, said):
    plugin = "import i2i\n@i2i.hookimpl\ndef register_commands(app): app.command('now', 'stop_code:now', help='')\n"
    install("stop", "x-stop", stop_plugin=plugin, stop_code=f"def now():\n    {end}\n")
    assert main(["stop", "now"]) == code
    assert capsys.readouterr().err == said
