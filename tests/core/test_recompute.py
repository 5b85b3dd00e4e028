"""Recomputed layers: equal gradients, statistics and draws, and less that is kept; bytes counted by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from i2i.layers import sequence


def layers(dropout: float = 0.0) -> list[list[nn.Module]]:
    norm = nn.BatchNorm2d(3)
    return [[nn.Conv2d(2, 3, 1), norm, nn.Tanh(), nn.Dropout(dropout)], [nn.Conv2d(3, 2, 1), nn.Tanh()]]


def both(*groups: list[nn.Module] | nn.Module) -> tuple[nn.Sequential, nn.Sequential]:
    """Return the same layers plain and recomputed, with equal weights, in float64."""
    return sequence(*copy.deepcopy(groups), recompute=False).double(), sequence(*groups, recompute=True).double()


def image() -> Tensor:
    return torch.rand(2, 2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def kept(run: Callable[[], Tensor], net: nn.Module) -> int:
    """Return the bytes that ``run`` keeps for backward, besides the weights of ``net``."""
    sizes = {}
    weights = {p.untyped_storage()._cdata for p in net.parameters()}

    def pack(x: Tensor) -> Tensor:
        sizes[x.untyped_storage()._cdata] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        result = run()  # alive until the sizes are read: no storage takes the place of another
    assert result.requires_grad
    return sum(size for storage, size in sizes.items() if storage not in weights)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_gradients_statistics_and_draws_are_equal(dropout):
    found = []
    for net in both(*layers(dropout)):
        torch.manual_seed(5)
        x = image().requires_grad_()
        net(net(x)).square().sum().backward()  # twice through one net, as in a cycle
        found.append([x.grad, *(p.grad for p in net.parameters()), *net.buffers(), torch.rand(3)])
    assert len(found[0]) == 1 + 6 + 3 + 1
    for plain, recomputed in zip(*found, strict=True):
        assert plain.equal(recomputed)


def test_running_statistics_move_once():
    norm = nn.BatchNorm2d(2)
    net = sequence([norm, nn.Tanh()], recompute=True)
    own = norm.running_mean
    net(image().float()).sum().backward()
    assert norm.num_batches_tracked == 1
    assert norm.running_mean is own  # a copy took its place only while it was computed again
    assert torch.allclose(own, 0.1 * image().float().mean((0, 2, 3)))


@pytest.mark.parametrize("mode", ["training", "eval", "no gradients"])
def test_layers_run_twice_only_in_training_with_gradients(mode):
    calls = []
    tanh = nn.Tanh()
    tanh.register_forward_hook(lambda *_: calls.append(None))
    net = sequence([nn.Conv2d(2, 2, 1), tanh, nn.Conv2d(2, 2, 1)], recompute=True).train(mode != "eval")
    with torch.set_grad_enabled(mode != "no gradients"):
        loss = net(image().float()).sum()
    if loss.requires_grad:
        loss.backward()
    assert len(calls) == (2 if mode == "training" else 1)


def test_a_module_by_itself_is_not_computed_again():
    calls = []
    alone = nn.Conv2d(2, 2, 1)
    alone.register_forward_hook(lambda *_: calls.append(None))
    sequence(alone, [nn.Tanh()], recompute=True)(image().float()).sum().backward()
    assert len(calls) == 1


def test_what_is_frozen_in_the_forward_pass_may_be_trainable_again_in_backward():
    plain, net = both(*layers())
    gradients = []
    for each in (plain, net):
        x = image().requires_grad_()
        each.requires_grad_(False)
        y = each(x)
        each.requires_grad_(True)
        y.square().sum().backward()
        assert all(p.requires_grad and p.grad is None for p in each.parameters())
        gradients.append(x.grad)
    assert gradients[0].equal(gradients[1])


def test_autocast_is_as_in_the_forward_pass():
    plain, net = (each.float() for each in both(*layers()))
    for each in (plain, net):
        with torch.autocast("cpu", torch.bfloat16):
            loss = each(image().float()).float().square().sum()
        loss.backward()
    for p, q in zip(plain.parameters(), net.parameters(), strict=True):
        assert p.grad.equal(q.grad)


def test_only_the_input_of_each_group_is_kept():
    plain, net = both([nn.Conv2d(2, 3, 1), nn.Tanh()], [nn.Conv2d(3, 5, 1), nn.Tanh()])
    pixels = 2 * 4 * 4 * 8  # bytes of a channel of the batch in float64
    assert kept(lambda: plain(image()), plain) == (2 + 3 + 5) * pixels
    assert kept(lambda: net(image()), net) == (2 + 3) * pixels


def test_names_and_positions_do_not_depend_on_it():
    plain, net = both(*layers(0.5))
    assert list(plain.state_dict()) == list(net.state_dict())
    assert [type(layer) for layer in plain] == [type(layer) for layer in net]
    copied = copy.deepcopy(net)
    assert copied(image()).shape == (2, 2, 4, 4)
