from __future__ import annotations

import pytest
import torch
from torch import Tensor

from i2i.errors import SettingsError
from i2i.terms import cycle, gradient_penalty, identity, r1
from i2i.values import Translation, Verdict


def images(seed: int, count: int = 3) -> Tensor:
    return torch.randn(count, 2, 3, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("term", [cycle, identity])
def test_mean_absolute_difference(term: object) -> None:
    a, b = images(1), images(2)
    assert callable(term)
    assert term(a, Translation(b)).item() == pytest.approx((a - b).abs().sum().item() / a.numel(), abs=1e-12)


def test_gradient_penalty_of_a_linear_critic_is_that_of_its_weights() -> None:
    """The gradient of <w, x> is w, wherever it is taken; the logits of two scales add up."""
    w = torch.randn(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).requires_grad_()

    def critic(x: Tensor, /, condition: Tensor | None = None) -> Verdict:
        return Verdict(((x * w).sum((1, 2, 3)), 2 * x * w))

    norm = 3 * w.detach().pow(2).sum().sqrt()
    penalty = gradient_penalty(critic, images(1), Translation(images(2)))
    assert penalty.item() == pytest.approx((norm.item() - 1) ** 2, abs=1e-12)
    (gradient,) = torch.autograd.grad(penalty, w)
    torch.testing.assert_close(gradient, 2 * (norm - 1) * 9 * w.detach() / norm, rtol=0, atol=1e-12)


def test_gradient_penalty_is_taken_at_one_mixture_per_image_and_normed_per_image() -> None:
    """The gradient of |x|^2 / 2 is x: the norms tell where it was taken."""
    met: list[Tensor] = []

    def critic(x: Tensor, /, condition: Tensor | None = None) -> Verdict:
        met.append(x.detach())
        return Verdict((x.square() / 2,))

    real, fake = images(1, 50), images(2, 50).requires_grad_()
    torch.manual_seed(0)
    penalty = gradient_penalty(critic, real, Translation(fake))
    (mixed,) = met
    share = ((mixed - fake) / (real - fake)).detach()
    torch.testing.assert_close(share, share[:, :1, :1, :1].expand_as(share), rtol=0, atol=1e-9)
    assert 0 <= share.min() < 0.2
    assert 0.8 < share.max() <= 1
    wanted = (mixed.pow(2).sum((1, 2, 3)).sqrt() - 1).pow(2).mean()
    assert penalty.item() == pytest.approx(wanted.item(), abs=1e-12)
    (gradient,) = torch.autograd.grad(penalty, fake, allow_unused=True)
    assert gradient is None  # fakes are used detached


def test_gradient_penalty_per_pixel_is_normed_over_channels_only() -> None:
    """The gradient of <w, x> is w: of each of 3 x 4 pixels, two channels."""
    w = torch.randn(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).requires_grad_()

    def critic(x: Tensor, /, condition: Tensor | None = None) -> Verdict:
        return Verdict(((x * w).sum((1, 2, 3)),))

    norms = (w.detach()[0] ** 2 + w.detach()[1] ** 2).sqrt()
    penalty = gradient_penalty(critic, images(1), Translation(images(2)), per="pixel")
    assert penalty.item() == pytest.approx(((norms - 1) ** 2).sum().item() / 12, abs=1e-12)
    (gradient,) = torch.autograd.grad(penalty, w)
    torch.testing.assert_close(gradient, 2 / 12 * (norms - 1) * w.detach() / norms, rtol=0, atol=1e-12)


def test_gradient_penalty_per_something_else() -> None:
    with pytest.raises(SettingsError, match=r"^per \(='patch'\) must be one of: image, pixel$"):
        gradient_penalty(lambda x, condition=None: Verdict((x,)), images(1), Translation(images(2)), per="patch")  # type: ignore[arg-type]


def test_r1_of_a_quadratic_critic() -> None:
    """The gradient of a |x|^2 is 2 a x; its squared norm 4 a^2 |x|^2."""
    a = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)

    def critic(x: Tensor, /, condition: Tensor | None = None) -> Verdict:
        return Verdict((a * x.square(),))

    real = images(1)
    squares = real.pow(2).sum((1, 2, 3)).mean().item()
    term = r1(critic, real)
    assert term.item() == pytest.approx(4 * 1.5**2 * squares / 2, abs=1e-10)
    (gradient,) = torch.autograd.grad(term, a)
    assert gradient.item() == pytest.approx(4 * 1.5 * squares, abs=1e-10)
    assert not real.requires_grad


def test_a_flat_critic_has_finite_gradients() -> None:
    w = torch.zeros(2, 3, 4, dtype=torch.float64, requires_grad=True)

    def critic(x: Tensor, /, condition: Tensor | None = None) -> Verdict:
        return Verdict(((x * w).sum((1, 2, 3)),))

    penalty = gradient_penalty(critic, images(1), Translation(images(2)))
    assert penalty.item() == 1
    assert torch.autograd.grad(penalty, w)[0].isfinite().all()
