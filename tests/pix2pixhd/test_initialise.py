from __future__ import annotations

import math

import torch
from torch import nn

from i2i_pix2pixhd.initialise import initialise


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(16, 32, 4)
        self.norm = nn.BatchNorm2d(4096)
        self.up = nn.ConvTranspose2d(32, 16, 3)
        self.instance = nn.InstanceNorm2d(16)
        self.linear = nn.Linear(64, 128)


def test_weights_are_normal_and_biases_of_convolutions_are_torchs() -> None:
    torch.manual_seed(0)
    net = Net()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert initialise(net) is net
    for conv in (net.down, net.up):
        standard = conv.weight.detach().flatten() / 0.02
        error = 1 / math.sqrt(standard.numel())
        assert abs(standard.mean()) < 4 * error
        assert abs(standard.std() - 1) < 4 * error
        assert abs((standard.abs() < 1).double().mean() - 0.6827) < 4 * error  # a uniform one would have 0.577
    for name in ("down.bias", "up.bias", "linear.weight", "linear.bias"):
        assert torch.equal(net.state_dict()[name], before[name])
        assert before[name].any()


def test_batch_norm_weights_lie_around_one_and_shift_nothing() -> None:
    torch.manual_seed(0)
    net = Net()
    nn.init.ones_(net.norm.bias)
    weight = initialise(net).norm.weight.detach()
    error = 0.02 / math.sqrt(weight.numel())
    assert abs(weight.mean() - 1) < 4 * error
    assert abs(weight.std() - 0.02) < 4 * error
    assert not net.norm.bias.any()


def test_the_order_is_that_of_definition() -> None:
    torch.manual_seed(3)
    net = initialise(Net())
    torch.manual_seed(3)
    expected = Net()  # torch's own initialisation draws first
    with torch.no_grad():
        expected.down.weight.normal_(0, 0.02)
        expected.norm.weight.normal_(1, 0.02)
        expected.up.weight.normal_(0, 0.02)
    for name, value in net.state_dict().items():
        assert torch.equal(value, expected.state_dict()[name]), name


def test_meta_tensors_stay_and_draw_nothing() -> None:
    with torch.device("meta"):
        net = Net()
    state = torch.get_rng_state()
    initialise(net)
    assert all(value.is_meta for value in net.state_dict().values())
    assert torch.equal(torch.get_rng_state(), state)
