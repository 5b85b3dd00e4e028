"""Norms of each image by itself, with what follows them, in two passes over the image; and the way back in two."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor

from i2i.errors import CompositionError, DataError
from i2i.kernels.dispatch import on_device_of, usable
from i2i.kernels.epilogue import NOTHING, Epilogue

Parameter = Tensor | None


class Norm(ABC):
    """A norm ``(x - mean) * scale + shift``, where these follow from the moments of the channels of an image.

    `plain` is the whole norm in torch's own operations. The other two say, for images that `usable` takes, what is
    computed from numbers for each channel only, so they may launch small kernels of their own. Parameters are those
    that are given to `fused`.
    """

    @abstractmethod
    def plain(self, x: Tensor, /, *parameters: Parameter) -> Tensor:
        """Normalise ``x (b, c, h, w)``, differentiably, as often as is asked for."""

    @abstractmethod
    def known(self, x: Tensor, /, *parameters: Parameter) -> Tensor:
        """Return a table ``(rows, b, c)`` in float32: mean, scale, shift, and what else `steps` needs."""

    @abstractmethod
    def steps(
        self, sums: Tensor, x: Tensor, known: Tensor, /, *parameters: Parameter
    ) -> tuple[Tensor, Sequence[Parameter]]:
        """Return how gradients go back.

        Args:
            sums: ``(2, b, parts, c)``, to be added up over the parts: gradients of the normalised image, and these
                times ``x - mean``.
            x: as of `known`.
            known: what that returned.
            *parameters: likewise.

        Returns:
            A table ``(rows, b, c)`` in float32 whose first two rows are ``constant`` and ``factor`` in ``scale *
            gradient + constant + factor * (x - mean)``, the gradient of ``x``; and the gradients of the parameters.
        """


@attrs.frozen
class InstanceNorm(Norm):
    """Each channel of each image by its own mean and (biased) variance; parameters: weight and bias, ``(c,)`` or None.

    ``known`` has the inverse standard deviation as fourth row; ``steps`` the two sums as third and fourth.
    """

    eps: float = 1e-5

    def plain(self, x: Tensor, /, *parameters: Parameter) -> Tensor:
        """Return `torch.nn.functional.instance_norm`."""
        weight, bias = parameters
        return rightly_differentiated(F.instance_norm(x, weight=weight, bias=bias, eps=self.eps))

    def known(self, x: Tensor, /, *parameters: Parameter) -> Tensor:
        """Return mean, scale, shift, inverse standard deviation."""
        from i2i.kernels import compiled

        weight, bias = (None if p is None else p.contiguous() for p in parameters)
        return compiled.instance_known(x, weight, bias, self.eps)

    def steps(
        self, sums: Tensor, x: Tensor, known: Tensor, /, *parameters: Parameter
    ) -> tuple[Tensor, Sequence[Parameter]]:
        """Return the gradients of weight and bias, too."""
        from i2i.kernels import compiled

        steps, *gradients = compiled.instance_steps(sums, x, known, *parameters)
        return steps, gradients


class Normed(NamedTuple):
    """A normalised image.

    Attributes:
        image: ``(b, c, h + 2 pad, w + 2 pad)``.
        known: the table of the norm, without a gradient; None where torch's own operations did the work.
    """

    image: Tensor
    known: Tensor | None


class Gradients(NamedTuple):
    """Gradients of what went into a norm, None where they were not asked for; and the table of steps."""

    x: Tensor | None
    residual: Tensor | None
    parameters: Sequence[Parameter]
    steps: Tensor


def instance_norm(
    x: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    residual: Tensor | None = None,
    negative_slope: float = 1.0,
    pad: int = 0,
    eps: float = 1e-5,
) -> Tensor:
    """Instance norm, a sum, an activation and a reflected border.

    On a CUDA device, where `usable` says so, all of it takes two passes over ``x``; elsewhere the operations of torch
    are called one after the other. Gradients are the same, and can be differentiated again.

    Args:
        x: ``(b, c, h, w)``, more than one pixel.
        weight: ``(c,)``; None: 1.
        bias: ``(c,)``; None: 0.
        residual: as ``x``, added before the activation; may be a cut-out of a larger image.
        negative_slope: of the activation: 1 for none, 0 for a ReLU, between them for a leaky ReLU.
        pad: pixels by which the result is continued by reflection on all four sides.
        eps: added to the variance.

    Returns:
        ``(b, c, h + 2 pad, w + 2 pad)``, in the type of ``x``; sums are in float32 for half precision.

    Raises:
        DataError: a single pixel, or a border that is not narrower than the image.
        CompositionError: a weight or bias of another size.

    Example:
        >>> x = torch.tensor([1.0, 2.0, 3.0, 6.0]).view(1, 1, 2, 2)
        >>> instance_norm(x, negative_slope=0, pad=1)[0, 0, 2]
        tensor([1.6036, 0.0000, 1.6036, 0.0000])

    References:
        Ulyanov et al., Instance Normalization: The Missing Ingredient for Fast Stylization, 2016.
    """
    for name, p in (("weight", weight), ("bias", bias)):
        if p is not None and p.shape != x.shape[1:2]:
            raise CompositionError(f"{name} of shape {tuple(p.shape)} for {x.shape[1]} channels")
    return fused(InstanceNorm(eps), x, weight, bias, epilogue=Epilogue(residual, negative_slope, pad)).image


def fused(norm: Norm, x: Tensor, *parameters: Parameter, epilogue: Epilogue = NOTHING) -> Normed:
    """Normalise ``x (b, c, h, w)``, and do what follows, in as few passes as the device allows.

    Raises:
        DataError: a single pixel, or a border that is not narrower than the image.
    """
    height, width = x.shape[-2:]
    if height * width < 2:
        raise DataError(f"features of shape {tuple(x.shape)}: one pixel has no variance; take larger images")
    if not 0 <= epilogue.pad < min(height, width):
        raise DataError(f"a border of {epilogue.pad} by reflection needs more than {width} x {height} pixels")
    residual = epilogue.residual
    if usable(x, epilogue.pad) and (residual is None or (residual.shape, residual.dtype) == (x.shape, x.dtype)):
        if residual is not None and residual.stride(1) != 1:
            residual = residual.contiguous(memory_format=torch.channels_last)
        return Normed(*_Fused.apply(norm, epilogue.negative_slope, epilogue.pad, x, residual, *parameters))
    return Normed(plain(norm, x, *parameters, epilogue=epilogue), None)


def rightly_differentiated(normed: Tensor) -> Tensor:
    """Return what torch's instance norm made, so that its gradient is right in every layout.

    Up to torch 2.14, at least on the CPU, the gradient for a single image is wrong, silently, where the gradient that
    comes back is channels-last: the norm is that of a batch of one with another stride.

    Args:
        normed: ``(b, c, h, w)``, as it was returned.
    """
    if normed.requires_grad and len(normed) == 1 and not torch.compiler.is_compiling():  # which has its own gradient
        normed.register_hook(_contiguous)  # type: ignore[no-untyped-call]
    return normed


def _contiguous(gradient: Tensor | None) -> Tensor | None:
    return None if gradient is None else gradient.contiguous()


def plain(norm: Norm, x: Tensor, *parameters: Parameter, epilogue: Epilogue = NOTHING) -> Tensor:
    """Do by torch's own operations what `fused` does."""
    return epilogue.plain(norm.plain(x, *parameters))


