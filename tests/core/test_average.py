from __future__ import annotations

import copy
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from i2i.average import Average
from i2i.checkpoint import read_tree, write_tree


class Nets(NamedTuple):
    G: Any
    D: Any


def make_nets() -> Nets:
    torch.manual_seed(0)
    G = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)).double()
    return Nets(G, nn.Linear(2, 1).double())


def move(nets: Nets, now: int) -> None:
    """Anything that changes weights and buffers in place."""
    draw = torch.Generator().manual_seed(now)
    with torch.no_grad():
        for net in nets:
            for parameter in net.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=draw, dtype=torch.float64))
    nets.G(torch.randn(4, 2, generator=draw, dtype=torch.float64))


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.999])
def test_weights_follow_slowly_and_buffers_are_copied(decay: float) -> None:
    nets, average = make_nets(), Average(decay)
    slow = average.follow(nets, (nets.G, nets.D))
    wanted = [[p.detach().clone() for p in net.parameters()] for net in nets]
    for now in range(4):
        move(nets, now)
        average.update()
        for averages, net in zip(wanted, nets, strict=True):
            averages[:] = [
                decay * a + (1 - decay) * p.detach() for a, p in zip(averages, net.parameters(), strict=True)
            ]
    assert isinstance(slow, Nets)
    for averages, net in zip(wanted, slow, strict=True):
        torch.testing.assert_close([p.detach() for p in net.parameters()], averages, rtol=0, atol=1e-12)
        assert not any(p.requires_grad for p in net.parameters())
    assert slow.G[1].num_batches_tracked == nets.G[1].num_batches_tracked == 4
    torch.testing.assert_close(dict(slow.G.named_buffers()), dict(nets.G.named_buffers()), rtol=0, atol=0)
    assert all(p.requires_grad for net in nets for p in net.parameters())


def test_what_nobody_trains_is_not_copied() -> None:
    nets, average = make_nets(), Average(0.5)
    slow = average.follow(nets, (nets.G,))
    assert slow.D is nets.D
    assert slow.G is not nets.G
    assert average.follow(nets, (nets.G,)).G is slow.G


def test_of_a_net_that_is_trained_in_part_the_rest_is_as_it_was() -> None:
    nets, average = make_nets(), Average(0.5)
    first, last = (nets.G[i].weight.detach().clone() for i in (0, 2))
    slow = average.follow(nets, (nets.G[2],)).G
    move(nets, 0)
    average.update()
    torch.testing.assert_close(slow[0].weight.detach(), first, rtol=0, atol=0)
    torch.testing.assert_close(slow[2].weight.detach(), (last + nets.G[2].weight.detach()) / 2, rtol=0, atol=1e-12)


def test_new_nets_start_as_copies_and_those_known_go_on() -> None:
    nets, average = make_nets(), Average(0.5)
    before = nets.G[0].weight.detach().clone()
    average.follow(nets, (nets.G,))
    move(nets, 0)
    average.update()
    between = (before + nets.G[0].weight.detach()) / 2
    slow = average.follow(nets, (nets.G, nets.D))
    torch.testing.assert_close(slow.D.state_dict(), nets.D.state_dict(), rtol=0, atol=0)
    torch.testing.assert_close(slow.G[0].weight.detach(), between, rtol=0, atol=1e-12)
    old = nets.D.weight.detach().clone()
    move(nets, 1)
    average.update()
    torch.testing.assert_close(slow.D.weight.detach(), (old + nets.D.weight.detach()) / 2, rtol=0, atol=1e-12)
    torch.testing.assert_close(slow.G[0].weight.detach(), (between + nets.G[0].weight.detach()) / 2, rtol=0, atol=1e-12)


def test_nets_of_a_stage_that_is_done_keep_their_average_and_cost_nothing() -> None:
    nets, average = make_nets(), Average(0.5)
    average.follow(nets, (nets.G,))
    move(nets, 0)
    average.update()
    nets.G(torch.ones(4, 2, dtype=torch.float64))  # as what begins the next stage may
    slow = average.follow(nets, (nets.D,))
    kept = {name: value.clone() for name, value in slow.G.state_dict().items()}
    torch.testing.assert_close(dict(slow.G.named_buffers()), dict(nets.G.named_buffers()), rtol=0, atol=0)
    with Copies() as copies:
        for now in (1, 2):
            average.update()
            move(Nets(nn.Identity(), nets.D), now)
    assert copies.found == 0
    assert average.follow(nets, (nets.D,)).G is slow.G
    torch.testing.assert_close(slow.G.state_dict(), kept, rtol=0, atol=0)
    assert not torch.equal(slow.G[0].weight, nets.G[0].weight)


class Copies(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts copies into what is there."""

    found = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.found += func is torch.ops.aten.copy_.default
        return func(*args, **(kwargs or {}))


def test_goes_on_as_saved(tmp_path: Any) -> None:
    def after(nets: Nets, average: Average) -> dict[str, Tensor]:
        slow = average.follow(nets, (nets.G,))
        move(nets, 1)
        average.update()
        weights: dict[str, Tensor] = slow.G.state_dict()
        return weights

    nets, average = make_nets(), Average(0.9)
    average.follow(nets, (nets.G,))
    move(nets, 0)
    average.update()
    write_tree(tmp_path / "saved", average.state_dict(nets))
    again, other = Average(0.9), copy.deepcopy(nets)
    again.load_state_dict(read_tree(tmp_path / "saved"), other)
    torch.testing.assert_close(after(other, again), after(nets, average), rtol=0, atol=0)
