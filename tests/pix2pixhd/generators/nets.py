"""Inputs and weights that the tests of the generators share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.reference.plain import draw_weights

LABELS = 5
SMALL: dict[str, Any] = {"base_width": 2, "downs": 2, "blocks": 2}


def on_meta(factory: Any, *args: int, **settings: Any) -> Any:
    with torch.device("meta"):
        return factory(*args, **settings)


def ids(*shape: int, most: int = LABELS - 1) -> Tensor:
    return torch.randint(0, most + 1, shape, generator=torch.Generator().manual_seed(1), dtype=torch.int32)


def floats(*shape: int) -> Tensor:
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 2 - 1


def weights_of(net: nn.Module) -> dict[str, Tensor]:
    """Draw weights that matter, in float64, and return copies to be trained."""
    torch.manual_seed(3)
    draw_weights(net)
    return {name: value.detach().clone().requires_grad_() for name, value in net.named_parameters()}


def assert_same(net: nn.Module, ours: Tensor, w: dict[str, Tensor], expected: Tensor, *others: Tensor) -> None:
    """Values, and gradients with respect to weights and other inputs, agree to 1e-10."""
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-10)
    assert ours.std() > 0.1
    towards = torch.randn(ours.shape, dtype=ours.dtype, generator=torch.Generator().manual_seed(4))
    found = torch.autograd.grad(ours, [*net.parameters(), *others], towards)
    wanted = torch.autograd.grad(expected, [*w.values(), *others], towards)
    for name, one, two in zip([*w, "input", "input"], found, wanted, strict=False):
        torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-10, msg=name)
