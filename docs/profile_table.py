"""The table of where the time of a step goes on a CPU, from what ``benchmarks/evidence/profiles.py`` wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

#: how the kinds are called in the results, and in the table
KINDS = {
    "convolution forward": "convolution forward",
    "convolution backward": "backward",
    "norm": "norm",
    "activation and pad": "activation, pad",
    "resize": "resize",
    "optimiser": "optimiser",
    "copies and layout": "copies",
    "else": "else",
    "outside of operations": "outside of operations",
}
HEAD = ("step", "whose", *KINDS.values(), "system", "convolutions", "faster", "convolutions alone", "at full rate")


def rows(found: Mapping[str, Any]) -> list[Sequence[object]]:
    """Return two rows for each step: ours, with what it can gain, and the plain one."""
    return [row for name, method in found["methods"].items() for row in _rows(name, method)]


def _rows(name: str, method: Mapping[str, Any]) -> list[Sequence[object]]:
    gains = [f"{method[kind]:.2f}" for kind in ("faster", "convolutions_alone", "convolutions_alone_at_product")]
    return [
        [name, whose, *_shares(method[kind]), _rate(method[kind], method["product_gflop_per_s"]), *more]
        for whose, kind, more in (("i2i", "ours", gains), ("plain", "plain", [""] * 3))
    ]


def _shares(step: Mapping[str, Any]) -> list[str]:
    return [f"{step['shares'][kind]:.1%}" for kind in (*KINDS, "system")]


def _rate(step: Mapping[str, Any], product: float) -> str:
    return f"{step['gflop_per_s']:.0f} GFLOP/s, {step['gflop_per_s'] / product:.0%}"
