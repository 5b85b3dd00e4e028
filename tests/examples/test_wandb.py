"""The example i2i-wandb, installed as a user would install it: its own tests pass, and i2i knows it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "i2i-wandb"


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


def test_its_own_tests_pass(site):
    said = run(["-m", "pytest", "-q", "-p", "no:cacheprovider"], site)
    assert re.search(r"^\d+ passed in ", said, re.MULTILINE), said


def test_it_is_found_and_costs_other_commands_nothing(site):
    script = "import i2i.cli, sys; i2i.cli.main(['plugins']); print({'wandb', 'torch'} & set(sys.modules))"
    said = run(["-c", script], site)
    assert re.search(r"^wandb +i2i-wandb \S+ +i2i_wandb\.plugin +ok$", said, re.MULTILINE), said
    assert said.endswith("\nset()\n")
