"""Every row of the suite for GPUs: measured on a CUDA device; elsewhere, with ``--benchmark-disable``, tried out once.

``python benchmarks/gpu.py`` measures the same rows one by one, survives a device that fails, and writes the file that
the tables are made from.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.device.meter import Meter
from benchmarks.device.plan import plan
from benchmarks.device.report import Report, Row

CUDA = torch.cuda.is_available()
METER = Meter(torch.device("cuda:0")) if CUDA else Meter(torch.device("cpu"), rounds=1, steps=1)
REPORT = Report(Path("unwritten"), until=float("inf"))
#: kernels have a file of their own; the compiler takes minutes and is tried on a device only
ROWS = [
    pytest.param(row, marks=pytest.mark.benchmark(group=row.group), id=f"{row.group}-{row.name}-{row.variant}")
    for row in plan(METER, REPORT, smoke=not CUDA)
    if not row.group.startswith("kernel") and (CUDA or row.variant != "compile")
]


@pytest.mark.parametrize("row", ROWS)
def test_device(benchmark: BenchmarkFixture, row: Row) -> None:
    if benchmark.enabled and not CUDA:
        pytest.skip("no CUDA device: not measured")
    found = dict(benchmark.pedantic(row.measure, rounds=1))
    REPORT.note(row, "ok", **found)
    if row.group != "gate" or CUDA:  # a few steps say nothing
        assert found.get("passed", True), found
    assert json.dumps(found)  # it can be written to a file
    if benchmark.enabled:
        benchmark.extra_info.update({"device": torch.cuda.get_device_name(), **found})
