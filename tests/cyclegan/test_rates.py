"""Learning rates: section 1.7 of the specification."""

from __future__ import annotations

import math
from typing import Any

import attrs
import pytest
import torch

from i2i.errors import SettingsError
from i2i.settings import RunSettings
from i2i_cyclegan.rates import Length, adam, learning_rate, plateau_of
from i2i_cyclegan.settings import Settings


def reference_rates(**changes: Any) -> list[float]:
    """By epoch e = 1 ... 200, three batches each; all batches of an epoch have the same rate."""
    settings = attrs.evolve(Settings(reference=True), **changes)
    rate = learning_rate(settings, Length(600, per_epoch=3))
    by_batch = [rate(now) for now in range(600)]
    assert by_batch[::3] == by_batch[1::3] == by_batch[2::3]
    return by_batch[::3]


def test_reference_linear_is_the_authors_table() -> None:
    rates = reference_rates()
    wanted = [2e-4 * (1 - max(0, e + 1 - 100) / 101) for e in range(1, 201)]
    assert rates == pytest.approx(wanted, rel=1e-12, abs=1e-20)
    assert rates[:99] == [2e-4] * 99
    assert [rates[e - 1] for e in (100, 150, 199)] == pytest.approx([1.980e-4, 9.90e-5, 1.98e-6], rel=1e-3)
    assert rates[199] == 0


def test_reference_step_begins_each_stair_one_epoch_early() -> None:
    rates = reference_rates(schedule="step")
    assert rates == pytest.approx([2e-4 * 0.1 ** (e // 50) for e in range(1, 201)], rel=1e-12)
    assert rates[48] == 2e-4
    assert rates[49] == pytest.approx(2e-5)


def test_reference_cosine_climbs_again() -> None:
    rates = reference_rates(schedule="cosine")
    assert rates == pytest.approx([1e-4 * (1 + math.cos(math.pi * e / 100)) for e in range(1, 201)], abs=1e-18)
    assert rates[99] == 0
    assert rates[199] == 2e-4


def test_reference_counts_the_epochs_of_a_run_in_steps() -> None:
    """Seven batches, two per epoch: four epochs, the last of them begun only."""
    rate = learning_rate(Settings(reference=True, lr=1.0), Length(7, per_epoch=2))
    assert [rate(now) for now in range(7)] == pytest.approx([1, 1, 2 / 3, 2 / 3, 1 / 3, 1 / 3, 0])


@pytest.mark.parametrize("schedule", ["linear", "step", "cosine", "constant"])
@pytest.mark.parametrize("decay_start", [0.0, 0.5, 1.0])
def test_default_rates_never_rise_and_train_the_last_batch(schedule: Any, decay_start: float) -> None:
    rate = learning_rate(Settings(schedule=schedule, decay_start=decay_start), Length(400, per_epoch=2))
    rates = [rate(now) for now in range(400)]
    assert rates[0] == 2e-4
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] > 0


@pytest.mark.parametrize("reference", [False, True])
def test_the_rate_warms_up(reference: bool) -> None:
    """Sixteen batches of two per epoch; without warm-up the first eight are steady in both."""
    settings = Settings(lr=1.0, warm_up=4, reference=reference, decay_start=0.75)
    rate = learning_rate(settings, Length(16, per_epoch=2))
    assert [rate(now) for now in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    cold = learning_rate(attrs.evolve(settings, warm_up=0), Length(16, per_epoch=2))
    assert [rate(now) for now in range(4, 16)] == [cold(now) for now in range(4, 16)]
    assert cold(0) == 1


def test_default_rates_by_hand() -> None:
    def rates(**changes: Any) -> list[float]:
        rate = learning_rate(attrs.evolve(Settings(lr=1.0), **changes), Length(8, per_epoch=2))
        return [rate(now) for now in range(8)]

    assert rates() == [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]
    assert rates(decay_start=0.75) == [1, 1, 1, 1, 1, 1, 1, 0.5]
    assert rates(schedule="step", decay_epochs=2) == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1])
    assert rates(schedule="cosine") == pytest.approx([0.5 + 0.5 * math.cos(math.pi * i / 8) for i in range(8)])


def test_settings_reach_the_optimiser() -> None:
    optimizer = adam(Settings(beta1=0.7))([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    assert type(optimizer) is torch.optim.Adam
    assert optimizer.defaults["betas"] == (0.7, 0.999)
    assert optimizer.defaults["lr"] == 0.1


def test_a_plateau_needs_validation() -> None:
    settings = Settings(schedule="plateau")
    with pytest.raises(SettingsError, match=r"schedule \(=plateau\) follows the validation.*add --validate-every"):
        plateau_of(settings, RunSettings(), higher_is_better=False)
    assert plateau_of(Settings(), RunSettings(), higher_is_better=False) is None


def test_the_authors_have_no_plateau_to_follow() -> None:
    with pytest.raises(SettingsError, match=r"schedule \(=plateau\) never sees a figure in the authors' code"):
        Settings(schedule="plateau", reference=True)


@pytest.mark.parametrize(
    ("higher_is_better", "figures"), [(True, (20.0, 20.1, 19.0, 25.0)), (False, (0.5, 0.499, 0.7, 0.4))]
)
def test_settings_reach_the_plateau(higher_is_better: bool, figures: tuple[float, ...]) -> None:
    settings = Settings(schedule="plateau", lr=8e-4, plateau_patience=1, plateau_factor=0.25, warm_up=4)
    plateau = plateau_of(settings, RunSettings(validate_every=7), higher_is_better=higher_is_better)
    assert plateau is not None
    rate = learning_rate(settings, Length(100, 0), plateau)
    assert [rate(now) for now in (0, 1, 3, 50)] == pytest.approx([2e-4, 4e-4, 8e-4, 8e-4])
    seen = []
    for figure in figures:  # within 1 % of the best is no improvement
        plateau.watch(figure)
        seen.append(rate(50))
    assert seen == pytest.approx([8e-4, 8e-4, 2e-4, 2e-4])
    assert rate(0) == pytest.approx(5e-5)
