"""How much memory is taken: training or one pass is run on tensors without data, and what is alive is counted."""

from __future__ import annotations

import copy
import functools
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, NamedTuple
from unittest import mock

import attrs
import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    FakeTensor,
    FakeTensorMode,
    UnsupportedOperatorException,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from i2i.checkpoint import restore_rng, rng_state
from i2i.passes import whole
from i2i.policy import Policy, Turn
from i2i.step import Step, modules_of, trainable
from i2i.tree import tree_map


class Estimate(NamedTuple):
    """Bytes of tensors.

    Attributes:
        weights: of all nets, buffers included.
        gradients: of what is trained; they stay until the player moves again.
        states: what the step keeps besides: moments of optimisers, image pools.
        average: the averaged copies of the nets.
        activations: what the largest moment of an update takes on top of all these, the batch included.
    """

    weights: int
    gradients: int
    states: int
    average: int
    activations: int

    @property
    def between(self) -> int:
        """What is there between two batches."""
        return self.total - self.activations

    @property
    def total(self) -> int:
        """The most that is alive at once."""
        return sum(self)


def estimate(step: Step[Any, Any], nets: Any, batch: Any, policy: Policy | None = None) -> Estimate:
    """Count the memory that training takes.

    Two updates of the step are run on fake tensors, which have shapes but no data: nothing is computed or drawn, and
    ``nets`` stay as they are. Counted as on the CPU; what kernels need for themselves while they run comes on top.

    Args:
        step: what is done with each batch. A ``staged`` step is counted at its last stage.
        nets: on any device, also ``meta``; None for a ``staged`` step.
        batch: an example; only shapes and dtypes matter.
        policy: precision, accumulation and averaging.

    Raises:
        Exception: whatever a step raises that cannot do without values (a loop until something converges, ...). A
            single number that it reads comes out as 1.

    Example:
        >>> from i2i import nets, player
        >>> step = player(lambda n: n.G, lambda n, x: {"size": n.G(x).square().mean()}, torch.optim.Adam,
        ...               weights={"size": 1}, lr=0.1)
        >>> counted = estimate(step, nets(G=nn.Linear(100, 10, bias=False)), torch.ones(1, 100))
        >>> counted.weights, counted.gradients
        (4000, 4000)
    """
    # The guard holds some bytes only, and would be read where a stage ends.
    policy = attrs.evolve(policy or Policy(), guarded=False)
    with _no_data(), Live() as live:
        return _count(live, step, _copied(nets), batch, policy)


def pass_bytes(net: nn.Module, shape: Sequence[int], policy: Policy | None = None) -> int:
    """Count the bytes that one pass of ``net`` takes on top of its weights, the images included.

    As with `estimate`, nothing is computed or drawn, and ``net`` stays as it is.

    Args:
        net: a generator.
        shape: of the images, ``(b, c, h, w)``.
        policy: the precision.

    Raises:
        Exception: whatever a net raises that cannot do without values.

    Example:
        >>> from i2i import as_generator
        >>> pass_bytes(as_generator(nn.Conv2d(3, 1, 1)), (1, 3, 10, 10))  # float32, of three and of one channel
        1600
    """
    autocast = (policy or Policy()).autocast(torch.device("cpu"))
    with torch.no_grad(), autocast, _no_data(), Live() as live:
        copied = _copied(net)
        weights = live.now
        whole(copied, torch.empty(tuple(shape)))
        return int(live.most) - int(weights)


def _count(live: Live, step: Step[Any, Any], given: Any, batch: Any, policy: Policy) -> Estimate:
    state = step.init(given, policy, None)
    nets = step.nets(given, state)
    now = 0 if nets is given else (step.length or 1) - 1  # staged: the stages before the last one grow on the way
    for module in step.trains(nets):
        module.train()
    for _ in range(2):  # optimisers make their states at the end of the first update, the second one has them
        state, _metrics = step.update(nets, state, _empty(batch), Turn(policy, now))
        nets = step.nets(given, state)
    moving = trainable(step.trains(nets))
    weights = _bytes(_tensors(modules_of(nets)))
    gradients = _bytes(parameter.grad for parameter in moving if parameter.grad is not None)
    average = 0 if policy.average is None else _bytes(_tensors(_averaged(modules_of(nets), moving)))
    return Estimate(weights, gradients, live.now - weights - gradients, average, activations=live.most - live.now)


