"""How our steps are computed: precision, layout, graph, kernels, compiler."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest import mock

import attrs
import torch

from i2i.engine import backend_flags
from i2i.graphs import Graphs
from i2i.kernels import dispatch
from i2i.policy import Policy, Precision


@attrs.frozen
class Laid(Policy):
    """A policy that says itself how images and weights are laid out."""

    last: bool = False

    def channels_last(self, device: torch.device) -> bool:
        return self.last


def _nowhere(_: torch.device) -> bool:
    """Stand for the question where kernels run; a plain function, since compilers trace it."""
    return False


def _refuse(_: Graphs, why: str) -> None:
    raise RuntimeError(f"no graph: {why}")


class Variant(NamedTuple):
    """How our step is computed.

    Attributes:
        precision: of the policy.
        last: channels-last; None: as the policy chooses on CUDA.
        tuned: ``torch.backends.cudnn.benchmark``.
        recompute: layers are computed again for the backward pass.
        guarded: as of the policy.
        graphed: likewise.
        kernels: norms run in kernels of our own; else all operations are torch's.
        compiled: nets are compiled by ``torch.compile``.
        changes: further settings of the method.
    """

    precision: Precision
    last: bool | None = None
    tuned: bool = False
    recompute: bool = False
    guarded: bool = True
    graphed: bool = False
    kernels: bool = True
    compiled: bool = False
    changes: Mapping[str, Any] = {}

    @property
    def policy(self) -> Laid:
        chosen = Policy(precision=self.precision).channels_last(torch.device("cuda"))
        last = chosen if self.last is None else self.last
        return Laid(self.precision, guarded=self.guarded, graphed=self.graphed, last=last)

    @contextmanager
    def flags(self, device: torch.device) -> Iterator[None]:
        """Return the context in which it runs; where a graph is wanted and cannot be captured, that is an error."""
        with flags(device, self.policy, tuned=self.tuned), mock.patch.object(Graphs, "_stop", _refuse):
            if self.kernels:
                yield
            else:
                with mock.patch.object(dispatch, "_works", _nowhere):
                    yield


@contextmanager
def flags(device: torch.device, policy: Policy | None = None, *, tuned: bool = False) -> Iterator[None]:
    """Set how convolutions are computed: as the policy says, or as torch does by itself."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = tuned
    try:
        if policy is None or device.type != "cuda":  # where there is no TF32 its rows are as those in float32
            yield
        else:
            with backend_flags(policy, device):
                yield
    finally:
        torch.backends.cudnn.benchmark = before
