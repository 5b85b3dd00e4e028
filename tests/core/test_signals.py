from __future__ import annotations

import signal
import threading

import pytest

from i2i.signals import noted_signals

BOTH = (signal.SIGINT, signal.SIGTERM)


@pytest.mark.parametrize("number", BOTH)
def test_a_signal_is_noted_and_the_handlers_come_back(number: int) -> None:
    before = [signal.getsignal(each) for each in BOTH]
    with noted_signals() as caught:
        assert caught == []
        signal.raise_signal(number)
        assert caught == [number]
    assert [signal.getsignal(each) for each in BOTH] == before


def test_a_second_one_is_obeyed_at_once() -> None:
    with noted_signals():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_handlers_are_left_alone_in_another_thread() -> None:
    found: list[list[int]] = []

    def work() -> None:
        with noted_signals() as caught:
            found.append(caught)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [[]]
