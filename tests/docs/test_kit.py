"""What docs/write-a-plugin.md says of the kit, on what ``i2i new-plugin`` writes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from i2i import registry
from i2i.cli.new_plugin import rendered
from i2i.testing import check_plugin


@pytest.fixture
def section(page):
    """The blocks of "Test it": the test of a plugin, what it reports, and the tests of single parts."""
    text = page("docs/write-a-plugin.md").text
    return page("docs/write-a-plugin.md")._replace(text=text.partition("## Test it")[2].partition("\n## ")[0])


@pytest.fixture
def recolour(tmp_path, monkeypatch):
    """A new plugin, on ``sys.path`` as if it were installed."""
    for name, text in rendered("recolour").items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    info = tmp_path / "src" / "i2i_recolour-0.1.0.dist-info"
    info.mkdir()
    metadata = ["Metadata-Version: 2.1", "Name: i2i-recolour", "Version: 0.1.0", "Requires-Dist: i2i-core>=0.1", ""]
    (info / "METADATA").write_text("\n".join(metadata))
    (info / "entry_points.txt").write_text("[i2i]\nrecolour = i2i_recolour.plugin\n")
    monkeypatch.syspath_prepend(str(tmp_path / "src"))
    registry.registry.cache_clear()
    yield
    registry.registry.cache_clear()
    for name in [name for name in sys.modules if name.startswith("i2i_recolour")]:
        del sys.modules[name]


@pytest.mark.usefixtures("recolour")
def test_the_page_shows_what_the_kit_reports(section):
    (shown,) = section.blocks("text")
    assert shown == f"{check_plugin('recolour')}\n"


@pytest.mark.usefixtures("recolour")
def test_the_tests_of_single_parts_pass(section, tmp_path):
    (code,) = [block for block in section.blocks("python") if "check_plugin" not in block]
    names = {}
    exec(code, names)
    names["test_generator"]()
    names["test_recipe"](tmp_path / "data")


def test_the_page_names_all_checks(section):
    import i2i.testing as kit

    checks = [name for name in kit.__all__ if name.startswith("check_")]
    assert [name for name in checks if f"`{name}`" not in section.text and f"{name}(" not in section.text] == []


def test_the_kit_does_without_a_test_runner():
    program = "import sys, i2i.testing; print(sorted({'pytest', 'cattrs', 'tyro', 'datasets'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
