"""SIGINT and SIGTERM between two batches."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Note SIGINT and SIGTERM, to be obeyed between two batches; a second one is obeyed at once."""
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return

    def note(number: int, frame: Any) -> None:
        if caught:
            signal.signal(number, before[number])
            signal.raise_signal(number)
        caught.append(number)

    # A handler of None is one that Python cannot put back: it was set outside of it.
    before: dict[int, Any] = {n: signal.signal(n, note) or signal.SIG_DFL for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
