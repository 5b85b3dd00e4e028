"""``staged``: coarse to fine, one Step after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import nn

from i2i.checkpoint import snapshot
from i2i.errors import CompositionError, RunError
from i2i.guard import check_finite, non_finite
from i2i.net import place
from i2i.policy import Policy, Turn
from i2i.step import Metrics, Saved, Step, check_trained, modules_of, trainable


def _identity(batch: Any) -> Any:
    return batch


class Stage(NamedTuple):
    """What ``grow`` returns.

    Attributes:
        nets: of this stage; nets of earlier stages may be among them and are then trained on.
        step: how they are trained.
        view: what this stage sees of a batch (a level of a pyramid, half the size).
    """

    nets: Any
    step: Step[Any, Any]
    view: Callable[[Any], Any] = _identity


class Stages(NamedTuple):
    """The nets of a staged Step as they stand.

    Attributes:
        finished: nets of the stages that are done, in order.
        current: nets of the stage that is trained.
        trained: what of them is trained.
    """

    finished: tuple[Any, ...]
    current: Any
    trained: tuple[nn.Module, ...]


def staged(grow: Callable[[int, tuple[Any, ...]], Stage], lengths: Sequence[int]) -> Step[Any, Any]:
    """Train stage after stage; each may build on the nets of those before.

    It is itself a Step, so ``fit`` needs no special case; its nets are None there: those of the stages live in the
    State. Finished nets that are not part of the current stage are frozen and in eval mode. Restoring loads the nets of
    stage j before it calls ``grow(j + 1, ...)``. Batches are counted from 0 in each stage.

    Args:
        grow: ``grow(k, finished) -> Stage``; ``finished`` are the nets of stages 0 ... k - 1.
        lengths: batches of each stage; after the last one its training goes on.

    Raises:
        CompositionError: no stage, a length below 1, or ``staged`` within another combinator.
        RunError: what was saved had other nets in a stage, or stages of other lengths.
    """
    if not lengths or min(lengths) < 1:
        raise CompositionError(f"staged(lengths={list(lengths)}): each stage must last 1 batch or more")

    def trains(nets: Any) -> Sequence[nn.Module]:
        if not isinstance(nets, Stages):
            raise CompositionError("staged() grows its own nets: it must be the outermost step, and fit(nets=None)")
        return nets.trained

    def init(nets: Any, policy: Policy, saved: Saved | None) -> _Growing:
        if nets:
            trains(nets)
        growing = _Growing(grow, lengths, policy, torch.get_default_device())
        growing.restore(saved) if saved is not None else growing.advance()
        return growing

    def update(nets: Any, state: _Growing, batch: Any, turn: Turn) -> tuple[_Growing, Metrics]:
        number = state.number
        while state.is_over(turn.now):
            state.advance()
        turn.only_while(lambda now: state.number == number and not state.is_over(now))
        return state, state.update(batch, turn)

    return Step(trains, init, update, lambda nets, state: state.nets(), sum(lengths))


class _Growing:
    """The State of ``staged``: all nets so far and the State of the current stage."""

    def __init__(
        self,
        grow: Callable[[int, tuple[Any, ...]], Stage],
        lengths: Sequence[int],
        policy: Policy,
        device: torch.device,
    ) -> None:
        self._grow, self._lengths, self._policy, self._device = grow, tuple(lengths), policy, device
        self._starts = (0, *accumulate(lengths))[:-1]
        self._finished: tuple[Any, ...] = ()
        self._stage: Stage | None = None
        self._inner: Any = None
        self._trained: dict[int, nn.Parameter] = {}
        self.number = -1

    @property
    def stage(self) -> Stage:
        if self._stage is None:
            raise CompositionError("staged(): no stage has begun")
        return self._stage

    def nets(self) -> Stages:
        return Stages(self._finished, self.stage.nets, tuple(self.stage.step.trains(self.stage.nets)))

    def is_over(self, now: int) -> bool:
        """Tell whether batch ``now`` is one of a later stage."""
        later = self.number + 1
        return later < len(self._starts) and now >= self._starts[later]

    def advance(self) -> None:
        """Finish the current stage and begin the next one."""
        self._grow_next()
        self._inner = self.stage.step.init(self.stage.nets, self._policy, None)

    def _grow_next(self) -> None:
        if self._stage is not None:
            check_finite(self)
            self._finished = (*self._finished, self._stage.nets)
        for parameter in self._trained.values():  # so that the next stage may train on what an earlier one trained
            parameter.requires_grad = True
        self.number += 1
        with torch.device(self._device):
            stage = self._grow(self.number, self._finished)
        if not isinstance(stage, Stage):
            raise CompositionError(f"grow({self.number}, ...) returns a {type(stage).__name__}; it must return a Stage")
        self._stage = stage
        place(stage.nets, self._device, channels_last=self._policy.channels_last(self._device))
        self._trained |= {id(p): p for p in trainable(stage.step.trains(stage.nets))}
        self._set_modes(stage)

    def _set_modes(self, stage: Stage) -> None:
        current = {id(p) for net in modules_of(stage.nets) for p in net.parameters()}
        for net in modules_of(self._finished):
            if not any(id(p) in current for p in net.parameters()):
                net.requires_grad_(False).eval()
        check_trained(stage.step, stage.nets)
        for module in stage.step.trains(stage.nets):
            module.train()

    def update(self, batch: Any, turn: Turn) -> Metrics:
        stage, now = self.stage, turn.now - self._starts[self.number]
        view = stage.view(batch)
        self._inner, metrics = stage.step.update(stage.nets, self._inner, view, turn._replace(now=now))
        return metrics

    def non_finite(self) -> Mapping[str, int]:
        return {name: batch + self._starts[self.number] for name, batch in non_finite(self._inner).items()}

    def state_dict(self) -> dict[str, Any]:
        every = (*self._finished, self.stage.nets)
        weights = [[module.state_dict() for module in modules_of(nets)] for nets in every]
        begun = self._lengths[: self.number + 1]
        return {"number": self.number, "lengths": begun, "nets": weights, "inner": snapshot(self._inner)}

    def restore(self, saved: Mapping[str, Any]) -> None:
        self._check_lengths(saved.get("lengths", self._lengths[: len(saved["nets"])]))  # i2i 0.1 saved none
        for weights in saved["nets"]:
            self._grow_next()
            _load(self.number, self.stage.nets, weights)
        # Once more: grow() may have run the nets of earlier stages, and so moved their buffers.
        for number, weights in enumerate(saved["nets"]):
            _load(number, (*self._finished, self.stage.nets)[number], weights)
        self._inner = self.stage.step.init(self.stage.nets, self._policy, saved["inner"])

    def _check_lengths(self, saved: Sequence[int]) -> None:
        """Refuse stages that have begun and are of other lengths now; the last of all may always go on."""
        own = self._lengths
        if len(saved) > len(own):
            raise RunError(f"saved was stage {len(saved)}, but here are only {len(own)} stages")
        for number, (before, now) in enumerate(zip(saved, own[:-1], strict=False), 1):
            if before != now:
                raise RunError(f"stage {number} was begun with {before} batches, but here it has {now}")


def _load(number: int, nets: Any, saved: Sequence[Mapping[str, Any]]) -> None:
    try:
        for module, weights in zip(modules_of(nets), saved, strict=True):
            module.load_state_dict(weights)
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise RunError(f"stage {number + 1} was saved with other nets ({reason})") from error
