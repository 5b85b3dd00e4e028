"""The settings of the recipe: what goes with what, and what they become."""

from __future__ import annotations

from typing import Any

import pytest

from i2i.errors import SettingsError
from i2i_singan.settings import Settings


def test_widths_double_every_four_scales_up_to_the_largest() -> None:
    assert [Settings().width(k) for k in range(10)] == [32] * 4 + [64] * 4 + [128] * 2
    assert [Settings(base_width=6, max_width=20).width(k) for k in (0, 4, 8, 12)] == [6, 12, 20, 20]


def test_reference_is_all_of_the_authors_at_once() -> None:
    ours, theirs = Settings(steps=500), Settings(steps=500, reference=True)
    assert (ours.gradient, ours.redraws, ours.settles, ours.decays_after) == ("fresh", False, True, 400)
    assert (theirs.gradient, theirs.redraws, theirs.settles, theirs.decays_after) == ("stale", True, False, 1600)


def test_each_of_them_can_be_chosen_by_itself() -> None:
    chosen = Settings(steps=500, generator_gradient="single", fixed_noise=False, settled_norms=False, decay_at=0.5)
    assert (chosen.gradient, chosen.redraws, chosen.settles, chosen.decays_after) == ("single", True, False, 250)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"steps": 0}, r"steps \(=0\)"),
        ({"kernel": 4}, r"kernel \(=4\) must be odd; use 3 or 5"),
        ({"min_size": 10}, r"min_size \(=10\) must be at least 11, .* 5 layers .*--min-size or fewer --layers"),
        ({"layers": 15}, r"min_size \(=25\) must be at least 31"),
        ({"min_size": 60, "max_size": 50}, r"max_size \(=50\) must be at least min_size \(=60\)"),
        ({"super_resolution_factor": 1.0}, r"super_resolution_factor \(=1.0\)"),
        ({"quantised_scale": 0}, r"quantised_scale \(=0\)"),
        ({"scale_factor": 1.0}, r"scale_factor \(=1.0\)"),
        ({"channels": 0}, r"channels \(=0\)"),
        ({"lr": 0.0}, r"lr \(=0.0\)"),
    ],
)
def test_what_cannot_be_is_one_line(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        Settings(**given)
    assert "\n" not in str(caught.value)
