"""Batches from datasets that are read as they come: without a length, and nothing is fetched before it is needed."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from numpy.typing import NDArray

from i2i.data.draws import uniforms
from i2i.data.rows import RowReader, with_remedy
from i2i.data.transforms import Draw
from i2i.errors import DataError, SettingsError
from i2i.values import Pair

if TYPE_CHECKING:
    from datasets import IterableDataset

_BUFFER = 1000  # rows that are shuffled among themselves, as files; the default of `datasets`
_AHEAD = 2  # batches that are made before they are asked for, where there are workers

Images = tuple[NDArray[Any], ...]
Each = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]

log = logging.getLogger("i2i.data")


class _Made(NamedTuple):
    """A batch, what was left out on the way to it, and where the tables stand behind it."""

    batch: Pair
    skipped: Sequence[str]
    tables: Sequence[Any]


class StreamedRows:
    """The rows of one streamed table as images, epoch after epoch, without end.

    Args:
        table: image columns only, undecoded; not iterated before.
        read: makes images of a row.
        seed: of the order, and of crops and flips, which follow from (seed, number of the row).
        serial: the rows keep their order.
        skip_bad: go on without rows that cannot be used.
    """

    def __init__(
        self, table: IterableDataset, read: RowReader, *, seed: int, serial: bool = False, skip_bad: bool = False
    ) -> None:
        self.shuffled = not serial
        self._table = table if serial else table.shuffle(seed=seed, buffer_size=_BUFFER)
        self._read, self._seed, self._skip_bad = read, seed, skip_bad
        self._start = self._table.state_dict()
        self._rows: Iterator[Any] | None = None
        self._epoch = self._number = 0
        self._begun = self._length = self._bad = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the epoch, the number of rows taken so far, and where ``datasets`` stands in its shards."""
        return {"epoch": self._epoch, "number": self._number, "table": self._table.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was called."""
        self._begin_epoch(state["epoch"])
        self._number = state["number"]
        self._table.load_state_dict(dict(state["table"]))

    def take(self, count: int, each: Each, skipped: list[str]) -> list[Images]:
        """Return the images of the next ``count`` rows that can be used.

        Args:
            count: how many.
            each: ``map``, or that of a pool of threads.
            skipped: what was left out is added to it, one message for each row.

        Raises:
            DataError: a row cannot be used; with ``skip_bad``: none of a whole epoch can.
        """
        taken: list[Images] = []
        while len(taken) < count:
            for images in each(self._images, [self._next() for _ in range(count - len(taken))]):
                if isinstance(images, DataError):
                    self._note(images, skipped)
                else:
                    self._bad = 0
                    taken.append(images)
        return taken

    def _images(self, row: tuple[int, Mapping[str, Any]]) -> Images | DataError:
        number, cells = row
        try:
            draw = Draw(*uniforms(4, self._seed, 0, number))
            return self._read(list(cells.values()), draw, f"row {number} of the stream")
        except DataError as error:
            return error

    def _note(self, error: DataError, skipped: list[str]) -> None:
        if not self._skip_bad:
            raise with_remedy(error) from error
        self._bad += 1
        if self._length and self._bad >= self._length:
            raise DataError(f"none of the {self._length} rows of the dataset can be used; the last: {error}")
        skipped.append(str(error))

    def _next(self) -> tuple[int, Mapping[str, Any]]:
        """Return the next row and its number, counted from the very first one."""
        for _ in range(2):  # the rest of an epoch that a checkpoint ended may be empty
            if self._rows is None:
                self._rows, self._begun = iter(self._table), self._number
            row = self._read_on(self._rows)
            if row is not None:
                self._number += 1
                return self._number - 1, row
            self._length = max(self._length, self._number - self._begun)
            self._begin_epoch(self._epoch + 1)
        raise DataError("the dataset is empty")

    def _begin_epoch(self, epoch: int) -> None:
        self._epoch, self._rows = epoch, None
        if self.shuffled:
            self._table.set_epoch(epoch)
        else:  # set_epoch() would shuffle the shards
            self._table.load_state_dict(self._start)

    def _read_on(self, rows: Iterator[Any]) -> Any:
        try:
            return next(rows, None)
        except Exception as error:  # a connection, a damaged file, ...
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DataError(f"the dataset cannot be read on after {self._number} rows: {reason}") from error


class Stream:
    """Batches of streamed tables, without end; ``fit`` needs to be told how many.

    Crops and flips follow from (seed, number of the row), not from a running generator. Resumed, it goes on in the
    shards where it was, but rows that were waiting to be shuffled are drawn anew: its order is not repeated exactly.

    Args:
        parts: whose images make up a batch.
        make: makes a batch of lists of images.
        batch_size: rows of each part in a batch.
        workers: threads that read ahead; they do not change what is read.
    """

    def __init__(
        self, parts: Sequence[StreamedRows], make: Callable[[Sequence[Images]], Pair], batch_size: int, workers: int
    ) -> None:
        self._parts, self._make, self._batch_size, self._workers = parts, make, batch_size, workers
        self._warned: set[str] = set()
        self._position = 0
        self._tables: Sequence[Any] = [part.state_dict() for part in parts]

    def __len__(self) -> int:
        raise SettingsError("a streamed dataset has no known length; say how long the run is with --steps")

    def __iter__(self) -> Iterator[Pair]:
        """Yield batches from the position on.

        Raises:
            DataError: an image that cannot be used was reached.
        """
        for part, state in zip(self._parts, self._tables, strict=True):
            part.load_state_dict(state)
        for made in self._made():
            for message in made.skipped:
                if message not in self._warned:
                    self._warned.add(message)
                    log.warning("skipped: %s", message)
            self._position += 1
            self._tables = made.tables
            yield made.batch

    def _made(self) -> Iterator[_Made]:
        if not self._workers:
            while True:
                yield self._next(map)
        with ExitStack() as stack:
            threads = stack.enter_context(ThreadPoolExecutor(self._workers))
            reader = stack.enter_context(ThreadPoolExecutor(1))  # leaves first, while the threads still work for it
            ahead = deque(reader.submit(self._next, threads.map) for _ in range(_AHEAD))
            stack.callback(lambda: [made.cancel() for made in ahead])
            while True:
                made = ahead.popleft().result()
                ahead.append(reader.submit(self._next, threads.map))
                yield made

    def _next(self, each: Each) -> _Made:
        skipped: list[str] = []
        rows = [part.take(self._batch_size, each, skipped) for part in self._parts]
        items = [sum(images, ()) for images in zip(*rows, strict=True)]
        return _Made(self._make(items), skipped, [part.state_dict() for part in self._parts])

    def state_dict(self) -> dict[str, Any]:
        """Return the batches handed out and where the tables stood behind the last one."""
        return {"position": self._position, "tables": self._tables}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on behind the last batch handed out; takes effect at the next ``iter``."""
        self._position, self._tables = int(state["position"]), state["tables"]
        if any(part.shuffled for part in self._parts):
            log.warning("the streamed dataset goes on in the shards where it was; its order is not repeated exactly")
