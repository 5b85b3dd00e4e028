from __future__ import annotations

import speed_tables


def test_a_gate_shows_the_loss_that_differs_most():
    def figure(base: float, tried: float, spread: float) -> dict[str, float]:
        return {"base": base, "tried": tried, "spread": spread, "apart": tried - base}

    found = {
        "g/adv": figure(0.5, 0.6, 0.1),
        "g/cycle": figure(0.4, 0.3, 0.05),
        "images: error": figure(30.04, 29.96, 1.0),
        "images: apart": figure(12.0, 4.0, 0.5),
    }
    row = {"name": "net", "tried": "bf16", "found": found, "allowed": 3.249, "passed": True, "failed": []}
    broken = row | {"tried": "fp16", "passed": False, "failed": ["g/adv", "images: apart"]}
    shown = ["g/cycle: 2.0", "3.2", "30.0", "30.0", "12.0", "4.0"]
    assert speed_tables.precision_rows({"methods": {"net": {"rows": [row, broken]}}}) == [
        ["net", "bf16", *shown, "passed"],
        ["net", "fp16", *shown, "failed: 2 of 4"],
    ]
    assert len(speed_tables.PRECISION) == 9
