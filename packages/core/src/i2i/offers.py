"""Which registered parts offer a value that is asked for: found by running each at its example, for messages."""

from __future__ import annotations

import copy
import functools

import torch

from i2i.entries import Part
from i2i.hookspecs import Kind
from i2i.registry import registry
from i2i.values import Translation, Verdict


def held(value: Translation | Verdict) -> list[str]:
    """Return the names of the fields and extras that ``value`` holds.

    Example:
        >>> held(Verdict((torch.zeros(1, 1, 2, 2),), extras={"cam_logits": (torch.zeros(1, 2),)}))
        ['logits', 'cam_logits']
    """
    return [name for name in value._fields if name != "extras" and getattr(value, name) != ()] + sorted(value.extras)


@functools.cache
def offers(part: Part) -> tuple[str, ...]:
    """Return what the values of a generator or discriminator hold: ``("logits", "features", "cam_logits")``.

    Nothing for parts of other kinds, and for those that do not run at their own example.
    """
    try:
        factory = part.load()
        with torch.random.fork_rng(devices=[]), torch.device("cpu"), torch.no_grad():
            example = factory.example  # type: ignore[attr-defined]
            # A copy: nets among the arguments would keep what a pass changes in their buffers.
            value = factory(**copy.deepcopy(example.arguments))(*map(torch.zeros, example.inputs))
    except Exception:  # it is code of a plugin, and this is only a hint
        return ()
    return tuple(held(value)) if isinstance(value, Translation | Verdict) else ()


def offering(kind: Kind, name: str) -> list[str]:
    """Return the names of the registered parts of a kind whose values hold ``name``.

    Example:
        >>> "core/hinge" in offering("criterion", "features")
        False
    """
    return [part.name for part in registry().tables.parts.all() if part.kind == kind and name in offers(part)]
