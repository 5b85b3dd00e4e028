from __future__ import annotations

from contextlib import suppress

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from i2i.modes import as_in_training, fixed_statistics


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_statistics_are_those_of_the_measured_images() -> None:
    norm = nn.InstanceNorm2d(3, affine=True, eps=0.1)
    norm.weight.data, norm.bias.data = noise(3, seed=5), noise(3, seed=6)
    measured, image = 2 * noise(2, 3, 9, 8) + 5, noise(2, 3, 4, 6, seed=2)
    with fixed_statistics(norm, lambda: norm(measured)) as made, torch.no_grad():
        found = norm(image)
    assert torch.equal(made, norm(measured))
    # a batch norm with given statistics, which are per channel: one image at a time
    for i in range(2):
        mean, var = measured[i].mean((1, 2)), measured[i].var((1, 2), unbiased=False)
        expected = F.batch_norm(image[i : i + 1], mean, var, norm.weight, norm.bias, eps=0.1)
        torch.testing.assert_close(found[i : i + 1], expected)


def test_a_norm_that_is_called_twice_has_statistics_for_each_call() -> None:
    norm = nn.InstanceNorm2d(1)

    def run(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        return norm(first), norm(second)

    first, second = noise(1, 1, 8, 8), 3 * noise(1, 1, 8, 8) + 2
    expected = run(first, second)
    with fixed_statistics(norm, lambda: run(first, second)):
        for _ in range(2):
            found = run(first[..., :3], second[..., :3])
            for made, wanted in zip(found, expected, strict=True):
                torch.testing.assert_close(made, wanted[..., :3])


def test_norms_with_running_statistics_use_these() -> None:
    norm = nn.InstanceNorm2d(2, track_running_stats=True).eval()
    image = noise(1, 2, 4, 4)
    with fixed_statistics(norm, lambda: norm(7 * image)):
        assert torch.equal(norm(image), F.batch_norm(image, torch.zeros(2), torch.ones(2)))


def test_the_number_format_is_that_of_the_norm() -> None:
    norm = nn.InstanceNorm2d(2)
    image = noise(1, 2, 4, 4).bfloat16()
    with fixed_statistics(norm, lambda: norm(image)):
        assert norm(image).dtype == torch.bfloat16


def test_a_forward_of_its_own_is_kept() -> None:
    norm = nn.InstanceNorm2d(2)
    usual = norm.forward
    norm.forward = lambda x: usual(x) + 100  # type: ignore[method-assign]
    own = norm.forward
    with fixed_statistics(norm, lambda: norm(noise(1, 2, 4, 4))):
        assert norm.forward is not own
    assert norm.forward is own


class Noisy(nn.Module):
    """Batch norm, dropout, a frozen part in eval mode, and a buffer that is replaced at each pass."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.drop, self.frozen = nn.BatchNorm2d(2), nn.Dropout(0.5), nn.BatchNorm2d(2)
        self.register_buffer("passes", torch.tensor(0))
        self.train()
        self.norm.eval()

    def forward(self, x: Tensor) -> Tensor:
        self.passes = self.passes + 1
        return self.drop(self.frozen(self.norm(x)))


def test_as_in_training() -> None:
    """Statistics of the image, and half of it dropped; the same each time, and another one for another seed."""
    net, image = Noisy(), 4 * noise(1, 2, 16, 16) + 3
    made = []
    for seed in (0, 0, 1):
        with as_in_training(net, seed), torch.inference_mode():
            made.append(net(image))
    normed = F.instance_norm(F.instance_norm(image))
    kept = made[0] != 0
    torch.testing.assert_close(made[0][kept], 2 * normed[kept])
    assert 0.4 < kept.float().mean() < 0.6
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, RuntimeError])
def test_the_net_and_the_random_numbers_are_left_as_they_were(error) -> None:
    net = Noisy()
    modes = [module.training for module in net.modules()]
    buffers = {name: (buffer, buffer.clone()) for name, buffer in net.named_buffers()}
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    with suppress(KeyboardInterrupt, RuntimeError), as_in_training(net, seed=0), torch.inference_mode():
        net(noise(1, 2, 4, 4))
        assert net.passes == 1
        if error is not None:
            raise error
    assert [module.training for module in net.modules()] == modes
    assert {name for name, _ in net.named_buffers()} == set(buffers)
    for name, buffer in net.named_buffers():
        assert buffer is buffers[name][0]
        assert torch.equal(buffer, buffers[name][1])
    assert torch.equal(torch.rand(4), expected)
