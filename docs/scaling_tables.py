"""How cost grows: figures and tables of what ``benchmarks/scaling.py`` wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from math import log
from pathlib import Path
from statistics import linear_regression
from typing import Any

#: what changes, in words; pix2pixHD's scenes are twice as wide as high, SinGAN's photographs 4:3
SIZES = {"pix2pixHD": "height", "SinGAN": "longer side"}
WORDS = {"size": "side", "batch": "batch", "width": "base width", "scale": "scale"}
UNITS = {"size": " px", "batch": "", "width": "", "scale": ""}
HEAD = ("step", "what grows", "from", "to", "exponent", "of plain", "faster than plain", "noise", "floor / time")


def results(folder: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield device and version of each file of results, as file names have them, and what was measured."""
    for path in sorted(folder.glob("scaling-*-torch*.json")):
        yield path.stem.removeprefix("scaling-"), json.loads(path.read_text("utf-8"))


def sweeps(found: Mapping[str, Any]) -> dict[str, dict[str, list[Mapping[str, Any]]]]:
    """Return what was measured: by method and by what changes, in rising order."""
    every: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for row in found["rows"]:
        if row["group"] == "scaling" and row["status"] == "ok":
            for sweep in row["sweeps"]:
                every.setdefault(row["name"], {}).setdefault(sweep, []).append(row)
    return {
        method: {sweep: sorted(of[sweep], key=lambda row: row[sweep]) for sweep in WORDS if sweep in of}
        for method, of in every.items()
    }


def image(method: str, slug: str) -> str:
    """Return the name of the figure of a method on a device.

    Example:
        >>> image("U-GAT-IT", "nvidia-h200-torch2.11.0")
        'scaling-ugatit-nvidia-h200-torch2.11.0.svg'
    """
    return f"scaling-{method.lower().replace('-', '')}-{slug}.svg"


def told(method: str, sweep: str) -> str:
    """Return what changes, in words."""
    return SIZES.get(method, WORDS[sweep]) if sweep == "size" else WORDS[sweep]


def lines(folder: Path, table: Any) -> list[str]:
    """Return the figures and the table of each device, in Markdown.

    Args:
        folder: of the results.
        table: makes a table of its head and its rows.
    """
    text: list[str] = []
    for slug, found in results(folder):
        every = sweeps(found)
        rows = [row(method, sweep, points) for method, of in every.items() for sweep, points in of.items()]
        figures = [line for method in every for line in (f"![{alternative(method)}](images/{image(method, slug)})", "")]
        text += [machine(found), "", *figures, *table(HEAD, rows), ""]
    return text[:-1] or ["Nothing was measured yet."]


def alternative(method: str) -> str:
    return f"{method}: milliseconds of a step of i2i, of plain PyTorch, and the floor"


def row(method: str, sweep: str, points: Sequence[Mapping[str, Any]]) -> Sequence[object]:
    """Return the row of a sweep; scales differ in more than one thing, so that there is no exponent."""
    first, last = points[0], points[-1]
    grown = sweep != "scale" and len(points) > 1
    exponents = [f"{exponent(points, sweep, key):.2f}" if grown else "" for key in ("ms_median", "ref_ms_median")]
    ratios = " to ".join(f"{end['ratio_median']:.2f}" for end in (first, last))
    shares = " to ".join(f"{end['floor_ms'] / end['ms_median']:.0%}" for end in (first, last))
    noise = f"{min(point['aa_q1'] for point in points):.2f} to {max(point['aa_q3'] for point in points):.2f}"
    ends = [f"{end[sweep]}{UNITS[sweep]}" for end in (first, last)]
    return [method, told(method, sweep), *ends, *exponents, ratios, noise, shares]


def exponent(points: Sequence[Mapping[str, Any]], sweep: str, key: str) -> float:
    """Return the slope of the line through the logarithms.

    Example:
        >>> round(exponent([{"size": 32, "ms": 2.0}, {"size": 64, "ms": 8.0}], "size", "ms"), 6)
        2.0
    """
    return linear_regression([log(point[sweep]) for point in points], [log(point[key]) for point in points]).slope


def machine(found: Mapping[str, Any]) -> str:
    """Say on what was measured, and what it can do at most."""
    of, ours, plain = found["machine"], found["ours"], found["plain"]
    rates = {key: row[key] for row in found["rows"] for key in ("tflop_per_s", "gb_per_s") if key in row}
    threads = f", {of['threads']} thread" if "threads" in of else ""
    return (
        f"On {of['device']}{threads}, with torch {of['torch']}: i2i in {ours}, plain PyTorch in {plain}. "
        f"A large product of matrices reaches {rates['tflop_per_s']} TFLOP/s, a large pass {rates['gb_per_s']} GB/s."
    )
