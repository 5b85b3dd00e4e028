"""The tables of figures from GPUs, from what ``benchmarks/gpu.py`` wrote: rows for each device and version."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from speed_tables import PRECISION, precision_row

NOT_MEASURED = "not measured"
Cells = Sequence[object]
Found = Mapping[str, Any]


class Table(NamedTuple):
    """A table of figures.

    Attributes:
        head: the names of its columns.
        rows: makes rows from what was found on one device.
    """

    head: Sequence[str]
    rows: Callable[[Found], list[Cells]]


def files(results: Path) -> list[Found]:
    """Return what was measured on GPUs, in the order of the files' names; never what a CPU only tried out."""
    found = (json.loads(path.read_text("utf-8")) for path in sorted(results.glob("speed-*.json")))
    return [each for each in found if "rows" in each and each["machine"].get("device", "cpu") != "cpu"]


def lines(name: str, results: Path, table: Callable[[Sequence[str], Sequence[Cells]], list[str]]) -> list[str]:
    """Return a table; where nothing was measured, a line that says so."""
    head, make = TABLES[name]
    rows = [row for found in files(results) for row in make(found)]
    return table(head, rows) if rows else ["Not measured yet."]


def machines(results: Path) -> list[str]:
    """Say on what was measured."""
    return [machine(found) for found in files(results)] or ["No GPU was measured yet."]


def machine(found: Found) -> str:
    """Say on what was measured, what it can do at most, and whether it computes what it should."""
    of = found["machine"]
    able = [row for row in found["rows"] if row["group"] == "ceiling" and row["status"] == "ok"]
    can = [f"{row['name']}: {row['gb_per_s']} GB/s" for row in able if "gb_per_s" in row]
    can += [f"{row['name']} in {row['variant']}: {row['tflop_per_s']} TFLOP/s" for row in able if "tflop_per_s" in row]
    checks = [row for row in found["rows"] if row["group"] == "check"]
    passed = sum(row.get("passed", False) for row in checks)
    return (
        f"{of['device']} with torch {of['torch']}, triton {of.get('triton')}, CUDA {of['cuda']}, cuDNN {of['cudnn']}. "
        f"{'; '.join(can)}. {passed} of {len(checks)} checks of what it computes were passed."
    )


def steps(found: Found) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each step with its rows by variant."""
    named: dict[str, dict[str, Any]] = {}
    for row in found["rows"]:
        if row["group"].startswith("step/"):
            named.setdefault(row["name"], {})[row["variant"]] = row
    yield from named.items()


def measured(row: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the figures of a row; none of one that failed or is not there."""
    return row if row is not None and row["status"] == "ok" else {}


