"""The tables about speed and what it costs, from what ``benchmarks`` wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

PRECISION = (
    "method",
    "tried",
    "loss that differs most",
    "allowed",
    "error of images: base",
    "of what is tried",
    "images apart: two seeds",
    "same seed",
    "gate",
)


def precision_rows(found: Mapping[str, Any]) -> list[Sequence[object]]:
    """Return a row for each training that was held against float32."""
    return [precision_row(row) for method in found["methods"].values() for row in method["rows"]]


def precision_row(row: Mapping[str, Any]) -> Sequence[object]:
    """Return the row of one: which loss differs most, by how many standard deviations, and what the images say."""
    figures = row["found"]
    apart = {name: abs(one["apart"]) / one["spread"] for name, one in figures.items() if not name.startswith("images")}
    most = max(apart, key=apart.__getitem__)
    images = [f"{figures[f'images: {kind}'][side]:.1f}" for kind in ("error", "apart") for side in ("base", "tried")]
    verdict = "passed" if row["passed"] else f"failed: {len(row['failed'])} of {len(figures)}"
    return [row["name"], row["tried"], f"{most}: {apart[most]:.1f}", f"{row['allowed']:.1f}", *images, verdict]
