"""The whole demo for three seeds: benchmarks/results/evidence-demo-cyclegan.json."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from results import write

SEEDS = (0, 1, 2)
MARGIN = 1.5  # decibels over the best unpaired colour map


def main() -> int:
    """Run the demo with each seed; 1 if one misses the margin."""
    with tempfile.TemporaryDirectory() as folder:
        runs = [run(seed, Path(folder) / f"seed-{seed}") for seed in SEEDS]
    write("evidence-demo-cyclegan", {"margin_needed": MARGIN, "seeds": runs})
    return 0 if all(one["margin"] >= MARGIN for one in runs) else 1


def run(seed: int, out: Path) -> dict[str, Any]:
    """Run the demo as a user does."""
    command = [str(Path(sys.executable).with_name("i2i")), "demo", "cyclegan", "--out", str(out), "--seed", str(seed)]
    begun = time.perf_counter()
    subprocess.run(command, check=True)
    seconds = time.perf_counter() - begun
    rows = json.loads((out / "result.json").read_text(encoding="utf-8"))
    margin = rows["model after training"]["psnr"] - rows["best colour map (unpaired)"]["psnr"]
    print(f"seed {seed}: {margin:+.2f} dB over the best colour map in {seconds:.0f} s", flush=True)
    return {"seed": seed, "seconds": round(seconds, 1), "margin": margin, "result": rows}


if __name__ == "__main__":
    sys.exit(main())
