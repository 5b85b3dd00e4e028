"""How fast a step can be: what it multiplies and what it moves, by the rates of the machine.

The floor is the longer of two times: that of the operations of convolutions and products of matrices, at the rate of a
large product, and that of the numbers which these read and write, each input and each output once, with what the
optimiser moves, at the rate of a large copy, or on a CPU, which reads what it overwrites, of a pass in place. Nobody
can be faster unless images stay in a cache, or an algorithm needs fewer multiplications than the definition
(Winograd's, for one). Most are slower: norms, activations, losses and borders read and write as well, and nothing of
that is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, flop_registry

#: bytes of a trained number in float32: weight and two moments are read and written, the gradient is read
OPTIMISER_BYTES = 28
BACKWARD = torch.ops.aten.convolution_backward


class Counted(NamedTuple):
    """What a step takes.

    Attributes:
        tflop: of convolutions and products of matrices, in all passes.
        numbers: that these read and write at least: the inputs and outputs of each of them, once each.
        parameters: that are trained.
    """

    tflop: float
    numbers: int
    parameters: int


class _Moved(TorchDispatchMode):
    """Counts the numbers that go in and out of whatever `FlopCounterMode` counts the operations of."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        kind = function.overloadpacket
        if kind is BACKWARD:
            self.numbers += sum(map(held, of_backward(args, found)))
        elif kind in flop_registry:
            self.numbers += sum(map(held, tree_leaves((args, kwargs, found))))
        return found


def of_backward(args: Any, found: Any) -> Iterator[Any]:
    """Yield what is read and written for those of the gradients of image, weight and bias that are asked for."""
    towards, image, weight, *_, (to_image, to_weight, to_bias) = args
    yield towards
    if to_image:
        yield from (weight, found[0])
    if to_weight:
        yield from (image, found[1])
    if to_bias:
        yield found[2]


def held(value: Any) -> int:
    """Return how many numbers a tensor has in memory; a number that is repeated by a stride of zero is one."""
    if not isinstance(value, Tensor):
        return 0
    return prod(size for size, stride in zip(value.shape, value.stride(), strict=True) if stride or not size)


def counted(run: Callable[[], object], parameters: int) -> Counted:
    """Run a step once and count, on any device (``meta`` as well), in any precision, gradients of gradients included.

    Args:
        run: the step; not as a captured graph, whose operations cannot be seen.
        parameters: that it trains.

    Returns:
        What was counted.

    Example:
        >>> left, right = torch.empty(2, 3, device="meta"), torch.empty(3, 5, device="meta")
        >>> counted(lambda: left @ right, parameters=0)
        Counted(tflop=6e-11, numbers=31, parameters=0)
    """
    with _Moved() as moved, FlopCounterMode(display=False) as counter:  # which takes composite operations apart first
        run()
    return Counted(counter.get_total_flops() / 1e12, moved.numbers, parameters)


def floor_ms(of: Counted, *, tflop_per_s: float, gb_per_s: float, width: int) -> float:
    """Return the time in milliseconds below which the step cannot come.

    Args:
        of: what the step takes.
        tflop_per_s: rate of a large product of matrices in the precision of the step.
        gb_per_s: rate at which large tensors are read and written.
        width: bytes of a number in that precision.

    Returns:
        The longer one of the times of the operations and of the bytes.

    Example:
        >>> floor_ms(Counted(2.0, 10**9, 0), tflop_per_s=500, gb_per_s=4000, width=2)
        4.0
    """
    moved_gb = (of.numbers * width + of.parameters * OPTIMISER_BYTES) / 1e9
    return 1e3 * max(of.tflop / tflop_per_s, moved_gb / gb_per_s)
