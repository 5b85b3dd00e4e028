"""Every row of the suite for GPUs, tried out once on the CPU, at a tiny size, with ``--benchmark-disable``.

``python benchmarks/gpu.py`` measures the same rows on a CUDA device one by one, survives a device that fails, and
writes the file that the tables are made from.
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

METER = Meter(torch.device("cpu"), rounds=1, steps=1)
REPORT = Report(Path("unwritten"), until=float("inf"))
#: kernels have a file of their own; the compiler takes long, and is tried where it is hardest
ROWS = [
    pytest.param(row, marks=pytest.mark.benchmark(group=row.group), id=f"{row.group}-{row.name}-{row.variant}")
    for row in plan(METER, REPORT, smoke=True)
    if not row.group.startswith("kernel") and (row.variant != "compile" or row.group == "step/pix2pixhd_1024x512")
]


@pytest.mark.parametrize("row", ROWS)
def test_device(benchmark: BenchmarkFixture, row: Row) -> None:
    if benchmark.enabled:
        cuda = torch.cuda.is_available()
        pytest.skip("python benchmarks/gpu.py measures it" if cuda else "no CUDA device: not measured")
    found = dict(benchmark.pedantic(row.measure, rounds=1))
    REPORT.note(row, "ok", **found)
    if row.group != "gate":  # a few steps say nothing
        assert found.get("passed", True), found
    assert json.dumps(found)  # it can be written to a file
