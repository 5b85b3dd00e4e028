"""Generator moves that share a gradient, as old code did: from stale activations, or one gradient for all moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.func import functional_call

from i2i.losses import wgan
from i2i_singan.norm import SampleNorm


class Kept:
    """The generator's loss where its later moves on a batch do not see what the earlier ones changed.

    ``"stale"``: the fake and what the discriminator says of it stay those of the first move, and the gradient runs back
    through the first move's activations but the newest weights. That is what the authors' code did on PyTorch up to
    1.4, with which the published results were made; later versions refuse it. The reconstruction is made anew.
    ``"single"``: every move follows the gradients of the first one (Hinz et al., Improved Techniques for Training
    Single-Image GANs, in their code).

    Args:
        kind: which of the two.
        loss: ``loss(nets, batch, draws) -> {"adv": ..., "reconstruction": ...}``.
    """

    def __init__(self, kind: Literal["stale", "single"], loss: Callable[..., Mapping[str, Tensor]]) -> None:
        self._kind, self._loss = kind, loss
        self._of: Any = None
        self._kept: Any = None

    def __call__(self, nets: Any, batch: Any, draws: Any) -> dict[str, Tensor]:
        if self._of is not draws:
            self._of = draws
            self._kept = self._begin(nets, batch, draws)
        return self._stale(nets, batch, draws) if self._kind == "stale" else self._single(nets)

    def _begin(self, nets: Any, batch: Any, draws: Any) -> Any:
        if self._kind == "single":
            terms = self._loss(nets, batch, draws)
            own = _parameters(nets)
            gradients = {
                name: torch.autograd.grad(term, own, retain_graph=True, allow_unused=True)
                for name, term in terms.items()
            }
            return {name: term.detach() for name, term in terms.items()}, gradients
        half = len(draws.pair) // 2
        # The fake has been made, and the running statistics moved by it, in the discriminator's last move.
        buffers = {name: buffer.clone() for name, buffer in nets.G.net.named_buffers()}
        with _unfused(nets.G.net), saved_tensors_hooks(lambda t: t, lambda t: t):  # weights are read as they are then
            fake = functional_call(nets.G.net, buffers, (draws.pair[:half], draws.pair_priors[:half])).image
        judged = wgan.generator(nets.D(fake))
        (towards_fake,) = torch.autograd.grad(judged, fake)
        return fake, towards_fake, judged.detach()

    def _stale(self, nets: Any, batch: Any, draws: Any) -> dict[str, Tensor]:
        fake, towards_fake, judged = self._kept
        own = _parameters(nets)
        gradients = torch.autograd.grad(fake, own, towards_fake, retain_graph=True)
        half = len(draws.pair) // 2
        back = nets.G.net(draws.pair[half:], draws.pair_priors[half:]).image
        return {
            "adv": _with_gradients(judged, own, gradients),
            "reconstruction": nn.functional.mse_loss(back, batch.image),
        }

    def _single(self, nets: Any) -> dict[str, Tensor]:
        values, gradients = self._kept
        own = _parameters(nets)
        return {name: _with_gradients(value, own, gradients[name]) for name, value in values.items()}


@contextmanager
def _unfused(net: nn.Module) -> Iterator[None]:
    """Keep kernels out of the norms."""
    norms = [module for module in net.modules() if isinstance(module, SampleNorm)]
    for norm in norms:
        norm.fuses = False
    try:
        yield
    finally:
        for norm in norms:
            norm.fuses = True


def _parameters(nets: Any) -> list[nn.Parameter]:
    return list(nets.G.parameters())


class _Given(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, *tensors: Tensor) -> Tensor:
        """Return ``value``; ``tensors`` are parameters, then as many gradients."""
        ctx.save_for_backward(*tensors[len(tensors) // 2 :])
        return value.clone()

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:
        """Return the given gradients."""
        given = torch._foreach_mul(ctx.saved_tensors, outer)
        return (None, *given, *[None] * len(given))


def _with_gradients(value: Tensor, parameters: list[nn.Parameter], gradients: Any) -> Tensor:
    """Return ``value`` as something whose gradients with respect to ``parameters`` are given."""
    pairs = [(p, g) for p, g in zip(parameters, gradients, strict=True) if g is not None]
    result: Tensor = _Given.apply(value, *(p for p, _ in pairs), *(g for _, g in pairs))
    return result
