"""An example, installed as a user would install it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


class Installed(NamedTuple):
    """An example in a folder of its own: of the project, only its modules and its metadata."""

    folder: Path
    site: Path

    def run(self, *arguments: str) -> str:
        """Run Python in the folder of the example; returns what it printed."""
        # Nothing is left in the folder of the example, and pytest loads no plugin that it does not name.
        clean = {"PYTHONPATH": str(self.site), "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        done = subprocess.run(
            [sys.executable, *arguments], cwd=self.folder, env={**os.environ, **clean}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def example(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The example that the module of the test names as its ``EXAMPLE``."""
    installed = Installed(EXAMPLES / request.module.EXAMPLE, tmp_path_factory.mktemp("site"))
    offline = ["--no-deps", "--no-index", "--no-build-isolation", "--no-compile", "--disable-pip-version-check"]
    target = ["--target", str(installed.site), str(installed.folder)]
    installed.run("-m", "pip", "install", "--quiet", *offline, *target)
    return installed
