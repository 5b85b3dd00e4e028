"""A norm with its activation, and its slope, differentiable once more, on devices that have the kernels.

The norm itself is that of the core: `i2i.kernels.fused` with `i2i.kernels.InstanceNorm`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from i2i.kernels import Epilogue, InstanceNorm, Normed, fused, gradients, on_device_of


def norm_leaky(x: Tensor, weight: Tensor, bias: Tensor, *, leak: float, eps: float = 1e-5) -> Normed:
    """Normalise each image by its own statistics, and put it through a leaky ReLU.

    Args:
        x: ``(b, c, h, w)``.
        weight: ``(c,)``.
        bias: ``(c,)``.
        leak: the slope of the leaky ReLU for values below 0.
        eps: added to the variance.

    Returns:
        The activations, and where kernels made them the table that `slope` needs: mean, scale, shift and inverse
        standard deviation, ``(4, b, c)``, without a gradient.
    """
    return fused(InstanceNorm(eps), x, weight, bias, epilogue=Epilogue(negative_slope=leak))


def move_statistics(
    known: Tensor, means: Tensor, variances: Tensor, *, momentum: float, eps: float, pixels: int
) -> None:
    """Move running statistics towards those of images, one after the other, as batch norm does with batches of one.

    Args:
        known: the table that `norm_leaky` returned.
        means: running means ``(c,)``, changed in place.
        variances: running variances ``(c,)``, unbiased, likewise.
        momentum: how far they move with each image.
        eps: as of `norm_leaky`.
        pixels: of each image.
    """
    from i2i_singan import compiled

    with on_device_of(known):
        compiled.move_statistics(known, means, variances, momentum=momentum, eps=eps, pixels=pixels)


class Activated(NamedTuple):
    """What kernels made of images, of the last ``count`` with what their slope needs; see `i2i_singan.norm.Activated`.

    Attributes:
        leak: the slope of the leaky ReLU for values below 0.
        eps: of the norm.
        after: the activations ``(b, c, h, w)``.
        last: what was normalised, of the last images ``(count, c, h, w)``.
        weight: that of the norm.
        known: the table of the norm for the last images, ``(4, count, c)``.
    """

    leak: float
    eps: float
    after: Tensor
    last: Tensor
    weight: Tensor
    known: Tensor

    def slope(self, gradient: Tensor) -> Tensor:
        """Return `slope` at the last images, given ``gradient (count, c, h, w)``."""
        made: Tensor = _Slope.apply(gradient, self.last, self.weight, self.known, self.leak, self.eps)
        return made


def activated(x: Tensor, weight: Tensor, bias: Tensor, *, leak: float, eps: float, count: int) -> Activated:
    """Do what `norm_leaky` does, and keep what the slope of the last ``count`` images needs, where kernels run."""
    return Activated(leak, eps, *_Activated.apply(x, weight, bias, leak, eps, count))


def slope(
    gradient: Tensor, x: Tensor, weight: Tensor, bias: Tensor, known: Tensor | None, *, leak: float, eps: float = 1e-5
) -> Tensor:
    """Return how a sum changes with what was normalised: the gradient of `norm_leaky`, which has a gradient itself.

    By kernels it can be differentiated once, and torch refuses more; else as often as is asked for.

    Args:
        gradient: how the sum changes with the activations, ``(b, c, h, w)``.
        x: what was normalised; the last images of a batch will do.
        weight: as of `norm_leaky`.
        bias: likewise.
        known: the table that it returned, ``[:, -b:]`` for the last images; None: use torch's own operations.
        leak: as of `norm_leaky`.
        eps: likewise.

    Returns:
        ``(b, c, h, w)``.

    Example:
        >>> x, one = torch.tensor([0.0, 1.0, 2.0, 3.0]).view(1, 1, 2, 2), torch.ones(1)
        >>> slope(torch.ones(1, 1, 2, 2), x, one, one - 1, None, leak=1).abs().max() < 1e-6
        tensor(True)
    """
    if known is not None:
        made: Tensor = _Slope.apply(gradient, x, weight, known, leak, eps)
        return made
    return plain_slope(gradient, x, weight, bias, leak=leak, eps=eps)


def plain_slope(gradient: Tensor, x: Tensor, weight: Tensor, bias: Tensor, *, leak: float, eps: float) -> Tensor:
    """Do by torch's own operations what `slope` does."""
    exact = x.to(torch.promote_types(x.dtype, torch.float32))
    weight, bias = weight[:, None, None], bias[:, None, None]
    variance, mean = torch.var_mean(exact, (2, 3), correction=0, keepdim=True)
    inverse = torch.rsqrt(variance + eps)
    normed = (exact - mean) * inverse
    g = torch.where(normed * weight + bias > 0, gradient, gradient * leak)
    along = (g * normed).mean((2, 3), keepdim=True)
    return (weight * inverse * (g - g.mean((2, 3), keepdim=True) - normed * along)).to(x.dtype)


