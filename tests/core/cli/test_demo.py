from __future__ import annotations

import pytest

from i2i.cli import main


def test_a_demo_gets_its_arguments(blur, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "blur", "--out", "here", "--seed", "4", "--steps", "9", "--resume"]) == 0
    assert capsys.readouterr().out == f"demo {tmp_path / 'here'} 4 9 True\n"
    assert main(["demo", "blur", "--out", "here"]) == 0
    assert capsys.readouterr().out == f"demo {tmp_path / 'here'} 0 None False\n"


def test_the_first_demo_is_meant_when_none_is_named(blur, capsys):
    assert main(["demo", "--out", "here", "--seed", "1", "--steps", "1"]) == 0
    assert capsys.readouterr().out.startswith("demo ")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["blurr", "--out", "o"], "no demo of a recipe 'blurr'; did you mean 'blur'?"),
        (["blur", "--out", "o", "--steps", "0"], "steps (=0) must be at least 1"),
        (["blur", "--out", "o", "--seed", "-1"], "seed (=-1) must lie between 0 and 4294967295"),
    ],
)
def test_mistakes(blur, capsys, argv, message):
    assert main(["demo", *argv]) == 2
    assert capsys.readouterr().err == f"i2i: error: {message}\n"
