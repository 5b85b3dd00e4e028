"""A graph for the CPU: the operations of a function, recorded once and then done again, without its Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_READS_THE_DEVICE = ("aten._local_scalar_dense", "aten.nonzero", "aten.equal")


class Tape(TorchDispatchMode):
    """Notes each operation, and what the tensors that it writes to held before."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, Any]] = []
        self._before: list[tuple[Tensor, Tensor]] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if str(function).startswith(_READS_THE_DEVICE):
            raise RuntimeError(f"{function} waits for the device, which cannot be captured")
        self._before += [(tensor, tensor.clone()) for tensor in _written(function, args, kwargs)]
        made = function(*args, **kwargs)
        self.operations.append((function, args, kwargs, made))
        return made

    def undo(self) -> None:
        """Give every tensor the value it had: a capture does nothing."""
        with torch.no_grad():
            for tensor, value in reversed(self._before):
                tensor.copy_(value)
        self._before.clear()

    def play(self) -> None:
        """Do the operations again."""
        with torch.no_grad():
            for function, args, kwargs, made in self.operations:
                for old, new in zip(_tensors(made), _tensors(function(*args, **kwargs)), strict=True):
                    if old.data_ptr() != new.data_ptr():
                        old.copy_(new)


def _written(function: Any, args: Any, kwargs: Any) -> Iterator[Tensor]:
    values = {**dict(zip((a.name for a in function._schema.arguments), args, strict=False)), **kwargs}
    for argument in function._schema.arguments:
        if argument.alias_info is not None and argument.alias_info.is_write:
            yield from _tensors(values.get(argument.name))


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


class TapeRecorder:
    """Captures on the CPU, as `i2i.graphs.CudaRecorder` does on a device; counts what it does."""

    aside = staticmethod(nullcontext)

    def __init__(self) -> None:
        self.recorded = self.replayed = self.dropped = 0

    def record(self, function: Callable[[], Any]) -> Callable[[], Any]:
        self.recorded += 1
        tape, drawn = Tape(), torch.get_rng_state()
        with tape:
            made = function()
        tape.undo()
        torch.set_rng_state(drawn)

        def replay() -> Any:
            self.replayed += 1
            tape.play()
            return made

        return replay

    def drop(self) -> None:
        self.dropped += 1
