"""Runs of layers that are computed as one; here by torch's own operations, since kernels need a device."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from i2i.kernels import Epilogue, instance_norm
from i2i.layers import Fused, fused, sequence


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Epilogue]:
    """What is computed as one, as if kernels took every image."""
    seen: list[Epilogue] = []
    real = fused.fused

    def noted(*args: Any, epilogue: Epilogue) -> Any:
        seen.append(epilogue)
        return real(*args, epilogue=epilogue)

    monkeypatch.setattr(fused, "usable", lambda x, pad=0: True)
    monkeypatch.setattr(fused, "fused", noted)
    return seen


def layers(*kinds: str) -> list[nn.Module]:
    made = {
        "norm": lambda: nn.InstanceNorm2d(4),
        "affine": lambda: nn.InstanceNorm2d(4, affine=True, eps=1e-3),
        "running": lambda: nn.InstanceNorm2d(4, track_running_stats=True),
        "batch": lambda: nn.BatchNorm2d(4),
        "relu": nn.ReLU,
        "leaky": lambda: nn.LeakyReLU(0.2),
        "pad": lambda: nn.ReflectionPad2d(1),
        "wide": lambda: nn.ReflectionPad2d(9),
        "uneven": lambda: nn.ReflectionPad2d((1, 2, 1, 1)),
        "conv": lambda: nn.Conv2d(4, 4, 3, padding=1),
        "dropout": lambda: nn.Dropout(0.0),
    }
    torch.manual_seed(0)
    net = [made[kind]() for kind in kinds]
    for layer in net:
        if isinstance(layer, nn.InstanceNorm2d) and layer.affine:
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
    return net


def slopes_and_pads(runs: list[Epilogue]) -> list[tuple[float, int]]:
    return [(each.negative_slope, each.pad) for each in runs]


@pytest.mark.parametrize(
    ("kinds", "found"),
    [
        (("conv", "norm", "relu", "pad", "conv", "norm"), [(0.0, 1), (1.0, 0)]),
        (("conv", "affine", "leaky", "conv"), [(0.2, 0)]),
        (("norm", "pad"), [(1.0, 1)]),
        (("norm", "relu", "uneven"), [(0.0, 0)]),
        (("norm", "conv", "relu"), [(1.0, 0)]),
        (("norm", "dropout", "relu"), [(1.0, 0)]),
        (("norm", "norm", "relu"), [(1.0, 0), (0.0, 0)]),
        (("conv", "running", "relu"), []),
        (("conv", "batch", "leaky", "pad"), []),
        (("relu", "pad"), []),
    ],
)
def test_what_belongs_together_is_found_and_computes_the_same(runs, kinds, found):
    net = Fused(*layers(*kinds))
    wanted = nn.Sequential(*copy.deepcopy(list(net)))
    image = torch.randn(2, 4, 6, 7)
    own, other = (image.clone().requires_grad_() for _ in range(2))
    towards = torch.randn_like(wanted(image))
    made, exact = net(own), wanted(other)
    torch.testing.assert_close(made, exact)
    made.backward(towards)
    exact.backward(towards)
    torch.testing.assert_close(own.grad, other.grad)
    for one, two in zip(net.parameters(), wanted.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad)
    assert slopes_and_pads(runs) == found
    assert list(net.state_dict()) == list(wanted.state_dict())


def test_a_border_wider_than_the_image_is_left_to_torch(runs):
    with pytest.raises(RuntimeError, match="Padding size should be less"):
        Fused(*layers("norm", "relu", "wide"))(torch.randn(1, 4, 6, 7))
    assert slopes_and_pads(runs) == [(0.0, 0)]


@pytest.mark.parametrize("kinds", [("conv", "norm"), ("conv", "norm", "relu"), ("norm", "conv"), ("norm", "pad")])
def test_a_sum_is_taken_into_the_last_norm(runs, kinds):
    net = Fused(*layers(*kinds))
    image = torch.randn(1, 4, 6, 6)
    exact = nn.Sequential(*net)(image)
    residual = torch.randn_like(exact)
    torch.testing.assert_close(net(image, residual=residual), exact + residual)
    assert [each.residual is not None for each in runs] == [kinds[-1] == "norm"]


def test_each_layer_is_told_with_what_it_made(runs):
    net = Fused(*layers("conv", "norm", "leaky", "conv"))
    image = torch.randn(1, 4, 6, 6)
    told = list(net.each(image))
    assert [layer for layer, _ in told] == [net[0], net[2], net[3]]
    torch.testing.assert_close(told[1][1], nn.Sequential(*net[:3])(image))


@pytest.mark.parametrize("index", [1, 2, 3])
def test_a_layer_with_a_hook_is_run_by_itself(runs, index):
    net, seen = Fused(*layers("conv", "norm", "relu", "pad", "conv")), []
    net[index].register_forward_hook(lambda layer, given, made: seen.append(made))
    image = torch.randn(1, 4, 6, 6)
    torch.testing.assert_close(net(image), nn.Sequential(*net)(image))
    assert len(seen) == 2
    assert slopes_and_pads(runs) == [[], [(1.0, 0)], [(0.0, 0)]][index - 1]


def test_a_norm_that_is_held_still_is_run_by_itself(runs):
    net = Fused(*layers("conv", "norm", "relu"))
    vars(net[1])["forward"] = lambda x: x * 2
    image = torch.randn(1, 4, 6, 6)
    assert torch.equal(net(image), torch.relu(net[0](image) * 2))
    assert runs == []


def test_where_no_kernel_runs_the_layers_are_called(monkeypatch):
    monkeypatch.setattr(fused, "fused", None)
    net = Fused(*layers("conv", "norm", "relu", "pad"))
    image = torch.randn(1, 4, 6, 6)
    assert torch.equal(net(image), nn.Sequential(*net)(image))


@pytest.mark.parametrize("recompute", [False, True])
def test_sequences_are_fused(runs, recompute):
    net = sequence(layers("conv", "norm", "relu"), layers("conv", "norm")[1], recompute=recompute)
    image = torch.randn(1, 4, 6, 6)
    net(image)
    assert slopes_and_pads(runs) == [(0.0, 0), (1.0, 0)]


def test_the_nets_of_the_packages_are_made_of_it(runs):
    from i2i_cyclegan import patch_discriminator, resnet_generator
    from i2i_pix2pixhd import global_generator, multiscale_discriminator

    image = torch.zeros(1, 3, 32, 32)
    resnet_generator(base_width=2, blocks=2)(image)
    # first, two halvings, two blocks of two norms each, two doublings; the next border where one follows directly
    wanted = [(0.0, 0)] * 3 + [(0.0, 1), (1.0, 0)] * 2 + [(0.0, 0), (0.0, 3)]
    assert slopes_and_pads(runs) == wanted
    assert sum(each.residual is not None for each in runs) == 2
    runs.clear()
    global_generator(base_width=2, downs=2, blocks=2)(image)
    assert slopes_and_pads(runs) == wanted
    runs.clear()
    verdict = patch_discriminator(base_width=2, layers=2)(image)
    assert slopes_and_pads(runs) == [(0.2, 0)] * 2
    assert len(verdict.features[0]) == 3
    runs.clear()
    multiscale_discriminator(base_width=2, layers=2, scales=2)(image)
    assert slopes_and_pads(runs) == [(0.2, 0)] * 4


@pytest.mark.parametrize("norm", [Fused(nn.InstanceNorm2d(3)), instance_norm])
@pytest.mark.parametrize("batch", [1, 2])
def test_gradient_of_an_instance_norm_in_any_layout(norm: Any, batch: int) -> None:
    """Torch's own is wrong for a single image whose gradient is channels-last."""
    torch.manual_seed(0)
    x, gradient = torch.randn(2, batch, 3, 8, 6)
    exact = x.double().requires_grad_()
    variance, mean = torch.var_mean(exact, (2, 3), correction=0, keepdim=True)
    (wanted,) = torch.autograd.grad((exact - mean) / (variance + 1e-5).sqrt(), exact, gradient.double())
    for form in (torch.contiguous_format, torch.channels_last):
        own = x.clone().requires_grad_()
        (found,) = torch.autograd.grad(norm(own), own, gradient.contiguous(memory_format=form))
        torch.testing.assert_close(found.double(), wanted, rtol=0, atol=1e-5)
