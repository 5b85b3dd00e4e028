"""The table of figures from a GPU, from what ``benchmarks/gpu.py`` wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

HEAD = ("what", "how", "ms", "lower quartile", "median", "noise", "of the peak", "memory", "launches", "losses")
GROUPS = {"step": "", "generation": ", generation"}


def rows(found: Mapping[str, Any]) -> list[Sequence[object]]:
    """Return a row for each way to compute each step."""
    every = found["rows"]
    apart = {(row["name"], row["variant"]): row for row in every if row["group"] == "quality" and row["status"] == "ok"}
    peaks = {row["variant"]: row["tflop_per_s"] for row in every if "tflop_per_s" in row}
    return [_row(row, peaks, apart) for row in every if row["group"] in GROUPS]


def _row(row: Mapping[str, Any], peaks: Mapping[str, float], apart: Mapping[Any, Any]) -> Sequence[object]:
    how = f"{row['of']}, cudnn.benchmark" if "of" in row else row["variant"]
    names = [row["name"], how + GROUPS[row["group"]]]
    if row["status"] != "ok":
        return [*names, "not measured" if row["status"] == "no time" else "failed", *[""] * 7]
    losses = apart.get((row["name"], row["variant"])) if row["group"] == "step" else None
    return [
        *names,
        row["ms_median"],
        row.get("ratio_q1", ""),
        row.get("ratio_median", ""),
        f"{row['aa_q1']} to {row['aa_q3']}" if "aa_q1" in row else "",
        _share(row, peaks),
        f"{row['memory_gb']} GB" if row.get("memory_gb") else "",
        row.get("launches", "") if "graph" not in row["variant"] else "",
        f"{max(losses['mean'].values()):.1%}" if losses else "",
    ]


def _share(row: Mapping[str, Any], peaks: Mapping[str, float]) -> str:
    """Return the operations of a step by those of a large product of matrices, in the time that it takes."""
    kind = row.get("of", row["variant"]).partition(",")[0]
    peak = peaks.get("tf32" if kind == "reference" else kind)
    return f"{row['tflop'] / row['ms_median'] * 1e3 / peak:.0%}" if peak and row.get("tflop") else ""


def machine(found: Mapping[str, Any]) -> str:
    """Say on what was measured, what it can do at most, and whether it computes what it should."""
    of = found["machine"]
    able = [row for row in found["rows"] if row["group"] == "ceiling" and row["status"] == "ok"]
    can = [f"{row['name']}: {row['gb_per_s']} GB/s" for row in able if "gb_per_s" in row]
    can += [f"{row['name']} in {row['variant']}: {row['tflop_per_s']} TFLOP/s" for row in able if "tflop_per_s" in row]
    checks = [row for row in found["rows"] if row["group"] == "check"]
    passed = sum(row.get("passed", False) for row in checks)
    return (
        f"Measured on {of['device']} with torch {of['torch']}, CUDA {of['cuda']}, cuDNN {of['cudnn']}. "
        f"{'; '.join(can)}. {passed} of {len(checks)} checks of what it computes were passed."
    )
