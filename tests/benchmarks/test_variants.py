"""What the variants of a step change, and that it is put back."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

from benchmarks.device.cases import called
from benchmarks.device.variants import Variant
from i2i.graphs import Graphs
from i2i.kernels import dispatch
from i2i.policy import Policy
from i2i.step import player
from tests.core.tape import TapeRecorder

CPU = torch.device("cpu")


def test_without_kernels_nothing_is_asked_and_nothing_breaks_a_compiled_graph() -> None:
    before = dispatch._works

    def function(x: torch.Tensor) -> torch.Tensor:
        return x + 1 if dispatch._works(x.device) else x - 1

    counters.clear()
    for _ in range(2):  # entered anew for each series of steps
        with Variant("fp32", kernels=False).flags(CPU):
            assert not dispatch._works(torch.device("cuda:0"))
            compiled = torch.compile(function, backend="eager", fullgraph=True)
            assert torch.equal(compiled(torch.ones(2)), torch.zeros(2))
    assert counters["stats"]["unique_graphs"] == 1
    assert dispatch._works is before


def test_a_graph_that_is_refused_is_an_error() -> None:
    net = nn.Linear(1, 1)
    step = player(
        lambda n: n, lambda n, x: {"size": n(x).square().mean()}, torch.optim.SGD, weights={"size": 1}, lr=0.1
    )
    policy = Policy(graphed=True)

    class Broken(TapeRecorder):
        def record(self, function):
            raise RuntimeError("cannot be captured")

    state = step.init(net, policy, None)
    graphs = Graphs(step, policy, Broken())
    with Variant("fp32", graphed=True).flags(CPU):
        for now in range(3):
            state, _ = graphs.update(net, state, torch.ones(1, 1), now)
        with pytest.raises(RuntimeError, match="no graph: cannot be captured"):
            graphs.update(net, state, torch.ones(1, 1), 3)


def test_what_is_called_from_outside_is_found() -> None:
    inner, outer = nn.Linear(1, 1), nn.Sequential(nn.Linear(1, 1), nn.ReLU())
    with called() as found:
        outer(torch.ones(1, 1))
        inner(torch.ones(1, 1))
        outer(torch.ones(1, 1))
        nn.ReLU()(torch.ones(1))
    assert found == [outer, inner]
