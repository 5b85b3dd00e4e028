"""``@part``: a factory whose modules remember how they were built."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, ParamSpec, TypeVar

from torch import nn

P = ParamSpec("P")
R = TypeVar("R")


class Spec(NamedTuple):
    """How a module was built.

    Attributes:
        factory: ``"package.module:function"``; the registry knows its registered name.
        arguments: all arguments, defaults included: numbers, strings, booleans, None, tuples of these, other parts.
    """

    factory: str
    arguments: Mapping[str, Any]


class Example(NamedTuple):
    """The smallest valid use of a part: for contract tests and benchmarks.

    Attributes:
        arguments: for the factory.
        inputs: shapes of the tensors that it (or the module it returns) is called with, such as
            ``((1, 3, 16, 16),)``.
    """

    arguments: Mapping[str, Any]
    inputs: tuple[tuple[int, ...], ...]


def part(*, example: Example) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Mark a factory as a part.

    A module that it returns carries ``module.spec``, so that `i2i.save` can write down how to build it again.

    Args:
        example: the smallest valid build and input.
    """

    def mark(factory: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(factory)

        @functools.wraps(factory)
        def build(*args: P.args, **kwargs: P.kwargs) -> R:
            result = factory(*args, **kwargs)
            if isinstance(result, nn.Module):
                bound = signature.bind(*args, **kwargs)
                bound.apply_defaults()
                result.spec = Spec(f"{factory.__module__}:{factory.__qualname__}", dict(bound.arguments))  # type: ignore[assignment]
            return result

        build.example = example  # type: ignore[attr-defined]
        return build

    return mark