def _averaged(nets: Sequence[nn.Module], moving: Sequence[nn.Parameter]) -> list[nn.Module]:
    trained = {id(parameter) for parameter in moving}
    return [net for net in nets if any(id(parameter) in trained for parameter in net.parameters())]


class Live(TorchDispatchMode):  # type: ignore[no-untyped-call,unused-ignore]
    """Counts the bytes of all storages that operations make, for as long as they are alive.

    Works on real and on fake tensors. An operation that has no form for fake tensors is left out if it returns nothing
    (the fused optimisers, which change what there is in place).

    Attributes:
        now: bytes alive.
        most: the most that were alive at once; may be set back to ``now``.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call,unused-ignore]
        self.now = self.most = 0
        self._alive: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        try:
            result = func(*args, **(kwargs or {}))
        except UnsupportedOperatorException:
            if func._schema.returns:
                raise
            return None
        except DataDependentOutputException:
            if func is not torch.ops.aten._local_scalar_dense.default:
                raise
            return 1
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._note(leaf.untyped_storage())
        return result

    def _note(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self._alive:
            size = storage.nbytes()
            self._alive[key] = weakref.ref(storage, functools.partial(self._freed, key, size))
            self.now += size
            self.most = max(self.most, self.now)

    def _freed(self, key: int, size: int, _: object) -> None:
        del self._alive[key]
        self.now -= size


@contextmanager
def _no_data() -> Iterator[None]:
    """Make tensors without data, on the CPU, and draw nothing."""
    fake = FakeTensorMode(allow_non_fake_inputs=True, allow_fallback_kernels=False)
    # Torch's own way copies the mode of a fake tensor along with it; later operations then crash the process.
    copying = mock.patch.object(FakeTensor, "__deepcopy__", _deep_copied, create=True)
    with undrawn(), torch.device("cpu"), copying, fake:
        yield


def _deep_copied(tensor: Tensor, memo: dict[int, Any]) -> Tensor:
    if id(tensor) not in memo:
        empty = torch.empty_like(tensor)
        trained = isinstance(tensor, nn.Parameter)
        memo[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if trained else empty
    made: Tensor = memo[id(tensor)]
    return made


@contextmanager
def undrawn(device: torch.device | str = "cpu") -> Iterator[None]:
    """Leave the random generators, those of ``device`` too, as they were: what begins may seed, copy or use them."""
    before = rng_state(device), np.random.get_state()
    try:
        yield
    finally:
        restore_rng(before[0], device)
        np.random.set_state(before[1])


def _copied(nets: Any) -> Any:
    """Copy modules with empty tensors; what is shared or tied is so in the copy."""
    memo: dict[int, Any] = {}
    for module in chain.from_iterable(net.modules() for net in modules_of(nets)):
        plain = (value for value in vars(module).values() if isinstance(value, Tensor))
        for tensor in chain(module._parameters.values(), module._buffers.values(), plain):
            if tensor is not None and id(tensor) not in memo:
                empty = _empty(tensor)
                trained = isinstance(tensor, nn.Parameter)
                memo[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if trained else empty
    return copy.deepcopy(nets, memo)


def _empty(tree: Any) -> Any:
    """Replace the tensors in ``tree`` by empty ones."""
    return tree_map(lambda x: torch.empty(x.shape, dtype=x.dtype) if isinstance(x, Tensor) else x, tree)


def _tensors(modules: Sequence[nn.Module]) -> Iterator[Tensor]:
    for module in modules:
        yield from module.parameters()
        yield from module.buffers()


def _bytes(tensors: Iterable[Tensor]) -> int:
    storages = {tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())
