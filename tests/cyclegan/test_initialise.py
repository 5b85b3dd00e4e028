from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from i2i.errors import SettingsError
from i2i_cyclegan.initialise import INITS, initialise


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(16, 32, 4)
        self.norm = nn.BatchNorm2d(4096)
        self.up = nn.ConvTranspose2d(32, 16, 3, bias=False)
        self.last = nn.Sequential(nn.Linear(64, 128))

    @property
    def linear(self) -> nn.Linear:
        last = self.last[0]
        assert isinstance(last, nn.Linear)
        return last


def weights(net: Net) -> list[Tensor]:
    return [net.down.weight.detach(), net.up.weight.detach(), net.linear.weight.detach()]


# (fan_in, fan_out) of each weight: torch counts the second dimension as the input, for transposed convolutions too
FANS = [(16 * 16, 32 * 16), (16 * 9, 32 * 9), (64, 128)]


@pytest.mark.parametrize(
    ("kind", "deviations"),
    [
        ("normal", [0.02, 0.02, 0.02]),
        ("xavier", [0.02 * math.sqrt(2 / (into + out)) for into, out in FANS]),
        ("kaiming", [math.sqrt(2 / into) for into, _ in FANS]),
    ],
)
def test_weights_are_normal_with_the_deviation_of_the_kind(kind: Any, deviations: list[float]) -> None:
    torch.manual_seed(0)
    for weight, deviation in zip(weights(initialise(Net(), kind)), deviations, strict=True):
        standard = weight.flatten() / deviation
        error = 1 / math.sqrt(standard.numel())
        assert abs(standard.mean()) < 4 * error
        assert abs(standard.std() - 1) < 4 * error
        assert abs((standard.abs() < 1).double().mean() - 0.6827) < 4 * error  # a uniform one would have 0.577


def test_gain_scales_normal_and_xavier_but_not_kaiming() -> None:
    for kind, ratio in (("normal", 10.0), ("xavier", 10.0), ("orthogonal", 10.0), ("kaiming", 1.0)):
        torch.manual_seed(0)
        small = initialise(Net(), kind, 0.02)  # type: ignore[arg-type]
        torch.manual_seed(0)
        large = initialise(Net(), kind, 0.2)  # type: ignore[arg-type]
        for a, b in zip(weights(small), weights(large), strict=True):
            torch.testing.assert_close(b, ratio * a, rtol=1e-5, atol=1e-7)


def test_orthogonal_rows_or_columns_have_the_length_of_the_gain() -> None:
    for weight in weights(initialise(Net(), "orthogonal", 0.5)):
        matrix = weight.flatten(1)
        gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
        torch.testing.assert_close(gram, 0.25 * torch.eye(len(gram)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", [kind for kind in INITS if kind != "torch"])
def test_biases_are_zero_and_batch_norm_weights_lie_around_one(kind: Any) -> None:
    torch.manual_seed(0)
    net = initialise(Net(), kind, 0.1)
    for bias in (net.down.bias, net.norm.bias, net.linear.bias):
        assert bias is not None
        assert not bias.any()
    assert net.norm.weight.mean().item() == pytest.approx(1, abs=0.01)
    assert net.norm.weight.std().item() == pytest.approx(0.1, abs=0.01)
    assert net.norm.running_mean is not None
    assert not net.norm.running_mean.any()


def test_the_order_is_that_of_definition() -> None:
    torch.manual_seed(3)
    net = initialise(Net())
    expected = Net()
    torch.manual_seed(3)
    Net()  # torch's own initialisation draws first
    with torch.no_grad():
        expected.down.weight.normal_(0, 0.02)
        expected.norm.weight.normal_(1, 0.02)
        expected.up.weight.normal_(0, 0.02)
        expected.linear.weight.normal_(0, 0.02)
    for ours, theirs in zip([*weights(net), net.norm.weight], [*weights(expected), expected.norm.weight], strict=True):
        assert torch.equal(ours, theirs)


def test_torch_leaves_everything_as_it_was() -> None:
    net = Net()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert initialise(net, "torch") is net
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("kind", INITS)
def test_meta_tensors_stay_and_draw_nothing(kind: Any) -> None:
    with torch.device("meta"):
        net = Net()
    state = torch.get_rng_state()
    initialise(net, kind)
    assert all(value.is_meta for value in net.state_dict().values())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("gain", [0.0, -1.0, math.nan, math.inf])
def test_gain_that_is_no_positive_number_is_refused(gain: float) -> None:
    with pytest.raises(SettingsError, match=r"init_gain \(=.*\) must be a positive number"):
        initialise(Net(), gain=gain)


def test_unknown_kind_names_the_choices() -> None:
    with pytest.raises(
        SettingsError, match=r"init \(='he'\) must be one of: normal, xavier, kaiming, orthogonal, torch"
    ):
        initialise(Net(), "he")  # type: ignore[arg-type]
