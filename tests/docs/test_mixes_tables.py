from __future__ import annotations

from typing import Any

import mixes_tables


def likeness(psnr: float, ssim: float) -> dict[str, float]:
    return {"psnr": psnr, "ssim": ssim}


def table(name: str, mixes: dict[str, Any]) -> list[list[object]]:
    head, rows = mixes_tables.TABLES[name]
    made = [list(row) for row in rows({"mixes": mixes})]
    assert all(len(row) == len(head) for row in made)
    return made


def test_translations_stand_below_what_needs_no_training() -> None:
    rows = [
        {"row": "the mix", "seconds": 120.4, **likeness(19.876, 0.7), "last": likeness(18.0, 0.65)},
        {"row": "no pairs", "seconds": 99.6, **likeness(12, 0.5)},
    ]
    mix = {"baselines": {"input itself": likeness(14.26, 0.5744)}, "rows": rows}
    for name in ("mix-averaged-cyclegan", "mix-coarse-to-fine", "mix-matched-unet", "mix-few-pairs"):
        assert table(name, {name.removeprefix("mix-"): mix}) == [
            ["input itself", "14.26 dB", "0.574", ""],
            ["the mix", "19.88 dB", "0.700", "120 s"],
            ["the mix, last weights", "18.00 dB", "0.650", ""],
            ["no pairs", "12.00 dB", "0.500", "100 s"],
        ]


def test_where_it_looks_is_told_in_shares() -> None:
    row = {"row": "the mix", "seconds": 1.0, "called_marked": 0.125, "peak_in_red": 1.0, "auc": 0.954, "kept": 15.25}
    mix = {"baselines": {"input itself": {"called_marked": 0.98}}, "rows": [row]}
    assert table("mix-attention-and-scales", {"attention-and-scales": mix}) == [
        ["input itself", "98%", "", "", "", ""],
        ["the mix", "12%", "100%", "0.95", "15.2 dB", "1 s"],
    ]


def test_a_pyramid_is_told_like_the_settings_of_singan() -> None:
    row = {"row": "the mix", "seconds": 80.0, "reconstruction": 0.05, "coarser": 0.0625, "diversity": 0.456}
    assert table("mix-pyramid-norm", {"pyramid-norm": {"baselines": {}, "rows": [row]}}) == [
        ["the mix", "5.0%", "6.2%", "20%", "0.46", "80 s"]
    ]


def test_what_was_not_measured_is_said() -> None:
    assert table("mix-few-pairs", {}) == [["not measured"] * 4]
    found = table("mixes", {"few-pairs": {"rows": [{"row": "the mix", "seconds": 61.2}]}})
    assert [row[0] for row in found][-1] == "[few pairs](few-pairs.md)"
    assert [row[3] for row in found] == ["not measured"] * 5 + ["61 s"]
