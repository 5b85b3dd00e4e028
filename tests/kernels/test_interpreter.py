"""The tests of the kernels once more, in a process that has Triton interpret them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

pytestmark = [
    pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed"),
    # The interpreter of Triton 3.6 does not run with NumPy 2.4.
    pytest.mark.skipif(torch.cuda.is_available(), reason="they are tested on the device"),
]


def test_the_kernels_in_the_interpreter() -> None:
    here = Path(__file__).parent
    if os.environ.get("TRITON_INTERPRET") == "1":
        pytest.skip("this is that process")
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:benchmark", str(here)]
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run(
        command, cwd=here.parents[1], env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    told = re.search(r"(\d+) passed", done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert told is not None
    assert int(told[1]) > 55
    assert "skipped" not in done.stdout