def against(ours: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Return how much faster ours is; both were measured against the plain step in turn."""
    if "ratio_median" not in ours or "ratio_median" not in other:
        return ""
    return f"{ours['ratio_median'] / other['ratio_median']:.2f}"


def result_rows(found: Found) -> list[Cells]:
    """Return a row for each step: what it reaches, and what is missing."""
    rows: list[Cells] = []
    for name, ways in steps(found):
        ours, plain = (measured(ways.get(way)) for way in ("ours", "eager_ref"))
        if not ours:
            rows.append([name, *[NOT_MEASURED] * 9])
            continue
        rows.append([
            name, plain.get("ms_median", ""), ours["ms_median"], ours.get("floor_ms", ""), share(ours),
            f"{ours['ratio_q1']} / {ours['ratio_median']} / {ours['ratio_q3']}", f"{ours['aa_q1']} to {ours['aa_q3']}",
            against(ours, measured(ways.get("eager_tuned"))), against(ours, measured(ways.get("compile"))), aim(ours),
        ])  # fmt: skip
    return rows


def share(row: Mapping[str, Any]) -> str:
    return f"{row['of_floor']:.0%}" if "of_floor" in row else ""


def aim(ours: Mapping[str, Any]) -> str:
    """Return the target, and by how much it is missed."""
    if "target_ms" not in ours:
        return ""
    ms, ratio = ours["target_ms"], ours["target_ratio"]
    told = f"{ms} ms, {ratio}x: "
    late, slow = ours["ms_median"] / ms - 1, 1 - ours["ratio_q1"] / ratio
    missed = [f"{late:.0%} over the time"] * (late > 0) + [f"{slow:.0%} under the ratio"] * (slow > 0)
    return told + (", ".join(missed) or "met")


def detail_rows(found: Found) -> list[Cells]:
    """Return a row for each way to compute each step, and for making images."""
    rows = [row for _, ways in steps(found) for row in ways.values()]
    rows += [row for row in found["rows"] if row["group"] in ("generation", "memory")]
    return [_detail(row) for row in rows]


def _detail(row: Mapping[str, Any]) -> Cells:
    how = f"{row['of']}, cudnn.benchmark" if "of" in row else row["variant"]
    names = [row["name"], how + (", making an image" if row["group"] == "generation" else "")]
    if row["status"] != "ok":
        return [*names, NOT_MEASURED if row["status"] == "no time" else "failed", *[""] * 6]
    graphed = row["group"].startswith("step/") and row["variant"] not in ("eager_ref", "eager_tuned")
    replayed = graphed and "without graph" not in how
    return [
        *names, row["ms_median"], row["host_ms"], row.get("ratio_q1", ""), row.get("ratio_median", ""), share(row),
        f"{row['memory_gb']} GB" if row.get("memory_gb") else "",
        row.get("kernels" if replayed else "launches", ""),
    ]  # fmt: skip


ABLATED = ("without graph", "without kernels", "channels first", "tf32, channels last", "tf32", "fp32")


def ablation_rows(found: Found) -> list[Cells]:
    """Return for each step how much slower it is with one thing taken away: ratios to the plain step, divided."""
    rows: list[Cells] = []
    for name, ways in steps(found):
        ours = measured(ways.get("ours"))
        if ours:
            rows.append([name, ours["ms_median"], *(against(ours, measured(ways.get(way))) for way in ABLATED)])
    return rows


def kernel_rows(found: Found) -> list[Cells]:
    """Return a row for each kernel: its time, against plain operations and the compiler, and the share of a copy."""
    ways: dict[tuple[str, str], dict[str, Any]] = {}
    for row in found["rows"]:
        if row["group"].startswith("kernel/"):
            ways.setdefault((row["group"].removeprefix("kernel/"), row["name"]), {})[row["variant"]] = row
    rows: list[Cells] = []
    for (group, name), by in ways.items():
        ours, compiled = measured(by.get("ours")), measured(by.get("compile"))
        if "ms_median" not in ours:
            rows.append([group, name, "wrong" if ours.get("passed") is False else NOT_MEASURED, *[""] * 5])
            continue
        rows.append([
            group, name, ours["ms_median"], compiled.get("ms_median", ""),
            ours["ratio_median"], against(ours, compiled), f"{ours['of_copy']:.0%}" if "of_copy" in ours else "",
            max(ours["errors"].values()),
        ])  # fmt: skip
    return rows


def whole_rows(found: Found) -> list[Cells]:
    """Return a row for each way to train SinGAN as a whole."""
    rows = [row for row in found["rows"] if row["group"] == "train/singan"]
    seconds = {row["variant"]: row["seconds_in_all"] for row in rows if row["status"] == "ok"}
    plain = seconds.get("eager_ref, extrapolated")
    return [
        [row["variant"], seconds.get(row["variant"], NOT_MEASURED),
         f"{plain / seconds[row['variant']]:.1f}" if plain and row["variant"] in seconds else ""]
        for row in rows
    ]  # fmt: skip


def profile_rows(found: Found) -> list[Cells]:
    """Return, for each step, the kernels that take longest."""
    rows: list[Cells] = []
    for name, ways in steps(found):
        ours = measured(ways.get("ours"))
        for kernel, ms, count in ours.get("top", ())[:6]:
            rows.append(
                [name, f"`{kernel[:60]}`", count, ms, f"{ms / ours['busy_ms']:.0%}" if ours.get("busy_ms") else ""]
            )
    return rows


def gate_rows(found: Found) -> list[Cells]:
    """Return a row for each method that was trained in bfloat16 and in TF32."""
    gates = [row for row in found["rows"] if row["group"] == "gate" and row["status"] == "ok"]
    return [precision_row({**row, "tried": f"{row['variant']} against TF32"}) for row in gates]


TABLES: Mapping[str, Table] = {
    "benchmarks-gpu": Table(
        ("step", "plain, ms", "ours, ms", "floor, ms", "of the floor", "ratio: quartiles", "noise",
         "to plain, tuned", "to compiled", "target"),
        result_rows,
    ),
    "benchmarks-gpu-ablation": Table(("step", "ours, ms", *ABLATED), ablation_rows),
    "benchmarks-gpu-kernels": Table(
        ("group", "kernel", "ms", "compiled, ms", "to plain", "to compiled", "of a copy", "largest error"), kernel_rows
    ),
    "benchmarks-gpu-whole": Table(("how", "seconds", "ratio"), whole_rows),
    "benchmarks-gpu-details": Table(
        ("step", "how", "ms", "host, ms", "lower quartile", "median", "of the floor", "memory", "launches"), detail_rows
    ),
    "benchmarks-gpu-gate": Table(PRECISION, gate_rows),
    "benchmarks-gpu-profile": Table(("step", "kernel", "calls", "ms", "of the step"), profile_rows),
}  # fmt: skip
