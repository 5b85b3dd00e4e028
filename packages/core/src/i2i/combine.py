"""Combinators: they take Steps, return a Step, and say who moves when."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from i2i.errors import CompositionError, RunError
from i2i.policy import Policy, Turn
from i2i.step import B, Metrics, N, Saved, State, Step, begin_inner, frozen, modules_of, split, trainable
from i2i.tree import tree_map


def alternate(
    *, share: Callable[[N, B], Any] | None = None, live: str | None = None, **steps: Step[N, B]
) -> Step[N, B]:
    """Let the players move in turn on one batch.

    Args:
        share: ``share(nets, batch)`` makes what the players have in common, once per (micro-)batch; losses get it as
            third argument. It may run nets of the ``live`` player and frozen ones only.
        live: the player that gets the shared values with their graph; the others get them detached. Named exactly when
            ``share`` runs a net that a player trains. A live player that moves again (``repeat``) has them made again.
        **steps: the players by name, in the order in which they move.

    With ``Policy.accumulate`` above 1 and players before the live one, the graphs of all micro-batches are alive at
    once. A mistake that is found in one player at its first move undoes what the others moved before it.

    Raises:
        CompositionError: no player; ``live`` that names none, or the wrong one.

    Example:
        >>> from i2i.step import player
        >>> g = player(lambda n: n.G, lambda n, x: {}, torch.optim.SGD, weights={}, lr=0.1)
        >>> alternate(g=g, d=g).length is None
        True
    """
    if not steps:
        raise CompositionError("alternate() needs at least one player: alternate(g=player(...), d=player(...))")
    if live is not None and share is None:
        raise CompositionError(f"live={live!r} needs share=: there is nothing shared to be live")
    if live is not None and live not in steps:
        raise CompositionError(f"live={live!r} names no player; the players are {', '.join(steps)}")

    def trains(nets: N) -> tuple[nn.Module, ...]:
        return _unique(module for name, step in steps.items() for module in _named(name, step.trains, nets))

    def init(nets: N, policy: Policy, saved: Saved | None) -> State:
        past = _past(saved, steps)
        states = {n: _named(n, begin_inner, "alternate()", s, nets, policy, past[n]) for n, s in steps.items()}
        players = {name: step.trains(nets) for name, step in steps.items()}
        return _Sharing(nets, players, live, new=saved is None), states

    def update(nets: N, state: State, batch: B, turn: Turn) -> tuple[State, Metrics]:
        sharing = state[0]
        if sharing.moved:
            return move(nets, state, batch, turn)
        with _undone_if_mistaken(nets):
            result = move(nets, state, batch, turn)
        sharing.moved = True
        return result

    def move(nets: N, state: State, batch: B, turn: Turn) -> tuple[State, Metrics]:
        sharing, states = state
        common = None
        if share is not None:
            parts = split(batch, turn.policy.accumulate)
            common = _Common(lambda part: share(nets, part), parts, sharing, turn.policy)
            if sharing.new and not sharing.checked:
                common.see(0)  # so that a mistake in share is found, and told, before any player moves
        metrics: dict[str, Tensor] = {}
        for name, step in steps.items():
            shared = turn.shared if common is None else _View(common, live=name == live)
            states[name], own = _named(name, step.update, nets, states[name], batch, turn._replace(shared=shared))
            metrics.update({f"{name}/{key}": value for key, value in own.items()})
        return state, metrics

    return Step(trains, init, update, lambda nets, state: nets, _common_length(steps))


def repeat(n: int, step: Step[N, B], *, part: Callable[[Any, int], Any] | None = None) -> Step[N, B]:
    """Move ``n`` times on each batch; the metrics are those of the last move.

    Args:
        n: the number of moves, at least 1.
        step: what moves.
        part: ``part(shared, k)`` is what move k (0 to n - 1) sees of the shared values of the enclosing ``alternate``,
            for each micro-batch; all of them when left out. It picks, and runs no nets: so one pass of ``share`` makes
            other fakes for each move.

    Raises:
        CompositionError: ``n`` below 1; ``part`` where nothing is shared.

    Example:
        >>> from i2i.step import player
        >>> g = player(lambda n: n.G, lambda n, x: {}, torch.optim.SGD, weights={}, lr=0.1)
        >>> repeat(0, g)
        Traceback (most recent call last):
        ...
        i2i.errors.CompositionError: repeat(0, ...): the number of moves must be 1 or more
    """
    if n < 1:
        raise CompositionError(f"repeat({n}, ...): the number of moves must be 1 or more")

    def init(nets: N, policy: Policy, saved: Saved | None) -> State:
        return begin_inner("repeat()", step, nets, policy, saved)

    def update(nets: N, state: State, batch: B, turn: Turn) -> tuple[State, Metrics]:
        metrics: Metrics = {}
        if part is not None and turn.shared is None:
            raise CompositionError(f"repeat({n}, ..., part=...) needs an alternate(share=...) around it")
        for move in range(n):
            seen = turn if part is None else turn._replace(shared=_Part(turn.shared, part, move))
            state, metrics = step.update(nets, state, batch, seen)
        return state, metrics

    return step._replace(init=init, update=update)


def every(n: int, step: Step[N, B]) -> Step[N, B]:
    """Move on batches 0, n, 2n, ... only (lazy penalties); in between the metrics of the last move stand.

    References:
        Karras et al., Analyzing and Improving the Image Quality of StyleGAN, section 3.1 (lazy regularisation).
    """
    if n < 1:
        raise CompositionError(f"every({n}, ...): the number of batches must be 1 or more")

    def init(nets: N, policy: Policy, saved: Saved | None) -> State:
        inner, metrics = (None, {}) if saved is None else saved
        state = begin_inner("every()", step, nets, policy, inner)
        device = next(p.device for module in step.trains(nets) for p in module.parameters())
        return state, {name: value.to(device) for name, value in metrics.items()}  # a checkpoint is read on the host

    def update(nets: N, state: State, batch: B, turn: Turn) -> tuple[State, Metrics]:
        inner, metrics = state
        if turn.now % n == 0:
            inner, metrics = step.update(nets, inner, batch, turn)
        return (inner, metrics), metrics

    return step._replace(init=init, update=update)


class _Sharing:
    """Which parameters are trainable while shared values are made; part of the State of an ``alternate``."""

    def __init__(self, nets: Any, players: Mapping[str, Sequence[nn.Module]], live: str | None, *, new: bool) -> None:
        self.live = live
        own = trainable(players[live]) if live is not None else []
        mine = {id(parameter) for parameter in own}
        self.others = [p for p in trainable(modules_of(nets)) if id(p) not in mine]
        self.device = next((p.device for p in (*own, *self.others)), torch.device("cpu"))
        self._watched = [(name, m) for name, roots in players.items() for m in _watched(name == live, roots, mine)]
        self.new, self.checked, self.moved = new, False, False

    def state_dict(self) -> dict[str, Any]:
        return {}

    def make(self, share: Callable[[Any], Any], part: Any, policy: Policy) -> Any:
        with policy.autocast(self.device), frozen(self.others), torch.set_grad_enabled(self.live is not None):
            if self.checked:
                return share(part)
            with self._check():
                return share(part)

    @contextmanager
    def _check(self) -> Iterator[None]:
        """See which players' nets ``share`` runs, and hold it against ``live``."""
        ran: dict[str, None] = {}
        with ExitStack() as hooks:
            for name, module in self._watched:
                handle = module.register_forward_pre_hook(lambda *_, name=name: ran.setdefault(name))
                hooks.callback(handle.remove)
            yield
        wrong = [name for name in ran if name != self.live]
        if wrong:
            told = f"but live={self.live!r}" if self.live is not None else f"so say live={wrong[0]!r}"
            raise CompositionError(f"share() runs nets trained by {', '.join(wrong)}, {told}")
        if self.live is not None and self.live not in ran:
            raise CompositionError(f"live={self.live!r}, but share() runs no net that it trains; leave live out")
        self.checked = True


