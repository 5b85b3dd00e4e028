"""Measure how the time of a step grows with size, batch and width: ``python benchmarks/scaling.py [--device cuda]``.

Ours and the authors' step in plain torch run in turn, in one process; a point is written as soon as it is measured. On
the CPU, times are those of one thread on the processor, about ten minutes of it in all; on a CUDA device those of the
device, about four. Needs what ``benchmarks/gpu.py`` needs; ``docs/scaling_plots.py`` draws what was measured.
``--smoke``: tiny sizes, to see whether all of it runs; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; returns 0 if every point was measured."""
    import torch

    from benchmarks.device.machine import healthy
    from benchmarks.device.report import Report
    from benchmarks.device.scaling import OwnTime, plan, setup
    from benchmarks.results_name import named
    from benchmarks.timing import threads

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file; by default named after device and version")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="measure only what is not in the file; else it is begun anew, and what it held is lost",
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--minutes", type=float, default=40.0, help="after which no point is begun any more")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes; needs --out")
    options = parser.parse_args(arguments)
    if options.smoke and options.out is None:
        parser.error("--smoke needs --out: its figures are no results")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no CUDA device")
    cuda = options.device == "cuda"
    meter = OwnTime(torch.device(options.device), rounds=1 if options.smoke else 4, steps=2 if cuda else 1)
    with threads(1):
        about = setup(meter)
        out = options.out or named("scaling", about["machine"]["device"], f"torch{torch.__version__}")
        if not options.resume:
            out.unlink(missing_ok=True)
        report = Report(out, time.time() + 60 * options.minutes)
        report.data |= about
        report.data["rows"] = [row for row in report.data["rows"] if row["status"] == "ok"]
        report.run(plan(meter, report, smoke=options.smoke), lambda: healthy(meter.device))
    left = [row for row in report.data["rows"] if row["status"] != "ok"]
    print(f"{out}: {len(report.data['rows'])} rows, {len(left)} of them not measured")
    return int(bool(left))


if __name__ == "__main__":
    from gpu import find_packages

    find_packages()
    sys.exit(main())
