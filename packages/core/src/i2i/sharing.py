"""What the players of an ``alternate`` have in common: made once per micro-batch, and perhaps judged once for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from i2i.errors import CompositionError
from i2i.policy import Policy
from i2i.step import Cut, frozen, modules_of, trainable
from i2i.tree import leaves, tree_map


class Sharing:
    """Which parameters are trainable while shared values are made and judged; part of the State of an ``alternate``."""

    def __init__(self, nets: Any, players: Mapping[str, Sequence[nn.Module]], live: str | None, *, new: bool) -> None:
        self.live = live
        self.own = trainable(players[live]) if live is not None else []
        mine = {id(parameter) for parameter in self.own}
        self.others = [p for p in trainable(modules_of(nets)) if id(p) not in mine]
        self.device = next((p.device for p in (*self.own, *self.others)), torch.device("cpu"))
        self._watched = [(name, m) for name, roots in players.items() for m in _watched(name == live, roots, mine)]
        self.new, self.checked, self.judged, self.moved = new, False, False, False

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: all of it follows from the nets."""
        return {}

    def make(self, share: Callable[[Any], Any], part: Any, policy: Policy) -> Any:
        """Return what ``share`` makes of a micro-batch, with only the live player's nets trainable."""
        with policy.autocast(self.device), frozen(self.others), torch.set_grad_enabled(self.live is not None):
            if self.checked:
                return share(part)
            with self._ran() as ran:
                value = share(part)
        self._check_made(ran)
        return value

    def judge(self, judge: Callable[[Any, Any], Any], part: Any, value: Any, policy: Policy) -> Any:
        """Return what ``judge`` says of a shared value, with all but the live player's nets trainable."""
        with policy.autocast(self.device), frozen(self.own):
            if self.judged:
                return judge(part, value)
            with self._ran() as ran:
                result = judge(part, value)
        if self.live in ran:
            raise CompositionError(f"judge() runs nets trained by {self.live}, which stand still there: leave that to "
                                   "share()")  # fmt: skip
        self.judged = True
        return result

    @contextmanager
    def _ran(self) -> Iterator[dict[str, None]]:
        """Note which players' nets run."""
        ran: dict[str, None] = {}
        with ExitStack() as hooks:
            for name, module in self._watched:
                handle = module.register_forward_pre_hook(lambda *_, name=name: ran.setdefault(name))
                hooks.callback(handle.remove)
            yield ran

    def _check_made(self, ran: Mapping[str, None]) -> None:
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


class Seen(NamedTuple):
    """A shared value as a player gets it, and where its gradient is to stop and go on."""

    value: Any
    cut: Cut | None


class Common:
    """What ``share`` made of one batch, per micro-batch: once with its graph, for good without."""

    def __init__(
        self,
        share: Callable[[Any], Any],
        judge: Callable[[Any, Any], Any] | None,
        parts: Sequence[Any],
        sharing: Sharing,
        policy: Policy,
    ) -> None:
        self._share, self._judge, self._parts, self._sharing, self._policy = share, judge, parts, sharing, policy
        self._fresh: dict[int, Any] = {}
        self._detached: dict[int, Any] = {}
        self._verdicts: dict[int, Any] = {}

    def __len__(self) -> int:
        return len(self._parts)

    def _make(self, index: int) -> None:
        value = self._sharing.make(self._share, self._parts[index], self._policy)
        self._fresh[index] = value
        self._detached[index] = tree_map(lambda leaf: leaf.detach() if isinstance(leaf, Tensor) else leaf, value)

    def take(self, index: int) -> Seen:
        """Return the value with its graph, which the one who takes it uses up.

        With a judge it is judged at a cut: the gradient of the losses stops there and goes on into the making, so that
        the graph of the judgement is kept for the others without that of the making.
        """
        if index not in self._fresh:
            self._make(index)
        value = self._fresh.pop(index)
        if self._judge is None:
            return Seen(value, None)
        # Each once, under however many names it is shared, or its gradient would go on several times.
        made = {id(leaf): leaf for leaf in leaves(value) if isinstance(leaf, Tensor) and leaf.requires_grad}
        ends = {key: tensor.detach().requires_grad_(True) for key, tensor in made.items()}
        at_the_cut = tree_map(lambda leaf: ends.get(id(leaf), leaf), value)
        self._verdicts[index] = self._judged(index, at_the_cut)
        return Seen(self._verdicts[index], Cut(tuple(made.values()), tuple(ends.values())))

    def see(self, index: int) -> Seen:
        """Return the value without its graph; with a judge, its verdict as it was given, or anew the second time."""
        if index not in self._detached:
            self._make(index)
        if self._judge is None:
            return Seen(self._detached[index], None)
        verdict = self._verdicts.pop(index, None)
        return Seen(self._judged(index, self._detached[index]) if verdict is None else verdict, Cut((), ()))

    def _judged(self, index: int, value: Any) -> Any:
        assert self._judge is not None  # for the type checker
        return self._sharing.judge(self._judge, self._parts[index], value, self._policy)


class View:
    """The shared values as one player gets them, by micro-batch."""

    def __init__(self, common: Common, *, live: bool, judged: bool) -> None:
        self._common, self.live, self.judged = common, live, judged

    def __len__(self) -> int:
        return len(self._common)

    def look(self, index: int) -> Seen:
        """Return the value, and where its gradient is cut."""
        return self._common.take(index) if self.live else self._common.see(index)

    def __getitem__(self, index: int) -> Any:
        return self.look(index).value


class Part:
    """Of the shared values, by micro-batch, what one move of a ``repeat`` sees."""

    def __init__(self, shared: Any, part: Callable[[Any, int], Any], move: int) -> None:
        self._shared, self._part, self._move = shared, part, move
        self.live = getattr(shared, "live", False)
        self.judged = getattr(shared, "judged", False)

    def __len__(self) -> int:
        return len(self._shared)

    def __getitem__(self, index: int) -> Any:
        return self._part(self._shared[index], self._move)

    def look(self, index: int) -> Seen:
        """Return its part of the value, and where the gradient is cut."""
        value, cut = self._shared.look(index) if hasattr(self._shared, "look") else (self._shared[index], None)
        return Seen(self._part(value, self._move), cut)
