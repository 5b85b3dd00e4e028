"""What a captured graph of an update cannot hold: work of the host, and when it is still the same update."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Recording:
    """Notes, while an update runs once as usual, what must be done on the host before each replay of its graph.

    It listens to one update, in which everything happens as ever. When the update is captured, the work of the host is
    left out, and what was made once is given again; before each replay `prepare` does that work.

    Attributes:
        listening: that update is running; later the update is being captured.
        refused: why no graph can take its place; None if one can.

    Example:
        >>> said = []
        >>> recording = Recording(now=5)
        >>> recording.host(said.append, 5)      # listening: done at once
        >>> recording.listening = False
        >>> recording.host(said.append, 6)      # captured: left out
        >>> recording.prepare(8)
        >>> said
        [5, 8]
    """

    def __init__(self, now: int) -> None:
        self.listening = True
        self.refused: str | None = None
        self._now = now
        self._work: list[tuple[Callable[[int], None], int]] = []
        self._conditions: list[tuple[Callable[[int], bool], int]] = []
        self._made: list[Any] = []
        self._given = 0

    def host(self, action: Callable[[int], None], now: int) -> None:
        """Do ``action(now)``; and again before each replay, with the batch of that one."""
        if self.listening:
            action(now)
            self._work.append((action, now - self._now))  # stages count batches from their own start

    def static(self, make: Callable[[], T]) -> T:
        """Return what ``make`` makes: the same object in the capture."""
        if self.listening:
            self._made.append(make())
            return self._made[-1]  # type: ignore[no-any-return]
        given = self._made[self._given % len(self._made)]
        self._given += 1
        return given  # type: ignore[no-any-return]

    def only_while(self, holds: Callable[[int], bool], now: int) -> None:
        """Say for which batches the update takes this course."""
        if self.listening:
            self._conditions.append((holds, now - self._now))

    def refuse(self, why: str) -> None:
        """Say that the update cannot be captured, in words that follow "no graph:"."""
        self.refused = self.refused or why

    def holds(self, now: int) -> bool:
        """Tell whether the update of batch ``now`` takes the course that was listened to."""
        return all(holds(now + offset) for holds, offset in self._conditions)

    def prepare(self, now: int) -> None:
        """Do the work of the host for batch ``now``."""
        for action, offset in self._work:
            action(now + offset)
