"""Counts and floors against formulas written by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.floors import Counted, counted, floor_ms

N, CIN, COUT, K, SIDE, OUT = 2, 3, 5, 4, 16, 8  # kernel 4, stride 2, padding 1
IMAGE, RESULT, WEIGHT = N * CIN * SIDE**2, N * COUT * OUT**2, COUT * CIN * K**2
PASS = 2 * WEIGHT * N * OUT**2  # a multiplication and an addition for each weight at each place of the result

devices = pytest.mark.parametrize("device", ["cpu", "meta"])


def convolution(device: str, *, to_image: bool, to_weight: bool = True) -> Callable[[], None]:
    image = torch.rand(N, CIN, SIDE, SIDE, device=device, requires_grad=to_image)
    weight = torch.rand(COUT, CIN, K, K, device=device, requires_grad=to_weight)
    bias = torch.rand(COUT, device=device, requires_grad=to_weight)
    return lambda: F.conv2d(image, weight, bias, 2, 1).square().sum().backward()


@devices
def test_convolution_both_ways(device: str) -> None:
    found = counted(convolution(device, to_image=True), 7)
    forward = IMAGE + WEIGHT + COUT + RESULT
    backward = RESULT + (WEIGHT + IMAGE) + (IMAGE + WEIGHT) + COUT
    assert found == Counted(pytest.approx(3 * PASS / 1e12), forward + backward, 7)


def test_a_gradient_that_nobody_asks_for_costs_nothing() -> None:
    forward = IMAGE + WEIGHT + COUT + RESULT
    found = counted(convolution("cpu", to_image=False), 0)
    assert found == Counted(pytest.approx(2 * PASS / 1e12), forward + RESULT + IMAGE + WEIGHT + COUT, 0)
    found = counted(convolution("cpu", to_image=True, to_weight=False), 0)
    assert found == Counted(pytest.approx(2 * PASS / 1e12), forward + RESULT + WEIGHT + IMAGE, 0)


@devices
def test_transposed_convolution(device: str) -> None:
    image = torch.rand(N, COUT, OUT, OUT, device=device, requires_grad=True)
    weight = torch.rand(COUT, CIN, K, K, device=device, requires_grad=True)
    found = counted(lambda: F.conv_transpose2d(image, weight, None, 2, 1).square().sum().backward(), 0)
    small, large = RESULT, IMAGE  # the other way round
    assert found.tflop == pytest.approx(3 * PASS / 1e12)
    assert found.numbers == (small + WEIGHT + large) + (large + WEIGHT + small + small + WEIGHT)


@devices
@pytest.mark.parametrize("graded", [True, False])
def test_linear(device: str, graded: bool) -> None:
    """Where no gradients are kept it reaches the counters as one operation, which has to be taken apart."""
    x = torch.rand(4, 6, device=device, requires_grad=True)
    weight = torch.rand(8, 6, device=device, requires_grad=True)
    x_size, weight_size, result = 24, 48, 32
    once = 2 * 4 * 6 * 8

    def both_ways() -> None:
        F.linear(x, weight).square().sum().backward()

    def forwards() -> None:
        with torch.inference_mode():
            F.linear(x, weight)

    read = x_size + weight_size + result
    found = counted(both_ways if graded else forwards, 0)
    assert found == Counted(pytest.approx((3 if graded else 1) * once / 1e12), (3 if graded else 1) * read, 0)


@devices
def test_penalty_that_is_differentiated_twice(device: str) -> None:
    """Of x -> x W: the slope is g W' (one product), and so is what it passes on to W (one more) and to g (one)."""
    x = torch.rand(4, 6, device=device, requires_grad=True)
    first = torch.rand(6, 8, device=device, requires_grad=True)
    second = torch.rand(8, 3, device=device, requires_grad=True)

    def penalty() -> None:
        slope = torch.autograd.grad((x @ first @ second).square().sum(), x, create_graph=True)[0]
        torch.autograd.grad((slope.square().sum(1).sqrt() - 1).square().sum(), [first, second])

    one, two = 2 * 4 * 6 * 8, 2 * 4 * 8 * 3
    # forwards: 1 each. Slope: 1 each, by images only. Its gradient: of each product of the slope 2, by g and by W;
    # then g depends on the result, whose gradient goes back through the second product (2) and the first (1, by W).
    expected = one * (1 + 1 + 2 + 1) + two * (1 + 1 + 2 + 2)
    assert counted(penalty, 0).tflop == pytest.approx(expected / 1e12)


def test_numbers_are_those_of_the_memory() -> None:
    row = torch.rand(1, 6).expand(4, 6)  # one row, repeated
    weight = torch.rand(6, 8)
    assert counted(lambda: row @ weight, 0) == Counted(pytest.approx(2 * 4 * 6 * 8 / 1e12), 6 + 48 + 32, 0)


def test_autocast_changes_nothing() -> None:
    run = convolution("cpu", to_image=True)

    def mixed() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            run()

    assert counted(mixed, 1) == counted(run, 1)


def test_neither_norms_nor_activations_count() -> None:
    image = torch.rand(N, CIN, SIDE, SIDE, requires_grad=True)
    assert counted(lambda: F.instance_norm(image).relu().sum().backward(), 0) == Counted(0, 0, 0)


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (Counted(3.0, 10**6, 10**6), 30.0),  # 3 TFLOP at 100 TFLOP/s
        (Counted(0.1, 10**9, 10**8), 1e3 * (2e9 + 2.8e9) / 4e11),  # 4.8 GB at 400 GB/s
    ],
)
def test_the_longer_time_is_the_floor(of: Counted, expected: float) -> None:
    assert floor_ms(of, tflop_per_s=100, gb_per_s=400, width=2) == pytest.approx(expected)


def test_a_step_that_is_counted_is_computed() -> None:
    weight = torch.rand(6, 8, requires_grad=True)

    def step() -> Tensor:
        loss = (torch.ones(2, 6) @ weight).square().mean()
        loss.backward()
        return loss

    counted(step, 0)
    assert weight.grad is not None
    kept, weight.grad = weight.grad, None
    step()
    assert torch.equal(kept, weight.grad)
