"""Normalisation of each image by itself, and its gradient as a function that can be differentiated once more."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2i.kernels import usable
from i2i_singan import kernels

_BACKWARD = torch.ops.aten.native_batch_norm_backward.default
_LEAKY_BACKWARD = torch.ops.aten.leaky_relu_backward.default


class SampleNorm(nn.Module):
    """Batch norm of batches of one: each image is normalised by its own mean and variance.

    For one image it is ``nn.BatchNorm2d``, whose names it has; images of a larger batch are treated as if they came one
    after another, so that several can go through a net in one pass.

    Args:
        channels: of ``x (b, c, h, w)``.
        statistics: keep running means and variances, which take the place of an image's own in eval mode.

    Attributes:
        fuses: kernels may do the work, where they run; with a table of numbers that the weights went into, so that
            gradients do not see what becomes of these.

    Example:
        >>> SampleNorm(2)(torch.randn(3, 2, 8, 8)).mean(dim=(2, 3)).abs().max().item() < 1e-6
        True
    """

    running_mean: Tensor | None
    running_var: Tensor | None
    fuses: bool

    def __init__(self, channels: int, *, statistics: bool = True) -> None:
        super().__init__()
        self.eps, self.momentum, self.fuses = 1e-5, 0.1, True
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels) if statistics else None)
        self.register_buffer("running_var", torch.ones(channels) if statistics else None)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x (b, c, h, w)``."""
        if not self.training and self.running_mean is not None:
            return self._normed(x, own=False)
        return joined([self._normed(image, own=True) for image in apart(x)])

    def _normed(self, x: Tensor, *, own: bool) -> Tensor:
        mean, variance = self.running_mean, self.running_var
        # torch.batch_norm would do the same with one more small tensor each time.
        return torch.native_batch_norm(x, self.weight, self.bias, mean, variance, own, self.momentum, self.eps)[0]

    def settle(self, x: Tensor) -> None:
        """Take the statistics of images ``x (b, c, h, w)``, the means of them, for all images in eval mode."""
        variance, mean = torch.var_mean(x, dim=(2, 3), correction=0)
        if self.running_mean is not None and self.running_var is not None:
            self.running_mean.copy_(mean.mean(0))
            self.running_var.copy_(variance.mean(0))

    def twin(self) -> SampleNorm:
        """Return a norm in eval mode with the same weights, and statistics of its own."""
        twin = copy.copy(self).eval()
        twin._buffers = {name: None if value is None else value.clone() for name, value in self._buffers.items()}
        return twin

    def leaky(self, x: Tensor, leak: float) -> Tensor:
        """Normalise ``x (b, c, h, w)``, and put it through a leaky ReLU: at once, where kernels run.

        Args:
            x: images.
            leak: the slope of the leaky ReLU for values below 0.
        """
        mean, variance = self.running_mean, self.running_var
        own = self.training or mean is None
        if not (own and self.fuses and usable(x, layers=(self,))):
            return F.leaky_relu(self(x), leak)
        made = kernels.norm_leaky(x, self.weight, self.bias, leak=leak, eps=self.eps)
        if mean is not None and variance is not None and made.known is not None:
            pixels = x.shape[2] * x.shape[3]
            kernels.move_statistics(made.known, mean, variance, momentum=self.momentum, eps=self.eps, pixels=pixels)
        return made.image

    def activated(self, x: Tensor, leak: float, count: int) -> Activated | kernels.Activated:
        """Do as `leaky` by each image's own statistics, and keep what the slope of some of them needs.

        Args:
            x: images.
            leak: as of `leaky`.
            count: of images at the end of the batch whose slope will be asked for.
        """
        if self.fuses and usable(x):
            return kernels.activated(x, self.weight, self.bias, leak=leak, eps=self.eps, count=count)
        return Activated(leak, self.eps, *_NormLeaky.apply(x, self.weight, self.bias, self.eps, leak, count))


class Activated(NamedTuple):
    """Activations, and of the last ``count`` images what their slope needs.

    Attributes:
        leak: the slope of the leaky ReLU for values below 0.
        eps: of the norm.
        after: the activations ``(b, c, h, w)``.
        last: what was normalised, of the last images ``(count, c, h, w)``.
        weight: that of the norm.
        means: by which the last images were normalised, ``(count, c)``.
        scales: the inverses of their standard deviations, ``(count, c)``.
    """

    leak: float
    eps: float
    after: Tensor
    last: Tensor
    weight: Tensor
    means: Tensor
    scales: Tensor

    def slope(self, gradient: Tensor) -> Tensor:
        """Return how a sum changes with what was normalised: a gradient that can be differentiated once more.

        Args:
            gradient: how the sum changes with the activations of the last images, ``(count, c, h, w)``.
        """
        after = self.after.detach()[len(self.after) - len(self.last) :]
        images = zip(apart(gradient), apart(after), apart(self.last), self.means, self.scales, strict=True)
        return joined([_Slope.apply(g, a, x, self.weight, m, r, self.eps, self.leak) for g, a, x, m, r in images])


