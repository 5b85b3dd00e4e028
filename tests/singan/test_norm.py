"""The norm of single images and its slope, against batch norm and autograd's own second derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2i_singan.networks import ScaleDiscriminator, scale_discriminator
from i2i_singan.norm import SampleNorm, apart, joined

SEED = 3


def norm_of(channels: int, *, statistics: bool = True) -> SampleNorm:
    norm = SampleNorm(channels, statistics=statistics).double()
    nn.init.normal_(norm.weight, 1.0, 0.3)
    nn.init.normal_(norm.bias, 0.0, 0.3)
    return norm


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(SEED)


def test_a_batch_is_batch_norm_image_after_image() -> None:
    norm, x = norm_of(4), drawn(3, 4, 5, 7) * 3 + 1
    wanted = nn.BatchNorm2d(4).double()
    wanted.load_state_dict(norm.state_dict() | {"num_batches_tracked": torch.tensor(0)})
    expected = torch.cat([wanted(image[None]) for image in x])
    torch.testing.assert_close(norm(x), expected, rtol=1e-12, atol=1e-12)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(getattr(norm, name), getattr(wanted, name), rtol=1e-12, atol=0)
    torch.testing.assert_close(norm.eval()(x), wanted.eval()(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("statistics", [True, False])
def test_with_a_leaky_relu_after_it(training: bool, statistics: bool) -> None:
    one, other = (norm_of(4, statistics=statistics).train(training) for _ in range(2))
    other.load_state_dict(one.state_dict())
    x = drawn(3, 4, 5, 7) * 3 + 1
    assert torch.equal(one.leaky(x, 0.3), F.leaky_relu(other(x), 0.3))
    assert all(torch.equal(a, b) for a, b in zip(one.buffers(), other.buffers(), strict=True))


def test_without_statistics_eval_is_as_training() -> None:
    norm, x = norm_of(4, statistics=False), drawn(2, 4, 5, 7)
    assert set(norm.state_dict()) == {"weight", "bias"}
    torch.testing.assert_close(norm.eval()(x), F.instance_norm(x, weight=norm.weight, bias=norm.bias))


def test_apart_and_joined() -> None:
    x = drawn(3, 2, 4, 4)
    assert [part.shape for part in apart(x)] == [(1, 2, 4, 4)] * 3
    assert torch.equal(joined(apart(x)), x)
    assert joined(apart(x[:1])).data_ptr() == x.data_ptr()


def judge(net: ScaleDiscriminator, image: Tensor) -> Tensor:
    """Judge one image, written with torch's batch norm."""
    for block in net.blocks():
        x = block.conv(image)
        image = F.leaky_relu(F.batch_norm(x, None, None, block.norm.weight, block.norm.bias, True), 0.2)
    return net.tail(image)  # type: ignore[no-any-return]


def plain(net: ScaleDiscriminator, images: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """What `sloped` returns, by autograd, one image after the other."""
    logits = torch.cat([judge(net, image) for image in images.split(1)])
    slopes = []
    for image in images[len(images) - count :].split(1):
        image = image.detach().requires_grad_()
        slopes += torch.autograd.grad(judge(net, image).sum(), image, create_graph=True)
    return logits[: len(images) - count], torch.cat(slopes)


def gradients(
    net: ScaleDiscriminator, judged: Callable[[ScaleDiscriminator, Tensor, int], tuple[Tensor, Tensor]], count: int,
    images: Tensor,
) -> tuple[Tensor, Tensor, Sequence[Tensor]]:  # fmt: skip
    """Return logits, slopes and the gradients of a penalty on both."""
    logits, slope = judged(net, images, count)
    loss = (logits.square() * torch.linspace(-1, 2, logits.numel()).view_as(logits)).mean()
    loss = loss + 0.3 * (torch.linalg.vector_norm(slope, dim=1) - 1).square().mean()
    return logits, slope, torch.autograd.grad(loss, list(net.parameters()))


@pytest.mark.parametrize(("batch", "count"), [(3, 1), (6, 2), (2, 1)])
def test_slope_and_its_gradients_are_those_of_autograd(batch: int, count: int) -> None:
    net = scale_discriminator(width=4).double()
    for parameter in net.parameters():
        nn.init.normal_(parameter, 1.0 if parameter.ndim == 1 else 0.0, 0.3)
    images = drawn(batch, 3, 16, 18)
    logits, slope, found = gradients(net, ScaleDiscriminator.sloped, count, images)
    expected_logits, expected_slope, wanted = gradients(net, plain, count, images)
    torch.testing.assert_close(logits, expected_logits, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(slope, expected_slope, rtol=1e-10, atol=1e-10)
    for (name, _), mine, theirs in zip(net.named_parameters(), found, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-11, msg=lambda m, n=name: f"{n}: {m}")
        assert theirs.abs().max() > 1e-4 or name.endswith("conv.bias")


def test_a_weight_of_exactly_0_leaves_the_gradients_finite() -> None:
    net = scale_discriminator(width=4).double()
    nn.init.zeros_(net.body.block1.norm.weight[:1])
    _, _, found = gradients(net, ScaleDiscriminator.sloped, 1, drawn(3, 3, 16, 18))
    assert all(gradient.isfinite().all() for gradient in found)
