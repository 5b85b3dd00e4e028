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
from typing import Any, NamedTuple, Protocol

from results import write

from i2i_ugatit.discs_measured import GOALS as UGATIT
from i2i_ugatit.discs_measured import Figures

Rows = Mapping[str, Any]
"""What a demo leaves in result.json."""


class Goal(Protocol):
    """What a demo must reach."""

    def wanted(self) -> dict[str, Any]:
        """Return what is written once, above the seeds."""

    def reached(self, rows: Rows) -> dict[str, Any]:
        """Return what is written of a seed."""

    def met(self, rows: Rows) -> bool:
        """Say whether a seed reached it."""

    def told(self, rows: Rows) -> str:
        """Say how far a seed came."""


class Decibels(NamedTuple):
    """What the model must be better than, and by how many decibels; ``model``: its row in the result."""

    than: str
    margin: float
    model: str = "model after training"

    def wanted(self) -> dict[str, Any]:
        return {"margin_needed": self.margin}

    def reached(self, rows: Rows) -> dict[str, Any]:
        psnr = rows["psnr"] if "psnr" in rows else {row: found["psnr"] for row, found in rows.items()}
        return {"margin": psnr[self.model] - psnr[self.than]}

    def met(self, rows: Rows) -> bool:
        return bool(self.reached(rows)["margin"] >= self.margin)

    def told(self, rows: Rows) -> str:
        return f"{self.reached(rows)['margin']:+.2f} dB over the {self.than}"


class Bounds:
    """The demo states bounds of its figures itself: shares, not decibels."""

    def wanted(self) -> dict[str, Any]:
        return {"goals": [goal._asdict() for goal in UGATIT]}

    def reached(self, rows: Rows) -> dict[str, Any]:
        return {"missed": [f"{goal.figure} {goal}" for goal in UGATIT if not goal.met(_figures(rows))]}

    def met(self, rows: Rows) -> bool:
        return not self.reached(rows)["missed"]

    def told(self, rows: Rows) -> str:
        missed = self.reached(rows)["missed"]
        return f"missed {', '.join(missed)}" if missed else f"all {len(UGATIT)} goals reached"


def _figures(rows: Rows) -> dict[str, Figures]:
    return {when: Figures(**rows[when]) for when in ("before", "after")}


SEEDS = (0, 1, 2)
GOALS: Mapping[str, Goal] = {
    "cyclegan": Decibels("best colour map (unpaired)", 1.5),
    "pix2pix": Decibels("best colour map", 2.5),
    "pix2pixhd": Decibels("mean photograph", 2.0, "joint, usual styles"),
    "ugatit": Bounds(),
}


def main() -> int:
    """Run each demo with each seed; 1 if one misses its goal."""
    reached = True
    for name in sys.argv[1:] or GOALS:
        with tempfile.TemporaryDirectory() as folder:
            runs = [run(name, seed, Path(folder) / f"seed-{seed}") for seed in SEEDS]
        write(f"evidence-demo-{name}", {**GOALS[name].wanted(), "seeds": runs})
        reached = reached and all(GOALS[name].met(one["result"]) for one in runs)
    return 0 if reached else 1


def run(name: str, seed: int, out: Path) -> dict[str, Any]:
    """Run a demo as a user does."""
    command = [str(Path(sys.executable).with_name("i2i")), "demo", name, "--out", str(out), "--seed", str(seed)]
    begun, used = time.perf_counter(), processor_time()
    subprocess.run(command, check=True)
    seconds, used = time.perf_counter() - begun, processor_time() - used
    rows = json.loads((out / "result.json").read_text(encoding="utf-8"))
    print(f"{name}, seed {seed}: {GOALS[name].told(rows)} in {seconds:.0f} s", flush=True)
    figures = {"seconds": round(seconds, 1), "processor_seconds": round(used, 1), **GOALS[name].reached(rows)}
    return {"seed": seed, **figures, "result": rows}


def processor_time() -> float:
    """Return what ended child processes have used, in seconds of one core."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
