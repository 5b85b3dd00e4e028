"""A net as its example builds it, which can be run again and again from where it began."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from i2i.parts import Spec
from i2i.testing.contract import example_of, require, seeded

Factory = Callable[..., nn.Module]


class Built:
    """A net, what its example feeds it, and its weights as they were at first.

    Args:
        factory: of the net; marked with ``@i2i.part(example=...)``.

    Raises:
        ContractError: it is not marked, or makes something else than a module.
    """

    def __init__(self, factory: Factory) -> None:
        example = example_of(factory)
        self._factory, self._arguments = factory, example.arguments
        self.net = self.again()
        require(
            isinstance(self.net, nn.Module), f"makes a {type(self.net).__name__}, not an nn.Module: return the module"
        )
        marked = isinstance(getattr(self.net, "spec", None), Spec)
        require(marked, "makes a module without .spec: mark the factory with @i2i.part")
        with seeded():
            self.inputs = [torch.rand(shape) * 2 - 1 for shape in example.inputs]
        require(bool(self.inputs), "its example feeds it nothing: name the shapes of what the module reads")
        self.weights = copy.deepcopy(self.net.state_dict())

    def again(self) -> nn.Module:
        """Build it once more, from the same seed."""
        with seeded():
            return self._factory(**copy.deepcopy(self._arguments))  # a net in them must not be changed by this one

    def run(self, net: nn.Module | None = None, inputs: list[Tensor] | None = None) -> Any:
        """Run a net, or this one with its first weights, always from the same seed."""
        if net is None:
            net = self.net
            net.load_state_dict(self.weights)
        with seeded():
            return net(*(self.inputs if inputs is None else inputs))

    def precise(self) -> Built:
        """Return the same in float64, where rounding is no difference; as it is where the net cannot compute so."""
        twin = copy.copy(self)
        try:
            twin.net = copy.deepcopy(self.net).double()  # a copy: the example's own nets may be in it
            twin.inputs = [tensor.double() for tensor in self.inputs]
            twin.weights = copy.deepcopy(twin.net.state_dict())
            twin.run()
        except Exception:  # whatever a net says of types that do not go together
            return self
        return twin
