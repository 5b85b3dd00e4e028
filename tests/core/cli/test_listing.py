"""The tables of recipes, parts and plugins."""

from __future__ import annotations

from importlib import metadata

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


def test_a_plugin_for_another_core_is_shown_without_a_traceback_and_named_where_its_recipe_is_asked_for(
    blur, install, capsys
):
    install("future", "x-future", requires=["i2i-core<8,>=7"], future_plugin="1 / 0")
    problem = (
        f"needs i2i-core>=7,<8, but {metadata.version('i2i-core')} is installed: "
        "pip install 'i2i-core>=7,<8', or an older x-future"
    )
    assert main(["plugins"]) == 1
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if "future" in line] == [
        next(line for line in out.splitlines() if line.endswith(f" BROKEN: {problem}"))
    ]
    assert "Traceback" not in out
    assert main(["train", "future", "--data", "x", "--out", "y"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("i2i: error: recipe 'future' is unknown; ")
    assert f"broken plugin: future of x-future ({problem}), see `i2i plugins`\n" in err


def test_a_plugin_that_names_no_range_of_the_core_is_fine_but_it_is_said(blur, install, capsys):
    install("loose", "x-loose", requires=[], loose_plugin="")
    main(["plugins"])
    lines = [" ".join(words) for words in _rows(capsys)]
    assert "loose x-loose 1.0 loose_plugin ok, but names no range of i2i-core" in lines


def test_names_used_twice_are_shown_with_both_distributions(blur, install, capsys):
    code = "import i2i\n@i2i.hookimpl\ndef register_recipes(register): register('blur', 'm:S', 'm:b')\n"
    install("rival", "x-rival", rival_plugin=code)
    assert main(["plugins"]) == 1
    message = "recipe 'blur' is registered by x-blur and x-rival; uninstall one of them"
    assert message in capsys.readouterr().out
    assert main(["train", "blur", "--help"]) == 2
    assert capsys.readouterr().err == f"i2i: error: {message}\n"
