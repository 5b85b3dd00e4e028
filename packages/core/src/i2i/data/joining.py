"""Batches of several sources as one, for a step that learns from all of them at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, Protocol, TypeVar

from i2i.errors import CompositionError, DataError

T = TypeVar("T", covariant=True)
B = TypeVar("B")


class Resumable(Protocol[T]):
    """Batches that say where they are: those of `i2i.data`, or your own."""

    def __iter__(self) -> Iterator[T]:
        """Yield the rest of the epoch."""
        ...

    def __len__(self) -> int:
        """Batches in one epoch."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return the position."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on at a position."""
        ...


class Joined(Generic[B]):
    """One batch of each source, joined; an epoch is that of the first source."""

    def __init__(self, batch: Callable[..., B], sources: tuple[Resumable[Any], ...]) -> None:
        self._batch, self._sources = batch, sources

    def __len__(self) -> int:
        """Batches in one epoch of the first source."""
        return len(self._sources[0])

    def __iter__(self) -> Iterator[B]:
        """Yield the rest of the epoch of the first source; the others go on where they are, and begin anew."""
        first, *others = self._sources
        streams = [endless(source) for source in others]
        for batch in first:
            yield self._batch(batch, *map(next, streams))

    def state_dict(self) -> dict[str, Any]:
        """Return the position of each source."""
        return {"sources": [source.state_dict() for source in self._sources]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on at positions that `state_dict` returned; takes effect at the next ``iter``."""
        for source, position in zip(self._sources, state["sources"], strict=True):
            source.load_state_dict(position)


def joined(batch: Callable[..., B], *sources: Resumable[Any]) -> Joined[B]:
    """Join batches of several sources: unpaired images and a few pairs, images of two datasets.

    Each source keeps its own batch size, order and epochs: a source that ends begins anew, while the others go on. A
    resumed run goes on in each of them where it was.

    Args:
        batch: makes a batch of one of each source, in their order: a NamedTuple with a field for each.
        sources: two and more, such as `unpaired` and `paired` return. An epoch is as long as that of the first.

    Raises:
        CompositionError: fewer than two sources, one that cannot be resumed, or other fields than sources.

    Example:
        >>> from typing import NamedTuple
        >>> joined(NamedTuple("Both", [("many", object), ("few", object)]), [1, 2], [3])
        Traceback (most recent call last):
        ...
        i2i.errors.CompositionError: joined(): source 1 is a list without state_dict() and load_state_dict(state); ...
    """
    if len(sources) < 2:
        raise CompositionError(f"joined() needs two sources or more, not {len(sources)}")
    for number, source in enumerate(sources, 1):
        if not (hasattr(source, "state_dict") and hasattr(source, "load_state_dict")):
            raise CompositionError(
                f"joined(): source {number} is a {type(source).__name__} without state_dict() and "
                "load_state_dict(state); take batches of i2i.data, or give it both, so that a run can be resumed"
            )
    fields = getattr(batch, "_fields", None)
    if fields is not None and len(fields) != len(sources):
        raise CompositionError(f"joined() has {len(sources)} sources for the fields {', '.join(fields)}")
    return Joined(batch, sources)


def endless(data: Iterable[T]) -> Iterator[T]:
    """Yield batches for ever, starting ``data`` anew whenever it ends.

    Raises:
        DataError: there are none.
    """
    empty = 0
    while empty < 2:  # the first pass may be empty: the rest of an epoch that a checkpoint ended
        empty += 1
        for batch in data:
            empty = 0
            yield batch
    raise DataError(
        "the data has no batches; is the batch size larger than the number of images, or is it a generator, which "
        "cannot begin anew?"
    )
