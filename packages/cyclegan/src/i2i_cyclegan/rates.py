"""The length of a run, the optimiser and its learning rate, from settings; the same for CycleGAN and pix2pix."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch

from i2i.errors import SettingsError
from i2i.protocols import Schedule
from i2i.schedules import Plateau, constant, cosine, linear_decay, step_decay, warm_up
from i2i.settings import RunSettings
from i2i_cyclegan.settings import GanSettings

if TYPE_CHECKING:
    from i2i.data import Prepared


class Length(NamedTuple):
    """How long a run is.

    Attributes:
        batches: of the whole run.
        per_epoch: of one pass over the data; 0 where nothing depends on it.
    """

    batches: int
    per_epoch: int


def length_of(settings: GanSettings, run: RunSettings, prepared: Prepared) -> Length:
    """Return how long a run is; the data are looked at only where something depends on how many there are.

    Args:
        settings: ``steps``, ``epochs``, and what says whether the learning rate counts epochs.
        run: ``streaming``.
        prepared: the data.

    Raises:
        DataError: the data cannot be used.
        SettingsError: epochs are to be counted of a streamed dataset, which has no known length.
    """
    if settings.steps is None:
        per_epoch = len(prepared.batches())
        return Length(settings.epochs * per_epoch, per_epoch)
    if not (settings.reference or settings.schedule == "step"):
        return Length(settings.steps, 0)
    if run.streaming:
        name = "reference" if settings.reference else "schedule"
        raise SettingsError(
            f"{name} (={getattr(settings, name)}) counts epochs, and a streamed dataset has no known length; "
            f"leave {name} out, or streaming"
        )
    return Length(settings.steps, len(prepared.batches()))


def adam(settings: GanSettings) -> Callable[..., torch.optim.Optimizer]:
    """Return the optimiser, to be called with parameters and ``lr``."""
    return functools.partial(torch.optim.Adam, betas=(settings.beta1, 0.999))


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


def learning_rate(settings: GanSettings, length: Length, plateau: Plateau | None = None) -> Schedule:
    """Return the learning rate by batch.

    Args:
        settings: ``lr``, ``schedule``, ``decay_start``, ``decay_epochs``, ``warm_up``, ``reference``.
        length: of the run; its epochs are used by ``schedule="step"`` and ``reference``.
        plateau: what `plateau_of` returned; it takes the place of any other schedule.

    Differs:
        ``reference`` follows the authors' code, whose rate is set at the start of each epoch: the linear decay begins
        one epoch early and is exactly 0 in the last one, the steps come one epoch early, the cosine climbs again.
    """
    rate: Schedule
    if plateau is not None:
        rate = plateau
    elif settings.reference:
        rate = _reference_rate(settings, length)
    else:
        rate = _rate(settings, length)
    return warm_up(rate, settings.warm_up)


def _rate(settings: GanSettings, length: Length) -> Schedule:
    match settings.schedule:
        case "linear":
            return linear_decay(settings.lr, length.batches, start=round(settings.decay_start * length.batches))
        case "step":
            return step_decay(settings.lr, settings.decay_epochs * length.per_epoch)
        case "cosine":
            return cosine(settings.lr, length.batches)
        case _:
            return constant(settings.lr)


def _reference_rate(settings: GanSettings, length: Length) -> Schedule:
    """The authors' table by epoch e = 1, 2, ...; their ``n_epochs`` is ``decay_start`` of all epochs."""
    epochs = -(-length.batches // length.per_epoch)
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

    return lambda now: settings.lr * factor(now // length.per_epoch + 1)


def _triangle(e: int, turn: int) -> int:
    """0 ... turn ... 0: where a cosine without an end goes on climbing."""
    return turn - abs(turn - e % (2 * turn))
