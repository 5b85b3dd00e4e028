from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.nn.utils import spectral_norm as old_spectral_norm

from i2i.together import together
from i2i.values import Verdict


def conv() -> nn.Conv2d:
    return nn.Conv2d(3, 4, 3, padding=1).double()


def images(*counts: int, size: int = 6) -> list[Tensor]:
    draws = torch.Generator().manual_seed(0)
    return [torch.rand(count, 3, size, size, dtype=torch.float64, generator=draws) for count in counts]


def passes(net: nn.Module, *inputs: Tensor) -> tuple[int, tuple[Tensor, ...]]:
    """Run `together` and count the passes."""
    calls: list[Any] = []
    handle = net.register_forward_hook(lambda *_: calls.append(None))
    results = together(net, *inputs)
    handle.remove()
    return len(calls), results


SAMPLES_APART: dict[str, Callable[[], nn.Module]] = {
    "no norm": conv,
    "instance norm": lambda: nn.Sequential(conv(), nn.InstanceNorm2d(4), nn.ReLU()),
    "group norm": lambda: nn.Sequential(conv(), nn.GroupNorm(2, 4).double()),
    "batch norm in eval mode": lambda: nn.Sequential(conv(), nn.BatchNorm2d(4).double()).eval(),
    "instance norm with statistics in eval mode": lambda: nn.Sequential(
        conv(), nn.InstanceNorm2d(4, track_running_stats=True).double()
    ).eval(),
    "dropout in eval mode": lambda: nn.Sequential(conv(), nn.Dropout(0.5)).eval(),
    "dropout of nothing": lambda: nn.Sequential(conv(), nn.Dropout(0.0)),
    "spectral norm in eval mode": lambda: nn.Sequential(parametrizations.spectral_norm(conv())).eval(),
    "old spectral norm in eval mode": lambda: nn.Sequential(old_spectral_norm(conv())).eval(),
}


@pytest.mark.parametrize("kind", SAMPLES_APART)
def test_one_pass_where_samples_are_apart_and_the_same_results(kind: str) -> None:
    torch.manual_seed(0)
    net = SAMPLES_APART[kind]()
    inputs = images(2, 1, 3)
    wanted = [net(x) for x in inputs]
    count, results = passes(net, *inputs)
    assert count == 1
    assert [len(result) for result in results] == [2, 1, 3]
    for result, value in zip(results, wanted, strict=True):
        torch.testing.assert_close(result, value, rtol=1e-12, atol=1e-12)


def test_gradients_are_those_of_two_passes() -> None:
    net = SAMPLES_APART["instance norm"]()
    a, b = images(1, 2)
    wanted = torch.autograd.grad(net(a).square().sum() + net(b).sin().sum(), list(net.parameters()))
    one, two = together(net, a, b)
    found = torch.autograd.grad(one.square().sum() + two.sin().sum(), list(net.parameters()))
    for mine, value in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, value, rtol=1e-12, atol=1e-12)


def with_noise() -> nn.Module:
    return nn.Sequential(conv(), nn.Dropout2d(0.5))


SAMPLES_MIXED: dict[str, Callable[[], nn.Module]] = {
    "batch norm": lambda: nn.Sequential(conv(), nn.BatchNorm2d(4).double()),
    "batch norm without statistics, in eval mode": lambda: nn.Sequential(
        conv(), nn.BatchNorm2d(4, track_running_stats=False).double()
    ).eval(),
    "instance norm with statistics": lambda: nn.Sequential(
        conv(), nn.InstanceNorm2d(4, track_running_stats=True).double()
    ),
    "dropout": with_noise,
    "spectral norm": lambda: nn.Sequential(parametrizations.spectral_norm(conv())),
    "old spectral norm": lambda: nn.Sequential(old_spectral_norm(conv())),
}


@pytest.mark.parametrize("kind", SAMPLES_MIXED)
def test_two_passes_elsewhere_results_and_buffers_included(kind: str) -> None:
    inputs = images(2, 2)
    torch.manual_seed(0)
    ours = SAMPLES_MIXED[kind]()
    torch.manual_seed(0)
    theirs = SAMPLES_MIXED[kind]()
    torch.manual_seed(1)
    wanted = [theirs(x) for x in inputs]
    torch.manual_seed(1)
    count, results = passes(ours, *inputs)
    assert count == 2
    for result, value in zip(results, wanted, strict=True):
        assert result.equal(value)
    for mine, value in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        assert mine.equal(value)


def test_images_of_unequal_size_take_two_passes() -> None:
    net = conv()
    (small,), (large,) = images(1), images(1, size=8)
    count, results = passes(net, small, large)
    assert count == 2
    assert results[1].equal(net(large))


def test_every_tensor_of_a_verdict_is_cut() -> None:
    class Judge(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = conv()

        def forward(self, image: Tensor) -> Verdict:
            y = self.inner(image)
            return Verdict((y, y[:, :, ::2]), ((y.relu(),), ()), {"cam": (y.mean((2, 3)),)})

    judge, (a, b) = Judge(), images(1, 2)
    for result, wanted in zip(together(judge, a, b), (judge(a), judge(b)), strict=True):
        assert isinstance(result, Verdict)
        torch.testing.assert_close(result.logits, wanted.logits)
        torch.testing.assert_close(result.features, wanted.features)
        torch.testing.assert_close(result.extras["cam"], wanted.extras["cam"])
