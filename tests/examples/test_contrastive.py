"""The example i2i-contrastive, installed as a user would install it: its own tests and its page hold."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest

from i2i.settings import ImageSettings, flag

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "i2i-contrastive"
PAGE = ROOT / "docs" / "contrastive.md"


def run(arguments: Sequence[str], site: Path) -> str:
    # Nothing is left in the folder of the example, and pytest loads no plugin that it does not name.
    clean = {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=EXAMPLE, env={**os.environ, **clean}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed example: of the project, only its modules and its metadata."""
    folder = tmp_path_factory.mktemp("site")
    offline = ["--no-deps", "--no-index", "--no-build-isolation", "--no-compile", "--disable-pip-version-check"]
    run(["-m", "pip", "install", "--quiet", *offline, "--target", str(folder), str(EXAMPLE)], folder)
    return folder


def test_its_own_tests_its_docstrings_and_the_code_of_its_page_pass(site, tmp_path):
    page = tmp_path / "test_page.py"
    code = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    page.write_text(
        "def test_page(tmp_path, monkeypatch):\n"
        "    monkeypatch.chdir(tmp_path)\n"
        f"    exec(compile({''.join(code)!r}, 'page', 'exec'), {{}})\n"
        "    assert (tmp_path / 'mine' / 'model.safetensors').exists()\n"
    )
    pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "pyproject.toml", "--doctest-modules"]
    said = run([*pytest, "tests", str(site / "i2i_contrastive"), str(page)], site)
    assert re.search(r"^\d+ passed in ", said, re.MULTILINE), said


def test_its_page_lists_its_settings():
    spec = importlib.util.spec_from_file_location("settings", EXAMPLE / "src" / "i2i_contrastive" / "settings.py")
    settings = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(settings)
    own = {field.name: field.default for field in attrs.fields(settings.Settings)}
    for field in attrs.fields(ImageSettings):
        del own[field.name]
    rows = re.findall(r"^\| `(--[a-z0-9-]+)` \| (\S+) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    shown = {None: "none", (): "none"}
    assert dict(rows) == {flag(name): shown.get(default, f"`{str(default).lower()}`") for name, default in own.items()}
