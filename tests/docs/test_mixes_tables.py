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
    assert {tuple(row[3:]) for row in table("mixes", {})} == {("not measured", "not measured")}


def test_the_overview_tells_a_figure_of_each_training() -> None:
    mixes = {
        "few-pairs": {"rows": [{"row": "the mix", "seconds": 61.2, "psnr": 17.0}, {"row": "no pairs", "psnr": 15.174}]},
        "pyramid-norm": {"rows": [{"row": "the mix", "seconds": 80, "reconstruction": 0.0551}]},
        "attention-and-scales": {"rows": [{"row": "the mix", "seconds": 79, "peak_in_red": 1.0}]},
    }
    told = {row[0]: row[3:] for row in table("mixes", mixes)}
    assert told["[few pairs](few-pairs.md)"] == ["PSNR 17.00 dB; no pairs 15.17 dB", "61 s"]
    assert told["[pyramid norm](pyramid-norm.md)"] == ["error of the fixed noise 5.5%", "80 s"]
    assert told["[attention and scales](attention-and-scales.md)"] == ["peak in the red disc 100%", "79 s"]
