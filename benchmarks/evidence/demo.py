"""The whole demos for three seeds: benchmarks/results/evidence-demo-NAME.json.

``python benchmarks/evidence/demo.py`` runs all of them, ``... demo.py pix2pix`` one.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from results import write


class Goal(NamedTuple):
    """What the model must be better than, and by how many decibels; ``model``: its row in the result."""

    than: str
    margin: float
    model: str = "model after training"


SEEDS = (0, 1, 2)
GOALS: Mapping[str, Goal] = {
    "cyclegan": Goal("best colour map (unpaired)", 1.5),
    "pix2pix": Goal("best colour map", 2.5),
    "pix2pixhd": Goal("mean photograph", 2.0, "joint, usual styles"),
}


def main() -> int:
    """Run each demo with each seed; 1 if one misses its margin."""
    reached = True
    for name in sys.argv[1:] or GOALS:
        with tempfile.TemporaryDirectory() as folder:
            runs = [run(name, seed, Path(folder) / f"seed-{seed}") for seed in SEEDS]
        write(f"evidence-demo-{name}", {"margin_needed": GOALS[name].margin, "seeds": runs})
        reached = reached and all(one["margin"] >= GOALS[name].margin for one in runs)
    return 0 if reached else 1


def run(name: str, seed: int, out: Path) -> dict[str, Any]:
    """Run a demo as a user does."""
    command = [str(Path(sys.executable).with_name("i2i")), "demo", name, "--out", str(out), "--seed", str(seed)]
    begun, used = time.perf_counter(), processor_time()
    subprocess.run(command, check=True)
    seconds, used = time.perf_counter() - begun, processor_time() - used
    rows = json.loads((out / "result.json").read_text(encoding="utf-8"))
    psnr = rows["psnr"] if "psnr" in rows else {row: found["psnr"] for row, found in rows.items()}
    margin = psnr[GOALS[name].model] - psnr[GOALS[name].than]
    print(f"{name}, seed {seed}: {margin:+.2f} dB over the {GOALS[name].than} in {seconds:.0f} s", flush=True)
    figures = {"seconds": round(seconds, 1), "processor_seconds": round(used, 1), "margin": margin}
    return {"seed": seed, **figures, "result": rows}


def processor_time() -> float:
    """Return what ended child processes have used, in seconds of one core."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
