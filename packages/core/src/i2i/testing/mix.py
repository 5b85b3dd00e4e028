"""One combination of the matrix: its nets, its step and a batch, wired by the names of the term's parameters."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2i.combine import alternate
from i2i.entries import Part
from i2i.errors import CompositionError, NotOfferedError
from i2i.net import nets as named_nets
from i2i.parts import Example
from i2i.step import player
from i2i.terms import VALUES
from i2i.testing.contract import example_of
from i2i.values import Pair, Translation

_BATCH = 2


class Combination(NamedTuple):
    """Parts that are to be trained together."""

    generator: Part
    discriminator: Part
    criterion: Part
    term: Part

    def __str__(self) -> str:
        return " x ".join(part.name for part in self)


class Always:
    """One batch, again and again; there is no position to save."""

    def __init__(self, batch: Pair) -> None:
        self._batch = batch

    def __iter__(self) -> Iterator[Pair]:
        yield self._batch

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass


class Mix:
    """Nets, step and a batch of one combination.

    Attributes:
        source: what the generator reads.
    """

    def __init__(self, combination: Combination) -> None:
        self._generator, self._discriminator, criterion, self._term = (part.load() for part in combination)
        self._criterion: Any = criterion
        self._asked = asked_of(self._term)
        self._border = 0
        self.source, made = self._sizes(combination)
        self._judged = _reading(combination.discriminator, self._discriminator, made.shape[1])
        self._check_judged(combination, made)
        self.batch = Pair(F.pad(self.source, (-self._border,) * 4), torch.rand_like(made) * 2 - 1)
        self.step = self._step()

    def _sizes(self, combination: Combination) -> tuple[Tensor, Tensor]:
        """Return an image as large as the discriminator needs, and what the generator makes of it."""
        (shape, *_), (wanted, *_) = example_of(self._generator).inputs, example_of(self._discriminator).inputs
        net = self._made()
        try:
            made = self._try(net, shape)
        except Exception:  # whatever a net says of a condition that it misses
            _check_only_input(combination.generator, self._generator)
            raise
        if made.shape[1:] == shape[1:] and getattr(net, "size", None) is None:
            times = max(-(-least // size) for least, size in zip(wanted[2:], shape[2:], strict=True))
            shape = (*shape[:2], *(max(1, times) * size for size in shape[2:]))
            made = self._try(net, shape)
        borders = {before - after for before, after in zip(shape[2:], made.shape[2:], strict=False)}
        twice = borders.pop() if len(borders) == 1 else -1
        takes = getattr(net, "takes", None)
        alike = shape[1] == made.shape[1] and twice >= 0 and takes is None
        asked = [name for name in self._asked if name in ("same", "back")]
        if asked and not alike:
            raise NotOfferedError(
                f"{combination.term.name} asks for {' and '.join(asked)}: {combination.generator.name} makes images "
                f"{tuple(made.shape[1:])} of {takes or f'images {tuple(shape[1:])}'}, and does not read what it makes"
            )
        self._border = twice // 2 if alike else 0
        return torch.rand(_BATCH, *shape[1:]) * 2 - 1, made

    def _check_judged(self, combination: Combination, made: Tensor) -> None:
        """Refuse what the discriminator cannot judge, where its example has another size, or more than an image."""
        own, *more = example_of(self._discriminator).inputs
        if made.shape[2:] == own[2:] and not more:
            return
        try:
            with torch.no_grad():
                self._judged()(made)
        except Exception as error:  # whatever a net says of what it cannot judge
            _check_only_input(combination.discriminator, self._discriminator)
            sizes = ["x".join(map(str, shape[2:])) for shape in (made.shape, own)]
            raise NotOfferedError(
                f"{combination.generator.name} makes images of {sizes[0]}, and {combination.discriminator.name}, whose "
                f"example has {sizes[1]}, cannot judge them: {error}"
            ) from error

    def _made(self) -> nn.Module:
        # Arguments may be nets, which each combination trains.
        net: nn.Module = self._generator(**copy.deepcopy(example_of(self._generator).arguments))
        return net

    def _try(self, net: nn.Module, shape: tuple[int, ...]) -> Tensor:
        with torch.no_grad():
            image: Tensor = net(torch.rand(_BATCH, *shape[1:]) * 2 - 1).image
        return image

    def nets(self) -> Any:
        """Return newly made nets: G, D, and where a term asks for it F, which translates back."""
        translators = {"G": self._made()} | ({"F": self._made()} if "back" in self._asked else {})
        return named_nets(**translators, D=self._judged())

    def _translated(self, net: nn.Module, image: Tensor) -> Translation:
        """Translate; nets that take a border off their images are given one."""
        made: Translation = net(F.pad(image, (self._border,) * 4, mode="reflect") if self._border else image)
        return made

    def _step(self) -> Any:
        of_critic = "critic" in self._asked

        def share(n: Any, x: Pair) -> dict[str, Translation]:
            made = {"fake": self._translated(n.G, x.a)}
            if "same" in self._asked:
                made["same"] = self._translated(n.G, x.b)
            if "back" in self._asked:
                made["back"] = self._translated(n.F, made["fake"].image)
            return made

        def g_loss(n: Any, x: Pair, shared: Mapping[str, Translation]) -> dict[str, Tensor]:
            terms = {"adv": self._criterion.generator(n.D(shared["fake"].image))}
            return terms if of_critic else terms | {"term": self._value(n, x, shared)}

        def d_loss(n: Any, x: Pair, shared: Mapping[str, Translation]) -> dict[str, Tensor]:
            terms = {"adv": self._criterion.discriminator(n.D(x.b), n.D(shared["fake"].image))}
            return terms | {"term": self._value(n, x, shared)} if of_critic else terms

        adam = functools.partial(torch.optim.Adam, betas=(0.5, 0.999))
        weights = [{"adv": 1.0} | ({"term": 1.0} if has else {}) for has in (not of_critic, of_critic)]
        translators: Callable[[Any], Any] = lambda n: n[:-1]  # noqa: E731 - all but D
        return alternate(
            share=share,
            live="g",
            g=player(translators, g_loss, adam, weights=weights[0], lr=2e-4),
            d=player(lambda n: n.D, d_loss, adam, weights=weights[1], lr=2e-4),
        )

    def _value(self, n: Any, x: Pair, shared: Mapping[str, Translation]) -> Tensor:
        """Return the term, each parameter filled by its name."""
        values: dict[str, Callable[[], Any]] = {
            "source": lambda: x.a,
            "target": lambda: x.b,
            "judged_real": lambda: n.D(x.b),
            "judged_fake": lambda: n.D(shared["fake"].image),
            "critic": lambda: n.D,
        }
        given = {name: shared[name] if name in shared else values[name]() for name in self._asked}
        value: Tensor = self._term(**given, **example_of(self._term).arguments)
        return value


def asked_of(term: Callable[..., Tensor]) -> tuple[str, ...]:
    """Return what a term asks for: its parameters without a default that its example does not fill.

    Raises:
        CompositionError: it asks for something that has no name in `i2i.terms`.

    Example:
        >>> from i2i.terms import gradient_penalty
        >>> asked_of(gradient_penalty)
        ('critic', 'target', 'fake')
    """
    filled = example_of(term).arguments
    asked = [n for n, p in inspect.signature(term).parameters.items() if p.default is p.empty and n not in filled]
    for name in asked:
        if name not in VALUES:
            raise CompositionError(f"a term cannot ask for {name!r}; the names are {', '.join(VALUES)}")
    return tuple(asked)


def _check_only_input(part: Part, factory: Callable[..., Any]) -> None:
    """Refuse a part that does not run on an image alone, as its example does not.

    Raises:
        CompositionError: its example feeds it more.
    """
    if len(example_of(factory).inputs) > 1:
        raise NotOfferedError(f"{part.name} asks for a condition too, as its example has, and no part here offers one")


def _reading(part: Part, factory: Callable[..., Any], channels: int) -> Callable[[], nn.Module]:
    """Return what makes a discriminator of images with so many channels.

    Raises:
        CompositionError: it reads others.
    """
    example: Example = example_of(factory)
    arguments, own = dict(example.arguments), example.inputs[0][1]
    if own != channels:
        name = next((n for n in ("in_channels", "channels") if n in inspect.signature(factory).parameters), None)
        if name is None:
            raise NotOfferedError(f"{part.name} reads {own} channels, and the generator makes {channels}")
        arguments[name] = channels
    return lambda: factory(**copy.deepcopy(arguments))
