"""The tables of U-GAT-IT's figures, from what ``benchmarks/evidence`` wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pix2pixhd_tables import ranged

_SHARES = {
    "a2b_called_b": "A to B taken for B",
    "b2a_called_b": "B to A taken for B",
    "peak_in_red": "peak in the red disc",
}
DEMO = ("seed", *_SHARES.values(), "the same, untrained", "heat red / blue", "AUC", "time of one core")
_WITH_NEGATIVE_HEAT = ("no attention",)  # whose map is a plain sum of features
ABLATION = ("row", *_SHARES.values(), "heat red / blue", "AUC", "seeds")


def demo_rows(found: Mapping[str, Any]) -> list[Sequence[object]]:
    """Return a row for each seed of the demo."""
    return [
        [
            run["seed"],
            *(f"{run['result']['after'][name]:.0%}" for name in _SHARES),
            f"{run['result']['before']['peak_in_red']:.0%}",
            f"{run['result']['after']['red_to_blue']:.2f}",
            f"{run['result']['after']['auc']:.2f}",
            f"{run['processor_seconds']:.0f} s",
        ]
        for run in found["seeds"]
    ]


def ablation_rows(found: Mapping[str, Any]) -> list[Sequence[object]]:
    """Return a row for each row of the ablation: means, lowest and highest of the seeds."""
    rows: list[Sequence[object]] = []
    for name in dict.fromkeys(run["row"] for run in found["runs"]):
        runs = [run for run in found["runs"] if run["row"] == name]
        shares = [ranged([100 * run[share] for run in runs], ".0f") for share in _SHARES]
        others = [ranged([run[figure] for run in runs], ".2f") for figure in ("red_to_blue", "auc")]
        if min(run["red_to_blue"] for run in runs) <= 0 or name in _WITH_NEGATIVE_HEAT:
            others[0] = ""  # a ratio of sums of which some are negative says nothing
        rows.append([name, *shares, *others, len(runs)])
    return rows
