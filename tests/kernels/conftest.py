"""Where the kernels are tested: on a CUDA device, or in Triton's interpreter.

The interpreter is for a whole process (``TRITON_INTERPRET=1`` before Triton is imported), so `test_interpreter` runs
the tests marked ``gpu`` once more in one of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from i2i.kernels import dispatch

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
Close = Callable[[Tensor, Tensor, float], None]


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not INTERPRETED and not torch.cuda.is_available():
        pytest.skip("no CUDA device; test_interpreter.py runs these in the interpreter")


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """A device on which the kernels run."""
    torch.manual_seed(0)
    if INTERPRETED:
        monkeypatch.setattr(dispatch, "runs", lambda x: True)
        return torch.device("cpu")
    return torch.device("cuda:0")


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut work so finely that small images take several parts of several tiles."""
    from i2i.kernels import moments

    monkeypatch.setattr(moments, "TILE", 64)
    monkeypatch.setattr(moments, "PROGRAMS", 3)
    assert moments.blocks(1, 30, 7) == moments.Blocks(pixels=8, channels=8, parts=2, each=16)


@contextmanager
def poisoned() -> Iterator[None]:
    """Fill what is allocated with NaN: a number that is read before it is written, or never written, then shows."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        assert torch.empty(1).isnan()
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


@pytest.fixture
def close() -> Close:
    """``close(found, wanted, tolerance)``: the largest error, by the largest number that is wanted."""

    def check(found: Tensor, wanted: Tensor, tolerance: float) -> None:
        assert found.shape == wanted.shape
        error = (found.detach().double().cpu() - wanted.detach().double().cpu()).abs().max()
        size = wanted.detach().double().abs().max().cpu().clamp_min(1e-30)
        assert error <= tolerance * size, f"off by {error / size:.1e}"

    return check


def image(*shape: int, dtype: torch.dtype = torch.float32, mean: float = 50.0) -> Tensor:
    """Draw an image whose mean is far from 0, channels-last."""
    drawn = mean + 3 * torch.randn(shape)
    return drawn.to(dtype).contiguous(memory_format=torch.channels_last)
