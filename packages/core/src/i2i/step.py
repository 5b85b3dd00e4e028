"""The one idea: a `Step`, and `player`, its only leaf.

The wiring is functional, the weights are not: ``update`` changes parameters in place, as torch does; everything else
is returned.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import compress
from typing import Any, Concatenate, Generic, NamedTuple, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from i2i.errors import CompositionError
from i2i.guard import guard_for
from i2i.optimizers import Optimizing
from i2i.policy import Dial, Policy, Turn
from i2i.protocols import Schedule
from i2i.readings import Readings, weighted_sum
from i2i.tree import leaves, tree_map

N = TypeVar("N")
B = TypeVar("B")
State: TypeAlias = Any
Saved: TypeAlias = Any
Metrics: TypeAlias = Mapping[str, Tensor]


class Step(NamedTuple, Generic[N, B]):
    """What is done with a batch; combinators take Steps and return a Step.

    Attributes:
        trains: what it moves; combinators join those of their parts.
        init: the State, new (``saved=None``) or as saved.
        update: one move; returns the State and the metrics ``<player>/<term>`` (unweighted) and ``<player>/total``.
        nets: the nets as they stand; only ``staged`` answers something new.
        length: batches it wants, where it knows.
    """

    trains: Callable[[N], Sequence[nn.Module]]
    init: Callable[[N, Policy, Saved | None], State]
    update: Callable[[N, State, B, Turn], tuple[State, Metrics]]
    nets: Callable[[N, State], N]
    length: int | None = None


def player(
    trains: Callable[[N], Any],
    loss: Callable[Concatenate[N, B, ...], Mapping[str, Tensor]],
    optimizer: Callable[..., torch.optim.Optimizer],
    *,
    weights: Mapping[str, float | Schedule],
    lr: float | Schedule,
    after: Callable[[N], None] | None = None,
) -> Step[N, B]:
    """Move some nets down the gradient of a loss; every other net is frozen meanwhile.

    The only place that calls ``backward`` or touches an optimiser.

    Args:
        trains: selects what moves: ``lambda n: (n.G, n.F)``, or a part of a net: ``lambda n: n.G.enhancer``.
        loss: ``loss(nets, batch) -> {"name": scalar}``; inside an ``alternate`` that shares,
            ``loss(nets, batch, shared)``.
        optimizer: ``optimizer(parameters, lr=...)``, for example
            ``functools.partial(torch.optim.Adam, betas=(0.5, 0.999))``.
        weights: a number or `Schedule` for each name that the loss returns; summed in float32 (float64 for nets in
            float64).
        lr: learning rate, a number or a `Schedule`.
        after: called with the nets after each optimiser step, under ``no_grad``; changes weights in place only.

    Raises:
        CompositionError: at the first update at the latest, before anything has moved: names that do not match, a
            selector that finds nothing, a loss with the wrong number of arguments, a term that is no scalar.

    Example:
        >>> from i2i.net import nets
        >>> def loss(n, x):
        ...     return {"size": n.G(x).square().mean()}
        >>> step = player(lambda n: n.G, loss, torch.optim.SGD, weights={"size": 1}, lr=0.1)
        >>> n = nets(G=nn.Linear(1, 1))
        >>> state = step.init(n, Policy(), None)
        >>> state, metrics = step.update(n, state, torch.ones(1, 1), Turn(Policy(), now=0))
        >>> sorted(metrics)
        ['size', 'total']
    """
    arguments = _positional_arguments(loss)

    def select(nets: N) -> tuple[nn.Module, ...]:
        return _select(trains, nets)

    def init(nets: N, policy: Policy, saved: Saved | None) -> Moving:
        moving = Moving(nets, select(nets), optimizer, weights, lr, policy)
        if saved is not None:
            moving.load_state_dict(saved)
        return moving

    def update(nets: N, state: Moving, batch: Any, turn: Turn) -> tuple[Moving, Metrics]:
        if not state.checked:
            _check_arguments(arguments, shares=turn.shared is not None)
        state.begin(turn)
        parts = split(batch, turn.policy.accumulate)
        each: list[list[Tensor]] = []
        for index, part in enumerate(parts):
            given, cut = _given(turn.shared, index)
            with turn.policy.autocast(state.device), frozen(state.others):
                terms = loss(nets, part, *given)
            if not state.checked:
                _check_terms(terms, state.names)
            each.append(state.descend(terms, len(parts), cut))
        values = each[0] if len(each) == 1 else [torch.stack(term).mean() for term in zip(*each, strict=True)]
        state.finish(values)
        if after is not None:
            with torch.no_grad():
                after(nets)
        state.checked = True
        return state, state.metrics(values, recorded=turn.recording is not None)

    return Step(select, init, update, lambda nets, state: nets)


def begin_inner(name: str, step: Step[N, B], nets: N, policy: Policy, saved: Saved | None) -> State:
    """Return the State of a step that the combinator ``name`` holds.

    Raises:
        CompositionError: the step is ``staged``, which grows its own nets.
    """
    state = step.init(nets, policy, saved)
    if step.nets(nets, state) is not nets:
        raise CompositionError(
            f"{name} holds a staged step, which must be the outermost; combine within grow() instead"
        )
    return state


class Cut(NamedTuple):
    """Where the graph of a shared value that others have judged is cut.

    Attributes:
        made: tensors with the graph of their making; () for those who only judge.
        ends: the same tensors as the losses see them, without it; their gradient goes on into ``made``.
    """

    made: tuple[Tensor, ...]
    ends: tuple[Tensor, ...]


def _given(shared: Any, index: int) -> tuple[tuple[Any, ...], Cut | None]:
    """Return the third argument of the loss, if there is one, and where its graph is cut."""
    if shared is None:
        return (), None
    if not hasattr(shared, "look"):  # a tuple, of `replayed`
        return (shared[index],), None
    value, cut = shared.look(index)
    return (value,), cut


class Moving:
    """The State of a player: optimiser, dials, guard, and cached lists of what it trains and freezes."""

    def __init__(
        self,
        nets: Any,
        own: Sequence[nn.Module],
        optimizer: Callable[..., torch.optim.Optimizer],
        weights: Mapping[str, float | Schedule],
        lr: float | Schedule,
        policy: Policy,
    ) -> None:
        self.own = trainable(own)
        if not self.own:
            raise CompositionError("the selector finds no trainable parameter; is the net frozen?")
        mine = {id(parameter) for parameter in self.own}
        if not mine <= {id(p) for p in trainable(modules_of(nets))}:
            raise CompositionError("the selector finds a net that is not among the nets and would not be saved; add it")
        self.others = [p for p in trainable(modules_of(nets)) if id(p) not in mine]
        first = self.own[0]
        self.device = first.device
        self.names = tuple(weights)
        dtype = torch.promote_types(first.dtype, torch.float32)
        self.weights = Dial(tuple(weights.values()), dtype, first.device)
        self.optimizing = Optimizing(optimizer, self.own, lr, policy)
        self.guard = guard_for(self.names, first.device, policy)
        self.checked = False

    def begin(self, turn: Turn) -> None:
        turn.host(self.dial)
        for parameter in self.own:
            parameter.grad = None

    def dial(self, now: int) -> None:
        """Fill in what changes from batch to batch."""
        self.weights.turn(now)
        self.optimizing.turn(now)
        if self.guard is not None:
            self.guard.begin(now)

    def descend(self, terms: Mapping[str, Tensor], count: int, cut: Cut | None) -> list[Tensor]:
        """Backward through the weighted sum; returns the unweighted terms, detached.

        The weights enter as the gradients of the terms, which is the same and needs no sum in the graph.
        """
        dtype = self.weights.tensor.dtype
        roots = [term if term.dtype == dtype else term.to(dtype) for term in map(terms.__getitem__, self.names)]
        with_gradient = [term.requires_grad for term in roots]
        gradients = self.optimizing.scaled(self.weights, count)
        if all(with_gradient):
            self._backward(roots, gradients, cut)
        elif any(with_gradient):
            self._backward(list(compress(roots, with_gradient)), list(compress(gradients, with_gradient)), cut)
        return [root.detach() for root in roots]

    def _backward(self, roots: Sequence[Tensor], gradients: Sequence[Tensor], cut: Cut | None) -> None:
        if cut is None:
            torch.autograd.backward(roots, gradients)
            return
        # Only towards what this player trains: the graph of the judgement belongs to others as well.
        torch.autograd.backward(roots, gradients, retain_graph=bool(cut.made), inputs=[*cut.ends, *self.own])
        reached = [(made, end.grad) for made, end in zip(cut.made, cut.ends, strict=True) if end.grad is not None]
        if reached:
            torch.autograd.backward([made for made, _ in reached], [gradient for _, gradient in reached])

    def finish(self, values: Sequence[Tensor]) -> None:
        if self.guard is not None:
            self.guard.note(values, self.own)
        self.optimizing.step()

    def metrics(self, values: list[Tensor], *, recorded: bool) -> Metrics:
        # The numbers of this batch, however late they are read; a graph gives the same metrics again, for another one.
        weights = self.weights.tensor if recorded else self.weights.values
        found: dict[str, Tensor | Callable[[], Tensor]] = dict(zip(self.names, values, strict=True))
        found["total"] = partial(weighted_sum, values, weights)
        return Readings(found)

    def non_finite(self) -> Mapping[str, int]:
        return {} if self.guard is None else self.guard.read()

    def state_dict(self) -> dict[str, Any]:
        guard = None if self.guard is None else self.guard.state_dict()
        return {"optimizing": self.optimizing.state_dict(), "guard": guard}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        self.optimizing.load_state_dict(saved["optimizing"])
        if self.guard is not None and saved["guard"] is not None:
            self.guard.load_state_dict(saved["guard"])


def modules_of(nets: Any) -> list[nn.Module]:
    """Return the modules among the leaves of ``nets``."""
    return [leaf for leaf in leaves(nets) if isinstance(leaf, nn.Module)]


def trainable(modules: Sequence[nn.Module]) -> list[nn.Parameter]:
    """Return the parameters of ``modules`` that require a gradient, each once."""
    found = {id(p): p for module in modules for p in module.parameters() if p.requires_grad}
    return list(found.values())


class frozen:  # noqa: N801 - reads as a word in a with statement
    """For as long as the context lasts, ``parameters`` require no gradient; only what is computed in it matters."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self._parameters = parameters

    def __enter__(self) -> None:
        for parameter in self._parameters:
            parameter.requires_grad = False

    def __exit__(self, *_: object) -> None:
        for parameter in self._parameters:
            parameter.requires_grad = True


