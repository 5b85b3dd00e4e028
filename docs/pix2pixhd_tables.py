"""The tables of pix2pixHD's figures, from what ``benchmarks/evidence`` wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_ROWS = ("mean photograph", "nearest label map", "global", "enhancer", "joint", "joint, usual styles")
DEMO = ("seed", *_ROWS, "nearer than the nearest", "time of one core")
ABLATION = ("row", "global", "enhancer", "joint", "nearer than the nearest label map", "checkerboard", "seeds")


def demo_rows(found: Mapping[str, Any]) -> list[Sequence[object]]:
    """Return a row for each seed of the demo."""
    return [
        [
            run["seed"],
            *(f"{run['result']['psnr'][row]:.2f} dB" for row in _ROWS),
            f"{run['result']['nearer_than']['nearest label map']:.0%}",
            f"{run['processor_seconds']:.0f} s",
        ]
        for run in found["seeds"]
    ]


def ablation_rows(found: Mapping[str, Any]) -> list[Sequence[object]]:
    """Return a row for each simple answer, the truth, and each row of the ablation."""
    rows: list[Sequence[object]] = [
        [name, "", "", f"{value:.2f} dB", "", "", ""] for name, value in found["baselines"].items()
    ]
    rows.append(["truth", "", "", "", "", f"{found['checkerboard_of_truth']:.1f}", ""])
    for name in dict.fromkeys(run["row"] for run in found["runs"]):
        runs = [run for run in found["runs"] if run["row"] == name]
        stages = [ranged([run["psnr"][stage] for run in runs], ".2f") for stage in ("global", "enhancer", "joint")]
        share = ranged([100 * run["nearer_than"]["nearest label map"] for run in runs], ".0f")
        rows.append([name, *stages, share, ranged([run["checkerboard"] for run in runs], ".1f"), len(runs)])
    return rows


def ranged(values: Sequence[float], form: str) -> str:
    """Return the mean, and the lowest and the highest where there are several.

    Example:
        >>> ranged([1.0, 2.0], ".1f")
        '1.5 (1.0 to 2.0)'
    """
    mean = format(sum(values) / len(values), form)
    return mean if len(values) == 1 else f"{mean} ({min(values):{form}} to {max(values):{form}})"
