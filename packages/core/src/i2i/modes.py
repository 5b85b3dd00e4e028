"""How a net runs for a while: with fixed statistics, or as in training. Afterwards it is exactly what it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from i2i.layers import ImageNorm

Made = TypeVar("Made")


class Affine(NamedTuple):
    """What a norm did to images: ``x * scale + shift``, both ``(b, c, 1, 1)``, given as ``dtype``."""

    scale: Tensor
    shift: Tensor
    dtype: torch.dtype


@contextmanager
def fixed_statistics(net: nn.Module, measure: Callable[[], Made]) -> Iterator[Made]:
    """Fix mean and variance of the instance norms of ``net`` at what they are while ``measure`` runs.

    Within the context each ``nn.InstanceNorm2d`` without running statistics, and each `i2i.layers.ImageNorm`, treats
    every pixel alike, wherever it lies and whatever else is in the image, so that parts of an image fit together. A
    norm that a pass calls several times has statistics for each call.

    Args:
        net: may be in any mode; it is the same net again when the context is left, also by an error or Ctrl-C.
        measure: runs ``net`` once, on as many images at a time as later on; the context gives what it returns.

    Example:
        >>> net = nn.InstanceNorm2d(1)
        >>> ramp = torch.arange(4.0).reshape(1, 1, 2, 2)
        >>> with fixed_statistics(net, lambda: net(ramp)):
        ...     part = net(ramp[..., :1])
        >>> torch.allclose(part, net(ramp)[..., :1])
        True
    """
    norms = [m for m in net.modules() if isinstance(m, ImageNorm) or _is_instance_norm(m)]
    before = [vars(norm).get("forward") for norm in norms]
    taken: list[list[Affine]] = [[] for _ in norms]
    try:
        # An attribute of the object goes before the method of its class, and hooks of others still run.
        for norm, calls in zip(norms, taken, strict=True):
            vars(norm)["forward"] = _taking(norm, calls)
        made = measure()
        for norm, calls in zip(norms, taken, strict=True):
            vars(norm)["forward"] = _applying(cycle(calls))
        yield made
    finally:
        for norm, forward in zip(norms, before, strict=True):
            vars(norm).pop("forward", None)
            if forward is not None:
                vars(norm)["forward"] = forward


def _is_instance_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.InstanceNorm2d) and module.running_mean is None


def _taking(norm: nn.Module, calls: list[Affine]) -> Callable[..., Tensor]:
    usual = norm.forward

    def forward(x: Tensor, *given: Tensor) -> Tensor:
        y: Tensor = usual(x, *given)
        calls.append(Affine(*_affine(norm, x, *given), y.dtype))
        return y

    return forward


def _affine(norm: nn.Module, x: Tensor, *given: Tensor) -> tuple[Tensor, Tensor]:
    """Return scale and shift of a norm."""
    if isinstance(norm, ImageNorm):
        return norm.affine(x, *given)
    assert isinstance(norm, nn.InstanceNorm2d)  # for the type checker
    exact = x.to(torch.promote_types(x.dtype, torch.float32))
    variance, mean = torch.var_mean(exact, (-2, -1), correction=0, keepdim=True)
    scale = torch.rsqrt(variance + norm.eps)
    shift = -mean * scale
    if norm.weight is not None:
        weight, bias = (p.to(scale.dtype)[:, None, None] for p in (norm.weight, norm.bias))
        scale, shift = scale * weight, shift * weight + bias
    return scale, shift


def _applying(calls: Iterator[Affine]) -> Callable[..., Tensor]:
    def forward(x: Tensor, *_: Tensor) -> Tensor:
        scale, shift, dtype = next(calls)
        return torch.addcmul(shift, x.to(scale.dtype), scale).to(dtype)

    return forward


@contextmanager
def as_in_training(net: nn.Module, seed: int) -> Iterator[None]:
    """Let ``net`` run as in training: batch norms take the statistics of the images, and dropout drops.

    The authors of pix2pix test so: dropout is the noise that their generator is given. The same seed gives the same
    result on the same device. When the context is left, also by an error or Ctrl-C, every module is in the mode it was
    in, every buffer (such as running statistics) has its value back, and the random numbers of the caller go on as if
    nothing had happened.

    Args:
        net: its buffers are copied meanwhile.
        seed: of the dropout.

    Example:
        >>> net = nn.Dropout(0.5).eval()
        >>> with as_in_training(net, seed=0):
        ...     net.training
        True
        >>> net.training
        False

    References:
        Isola et al., Image-to-Image Translation with Conditional Adversarial Networks, 2017, section 3.3.
    """
    modes = [(module, module.training) for module in net.modules()]
    buffers = [
        (module, name, buffer, buffer.clone())
        for module, _ in modes
        for name, buffer in module.named_buffers(recurse=False)
    ]
    with _random_numbers(net):
        torch.manual_seed(seed)
        try:
            net.train()
            yield
        finally:
            for module, mode in modes:
                module.training = mode
            for module, name, buffer, value in buffers:
                module._buffers[name] = buffer.copy_(value)


@contextmanager
def _random_numbers(net: nn.Module) -> Iterator[None]:
    """Give the generators of the CPU and of the device of ``net`` their states back at the end."""
    device = next((parameter.device for parameter in net.parameters()), torch.device("cpu"))
    own = device.type in ("cuda", "xpu")
    with torch.random.fork_rng([device] if own else [], device_type=device.type if own else "cuda"):
        yield