class _NormLeaky(torch.autograd.Function):
    """Norm and leaky ReLU of each image; what `_Slope` reads passes through, so that gradients meet in here."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, leak: float, count: int
    ) -> tuple[Tensor, ...]:
        """Return the tensors of `Activated`."""
        normed = [torch.native_batch_norm(image, weight, bias, None, None, True, 0.0, eps) for image in apart(x)]
        images, means, scales = zip(*normed, strict=True)
        after = F.leaky_relu(joined(images), leak)
        start = len(x) - count
        ctx.eps, ctx.leak, ctx.count = eps, leak, count
        ctx.save_for_backward(x, weight, after, *means, *scales)
        kept = _stacked(means[start:]), _stacked(scales[start:])
        ctx.mark_non_differentiable(*kept)
        ctx.set_materialize_grads(False)
        return after, x[start:], weight.view_as(weight), *kept

    @staticmethod
    def backward(
        ctx: Any, towards_after: Tensor, towards_last: Tensor | None, towards_weight: Tensor | None, *_: Any
    ) -> tuple[Tensor | None, ...]:
        """Return the gradients of ``x``, ``weight`` and ``bias``."""
        x, weight, after, *rest = ctx.saved_tensors
        gradients = apart(_LEAKY_BACKWARD(towards_after, after, ctx.leak, True))
        means, scales = rest[: len(x)], rest[len(x) :]
        each = [
            list(_BACKWARD(g, image, weight, None, None, mean, scale, True, ctx.eps, [True, True, True]))
            for g, image, mean, scale in zip(gradients, apart(x), means, scales, strict=True)
        ]
        if towards_last is not None:
            for index, more in enumerate(apart(towards_last), len(x) - ctx.count):
                each[index][0] = each[index][0] + more
        images, weights, biases = zip(*each, strict=True)
        of_weight, of_bias = torch.unflatten(torch.stack((*weights, *biases)), 0, (2, len(x))).sum(1)
        if towards_weight is not None:
            of_weight = of_weight + towards_weight
        return joined(images), of_weight, of_bias, None, None, None


class _Slope(torch.autograd.Function):
    """The gradient of a norm of one image and a leaky ReLU after it, as a function of its own: differentiable once.

    With x̂ = (x - mean) r and N pixels, the gradient of the norm is P(g) = w r (g - mean(g) - x̂ mean(g x̂)), which is
    symmetric. For v = dL/dP(g) that gives

        dL/dg = P(v),  dL/dw = sum(v P(g)) / w,
        dL/dx = -r / N (sum(v P(g)) x̂ + sum(g x̂) P(v) + sum(v x̂) P(g)),

    where torch's own second derivative of batch norm is about sixty small operations.
    """

    @staticmethod
    def forward(
        ctx: Any, gradient: Tensor, after: Tensor, x: Tensor, weight: Tensor, mean: Tensor, r: Tensor, eps: float,
        leak: float,
    ) -> Tensor:  # fmt: skip
        """Return the gradient with respect to ``x`` of what has ``gradient`` with respect to ``after``."""
        masked = _LEAKY_BACKWARD(gradient, after, leak, True)
        projected, along, _ = _BACKWARD(masked, x, weight, None, None, mean, r, True, eps, [True, True, False])
        ctx.eps, ctx.leak = eps, leak
        ctx.save_for_backward(after, x, weight, mean, r, projected, along)
        return projected  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of ``gradient``, ``x`` and ``weight``; ``mean`` and ``r`` are those of ``x``."""
        after, x, weight, mean, r, projected, along = ctx.saved_tensors
        again, along_v, _ = _BACKWARD(v, x, weight, None, None, mean, r, True, ctx.eps, [True, True, False])
        both = (v * projected).sum(dim=(0, 2, 3), dtype=r.dtype)
        share = r * (len(weight) / x.numel())
        by_each = torch._foreach_mul((both, along, along_v), (share * r, share, share))  # one kernel on a GPU
        by_x, by_again, by_projected = map(_across, by_each)
        towards_x = torch.addcmul(by_x * _across(mean), by_x, x, value=-1)
        towards_x.addcmul_(by_again, again, value=-1).addcmul_(by_projected, projected, value=-1)
        towards_gradient = _LEAKY_BACKWARD(again, after, ctx.leak, True)
        towards_weight = (both / weight).nan_to_num(0.0)  # a weight of 0 makes both 0
        return towards_gradient, None, towards_x.to(x.dtype), towards_weight, None, None, None, None


def _across(vector: Tensor) -> Tensor:
    """View ``(c,)`` as ``(1, c, 1, 1)``."""
    return vector.view(1, -1, 1, 1)


def apart(batch: Tensor) -> tuple[Tensor, ...]:
    """Return the images of a batch as batches of one."""
    return (batch,) if len(batch) == 1 else torch.split(batch, 1)


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Return batches as one; a single one as it is."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _stacked(parts: Sequence[Tensor]) -> Tensor:
    return parts[0].unsqueeze(0) if len(parts) == 1 else torch.stack(list(parts))
