from __future__ import annotations

import pytest

from i2i.course import Course, Span

SPANS = [Span(2, 1.0, "scale"), Span(3, 4.0, "scale"), Span(1, 6.0, "scale")]  # 2 + 12 + 6 of work


@pytest.mark.parametrize(
    ("batches", "share", "told"),
    [
        (0, 0, "scale 1/3, batch 0/2"),
        (1, 1 / 20, "scale 1/3, batch 1/2"),
        (2, 2 / 20, "scale 1/3, batch 2/2"),
        (3, 6 / 20, "scale 2/3, batch 1/3"),
        (5, 14 / 20, "scale 2/3, batch 3/3"),
        (6, 1, "scale 3/3, batch 1/1"),
    ],
)
def test_a_run_stands_where_its_work_is_done(batches: int, share: float, told: str) -> None:
    course = Course(SPANS)
    assert course.share(batches, of=6) == pytest.approx(share, abs=1e-15)
    assert course.told(batches) == told


def test_the_last_stage_goes_on() -> None:
    course = Course(SPANS)
    assert course.share(7, of=8) == pytest.approx(26 / 32)
    assert course.told(8) == "scale 3/3, batch 3/3"


def test_stages_end_after_their_batches() -> None:
    assert Course(SPANS).ends == (2, 5, 6)
    assert Course([]).ends == ()
