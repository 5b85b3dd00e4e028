from __future__ import annotations

import io
import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import public_names
import pytest
import site_reference
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import docutils_namespace
from sphinx.util.matching import get_matching_files

import i2i

ROOT = Path(__file__).resolve().parents[2]
TOGETHER = """
Steps
=====

.. public:: i2i.together together
"""
pytestmark = pytest.mark.filterwarnings("ignore:The mapping interface")  # napoleon, of autodoc


@pytest.fixture
def build(tmp_path, monkeypatch) -> Callable[..., tuple[str, str]]:
    """``build(page, {"i2i": ("player",)})``: a site of one page, its HTML and the warnings."""

    def build(page: str, names: dict[str, tuple[str, ...]]) -> tuple[str, str]:
        monkeypatch.setattr(site_reference, "public_names", lambda: names)
        (tmp_path / "index.rst").write_text(page)
        settings = {
            "extensions": ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "site_reference"],
            "default_role": "py:obj",
            "nitpicky": True,
            "html_theme": "basic",
        }
        warnings, out = io.StringIO(), tmp_path / "out"
        with docutils_namespace():
            site = Sphinx(tmp_path, None, out, tmp_path / "trees", "html", settings, status=None, warning=warnings)
            site.build()
        return (out / "index.html").read_text("utf-8"), warnings.getvalue()

    return build


def test_a_site_with_all_names_is_built(build):
    html, warnings = build(TOGETHER, {"i2i.together": ("together",)})
    assert not warnings
    assert 'id="i2i.together.together"' in html
    assert "computed in one pass" in html


def test_a_public_name_without_a_page_fails_the_build(build):
    with pytest.raises(ExtensionError, match=r"i2i\.Policy: no page of docs/api has it"):
        build(TOGETHER, {"i2i": ("Policy",)})


def test_what_is_loaded_from_another_host_fails_the_build(build):
    page = TOGETHER + '\n.. raw:: html\n\n   <script src="https://example.org/a.js"></script>\n'
    with pytest.raises(ExtensionError, match=r"index\.html loads https://example\.org/a\.js"):
        build(page, {})


def test_names_are_links_and_unknown_ones_are_warnings(build):
    page = ".. public:: i2i every\n\n`i2i.combine.every`, `i2i.step.Moving` and `i2i.evrey`.\n"
    html, warnings = build(page, {"i2i": ("every",)})
    assert re.search(r'href="#i2i\.every"[^>]*><code[^>]*><span class="pre">i2i\.combine\.every<', html)
    assert re.search(r' <code[^>]*><span class="pre">i2i\.step\.Moving<', html)
    unknown = re.findall(r"reference target not found: (\S+)", warnings)
    assert "i2i.evrey" in unknown
    assert "i2i.step.Moving" not in unknown


@pytest.fixture
def bare(tmp_path, monkeypatch) -> str:
    """A module with names that are explained and names that are not."""
    (tmp_path / "bare.py").write_text(
        "from typing import NamedTuple\n"
        "def told():\n    'What it does.'\n"
        "def untold(): ...\n"
        "class Named(NamedTuple):\n    a: int\n"
        "class Error(ValueError): ...\n"
        "#: A number.\n"
        "TOLD = 1\n"
        "UNTOLD = 2\n"
    )
    (tmp_path / "hands_on.py").write_text("from bare import TOLD, UNTOLD\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "bare"
    for name in ("bare", "hands_on"):
        sys.modules.pop(name, None)


def test_a_public_name_without_a_docstring_is_found(bare):
    names = {"bare": ("told", "untold", "Named", "Error", "TOLD", "UNTOLD"), "hands_on": ("TOLD", "UNTOLD")}
    on_the_site = {f"{module}.{name}" for module, found in names.items() for name in found}
    lines = public_names.undocumented(names, on_the_site)
    missing = ["bare.untold", "bare.Named", "bare.Error", "bare.UNTOLD", "hands_on.UNTOLD"]
    assert lines == [f"{name}: no docstring" for name in missing]


def test_what_is_public():
    names = public_names.public_names()
    assert set(names["i2i"]) == set(i2i.__all__)
    assert {"register_parts", "register_converters", "RegisterPart", "App"} <= set(names["i2i.hookspecs"])
    assert {"lsgan", "Criterion"} <= set(names["i2i.losses"])
    assert "_criterion" not in names["i2i.losses"]
    assert "weights_of" in names["i2i.convert"]
    assert {"cam_loss", "Settings"} <= set(names["i2i_ugatit"])
    packages = {path.parent.name for path in ROOT.glob("packages/*/src/i2i_*/__init__.py")}
    assert packages <= set(names)


def test_of_several_names_the_shortest_is_shown():
    assert public_names.home("i2i.combine.alternate") == "i2i.alternate"
    assert public_names.home("i2i.losses.hinge") == "i2i.losses.hinge"


def test_data_that_is_handed_on_keeps_its_explanation():
    assert "divided by" in public_names.explanation("i2i.data.CHROMA")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('<link rel="stylesheet" href="https://fonts.example/a.css">', ["https://fonts.example/a.css"]),
        ('<img alt="" src="//cdn.example/a.png">', ["//cdn.example/a.png"]),
        ("a { background: url('http://cdn.example/a.png') }", ["http://cdn.example/a.png"]),
        ('@import "https://fonts.example/a.css";', ["https://fonts.example/a.css"]),
        ('<a href="https://arxiv.org/abs/1703.10593">paper</a><img src="images/demo.png">', []),
    ],
)
def test_what_a_browser_would_fetch(text, found):
    assert site_reference.fetched(text) == found


def test_the_site_takes_every_page_and_nothing_else():
    conf = runpy.run_path(str(ROOT / "docs" / "conf.py"))
    taken = set(get_matching_files(ROOT, conf["include_patterns"], conf["exclude_patterns"]))
    patterns = ("README.md", "docs/**/*.md", "docs/**/*.ipynb", "packages/*/*.md", "examples/*/README.md")
    assert taken == {path.relative_to(ROOT).as_posix() for pattern in patterns for path in ROOT.glob(pattern)}
    assert conf["nb_execution_mode"] == "off"


def test_the_picture_of_the_algebra_names_what_exists():
    picture = ElementTree.parse(ROOT / "docs" / "images" / "step-algebra.svg").getroot()
    code = [node.text or "" for node in picture.iter() if node.get("class") == "code"]
    words = {re.split(r"\W", text.rpartition("= ")[2])[0] for text in code}
    assert words - set(i2i.__all__) - set(i2i.Step._fields) == {"share", "judge"}
    assert set(i2i.Step._fields) <= words
    assert {"Step", "Policy", "Turn", "fit", "player", "alternate", "repeat", "every", "replayed", "staged"} <= words
    (turn,) = [node.text for node in picture.iter() if (node.text or "").startswith("policy, ")]
    assert turn == ", ".join(i2i.Turn._fields)
