"""The numbers for each channel in a layer-instance norm and in its gradient, in Triton; imported only where they run.

One program does an image. The moments of the channels come from the kernels of the core, which also go over the image.
"""

# What Triton compiles is not typed.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from i2i.kernels.moments import SIZES, moments, table

_EPSILON = 1e-5


@triton.jit(do_not_specialize=SIZES)
def _known(
    moments, rho, gamma, beta, known, epsilon, pixels, channels, gamma_image, beta_image, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Mean, scale, shift; inverse standard deviation, mean minus that of the layer, inverse deviation of the layer."""
    image, rows = tl.program_id(0), tl.num_programs(0) * channels
    c = tl.arange(0, CHANNELS)
    inside, own = c < channels, image * channels + c
    mean = tl.load(moments + own, inside, 0.0)
    squares = tl.load(moments + rows + own, inside, 0.0)
    apart = tl.where(inside, mean - tl.sum(mean, 0) / channels, 0.0)
    variance = tl.sum(squares + pixels * apart * apart, 0) / (channels * pixels - 1)
    inverse = 1.0 / tl.sqrt(squares / (pixels - 1) + epsilon)
    layer = tl.zeros_like(inverse) + 1.0 / tl.sqrt(variance + epsilon)
    share = tl.load(rho + c, inside, 0.0).to(tl.float32)
    factor = tl.load(gamma + image * gamma_image + c, inside, 0.0).to(tl.float32)
    shift = tl.load(beta + image * beta_image + c, inside, 0.0).to(tl.float32)
    tl.store(known + own, mean, inside)
    tl.store(known + rows + own, factor * (share * inverse + (1 - share) * layer), inside)
    tl.store(known + 2 * rows + own, shift + factor * (1 - share) * layer * apart, inside)
    tl.store(known + 3 * rows + own, inverse, inside)
    tl.store(known + 4 * rows + own, apart, inside)
    tl.store(known + 5 * rows + own, layer, inside)


@triton.jit(do_not_specialize=SIZES)
def _steps(
    sums, known, rho, gamma, steps, of_rho, of_gamma, of_beta, pixels, channels, gamma_image, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Follow the chain rule back through `_known`, from the gradients of scale (``along``) and shift (``total``)."""
    image, rows = tl.program_id(0), tl.num_programs(0) * channels
    c = tl.arange(0, CHANNELS)
    inside, own = c < channels, image * channels + c
    total = tl.load(sums + own, inside, 0.0)
    along = tl.load(sums + rows + own, inside, 0.0)
    scale = tl.load(known + rows + own, inside, 0.0)
    inverse = tl.load(known + 3 * rows + own, inside, 0.0)
    apart = tl.load(known + 4 * rows + own, inside, 0.0)
    layer = tl.load(known + 5 * rows + own, inside, 0.0)
    share = tl.load(rho + c, inside, 0.0).to(tl.float32)
    factor = tl.load(gamma + image * gamma_image + c, inside, 0.0).to(tl.float32)
    tl.store(of_beta + own, total, inside)
    tl.store(
        of_gamma + own, along * (share * inverse + (1 - share) * layer) + total * (1 - share) * layer * apart, inside
    )
    tl.store(of_rho + own, factor * (along * (inverse - layer) - total * layer * apart), inside)
    of_layer = tl.sum(factor * (1 - share) * (along + total * apart), 0)
    of_layer_squares = -0.5 * of_layer * layer * layer * layer / (channels * pixels - 1)
    of_squares = -0.5 * along * factor * share * inverse * inverse * inverse / (pixels - 1) + of_layer_squares
    of_apart = total * factor * (1 - share) * layer
    of_mean = of_apart - tl.sum(of_apart, 0) / channels + 2 * pixels * apart * of_layer_squares - scale * total
    tl.store(steps + own, of_mean / pixels, inside)
    tl.store(steps + rows + own, 2 * of_squares, inside)


def known(x: Tensor, rho: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """Return the table ``(6, b, c)`` of `i2i.kernels.Norm.known`, its rows as in `_known`."""
    b, c, h, w = x.shape
    made = table(6, x)
    _known[(b,)](
        moments(x), rho, gamma, beta, made, _EPSILON, h * w, c, *_strides(gamma, beta),
        CHANNELS=triton.next_power_of_2(c),
    )  # fmt: skip
    return made


def steps(sums: Tensor, x: Tensor, known: Tensor, rho: Tensor, gamma: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return the table ``(2, b, c)`` of `i2i.kernels.Norm.steps`, and gradients of rho, gamma, beta, image by image."""
    b, c, h, w = x.shape
    made, each = table(2, x), table(3, x)
    _steps[(b,)](
        sums.sum(2), known, rho, gamma, made, *each, h * w, c, *_strides(gamma), CHANNELS=triton.next_power_of_2(c)
    )
    return made, list(each[..., None, None])


def _strides(*parameters: Tensor) -> list[int]:
    """How far apart the parameters of two images are: nothing, where all have the same."""
    return [0 if len(each) == 1 else each.stride(0) for each in parameters]
