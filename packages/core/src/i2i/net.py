"""Nets are any NamedTuple of modules; here is a quick way to make one, and adapters for plain modules."""

from __future__ import annotations

from collections import namedtuple
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from i2i.errors import CompositionError
from i2i.tree import leaves
from i2i.values import Translation, Verdict


def nets(**modules: nn.Module) -> Any:
    """Name the nets of a step: ``nets(G=..., D=...).G``.

    In typed code write your own ``class Mix(NamedTuple): G: Generator; D: Discriminator``: a type checker then finds
    a misspelt net.

    Raises:
        CompositionError: a value is no ``nn.Module``, or there is none.

    Example:
        >>> nets(G=nn.Conv2d(3, 3, 1)).G
        Conv2d(3, 3, kernel_size=(1, 1), stride=(1, 1))
    """
    if not modules:
        raise CompositionError("nets() needs at least one net, for example nets(G=..., D=...)")
    for name, module in modules.items():
        if not isinstance(module, nn.Module):
            raise CompositionError(f"net {name} is a {type(module).__name__}, not an nn.Module")
    return namedtuple("Nets", modules)(**modules)


class _AsGenerator(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Translation:
        return Translation(self.module(image) if condition is None else self.module(image, condition))


class _AsDiscriminator(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Verdict:
        return Verdict((self.module(image) if condition is None else self.module(image, condition),))


def as_generator(module: nn.Module) -> nn.Module:
    """Wrap a module that returns an image ``(b, c, h, w)``, so that it returns a `Translation`."""
    return _AsGenerator(module)


def as_discriminator(module: nn.Module) -> nn.Module:
    """Wrap a module that returns one map of logits ``(b, 1, h, w)``, so that it returns a `Verdict`."""
    return _AsDiscriminator(module)


def place(nets: Any, device: torch.device, *, channels_last: bool) -> None:
    """Move every module of ``nets`` to ``device``, in place; with ``channels_last`` weights are laid out so."""
    for leaf in leaves(nets):
        if isinstance(leaf, nn.Module):
            if any(tensor.device != device for tensor in chain(leaf.parameters(), leaf.buffers())):
                leaf.to(device)
            if channels_last:
                leaf.to(memory_format=torch.channels_last)
