"""What parts return and what batches are: NamedTuples of tensors.

NamedTuples, because pytrees and compilers see into them and type checkers know their fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from torch import Tensor

from i2i.errors import NotOfferedError
from i2i.hookspecs import Kind

_NOTHING: Mapping[str, Tensor] = MappingProxyType({})
_NO_MAPS: Mapping[str, tuple[Tensor, ...]] = MappingProxyType({})


class Translation(NamedTuple):
    """What a generator returns.

    Attributes:
        image: ``(b, c, h, w)``, nominally in ``[-1, 1]``, not clamped: readers and writers clamp.
        extras: further tensors by name, for example CAM logits.
    """

    image: Tensor
    extras: Mapping[str, Tensor] = _NOTHING


class Verdict(NamedTuple):
    """What a discriminator returns.

    Attributes:
        logits: one unsquashed map ``(b, 1, h, w)`` per scale.
        features: per scale, per layer ``(b, c, h, w)``; may be ``()``.
        extras: further maps by name, each a tuple over scales, for example CAM logits.
    """

    logits: tuple[Tensor, ...]
    features: tuple[tuple[Tensor, ...], ...] = ()
    extras: Mapping[str, tuple[Tensor, ...]] = _NO_MAPS


class Single(NamedTuple):
    """A batch of one domain: ``image (b, c, h, w)`` in ``[-1, 1]``."""

    image: Tensor


class Pair(NamedTuple):
    """A batch of two domains, paired or unpaired alike: ``a`` and ``b``, each ``(b, c, h, w)`` in ``[-1, 1]``."""

    a: Tensor
    b: Tensor


class Labelled(NamedTuple):
    """Class ids ``labels (b, 1, h, w)`` (integers) and the ``image (b, c, h, w)`` they describe."""

    labels: Tensor
    image: Tensor


class Instanced(NamedTuple):
    """Class ids, instance ids (both ``(b, 1, h, w)``, integers) and the ``image (b, c, h, w)`` they describe."""

    labels: Tensor
    instances: Tensor
    image: Tensor


def needs(value: Translation | Verdict, name: str) -> object:
    """Return field or extra ``name`` of ``value``, or say which part would offer it.

    Args:
        value: what a generator or discriminator returned.
        name: ``"features"``, or a key of ``extras``.

    Raises:
        NotOfferedError: ``value`` does not hold it; the message lists what it holds, and the installed parts that
            offer it.

    Example:
        >>> import torch
        >>> needs(Verdict(logits=(torch.zeros(1, 1, 2, 2),)), "depth")
        Traceback (most recent call last):
        ...
        i2i.errors.NotOfferedError: this Verdict has no depth (it has logits), and no installed discriminator offers it
    """
    found = value.extras[name] if name in value.extras else getattr(value, name, ()) if name in value._fields else ()
    if isinstance(found, tuple) and not found:
        raise _missing(value, name)
    return found


def _missing(value: Translation | Verdict, name: str) -> NotOfferedError:
    from i2i.offers import held, offering  # only where something is wrong: it runs every part

    kind: Kind = "discriminator" if isinstance(value, Verdict) else "generator"
    offered = offering(kind, name)
    told = f"; these offer it: {', '.join(offered)}" if offered else f", and no installed {kind} offers it"
    return NotOfferedError(f"this {type(value).__name__} has no {name} (it has {', '.join(held(value))}){told}")
