"""Ratios of two pieces of work, timed in turn in one process.

On a shared machine single times mean little; what is reported are quartiles of the ratio round by round, and the same
for the base against itself: differences below that are noise.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.results_name import named


class Quartiles(NamedTuple):
    q1: float
    median: float
    q3: float


class Clock(NamedTuple):
    """Seconds: of all threads of this process on a processor, and on the wall."""

    cpu: float
    wall: float

    @staticmethod
    def now() -> Clock:
        return Clock(time.process_time(), time.perf_counter())

    def since(self, start: Clock) -> Clock:
        return Clock(self.cpu - start.cpu, self.wall - start.wall)


def timed(work: Callable[[], object]) -> Clock:
    start = Clock.now()
    work()
    return Clock.now().since(start)


def compare(
    benchmark: BenchmarkFixture, base: Callable[[], object], ours: Callable[[], object], *, rounds: int, target: float,
    least: float | None = None,
) -> None:  # fmt: skip
    """Run base, ours, base, ours, ..., base; write how much faster ours is into ``benchmark.extra_info``.

    ``ratio_*``: CPU time of base / ours, where base is the mean of the runs before and after; ``wall_*``: the same of
    the wall clock; ``aa_*``: base / the next base, the noise. Fails where ``target`` is missed beyond doubt, by the
    upper quartile; where ``least`` is given, a target that is known to be missed is only printed, and ``least`` must be
    reached. With ``--benchmark-disable`` each runs once.
    """
    bases: list[Clock] = []
    mine: list[Clock] = []
    benchmark.pedantic(
        lambda: mine.append(timed(ours)),
        setup=lambda: bases.append(timed(base)),
        rounds=rounds,
        warmup_rounds=1,
    )
    if not benchmark.enabled:
        return
    bases.append(timed(base))
    b, m = np.array(bases[1:]), np.array(mine[1:])
    ratios = (b[:-1] + b[1:]) / 2 / m
    found = record(benchmark, "ratio", ratios[:, 0])
    record(benchmark, "wall", ratios[:, 1])
    record(benchmark, "aa", b[:-1, 0] / b[1:, 0])
    for name, times in (("base_cpu_s", b), ("ours_cpu_s", m)):
        benchmark.extra_info[name] = round(float(np.median(times[:, 0])), 4)
    benchmark.extra_info["target"] = f">= {target}"
    assert found.q3 >= (target if least is None else least)


def record(benchmark: BenchmarkFixture, name: str, values: Any, digits: int = 3) -> Quartiles:
    """Write the quartiles of ``values`` as ``<name>_q1``, ``<name>_median``, ``<name>_q3``."""
    found = Quartiles(*(round(float(value), digits) for value in np.quantile(values, (0.25, 0.5, 0.75))))
    benchmark.extra_info.update({f"{name}_{key}": value for key, value in found._asdict().items()})
    return found


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def machine() -> dict[str, Any]:
    """What a figure depends on, besides the code."""
    return {
        "device": "cpu",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "processor": _cpuinfo("model name"),
        "flags": [
            flag for flag in _cpuinfo("flags").split() if flag.startswith(("avx2", "avx512f", "avx512_bf16", "amx"))
        ],
    }


def results() -> Path:
    """Return where the figures of this processor are kept."""
    found = machine()
    return named("speed", found["processor"] or platform.machine(), f"torch{found['torch']}")


def _cpuinfo(field: str) -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.partition("\t")[0] == field), "")
