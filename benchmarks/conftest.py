"""Every benchmark runs in one thread and says on what it ran; the ratios are printed at the end.

One thread, since the CPU time of several counts their waiting for each other, which on a shared machine is up to ten
times the work.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.timing import machine, threads

_told: list[tuple[str, dict[str, Any]]] = []


@pytest.fixture(autouse=True)
def told(benchmark: BenchmarkFixture, request: pytest.FixtureRequest) -> Iterator[None]:
    with threads(1):
        yield
        benchmark.extra_info.update({**machine(), **benchmark.extra_info})
    _told.append((request.node.name, dict(benchmark.extra_info)))


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    machine_info.pop("node", None)  # the name of the host says nothing about the figures


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows = [(name, info) for name, info in _told if any(key.endswith("_median") for key in info)]
    if not rows:
        return
    terminalreporter.section("lower quartile, median, upper quartile")
    for name, info in rows:
        kinds = [key.removesuffix("_median") for key in info if key.endswith("_median")]
        quartiles = {kind: [str(info[f"{kind}_{quartile}"]) for quartile in ("q1", "median", "q3")] for kind in kinds}
        figures = "   ".join(f"{kind} {' '.join(values)}" for kind, values in quartiles.items())
        if "quiet_extra_us" in info:
            figures += f"   quiet {info['quiet_extra_us']}"
        if "target" in info:
            figures += f"   target {info['target']}"
        terminalreporter.write_line(f"{name:26} {figures}")