def _watched(is_live: bool, roots: Sequence[nn.Module], live: set[int]) -> list[nn.Module]:
    """Return the modules of a player that tell, when they run, that its nets were used.

    Of another player than the live one, these are only modules with parameters that the live one does not train too.
    """
    modules = dict.fromkeys(module for root in roots for module in root.modules())
    return [m for m in modules if is_live or any(id(p) not in live for p in trainable([m]))]


class _Common:
    """What ``share`` made of one batch, per micro-batch: once with its graph, for good without."""

    def __init__(self, share: Callable[[Any], Any], parts: Sequence[Any], sharing: _Sharing, policy: Policy) -> None:
        self._share, self._parts, self._sharing, self._policy = share, parts, sharing, policy
        self._fresh: dict[int, Any] = {}
        self._detached: dict[int, Any] = {}

    def __len__(self) -> int:
        return len(self._parts)

    def _make(self, index: int) -> None:
        value = self._sharing.make(self._share, self._parts[index], self._policy)
        self._fresh[index] = value
        self._detached[index] = tree_map(lambda leaf: leaf.detach() if isinstance(leaf, Tensor) else leaf, value)

    def take(self, index: int) -> Any:
        """Return the value with its graph, which the one who takes it uses up."""
        if index not in self._fresh:
            self._make(index)
        return self._fresh.pop(index)

    def see(self, index: int) -> Any:
        if index not in self._detached:
            self._make(index)
        return self._detached[index]


