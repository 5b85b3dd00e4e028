"""Activation checkpointing: what backward needs is computed again instead of kept."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils.checkpoint import checkpoint

from i2i.layers.fused import Fused

Group = Sequence[nn.Module] | nn.Module


def sequence(*groups: Group, recompute: bool) -> nn.Sequential:
    """Put layers one after the other; the names of their weights do not depend on ``recompute``.

    Args:
        *groups: a list of layers is computed again together, a module by itself is always run as it is.
        recompute: return a `Recomputed`, else a `Fused`.

    Example:
        >>> layers = sequence([nn.Conv2d(3, 4, 3), nn.ReLU()], nn.Conv2d(4, 3, 3), recompute=True)
        >>> list(layers.state_dict())
        ['0.weight', '0.bias', '2.weight', '2.bias']
    """
    return Recomputed(*groups) if recompute else Fused(*_layers(groups))


class Recomputed(nn.Sequential):
    """Layers in order that keep, for the backward pass, only what goes into each group of them.

    Backward computes a group again when it comes to it, which takes about a third more time for the whole step. The
    gradients are the same: dropout draws what it drew, running statistics move once. Without gradients and in eval mode
    nothing is done twice.

    Args:
        *groups: as in `sequence`. A group must not hold a `Recomputed`; give that by itself.

    References:
        Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016, section 4.
    """

    def __init__(self, *groups: Group) -> None:
        super().__init__(*_layers(groups))
        self._groups = [None if isinstance(group, nn.Module) else len(group) for group in groups]

    def forward(self, x: Tensor) -> Tensor:
        """Run the layers on ``x``."""
        recomputing = self.training and torch.is_grad_enabled()
        layers = iter(self)
        for length in self._groups:
            group = Fused(*(next(layers) for _ in range(length or 1)))
            x = recomputed(group, x) if recomputing and length is not None else group(x)
        return x


def _layers(groups: Sequence[Group]) -> Iterator[nn.Module]:
    for group in groups:
        yield from (group,) if isinstance(group, nn.Module) else group


def recomputed(group: nn.Module, *inputs: Tensor) -> Any:
    """Run a module of which only ``inputs`` are kept for the backward pass; see `Recomputed`.

    Returns:
        What ``group(*inputs)`` returns.
    """
    # Reading the state of the generator costs time and fails on fake tensors (a memory estimate), which draw nothing.
    draws = any(isinstance(module, nn.modules.dropout._DropoutNd) for module in group.modules())
    again = _Again(group)
    return checkpoint(
        group,
        *inputs,
        use_reentrant=False,
        preserve_rng_state=draws and not any(isinstance(each, FakeTensor) for each in inputs),
        context_fn=lambda: (contextlib.nullcontext(), again),
    )


class _Again(AbstractContextManager[None]):
    """While a group is computed again, its buffers are copies, and its parameters are as frozen as the first time."""

    def __init__(self, group: nn.Module) -> None:
        self._group = group
        self._then = [(parameter, parameter.requires_grad) for parameter in group.parameters()]
        # Results of these depend on buffers that the first time moves on, such as the vectors of spectral norms.
        moving = [m for m in group.modules() if getattr(m, "changes_with_each_pass", False)]
        self._first = {id(m._buffers): _cloned(m._buffers) for m in moving}

    def __enter__(self) -> None:
        self._now = [(parameter, parameter.requires_grad) for parameter, _ in self._then]
        _set(self._then)
        self._buffers = [(m._buffers, dict(m._buffers)) for m in self._group.modules() if m._buffers]
        for held, own in self._buffers:
            held.update(_cloned(self._first.get(id(held), own)))

    def __exit__(self, *_: object) -> None:
        for held, own in self._buffers:
            held.update(own)
        _set(self._now)


def _cloned(buffers: Mapping[str, Tensor | None]) -> dict[str, Tensor | None]:
    return {name: None if buffer is None else buffer.clone() for name, buffer in buffers.items()}


def _set(flags: Sequence[tuple[Any, bool]]) -> None:
    for parameter, flag in flags:
        parameter.requires_grad = flag
