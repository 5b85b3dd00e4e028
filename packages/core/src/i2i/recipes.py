"""What the ``build`` of a plugin returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from i2i.course import Span as Span  # its home for recipes
from i2i.schedules import Plateau
from i2i.step import Step


class Evaluation(NamedTuple):
    """How a recipe is validated while it trains.

    Attributes:
        batches: the held-out batches, always the same; None where there are none.
        results: ``results(nets, batch) -> {"a2b": (made, real)}``, images ``(b, c, h, w)`` in ``[-1, 1]``.
        paired: ``real`` is what ``made`` should be, image by image; else both are only of one domain, and need not be
            equally many.
        plateaus: schedules of the recipe that are told each figure.
    """

    batches: Callable[[], Iterable[Any] | None]
    results: Callable[[Any, Any], Mapping[str, tuple[Tensor, Tensor]]]
    paired: bool
    plateaus: tuple[Plateau, ...] = ()


class Recipe(NamedTuple):
    """All that ``i2i train NAME`` needs. ``nets`` and the data are calls, so nothing is read before it is needed.

    Attributes:
        nets: makes the nets, newly initialised; None for a ``staged`` step.
        step: how they are trained.
        data: the batches of training.
        length: of the run, in batches.
        preview_batch: a fixed batch for sample grids, held out where there is one.
        preview: ``preview(nets, batch) -> {"column": images (b, c, h, w)}``, a row of the grid per image.
        models: ``models(nets) -> {"a2b": net}``, or one under ``""``: what is saved for use.
        evaluation: how it is validated while it trains; None where it cannot be.
        stages: of a ``staged`` step, whose batches add up to ``length``: time left is weighed by their work, and a
            picture and a checkpoint are made at the end of each. () for a run in one piece.
    """

    nets: Callable[[], Any]
    step: Step[Any, Any]
    data: Callable[[], Iterable[Any]]
    length: int
    preview_batch: Callable[[], Any]
    preview: Callable[[Any, Any], Mapping[str, Tensor]]
    models: Callable[[Any], Mapping[str, nn.Module]]
    evaluation: Evaluation | None = None
    stages: Sequence[Span] = ()