class _View:
    """The shared values as one player gets them, by micro-batch."""

    def __init__(self, common: _Common, *, live: bool) -> None:
        self._common, self.live = common, live

    def __len__(self) -> int:
        return len(self._common)

    def __getitem__(self, index: int) -> Any:
        return self._common.take(index) if self.live else self._common.see(index)


class _Part:
    """Of the shared values, by micro-batch, what one move of a ``repeat`` sees."""

    def __init__(self, shared: Any, part: Callable[[Any, int], Any], move: int) -> None:
        self._shared, self._part, self._move = shared, part, move
        self.live = getattr(shared, "live", False)

    def __len__(self) -> int:
        return len(self._shared)

    def __getitem__(self, index: int) -> Any:
        return self._part(self._shared[index], self._move)


def _past(saved: Saved | None, steps: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what was saved for each player, None where the State is new."""
    if saved is None:
        return dict.fromkeys(steps)
    _, states = saved
    if set(states) != set(steps):
        raise CompositionError(f"saved were the players {', '.join(states)}; here they are {', '.join(steps)}")
    return dict(states)


@contextmanager
def _undone_if_mistaken(nets: Any) -> Iterator[None]:
    """Put weights and buffers back where a player turns out to be a mistake after others have moved."""
    tensors = [tensor for module in modules_of(nets) for tensor in (*module.parameters(), *module.buffers())]
    before = [tensor.detach().clone() for tensor in tensors]
    try:
        yield
    except CompositionError:
        with torch.no_grad():
            for tensor, value in zip(tensors, before, strict=True):
                tensor.copy_(value)
        raise


def _named(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call ``function``; a mistake in it is said with the name of the player."""
    try:
        return function(*arguments)
    except (CompositionError, RunError) as error:
        raise type(error)(f"{name}: {error}") from error


def _unique(modules: Iterator[nn.Module]) -> tuple[nn.Module, ...]:
    return tuple({id(module): module for module in modules}.values())


def _common_length(steps: Mapping[str, Step[Any, Any]]) -> int | None:
    lengths = {step.length for step in steps.values() if step.length is not None}
    if len(lengths) > 1:
        raise CompositionError(f"the players want different numbers of batches: {', '.join(map(str, sorted(lengths)))}")
    return next(iter(lengths), None)
