from __future__ import annotations

from i2i_contrastive.settings import Preset, Settings, preset_of


def test_presets_are_those_of_the_paper() -> None:
    assert preset_of(Settings()) == Preset(1, 1, flip_equivariance=False, epochs=400, decay_start=0.5)
    assert preset_of(Settings(preset="fastcut")) == Preset(10, 0, flip_equivariance=True, epochs=200, decay_start=0.75)


def test_what_is_said_wins_also_if_it_is_nothing() -> None:
    said = {"nce_weight": 2.0, "identity_weight": 0.0, "flip_equivariance": True, "epochs": 3, "decay_start": 0.0}
    assert preset_of(Settings(**said)) == Preset(**said)
