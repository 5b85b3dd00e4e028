"""Combinators: they take Steps, return a Step, and say who moves when."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from i2i.errors import CompositionError, RunError
from i2i.policy import Policy, Turn
from i2i.readings import Readings
from i2i.sharing import Common, Part, Sharing, View
from i2i.step import B, Metrics, N, Saved, State, Step, begin_inner, modules_of, split


def alternate(
    *,
    share: Callable[[N, B], Any] | None = None,
    live: str | None = None,
    judge: Callable[[N, B, Any], Any] | None = None,
    **steps: Step[N, B],
) -> Step[N, B]:
    """Let the players move in turn on one batch.

    Args:
        share: ``share(nets, batch)`` makes what the players have in common, once per (micro-)batch; losses get it as
            third argument. It may run nets of the ``live`` player and frozen ones only.
        live: the player that gets the shared values with their graph; the others get them detached. Named exactly when
            ``share`` runs a net that a player trains. A live player that moves again (``repeat``) has them made again.
        judge: ``judge(nets, batch, shared)`` lets nets of the other players look at the shared values, once for all;
            losses then get what it returns as third argument. The live player, who moves first, learns through it what
            to make; the others learn from the very same pass how to judge. That spares them a pass of their own, where
            all nets are to be seen as they stood before any of them moved (pix2pixHD).
        **steps: the players by name, in the order in which they move.

    With ``Policy.accumulate`` above 1, the graphs of all micro-batches are alive at once: of what is shared, where
    players move before the live one; of what ``judge`` runs, until the others have moved. A mistake that is found in
    one player at its first move undoes what the others moved before it.

    Raises:
        CompositionError: no player; ``live`` that names none, or the wrong one; ``judge`` without a live player who
            moves first.

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
    if judge is not None and (live is None or live != next(iter(steps))):
        raise CompositionError(
            f"judge= needs a live player who moves first, not live={live!r} of {', '.join(steps)}: what is judged must "
            "be as it was made"
        )

    def trains(nets: N) -> tuple[nn.Module, ...]:
        return _unique(module for name, step in steps.items() for module in _named(name, step.trains, nets))

    def init(nets: N, policy: Policy, saved: Saved | None) -> State:
        past = _past(saved, steps)
        states = {n: _named(n, begin_inner, "alternate()", s, nets, policy, past[n]) for n, s in steps.items()}
        players = {name: step.trains(nets) for name, step in steps.items()}
        return Sharing(nets, players, live, new=saved is None), states

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
            judged = None if judge is None else lambda part, value: judge(nets, part, value)
            common = Common(lambda part: share(nets, part), judged, parts, sharing, turn.policy)
            if judge is None and sharing.new and not sharing.checked:
                common.see(0)  # so that a mistake in share is found, and told, before any player moves
        metrics: dict[str, Tensor | Callable[[], Tensor]] = {}
        for name, step in steps.items():
            shared = turn.shared if common is None else View(common, live=name == live, judged=judge is not None)
            states[name], own = _named(name, step.update, nets, states[name], batch, turn._replace(shared=shared))
            given = own.given if isinstance(own, Readings) else own
            metrics.update({f"{name}/{key}": value for key, value in given.items()})
        return state, Readings(metrics)

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
            seen = turn if part is None else turn._replace(shared=Part(turn.shared, part, move))
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
        due = turn.now % n == 0
        turn.only_while(lambda now: (now % n == 0) == due)
        if due:
            inner, found = step.update(nets, inner, batch, turn)
            # In place, so that graphs of other batches see them.
            metrics = {k: metrics[k].copy_(v) for k, v in found.items()} if metrics else dict(found)
        return (inner, metrics), metrics

    return step._replace(init=init, update=update)


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
