"""The packages of this repository, and how other Pythons are run."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "core": "i2i",
    "cyclegan": "i2i_cyclegan",
    "pix2pixhd": "i2i_pix2pixhd",
    "singan": "i2i_singan",
    "ugatit": "i2i_ugatit",
}
OFFLINE = ("--quiet", "--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check")


def run(arguments: Sequence[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program, in the folder ``HOME`` where one is given, and show what it says if it fails."""
    done = subprocess.run(
        arguments, env={**os.environ, **environment}, cwd=environment.get("HOME"), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done
