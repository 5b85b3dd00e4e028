"""The tables of recipes, parts and plugins."""

from __future__ import annotations

from i2i.cli import main


def _rows(capsys) -> list[list[str]]:
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_recipes(blur, capsys):
    assert main(["recipes"]) == 0
    rows = _rows(capsys)
    assert rows[0] == ["recipe", "distribution", "demo", "about"]
    assert ["blur", "x-blur", "yes", "Learn", "to", "blur."] in rows


def test_parts_and_one_that_cannot_be_imported(blur, capsys):
    assert main(["parts"]) == 0
    rows = _rows(capsys)
    assert ["blur/net", "generator", "x-blur", "Two", "layers."] in rows
    lost = next(row for row in rows if row[0] == "blur/lost")
    assert lost[1:4] == ["layer", "x-blur", "BROKEN:"]
    assert "blur_nowhere" in " ".join(lost)


def test_plugins_are_fine(blur, capsys):
    main(["plugins"])
    assert ["blur", "x-blur", "1.0", "blur_plugin", "ok"] in _rows(capsys)


def test_a_broken_plugin_is_shown_with_its_traceback_and_breaks_nothing(blur, install, capsys):
    install("bad", "x-bad", bad_plugin="def f():\n    1 / 0\nf()\n")
    assert main(["plugins"]) == 1
    out = capsys.readouterr().out
    assert "BROKEN: ZeroDivisionError: division by zero" in out
    assert "bad of x-bad:\nTraceback" in out
    assert "bad_plugin.py" in out
    assert main(["recipes"]) == 0
    assert main(["--help"]) == 0
    assert "plugins with problems (bad" in capsys.readouterr().out


def test_names_used_twice_are_shown_with_both_distributions(blur, install, capsys):
    code = "import i2i\n@i2i.hookimpl\ndef register_recipes(register): register('blur', 'm:S', 'm:b')\n"
    install("rival", "x-rival", rival_plugin=code)
    assert main(["plugins"]) == 1
    message = "recipe 'blur' is registered by x-blur and x-rival; uninstall one of them"
    assert message in capsys.readouterr().out
    assert main(["train", "blur", "--help"]) == 2
    assert capsys.readouterr().err == f"i2i: error: {message}\n"
