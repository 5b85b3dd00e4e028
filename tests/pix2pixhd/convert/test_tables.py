"""The files that the tests build, and sizes, against the published tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from i2i_pix2pixhd.convert import recognised
from tests.pix2pixhd.convert.authors import Weights, encoder_file, enhancer_file, global_file, judge_file


def test_the_files_built_here_have_the_published_keys() -> None:
    def keys(*places: str) -> set[str]:
        return {f"{place}.{field}" for place in places for field in ("weight", "bias")}

    blocks = [f"model.{n}.conv_block.{place}" for n in range(16, 25) for place in (1, 5)]
    whole = keys(*(f"model.{n}" for n in (1, 4, 7, 10, 13, 25, 28, 31, 34)), *blocks)
    first = global_file(width=1, downs=4, blocks=9)
    assert set(first) == whole | keys("model.38")
    assert len(first) == 56
    local = [f"model1_2.{n}.conv_block.{place}" for n in range(3) for place in (1, 5)]
    second = enhancer_file(width=1, downs=4, blocks=9, local=3)
    assert set(second) == whole | keys("model1_1.1", "model1_1.4", *local, "model1_2.3", "model1_2.7")
    assert len(second) == 74
    assert set(encoder_file(width=1, downs=4)) == keys(*(f"model.{n}" for n in (1, 4, 7, 10, 13, 16, 19, 22, 25, 29)))
    assert set(judge_file(width=1)) == keys(*(f"scale{s}_layer{layer}.0" for s in (0, 1) for layer in range(5)))
    assert set(judge_file(width=1, matched=False)) == keys(
        *(f"layer{s}.{place}" for s in (0, 1) for place in (0, 2, 5, 8, 11))
    )


@pytest.mark.parametrize(
    ("weights", "parameters"),
    [
        (lambda: global_file(36, 64, 4, 9, device="meta"), 182_546_755),
        (lambda: global_file(39, 64, 4, 9, device="meta"), 182_556_163),
        (lambda: global_file(3, 64, 4, 9, device="meta"), 182_443_267),
        (lambda: enhancer_file(36, 32, 4, 9, local=3, device="meta"), 182_857_059),
        (lambda: enhancer_file(36, 16, 4, 9, 2, 3, device="meta"), 182_947_699),
        (lambda: judge_file(39, 64, device="meta"), 5_603_202),
        (lambda: judge_file(39, 64, scales=3, matched=False, device="meta"), 8_404_803),
        (lambda: encoder_file(width=16, downs=4, device="meta"), 788_803),
    ],
)
def test_files_of_real_size_have_the_published_number_of_parameters(
    weights: Callable[[], Weights], parameters: int
) -> None:
    net = recognised(Path("net.pth"), weights()).net
    assert sum(parameter.numel() for parameter in net.parameters()) == parameters
