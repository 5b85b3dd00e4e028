"""Measure the training steps on a CUDA device: ``python benchmarks/gpu.py [--out FILE.json] [--minutes 24]``.

Needs torch, numpy, attrs, pluggy, filelock, tqdm, pytest and pytest-benchmark, and Triton for the kernels; the packages
of this repository need not be installed. Rows are written one by one, in the order of their importance, so that
whatever ends the run leaves what was measured. The measuring is done by a process of its own: when it crashes or its
device fails, another one goes on with the next row. ``--smoke``: tiny sizes on the CPU, to see whether all of it runs;
its figures mean nothing.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
STARTS = 8  # of the process that measures


def find_packages() -> None:
    """Let everything be imported from this repository, whatever is installed besides."""
    sys.path = [path for path in sys.path if Path(path or ".").resolve() != ROOT / "benchmarks"]
    sys.path[:0] = [*map(str, sorted(ROOT.glob("packages/*/src"))), str(ROOT)]
    package = types.ModuleType("benchmarks")
    package.__path__ = [str(ROOT / "benchmarks")]
    sys.modules["benchmarks"] = package


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file, begun anew; named after device and versions if left out")
    parser.add_argument(
        "--minutes", type=float, default=24.0, help="after which no row is begun any more (default: %(default)g)"
    )
    parser.add_argument("--only", default="", help="rows whose group, name or variant contains this; needs --out")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes on the CPU; needs --out")
    parser.add_argument("--until", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    find_packages()
    if options.until is not None:
        return measure(options)
    if importlib.util.find_spec("torch") is None:
        parser.error(
            f"{sys.executable} has no torch; `make setup` makes a Python that has, or name one: GPU_PYTHON=..."
        )
    device = None if options.smoke else name_of_device()
    if device is None and not options.smoke:
        parser.error("there is no CUDA device; --smoke --out FILE.json tries everything out on the CPU")
    if (options.smoke or options.only) and options.out is None:
        parser.error("--smoke and --only need --out: their figures are not for benchmarks/results")
    if options.only and not chosen(options):
        parser.error(f"no group, name or variant contains --only {options.only}; docs/performance.md names some")
    options.out = options.out or results(device or "")
    return supervise(options)


def name_of_device() -> str | None:
    """Ask in a process of its own, which leaves the device to that which measures."""
    from benchmarks.device.machine import asked

    return asked(sys.executable, "-c", "import torch; print(torch.cuda.get_device_name())")


def chosen(options: argparse.Namespace) -> list[Any]:
    """Return the rows that are asked for, as they are made without a device."""
    import torch

    from benchmarks.device.meter import Meter
    from benchmarks.device.plan import plan
    from benchmarks.device.report import Report

    rows = plan(Meter(torch.device("cpu")), Report(Path("unwritten"), 0), smoke=options.smoke)
    return [row for row in rows if any(options.only in part for part in row.key)]


def results(device: str) -> Path:
    """Return where the figures of a device are kept."""
    from benchmarks.device.machine import version
    from benchmarks.results_name import named

    return named("speed", device, f"torch{version('torch')}", f"triton{version('triton')}")


def supervise(options: argparse.Namespace) -> int:
    """Run the process that measures, and run it again when it did not come to its end."""
    from benchmarks.device.report import BROKEN, Report

    options.out.unlink(missing_ok=True)
    until = time.time() + 60 * (30 * options.smoke + options.minutes)
    command = [sys.executable, "-u", __file__, *sys.argv[1:], "--out", str(options.out), "--until", str(until)]
    for _ in range(STARTS):
        try:
            code = subprocess.run(command, timeout=max(until - time.time(), 0) + 60).returncode
        except subprocess.TimeoutExpired:
            code = -1
        report = Report(options.out, until)
        if "running" in report.data:
            report.crashed(code)
        elif code != BROKEN:
            break
    code = verdict(Report(options.out, until).data)
    print(f"written: {options.out}")
    if options.out.parent == RESULTS:
        print("docs/performance.md shows it after `python docs/tables.py`, which needs `make setup`")
    return code


def verdict(data: dict[str, Any]) -> int:
    """Say what did not come out well; returns 0 if all did."""
    bad = [row for row in data["rows"] if row["status"] != "ok" or row.get("passed") is False]
    for row in bad:
        key = " | ".join(row[part] for part in ("group", "name", "variant"))
        print(f"NOT WELL: {key}: {row['status']} {row.get('error', row.get('errors', ''))}")
    print(f"{len(data['rows'])} rows, {len(bad)} of them not well")
    return int(bool(bad) or not data["rows"])


def measure(options: argparse.Namespace) -> int:
    import torch

    from benchmarks.device.machine import healthy, machine
    from benchmarks.device.meter import Meter
    from benchmarks.device.plan import plan
    from benchmarks.device.report import Report

    device = torch.device("cpu" if options.smoke else "cuda:0")
    meter = Meter(device, rounds=1, steps=1) if options.smoke else Meter(device)
    if options.smoke:
        torch.set_num_threads(1)  # several wait for each other most of the time where others compute, too
    report = Report(options.out, options.until)
    report.data["machine"] = machine(device)
    report.write()
    rows = [row for row in plan(meter, report, smoke=options.smoke) if any(options.only in part for part in row.key)]
    return report.run(rows, lambda: healthy(device))


if __name__ == "__main__":
    sys.exit(main())
