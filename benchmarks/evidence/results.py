"""Where evidence is written, and on what it was gathered."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results"


def write(name: str, found: Mapping[str, Any]) -> Path:
    """Write ``benchmarks/results/NAME.json`` with versions and the processor."""
    versions = {
        package: version(package)
        for package in (
            "i2i-core", "i2i-cyclegan", "i2i-pix2pixhd", "i2i-singan", "i2i-ugatit", "torch", "numpy", "pillow",
        )
    }  # fmt: skip
    machine = {"processor": processor(), "cores": os.cpu_count(), "python": platform.python_version(), **versions}
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({**found, "machine": machine}, indent=2) + "\n", encoding="utf-8")
    print(f"written: {path}")
    return path


def processor() -> str:
    """Return the name of the processor."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
