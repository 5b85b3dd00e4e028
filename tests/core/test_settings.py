"""Settings: ranges, and what a resumed run may change."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from i2i.errors import RunError, SettingsError
from i2i.settings import RunSettings, above, at_least, between, check_resumed, flag


@attrs.frozen
class Inner:
    rate: float = 0.5


@attrs.frozen
class Toy:
    steps: int = 10
    width: int = attrs.field(default=4, validator=at_least(1))
    scale: float = attrs.field(default=1.0, validator=above(0))
    share: float | None = attrs.field(default=None, validator=between(0, 1))
    inner: Inner = Inner()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 0}, "width (=0) must be at least 1"),
        ({"scale": 0.0}, "scale (=0.0) must be more than 0"),
        ({"scale": float("inf")}, "scale (=inf) must be finite"),
        ({"scale": float("nan")}, "scale (=nan) must be more than 0"),
        ({"share": 1.5}, "share (=1.5) must lie between 0 and 1"),
        ({"share": float("nan")}, "share (=nan) must lie between 0 and 1"),
    ],
)
def test_validators_name_the_value_and_the_range(settings, message):
    with pytest.raises(SettingsError) as caught:
        Toy(**settings)
    assert str(caught.value) == message


def test_values_at_the_border_and_none_are_allowed():
    assert Toy(width=1, scale=1e-9, share=1).share == 1
    assert Toy(share=None).share is None


@pytest.mark.parametrize(
    "settings",
    [
        {"seed": -1},
        {"seed": 2**32},
        {"accumulate": 0},
        {"average": 1.0},
        {"average": 0.0},
        {"workers": -1},
        {"log_every": 0},
        {"sample_every": -1},
        {"checkpoint_every": 0},
        {"keep_last": 0},
        {"keep_every": 0},
        {"device": "gpu7"},
    ],
)
def test_run_settings_refuse_what_makes_no_sense(settings):
    ((name, value),) = settings.items()
    with pytest.raises(SettingsError) as caught:
        RunSettings(**settings)
    assert str(caught.value).startswith(f"{name} (={value}) must ")


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ((RunSettings(device="cpu"), Toy(steps=10)), (RunSettings(device="cuda"), Toy(steps=20))),
        (
            (RunSettings(log_every=5, sample_every=5, checkpoint_every=5, keep_last=5), Toy()),
            (RunSettings(log_every=6, sample_every=6, checkpoint_every=6, keep_last=6, keep_every=6), Toy()),
        ),
        ((RunSettings(), Toy()), (RunSettings(out=Path("moved"), resume=True), Toy())),
        ((RunSettings(observers=("diary",)), Toy()), (RunSettings(observers=("wandb", "diary")), Toy())),
    ],
)
def test_length_device_and_intervals_may_differ(before, now):
    check_resumed(before, now)
    with pytest.raises(RunError):
        check_resumed(before, (now[0], attrs.evolve(now[1], width=9)))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("seed", "--seed"),
        ("inner.base_width", "--inner.base-width"),
        ("from_", "--from"),
        ("inner.from_", "--inner.from"),
        ("x_", "--x-"),  # no word of Python: nothing is left out
    ],
)
def test_flag(name, expected):
    assert flag(name) == expected


@pytest.mark.parametrize(
    ("before", "now", "message"),
    [
        (RunSettings(seed=1), RunSettings(seed=2), "--seed is 2, but this run was begun with 1;"),
        (RunSettings(a=(Path("x"), Path("y"))), RunSettings(), "--a is (), but this run was begun with x y;"),
        (Toy(width=3), Toy(), "--width is 4, but this run was begun with 3;"),
        (Toy(inner=Inner(0.1)), Toy(), "--inner.rate is 0.5, but this run was begun with 0.1;"),
    ],
)
def test_anything_else_must_not_differ_and_both_values_are_named(before, now, message):
    pairs = (
        [(before, Toy()), (now, Toy())]
        if isinstance(before, RunSettings)
        else [(RunSettings(), before), (RunSettings(), now)]
    )
    with pytest.raises(RunError) as caught:
        check_resumed(*pairs)
    assert str(caught.value).startswith(message)
