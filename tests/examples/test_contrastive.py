"""The example i2i-contrastive, installed as a user would install it: its own tests and its page hold."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import attrs

from i2i.settings import ImageSettings, flag

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = "i2i-contrastive"
PAGE = ROOT / "docs" / "contrastive.md"


def test_its_own_tests_its_docstrings_and_the_code_of_its_page_pass(example, tmp_path):
    page = tmp_path / "test_page.py"
    code = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    page.write_text(
        "def test_page(tmp_path, monkeypatch):\n"
        "    monkeypatch.chdir(tmp_path)\n"
        f"    exec(compile({''.join(code)!r}, 'page', 'exec'), {{}})\n"
        "    assert (tmp_path / 'mine' / 'model.safetensors').exists()\n"
    )
    pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "pyproject.toml", "--doctest-modules"]
    said = example.run(*pytest, "tests", str(example.site / "i2i_contrastive"), str(page))
    assert re.search(r"^\d+ passed in ", said, re.MULTILINE), said


def test_its_page_lists_its_settings():
    spec = importlib.util.spec_from_file_location(
        "settings", ROOT / "examples" / EXAMPLE / "src" / "i2i_contrastive" / "settings.py"
    )
    settings = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(settings)
    own = {field.name: field.default for field in attrs.fields(settings.Settings)}
    for field in attrs.fields(ImageSettings):
        del own[field.name]
    rows = re.findall(r"^\| `(--[a-z0-9-]+)` \| (\S+) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    shown = {None: "none", (): "none"}
    assert dict(rows) == {flag(name): shown.get(default, f"`{str(default).lower()}`") for name, default in own.items()}