def split(batch: Any, count: int) -> tuple[Any, ...]:
    """Cut ``batch`` along its leading dimension into ``count`` equal micro-batches.

    Raises:
        CompositionError: the batch size is no multiple of ``count``.

    Example:
        >>> split((torch.arange(4),), 2)
        ((tensor([0, 1]),), (tensor([2, 3]),))
    """
    if count == 1:
        return (batch,)
    sizes = {len(leaf) for leaf in leaves(batch) if isinstance(leaf, Tensor)}
    size = next(iter(sizes), 0)
    if len(sizes) != 1 or size % count:
        raise CompositionError(
            f"a batch of {size} cannot be cut into accumulate (={count}) equal micro-batches; "
            f"use a batch size that is a multiple of {count}"
        )
    width = size // count

    def slicer(start: int) -> Callable[[Any], Any]:
        return lambda leaf: leaf[start : start + width] if isinstance(leaf, Tensor) else leaf

    return tuple(tree_map(slicer(start), batch) for start in range(0, size, width))


def check_trained(step: Step[N, Any], nets: N) -> None:
    """Refuse nets that no player trains and that are not frozen on purpose.

    Raises:
        CompositionError: names the net.
    """
    trained = {id(p) for p in trainable(step.trains(nets))}
    names = getattr(nets, "_fields", None) or range(len(modules_of(nets)))
    for name, net in zip(names, nets if isinstance(nets, tuple) else modules_of(nets), strict=False):
        left = [p for p in trainable(modules_of((net,))) if id(p) not in trained]
        if left:
            raise CompositionError(
                f"net {name}: no player trains {len(left)} of its tensors; select it in a player, or freeze it on "
                "purpose with .requires_grad_(False)"
            )


