"""The suite for GPUs, as it is started on a machine that has no more than it needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ABSENT = ("datasets", "cattrs", "tyro", "skimage", "sklearn", "matplotlib", "tensorboard", "torchmetrics", "av")


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Start it where the packages that it must not need cannot be imported."""
    for name in ABSENT:
        (folder / f"{name}.py").write_text(f"raise ImportError('{name} is not there')\n")
    around = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=around, cwd=folder, timeout=120)


def test_rows_are_written_without_the_packages_that_a_gpu_machine_lacks(tmp_path: Path) -> None:
    out = tmp_path / "found.json"
    found = run(tmp_path, "--smoke", "--only", "ceiling", "--out", str(out))
    assert found.returncode == 0, found.stdout + found.stderr
    written = json.loads(out.read_text("utf-8"))
    assert [row["status"] for row in written["rows"]] == ["ok"] * 4
    assert all(row.get("gb_per_s", row.get("tflop_per_s")) > 0 for row in written["rows"])
    assert written["machine"]["device"] == "cpu"


def test_a_trial_has_no_place_among_the_results(tmp_path: Path) -> None:
    found = run(tmp_path, "--smoke", "--only", "ceiling")
    assert found.returncode == 2
    assert "--out" in found.stderr


def test_rows_that_are_not_there_cost_no_file(tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    kept.write_text("precious")
    found = run(tmp_path, "--smoke", "--only", "zzz", "--out", str(kept))
    assert found.returncode == 2
    assert "zzz" in found.stderr.splitlines()[-1]
    assert kept.read_text() == "precious"
