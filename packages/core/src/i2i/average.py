"""An exponential moving average of what is trained."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from i2i.stages import Stages
from i2i.step import modules_of
from i2i.tree import tree_map


class Average:
    """Copies of the nets whose trained weights follow the originals slowly; one decay per batch, buffers copied.

    Nets that are not trained are not copied. Nets of a new stage start as copies of the originals; those of stages that
    are done stay as they are.

    Args:
        decay: in ``[0, 1)``; each batch ``average = decay * average + (1 - decay) * weights``.

    References:
        Yazici et al., The Unusual Effectiveness of Averaging in GAN Training, section 3.1.
    """

    def __init__(self, decay: float) -> None:
        self._blend = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        self._copies: dict[int, tuple[nn.Module, nn.Module]] = {}  # id of the original -> original and copy
        self._key: tuple[int, ...] = ()
        self._pairs: tuple[list[Any], list[Any]] = ([], [])
        self._buffers: list[tuple[Any, Any]] = []

    def follow(self, nets: Any, trained: Sequence[nn.Module]) -> Any:
        """Take up nets that are new, and return ``nets`` with every trained net replaced by its average."""
        key = tuple(id(module) for module in (*modules_of(nets), *trained))
        if key != self._key:
            moving = {id(p) for module in trained for p in module.parameters()}
            # A finished net may share layers with a current one; its own average stays as it is.
            current = modules_of(nets.current if isinstance(nets, Stages) else nets)
            for net in current:
                if any(id(p) in moving for p in net.parameters()):
                    self._copy(net)
            self._key = key
            self._pair(moving, {id(net) for net in current})
        return tree_map(lambda leaf: self._copies[id(leaf)][1] if id(leaf) in self._copies else leaf, nets)

    def _copy(self, net: nn.Module) -> nn.Module:
        if id(net) not in self._copies:
            self._copies[id(net)] = (net, copy.deepcopy(net).requires_grad_(False))
        return self._copies[id(net)][1]

    def _pair(self, moving: set[int], current: set[int]) -> None:
        self._copy_buffers()  # whoever began the new stage may have run the nets of the last one
        self._pairs, self._buffers = ([], []), []
        for net, twin in (both for key, both in self._copies.items() if key in current):
            both = zip(twin.parameters(), net.parameters(), strict=True)
            pairs = [(slow, original) for slow, original in both if id(original) in moving]
            self._pairs[0].extend(slow for slow, _ in pairs)
            self._pairs[1].extend(original for _, original in pairs)
            if pairs:
                self._buffers += zip(net.buffers(), twin.buffers(), strict=True)

    @torch.no_grad()
    def update(self) -> None:
        """Follow the weights by one batch."""
        self._blend(*self._pairs, None)
        self._copy_buffers()

    @torch.no_grad()
    def _copy_buffers(self) -> None:
        for original, slow in self._buffers:
            slow.copy_(original)

    def state_dict(self, nets: Any) -> dict[int, Any]:
        """Return the averages by the place of their net in ``nets``."""
        places = enumerate(modules_of(nets))
        return {i: self._copies[id(net)][1].state_dict() for i, net in places if id(net) in self._copies}

    def load_state_dict(self, saved: Mapping[int, Any], nets: Any) -> None:
        """Go on from what was saved."""
        modules = modules_of(nets)
        for place, state in saved.items():
            self._copy(modules[place]).load_state_dict(state)