def _select(trains: Callable[[N], Any], nets: N) -> tuple[nn.Module, ...]:
    try:
        found = trains(nets)
    except AttributeError as error:
        held = ", ".join(getattr(nets, "_fields", ()))
        raise CompositionError(f"the selector finds nothing: {error} (the nets are {held})") from error
    modules = tuple(found) if isinstance(found, tuple | list) else (found,)
    if not modules:
        raise CompositionError("the selector finds nothing; return nets: lambda n: n.G, or lambda n: (n.G, n.F)")
    for module in modules:
        if not isinstance(module, nn.Module):
            raise CompositionError(f"the selector finds a {type(module).__name__}, not a net (nn.Module)")
    return modules


def _positional_arguments(function: Callable[..., Any]) -> tuple[int, float]:
    """Return the least and the largest number of positional arguments that ``function`` takes."""
    least, most = 0, 0.0
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            most = float("inf")
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            most += 1
            least += parameter.default is parameter.empty
    return least, most


def _check_arguments(arguments: tuple[int, float], *, shares: bool) -> None:
    wanted = 3 if shares else 2
    least, most = arguments
    if least <= wanted <= most:
        return
    takes = f"{least}" if least == most else f"{least} to {most:.0f}"
    form = "loss(nets, batch, shared), since the alternate around it shares" if shares else "loss(nets, batch)"
    raise CompositionError(f"the loss takes {takes} arguments; here it must be {form}")


def _check_terms(terms: object, names: Sequence[str]) -> None:
    if not isinstance(terms, Mapping):
        raise CompositionError(f'the loss returns a {type(terms).__name__}; it must return {{"name": scalar}}')
    if set(terms) != set(names):
        missing, extra = sorted(set(names) - set(terms)), sorted(set(terms) - set(names))
        told = [f"no term for weight {', '.join(missing)}"] * bool(missing)
        told += [f"no weight for term {', '.join(extra)}"] * bool(extra)
        raise CompositionError(
            f"{' and '.join(told)}: the loss returns {', '.join(sorted(terms))}; weights are {', '.join(sorted(names))}"
        )
    if not terms:
        raise CompositionError('the loss returns no term; it must return {"name": scalar}')
    for name, term in terms.items():
        if not isinstance(term, Tensor):
            raise CompositionError(f"term {name} is a {type(term).__name__}, not a tensor")
        if term.ndim:
            raise CompositionError(f"term {name} has shape {tuple(term.shape)}, it must be a scalar; take its mean()")
    if not any(term.requires_grad for term in terms.values()):
        raise CompositionError(
            f"no term ({', '.join(terms)}) depends on what this player trains; is a value detached, or is another net "
            "meant?"
        )
