from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from i2i.data.draws import shuffled, uniforms

numbers = st.integers(0, 2**31)


@settings(max_examples=50, deadline=None)
@given(seed=numbers, epoch=numbers, position=numbers)
def test_uniforms_lie_in_the_unit_interval_and_never_round_up_to_a_whole(seed: int, epoch: int, position: int) -> None:
    drawn = uniforms(7, seed, epoch, position)
    assert len(drawn) == 7
    assert all(0 <= u < 1 and int(u * n) < n for u in [*drawn, 1 - 2**-53] for n in (1, 3, 31, 100_000))


def test_uniforms_depend_on_each_number() -> None:
    drawn = [tuple(uniforms(3, *key)) for key in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 2))]
    assert len(set(drawn)) == 5


def test_uniforms_are_even() -> None:
    drawn = np.array([uniforms(2, 3, 0, position) for position in range(4000)])
    counts, _, _ = np.histogram2d(drawn[:, 0], drawn[:, 1], bins=4, range=((0, 1), (0, 1)))
    assert ((counts - 250) ** 2 / 250).sum() < 37.7  # chi square, 15 degrees of freedom, 0.1 %


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 200), seed=numbers, epoch=numbers)
def test_shuffled_is_a_permutation(count: int, seed: int, epoch: int) -> None:
    assert sorted(shuffled(count, seed, epoch)) == list(range(count))


def test_shuffled_depends_on_seed_and_epoch() -> None:
    orders = {tuple(shuffled(20, *key)) for key in ((0, 0), (0, 1), (1, 0), (1, 1))}
    assert len(orders) == 4
