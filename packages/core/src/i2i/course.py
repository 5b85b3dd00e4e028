"""The course of a run that has stages: how far it is, counted in work instead of batches."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple


class Span(NamedTuple):
    """One stage of a run.

    Attributes:
        batches: how many it lasts, at least 1.
        work: what a batch of it costs, in a unit of the recipe (pixels times weights, ...); above 0.
        name: what a stage of this kind is called where progress is shown: ``"scale"`` gives ``scale 3/9``.
    """

    batches: int
    work: float
    name: str = "stage"


class Course:
    """Where a run with stages stands.

    Args:
        spans: its stages, in order; at least one. A run that goes on after the last one goes on as that.

    Example:
        >>> course = Course([Span(10, 1.0), Span(10, 3.0)])
        >>> course.ends, course.share(10, of=20), course.told(12)
        ((10, 20), 0.25, 'stage 2/2, batch 2/10')
    """

    def __init__(self, spans: Sequence[Span]) -> None:
        self.spans = tuple(spans)
        self.ends = tuple(accumulate(span.batches for span in spans))

    def share(self, batches: int, *, of: int) -> float:
        """Return which share, 0 to 1, of the work of a run of so many batches is done after ``batches``."""
        return self._work(batches) / self._work(of)

    def told(self, batches: int) -> str:
        """Return the stage of the batch that was trained last, and which batch of the stage it is."""
        index = self._stage(batches)
        span, begun = self.spans[index], self.ends[index] - self.spans[index].batches
        done = batches - begun
        return f"{span.name} {index + 1}/{len(self.spans)}, batch {done}/{max(span.batches, done)}"

    def _stage(self, batches: int) -> int:
        return next((index for index, end in enumerate(self.ends) if batches <= end), len(self.ends) - 1)

    def _work(self, batches: int) -> float:
        index = self._stage(batches)
        before = sum(span.batches * span.work for span in self.spans[:index])
        return before + (batches - sum(span.batches for span in self.spans[:index])) * self.spans[index].work