def gradients(
    norm: Norm, gradient: Tensor, x: Tensor, known: Tensor, *parameters: Parameter, epilogue: Epilogue,
    wants_x: bool = True, wants_residual: bool = False,
) -> Gradients:  # fmt: skip
    """Return what `fused` passes back; for images that `usable` takes. It has no gradient of its own.

    Args:
        norm: as of `fused`.
        gradient: of its image.
        x: likewise.
        known: what it returned.
        *parameters: likewise.
        epilogue: likewise; its residual is needed only where there is an activation.
        wants_x: whether the gradient of ``x`` is wanted.
        wants_residual: whether that of the residual is wanted.
    """
    from i2i.kernels import compiled

    with on_device_of(x):
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        sums = compiled.gradient_parts(gradient, x, known, epilogue)
        steps, of_parameters = norm.steps(sums, x, known, *parameters)
        passed = wants_residual and epilogue.negative_slope == 1 and not epilogue.pad
        written = wants_residual and not passed
        of_x = of_residual = None
        if wants_x or written:
            of_x, of_residual = compiled.input_gradients(
                gradient, x, known, steps if wants_x else None, epilogue, residual=written
            )
    return Gradients(of_x, gradient if passed else of_residual, of_parameters, steps)


class _Fused(torch.autograd.Function):
    """`fused` by kernels. Of the image ``x`` is kept, and the residual where there is an activation."""

    @staticmethod
    def forward(
        ctx: Any, norm: Norm, slope: float, pad: int, x: Tensor, residual: Tensor | None, *parameters: Parameter
    ) -> tuple[Tensor, Tensor]:
        """Return the image and the table of the norm."""
        from i2i.kernels import compiled

        with on_device_of(x):
            known = norm.known(x, *parameters)
            image = compiled.apply(x, known, Epilogue(residual, slope, pad))
        ctx.norm, ctx.slope, ctx.pad = norm, slope, pad
        ctx.save_for_backward(x, known, None if slope == 1 else residual, *parameters)
        ctx.mark_non_differentiable(known)
        return image, known

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Any) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, residual and parameters."""
        x, known, residual, *parameters = ctx.saved_tensors
        wants = ctx.needs_input_grad[3:]
        epilogue = Epilogue(residual, ctx.slope, ctx.pad)
        if torch.is_grad_enabled():  # they will be differentiated
            return None, None, None, *_differentiable(ctx.norm, gradient, x, parameters, epilogue, wants)
        found = gradients(
            ctx.norm, gradient, x, known, *parameters, epilogue=epilogue, wants_x=wants[0], wants_residual=wants[1]
        )
        return None, None, None, found.x, found.residual, *found.parameters


def _differentiable(
    norm: Norm, gradient: Tensor, x: Tensor, parameters: Sequence[Parameter], epilogue: Epilogue, wants: Sequence[bool]
) -> list[Tensor | None]:
    """Return the gradients of x, residual and parameters with a graph, from torch's own operations."""
    residual = epilogue.residual
    if residual is None and wants[1]:  # its gradient does not depend on it
        residual = x.new_zeros(()).expand_as(x).requires_grad_()
    # Aliases, so that the gradients of two inputs stay apart where they are the same tensor.
    own = x.view_as(x)
    residual, *parameters = (None if each is None else each.view_as(each) for each in (residual, *parameters))
    made = plain(norm, own, *parameters, epilogue=epilogue._replace(residual=residual))
    given = zip((own, residual, *parameters), wants, strict=True)
    inputs = [each for each, wanted in given if wanted and each is not None]
    found = iter(torch.autograd.grad(made, inputs, gradient, create_graph=True, allow_unused=True))
    return [next(found) if wanted else None for wanted in wants]