class _Activated(torch.autograd.Function):
    """What the slope reads passes through, so that gradients meet in here."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, leak: float, eps: float, count: int
    ) -> tuple[Tensor, ...]:
        """Return the tensors of `Activated`."""
        made = norm_leaky(x, weight, bias, leak=leak, eps=eps)
        assert made.known is not None  # for the type checker
        ctx.leak, ctx.eps, ctx.start = leak, eps, len(x) - count
        ctx.save_for_backward(x, weight, bias, made.known)
        known = made.known[:, ctx.start :]
        ctx.mark_non_differentiable(known)
        ctx.set_materialize_grads(False)
        return made.image, x[ctx.start :], weight.view_as(weight), known

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, towards_after: Tensor, towards_last: Tensor | None, towards_weight: Tensor | None, _: Any
    ) -> tuple[Tensor | None, ...]:
        """Return the gradients of ``x``, ``weight`` and ``bias``."""
        x, weight, bias, known = ctx.saved_tensors
        epilogue = Epilogue(negative_slope=ctx.leak)
        found = gradients(InstanceNorm(ctx.eps), towards_after, x, known, weight, bias, epilogue=epilogue)
        of_weight, of_bias = found.parameters
        assert found.x is not None  # for the type checker
        assert of_weight is not None
        if towards_last is not None:
            found.x[ctx.start :] += towards_last
        if towards_weight is not None:
            of_weight += towards_weight
        return found.x, of_weight, of_bias, None, None, None


class _Slope(torch.autograd.Function):
    """With x̂ = (x - mean) r and N pixels, it is P(g) = w r (g - mean(g) - x̂ mean(g x̂)), which is symmetric.

    For v = dL/dP(g) that gives

        dL/dg = P(v),  dL/dw = sum(v P(g)) / w,
        dL/dx = -r / N (sum(v P(g)) x̂ + sum(g x̂) P(v) + sum(v x̂) P(g)).
    """

    @staticmethod
    def forward(
        ctx: Any, gradient: Tensor, x: Tensor, weight: Tensor, known: Tensor, leak: float, eps: float
    ) -> Tensor:
        """Return the gradient with respect to ``x``."""
        epilogue = Epilogue(negative_slope=leak)
        found = gradients(InstanceNorm(eps), gradient, x, known, weight, None, epilogue=epilogue)
        assert found.x is not None  # for the type checker
        ctx.leak = leak
        ctx.save_for_backward(x, weight, known, found.steps, found.x)
        return found.x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of ``gradient``, ``x`` and ``weight``."""
        from i2i_singan import compiled

        x, weight, known, steps, projected = ctx.saved_tensors
        v = v.contiguous(memory_format=torch.channels_last)
        with on_device_of(x):
            found = compiled.slope_gradients(v, x, projected, known, steps, weight, ctx.leak)
        return *found, None, None, None
