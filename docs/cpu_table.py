"""The tables of ratios on the CPU, from what ``make bench`` wrote: one for each processor and version."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
HEAD = ("what", "lower quartile", "median", "upper quartile", "target", "noise")
ON_GPUS = ("bench_kernels.py", "bench_device.py")  # what is timed there only
NOT_MEASURED = "not measured"
#: what is measured; choices follow
WORDS = {
    "test_unpaired": "loading images, batch of",
    "test_overhead": "engine,",
    "test_per_frozen_tensor": "engine, a frozen tensor",
    "test_hook_overhead": "observer,",
    "test_pix2pixhd_256x512": "pix2pixHD 512x256,",
    "test_singan": "SinGAN,",
    "test_cyclegan_128": "CycleGAN 128,",
    "test_ugatit_128": "U-GAT-IT light 128,",
}

Table = Callable[[Sequence[str], Sequence[Sequence[object]]], list[str]]


def lines(results: Path, table: Table) -> list[str]:
    """Return a table for each file of results, below what it was measured on."""
    found = [json.loads(path.read_text("utf-8")) for path in sorted(results.glob("speed-*.json"))]
    measured = [each for each in found if "benchmarks" in each]
    if not measured:
        return ["Nothing was measured yet.", "", *table(HEAD, rows([]))]
    told: list[str] = []
    for each in measured:
        told += [*([""] if told else []), machine(each), "", *table(HEAD, rows(each["benchmarks"]))]
    return told


def rows(benchmarks: Sequence[Mapping[str, Any]]) -> list[Sequence[object]]:
    """Return a row for each figure that was measured, and one for each benchmark that was not run."""
    found: list[Sequence[object]] = []
    for function in functions():
        of = [row for b in benchmarks if b["name"].partition("[")[0] == function for row in benchmark_rows(b)]
        found += of or [(label(function), *[NOT_MEASURED] * 5)]
    return found


def functions() -> Iterator[str]:
    """Yield the benchmarks that there are."""
    for path in sorted((ROOT / "benchmarks").glob("bench_*.py")):
        if path.name not in ON_GPUS:
            body = ast.parse(path.read_text("utf-8")).body
            names = [node.name for node in body if isinstance(node, ast.FunctionDef)]
            yield from (name for name in names if name.startswith("test_"))


def benchmark_rows(benchmark: Mapping[str, Any]) -> list[Sequence[object]]:
    """Return the rows of one benchmark: a row for each kind of figure that it took quartiles of."""
    info = benchmark["extra_info"]
    kinds = [key.removesuffix("_median") for key in info if key.endswith("_median")]
    noise = f"{info['aa_q1']} to {info['aa_q3']}" if "aa_q1" in info else ""
    found: list[Sequence[object]] = []
    for kind in (kind for kind in kinds if kind not in ("aa", "wall")):
        name = label(benchmark["name"]) + ("" if kind == "ratio" else f": {kind.replace('_', ' ')}")
        found.append((name, *(info[f"{kind}_{q}"] for q in ("q1", "median", "q3")), info.get("target", ""), noise))
    return found


def label(name: str) -> str:
    """Return the name of a benchmark in words.

    Example:
        >>> label("test_unpaired[8]"), label("test_singan[fp32-4]")
        ('loading images, batch of 8', 'SinGAN, fp32, scale 4')
    """
    function, _, choice = name.partition("[")
    words = WORDS.get(function, function.removeprefix("test_").replace("_", " "))
    return f"{words} {choice.rstrip(']').replace('-', ', scale ')}" if choice else words.removesuffix(",")


def machine(found: Mapping[str, Any]) -> str:
    """Say on what the benchmarks ran, and when."""
    info = found["benchmarks"][0]["extra_info"]
    flags = ", ".join(info.get("flags", [])) or "no special instructions"
    name = f"{info.get('processor') or 'A CPU'}, {info.get('cores', '?')} cores ({flags})"
    return f"{name}, torch {info.get('torch', '?')}, {found['datetime'][:10]}:"
