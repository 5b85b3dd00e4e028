"""Every benchmark says on what it ran, and its ratios are printed at the end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.timing import machine

_told: list[tuple[str, dict[str, Any]]] = []


@pytest.fixture(autouse=True)
def told(benchmark: BenchmarkFixture, request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    benchmark.extra_info.update({key: value for key, value in machine().items() if key not in benchmark.extra_info})
    _told.append((request.node.name, dict(benchmark.extra_info)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows = [(name, info) for name, info in _told if any(key.endswith("_median") for key in info)]
    if not rows:
        return
    terminalreporter.section("lower quartile, median, upper quartile")
    for name, info in rows:
        kinds = [key.removesuffix("_median") for key in info if key.endswith("_median")]
        figures = "   ".join(f"{kind} {' '.join(str(info[f'{kind}_{q}']) for q in ('q1', 'median', 'q3'))}" for kind in kinds)
        target = f"   target {info['target']}" if "target" in info else ""
        terminalreporter.write_line(f"{name:40} {figures}{target}")
