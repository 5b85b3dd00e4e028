"""The kernels are compiled for a GPU, which need not be there; in a process of its own, which believes in one."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
IMAGES = {"_moment_parts", "_apply", "_gradient_parts", "_input_gradient", "_parts", "_gradients"}
TABLES = {"_moments", "_instance_known", "_instance_steps", "_known", "_steps", "_factors"}
CODE = """
import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction


class Absent:
    get_current_device = get_current_stream = lambda self, *_: 0
    get_current_target = lambda self: GPUTarget("cuda", 90, 32)


def compiling(kernel, grid):
    def launch(*arguments, **options):
        made.append(kernel.warmup(*arguments, grid=grid, **options))

    return launch


made = []
driver.set_active(Absent())
JITFunction.__getitem__ = compiling

from i2i.kernels import Epilogue, compiled
from i2i_singan.compiled import slope_gradients
from i2i_ugatit import compiled as layer

x = torch.empty(2, 64, 16, 16, dtype=torch.bfloat16).to(memory_format=torch.channels_last)
weight, epilogue = torch.empty(64), Epilogue(x, 0.2, 1)
known = compiled.instance_known(x, weight, weight, 1e-5)
gradient = compiled.apply(x, known, epilogue)
sums = compiled.gradient_parts(gradient, x, known, epilogue)
steps, *_ = compiled.instance_steps(sums, x, known, weight, weight)
compiled.input_gradients(gradient, x, known, steps, epilogue, residual=True)
rho = torch.empty(1, 64, 1, 1)
layer.steps(sums, x, layer.known(x, rho, rho, rho), rho, rho)
slope_gradients(x, x, x, known, steps, weight, 0.2)
for each in made:
    wide = each.asm["ptx"].count(".v4.b32")
    print(each.name, len(each.asm["cubin"]) > 0, wide)
"""


def test_they_compile_and_move_sixteen_bytes_at_once(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = {name: (whole, int(wide)) for name, whole, wide in map(str.split, done.stdout.splitlines())}
    assert found.keys() == IMAGES | TABLES
    assert {whole for whole, _ in found.values()} == {"True"}
    assert [name for name in IMAGES if found[name][1] < 4] == []
