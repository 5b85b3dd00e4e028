"""What the ``build`` of a plugin returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from i2i.step import Step


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
    """

    nets: Callable[[], Any]
    step: Step[Any, Any]
    data: Callable[[], Iterable[Any]]
    length: int
    preview_batch: Callable[[], Any]
    preview: Callable[[Any, Any], Mapping[str, Tensor]]
    models: Callable[[Any], Mapping[str, nn.Module]]
