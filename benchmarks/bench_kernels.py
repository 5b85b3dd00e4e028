"""Norms with what follows them, and means over objects, against torch's operations, a compiler, and a copy.

On a CUDA device ours, ``eager`` (the authors' operations) and ``compile`` are held against the formula in float64 and
then timed. Elsewhere nothing is timed; with ``--benchmark-disable`` each is computed once at a tiny size and held
against the formula, ours by its twin.
"""

from __future__ import annotations

import statistics
from contextlib import nullcontext

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.device.kernels import Run, all_kernels
from benchmarks.device.meter import Lap, Meter, Work
from benchmarks.device.rows import copies

CUDA = torch.cuda.is_available()
METER = Meter(torch.device("cuda:0" if CUDA else "cpu"))
ROUNDS = 20
CASES = [
    pytest.param(Run(kernel, dtype, training), way, marks=pytest.mark.benchmark(group=f"kernel/{kernel.group}"), id=(
        f"{kernel.name.replace(', ', '-').replace(' ', '')}-{dtype}-{'both' if training else 'forwards'}-{way}"
    ))
    for kernel in all_kernels(smoke=not CUDA)
    for dtype in ("bf16", "fp32")
    for training in (False, True)
    for way in kernel.ways
]  # fmt: skip


@pytest.fixture(scope="module")
def gb_per_s() -> float:
    """What a copy reads and writes."""
    return copies(METER, 25 * 10**7 if CUDA else 2**12)["gb_per_s"]


@pytest.mark.parametrize(("run", "way"), CASES)
def test_kernel(benchmark: BenchmarkFixture, run: Run, way: str, gb_per_s: float) -> None:
    if benchmark.enabled and not CUDA:
        pytest.skip("no CUDA device: kernels are not timed")
    found = run.errors(METER, way) if benchmark.enabled else benchmark(run.errors, METER, way)
    assert found["passed"], found
    if not benchmark.enabled:
        return
    work, count = run.repeated(METER, way)
    laps: list[Lap] = []
    benchmark.pedantic(lambda: laps.append(METER.lap(Work(work, nullcontext), 1)), rounds=ROUNDS, warmup_rounds=2)
    seconds = statistics.median(lap.ms for lap in laps[2:]) * 1e-3 / count
    floor = run.moved * 1e-9 / gb_per_s
    benchmark.extra_info.update(
        device=torch.cuda.get_device_name(), event_median_s=seconds, floor_s=floor, fraction_of_floor=floor / seconds,
        gbps=run.moved * 1e-9 / seconds,
    )  # fmt: skip
