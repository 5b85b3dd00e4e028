"""The kernels are compiled for a GPU, which need not be there; in a process of its own, which believes in one."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
IMAGES = {"_moment_parts", "_apply", "_gradient_parts", "_input_gradient", "_parts", "_gradients"}
TABLES = {"_moments", "_instance_known", "_instance_steps", "_known", "_steps", "_factors", "_move"}
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
        one = kernel.warmup(*arguments, grid=grid, **options)
        made[one.hash] = one

    return launch


made = {}
driver.set_active(Absent())
JITFunction.__getitem__ = compiling

from i2i.kernels import Epilogue, compiled
from i2i_singan.compiled import move_statistics, slope_gradients
from i2i_ugatit import compiled as layer


def launch_all(shape, dtype, slope, pad, *, whole):
    x, c = torch.empty(shape, dtype=dtype).to(memory_format=torch.channels_last), shape[1]
    weight, epilogue = torch.empty(c) if whole else None, Epilogue(x if whole else None, slope, pad)
    known = compiled.instance_known(x, weight, weight, 1e-5)
    gradient = compiled.apply(x, known, epilogue)
    sums = compiled.gradient_parts(gradient, x, known, epilogue)
    steps, *_ = compiled.instance_steps(sums, x, known, weight, weight)
    compiled.input_gradients(gradient, x, known, steps, epilogue, residual=whole)
    if whole:
        rho = torch.empty(1, c, 1, 1)
        layer.steps(sums, x, layer.known(x, rho, rho, rho), rho, rho)
        slope_gradients(x, x, x, known, steps, weight, 0.2)
        move_statistics(known, weight, weight, momentum=0.1, eps=1e-5, pixels=256)


launch_all((2, 64, 16, 16), torch.bfloat16, 0.2, 1, whole=True)
for each in made.values():
    ptx = each.asm["ptx"]
    print(each.name, len(each.asm["cubin"]) > 0, ptx.count(".v4.b32"), ".maxnreg 128" in ptx)
before = len(made)
launch_all((3, 64, 15, 17), torch.bfloat16, 0.2, 1, whole=True)
print("anew", len(made) - before)
launch_all((1, 1, 4, 4), torch.float32, 1.0, 1, whole=True)
launch_all((1, 3, 5, 1), torch.float16, 0.0, 0, whole=False)
print("others", len(made) - before)
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """What is told of kernels: name, whether there is code, loads and stores of 16 bytes, whether registers are few."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path_factory.mktemp("triton"))
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [line.split() for line in done.stdout.splitlines()]


def test_they_compile_and_move_sixteen_bytes_at_once(told: list[list[str]]) -> None:
    kernels = {name: rest for name, *rest in told if len(rest) == 3}
    assert kernels.keys() == IMAGES | TABLES
    assert {whole for whole, *_ in kernels.values()} == {"True"}
    assert [name for name in IMAGES if int(kernels[name][1]) < 4] == []
    assert [name for name in kernels if kernels[name][2] == "True"] == ["_gradient_parts"]


def test_another_size_takes_no_other_kernels(told: list[list[str]]) -> None:
    """A pyramid has many sizes, and to compile takes longer than to train its small ones."""
    assert ["anew", "0"] in told


def test_they_compile_for_one_channel_and_without_weights(told: list[list[str]]) -> None:
    (others,) = (int(number) for name, number in (line for line in told if len(line) == 2) if name == "others")
    assert others == len(IMAGES | TABLES) + len({"_moment_parts", "_apply", "_gradient_parts", "_input_gradient"}) + 2
