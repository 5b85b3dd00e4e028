"""The optimiser and its learning rate, from settings; the same for CycleGAN and pix2pix."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch

from i2i.errors import SettingsError
from i2i.protocols import Schedule
from i2i.schedules import Plateau, constant, cosine, linear_decay, step_decay, warm_up
from i2i.settings import RunSettings
from i2i_cyclegan.settings import GanSettings


def adam(settings: GanSettings) -> Callable[..., torch.optim.Optimizer]:
    """Return the optimiser, to be called with parameters and ``lr``."""
    return functools.partial(torch.optim.Adam, betas=(settings.beta1, 0.999))


def counts_epochs(settings: GanSettings) -> bool:
    """Tell whether the learning rate depends on how many batches an epoch has."""
    return settings.reference or settings.schedule == "step"


def plateau_of(settings: GanSettings, run: RunSettings, *, higher_is_better: bool) -> Plateau | None:
    """Return what follows the validation, or None where ``settings.schedule`` is another one.

    Args:
        settings: ``lr``, ``schedule``, ``plateau_patience``, ``plateau_factor``.
        run: ``validate_every``.
        higher_is_better: whether the figure of the validation rises as the nets get better.

    Raises:
        SettingsError: the run is not validated.

    Differs:
        The authors hand their plateau 0 instead of a figure.
    """
    if settings.schedule != "plateau":
        return None
    if not run.validate_every:
        raise SettingsError("schedule (=plateau) follows the validation, and there is none; add --validate-every")
    return Plateau(
        settings.lr,
        patience=settings.plateau_patience,
        factor=settings.plateau_factor,
        higher_is_better=higher_is_better,
    )


def learning_rate(settings: GanSettings, length: int, per_epoch: int, plateau: Plateau | None = None) -> Schedule:
    """Return the learning rate by batch.

    Args:
        settings: ``lr``, ``schedule``, ``decay_start``, ``decay_epochs``, ``warm_up``, ``reference``.
        length: of the run, in batches.
        per_epoch: batches of an epoch; used by ``schedule="step"`` and ``reference``.
        plateau: what `plateau_of` returned; it takes the place of any other schedule.

    Differs:
        ``reference`` follows the authors' code, whose rate is set at the start of each epoch: the linear decay begins
        one epoch early and is exactly 0 in the last one, the steps come one epoch early, the cosine climbs again.
    """
    rate: Schedule
    if plateau is not None:
        rate = plateau
    elif settings.reference:
        rate = _reference_rate(settings, -(-length // per_epoch), per_epoch)
    else:
        rate = _rate(settings, length, per_epoch)
    return warm_up(rate, settings.warm_up)


def _rate(settings: GanSettings, length: int, per_epoch: int) -> Schedule:
    match settings.schedule:
        case "linear":
            return linear_decay(settings.lr, length, start=round(settings.decay_start * length))
        case "step":
            return step_decay(settings.lr, settings.decay_epochs * per_epoch)
        case "cosine":
            return cosine(settings.lr, length)
        case _:
            return constant(settings.lr)


def _reference_rate(settings: GanSettings, epochs: int, per_epoch: int) -> Schedule:
    """The authors' table by epoch e = 1, 2, ...; their ``n_epochs`` is ``decay_start`` of all epochs."""
    steady = max(1, round(settings.decay_start * epochs))

    def factor(e: int) -> float:
        match settings.schedule:
            case "linear":
                return 1 - max(0, e + 1 - steady) / (epochs - steady + 1)
            case "step":
                return float(0.1 ** (e // settings.decay_epochs))
            case "cosine":
                return cosine(1.0, steady)(_triangle(e, steady))
            case _:
                return 1.0

    return lambda now: settings.lr * factor(now // per_epoch + 1)


def _triangle(e: int, turn: int) -> int:
    """0 ... turn ... 0: where a cosine without an end goes on climbing."""
    return turn - abs(turn - e % (2 * turn))
