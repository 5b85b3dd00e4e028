"""Notes which term, or the gradient, was the first to become non-finite: on the device, or at once on the CPU."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from i2i.errors import NonFiniteError
from i2i.policy import Policy


class Guard:
    """Remembers the first bad batch of each term and of the gradient, without reading the device.

    A sum to which 0 x value is added stays 0 until the first value that is not finite, and is NaN ever after.

    Args:
        names: of the terms.
        device: where they are computed.
        gradients: whether gradients are watched (fp16 skips bad ones by itself).
    """

    def __init__(self, names: Sequence[str], device: torch.device, *, gradients: bool) -> None:
        self._names = (*names, "gradient")
        self._gradients = gradients
        # Float32, since the gradient check below writes its flag (0 or 1) into the last entry.
        self._poison = torch.zeros(len(self._names), dtype=torch.float32, device=device)
        self._terms, self._flag = self._poison[:-1], self._poison[-1:]
        self._first = torch.zeros(len(self._names), dtype=torch.int64, device=device)
        self._now = torch.zeros((), dtype=torch.int64, device=device)
        self._one = torch.ones((), dtype=torch.float32, device=device)

    def begin(self, now: int) -> None:
        """Say which batch comes: a dial, filled in place before the update."""
        self._now.fill_(now)

    def note(self, values: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> None:
        """Note the terms, n scalars, and the gradients of ``parameters``."""
        torch.where(self._poison == 0, self._now, self._first, out=self._first)
        self._terms.add_(torch.stack(tuple(values)), alpha=0)
        self._check(parameters, self._flag)

    def _check(self, parameters: Sequence[nn.Parameter], flag: Tensor) -> None:
        """Write 1 into ``flag`` if a watched gradient is not finite."""
        if self._gradients:
            gradients = [gradient for p in parameters if (gradient := p.grad) is not None]
            if gradients:
                # The check of torch.amp.GradScaler: one fused pass; with scale 1 it leaves the values as they are.
                torch._amp_foreach_non_finite_check_and_unscale_(gradients, flag, self._one)

    def read(self) -> Mapping[str, int]:
        """Read the device: the first bad batch by name, for what became non-finite."""
        poison, first = self._poison.tolist(), self._first.tolist()
        return {n: f for n, p, f in zip(self._names, poison, first, strict=True) if p != 0}

    def state_dict(self) -> dict[str, Any]:
        """Return what is to be saved."""
        return {"poison": self._poison, "first": self._first}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from what was saved."""
        self._poison.copy_(saved["poison"])
        self._first.copy_(saved["first"])


class PromptGuard(Guard):
    """The same where reading is no waiting, on the CPU: it looks at once, and notes only batches that are bad."""

    def __init__(self, names: Sequence[str], device: torch.device, *, gradients: bool) -> None:
        super().__init__(names, device, gradients=gradients)
        self._bad = torch.zeros(1, dtype=torch.float32, device=device)  # as of the flag above
        self._batch = 0

    def begin(self, now: int) -> None:
        """Say which batch comes."""
        self._batch = now

    def note(self, values: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> None:
        """Note the terms, n scalars, and the gradients of ``parameters``."""
        self._check(parameters, self._bad)
        if self._bad.item() or not all(map(math.isfinite, values)):
            super().begin(self._batch)
            super().note(values, parameters)


def guard_for(names: Sequence[str], device: torch.device, policy: Policy) -> Guard | None:
    """Return the guard of a player whose terms are ``names``; None where the policy wants none."""
    if not policy.guarded:
        return None
    prompt = device.type == "cpu" and not policy.graphed  # the host does nothing within a graph
    return (PromptGuard if prompt else Guard)(names, device, gradients=policy.precision != "fp16")


def non_finite(state: Any) -> dict[str, int]:
    """Read every guard in ``state``: the first bad batch by ``<player>/<term>``."""
    if hasattr(state, "non_finite"):
        return dict(state.non_finite())
    if isinstance(state, Mapping):
        return {f"{name}/{key}": batch for name, part in state.items() for key, batch in non_finite(part).items()}
    if isinstance(state, tuple | list):
        return {key: batch for part in state for key, batch in non_finite(part).items()}
    return {}


def check_finite(state: Any) -> None:
    """Read every guard in ``state``.

    Raises:
        NonFiniteError: names what became infinite or not a number first, and at which batch.
    """
    found = non_finite(state)
    if found:
        first = min(found.values())
        names = ", ".join(name for name, batch in found.items() if batch == first)
        raise NonFiniteError(
            f"{names} became infinite or not a number at batch {first}; nothing was saved since, earlier checkpoints "
            "are intact: go on from one with a smaller learning rate or with precision fp32"
        )
