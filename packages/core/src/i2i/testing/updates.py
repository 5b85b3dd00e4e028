"""The first updates of a recipe, watched: what they change, and what they must leave alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from i2i.policy import Policy, Turn
from i2i.recipes import Recipe
from i2i.testing.contract import listed
from i2i.tree import leaves


class Training:
    """The nets and the state of a run that has begun.

    Args:
        recipe: whose step it is.
        policy: of its updates.
        given: nets that hold what was saved; new ones when left out.
        saved: the state as it was saved.
    """

    def __init__(self, recipe: Recipe, policy: Policy, given: Any = None, saved: Any = None) -> None:
        self.step, self.policy = recipe.step, policy
        self.given = recipe.nets() if given is None else given
        self.state = self.step.init(self.given, policy, saved)

    @property
    def nets(self) -> Any:
        """The nets as they stand."""
        return self.step.nets(self.given, self.state)

    def update(self, batch: Any, now: int) -> Mapping[str, Tensor]:
        """Make one update; return its metrics."""
        self.state, metrics = self.step.update(self.given, self.state, batch, Turn(self.policy, now))
        return metrics


class Held(NamedTuple):
    """What the nets of a run hold, by name.

    Attributes:
        tensors: parameters and buffers.
        copies: what is in them.
        learning: whether they require a gradient.
        trained: those that the step trains, and the buffers of nets that hold such.
    """

    tensors: Mapping[str, Tensor]
    copies: Mapping[str, Tensor]
    learning: Mapping[str, bool]
    trained: frozenset[str]

    @classmethod
    def by(cls, training: Training) -> Held:
        """Look at the nets of a run."""
        nets = training.nets
        moved = {id(p) for module in training.step.trains(nets) for p in module.parameters()}
        tensors: dict[str, Tensor] = {}
        trained: set[str] = set()
        for name, net in named_nets(nets):
            own: dict[str, Tensor] = {f"{name}.{key}": p for key, p in net.named_parameters()}
            buffers = {f"{name}.{key}": buffer for key, buffer in net.named_buffers()}
            mine = {key for key, p in own.items() if id(p) in moved}
            trained |= mine | (set(buffers) if mine else set())
            tensors |= own | buffers
        copies = {name: tensor.detach().clone() for name, tensor in tensors.items()}
        return cls(tensors, copies, {n: t.requires_grad for n, t in tensors.items()}, frozenset(trained))

    def broken(self, now: Held) -> list[str]:
        """Say what an update has done between this look and the next that it must not do."""
        moved = [name for name in self.tensors if name not in self.trained and not _equal(self, now, name)]
        flags = [name for name, learns in self.learning.items() if now.learning[name] is not learns]
        told = []
        if moved:
            advice = "name all that a player moves in its selector, and change nothing else; put frozen nets in eval()"
            told.append(f"an update changes {listed(moved)}, which step.trains(nets) does not hold: {advice}")
        if flags:
            advice = "use .detach(), or put the flag back as it was"
            told.append(f"an update leaves another requires_grad at {listed(flags)}: {advice}")
        return told

    def moved(self, now: Held) -> bool:
        """Tell whether anything that is trained has changed."""
        return any(not _equal(self, now, name) for name in self.trained)

    def same_nets(self, now: Held) -> bool:
        """Tell whether the nets are the same objects; those of a new stage are others."""
        return [id(tensor) for tensor in self.tensors.values()] == [id(tensor) for tensor in now.tensors.values()]


class Watch:
    """Makes updates, and notes what they do that they must not do."""

    def __init__(self, training: Training) -> None:
        self.training = training
        self.broken: list[str] = []
        self.moved = False

    def update(self, batch: Any, now: int) -> Mapping[str, Tensor]:
        """Make an update of the run; return its metrics."""
        before = Held.by(self.training)
        metrics = self.training.update(batch, now)
        after = Held.by(self.training)
        if before.same_nets(after):
            self.broken += [line for line in before.broken(after) if line not in self.broken]
            self.moved |= before.moved(after)
        return metrics


def named_nets(tree: Any, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules among nets with their names, such as ``G``, or ``finished.0.G`` of a run in stages.

    Example:
        >>> from i2i import nets
        >>> [name for name, _ in named_nets(nets(G=nn.Identity(), D=nn.Identity()))]
        ['G', 'D']
    """
    if isinstance(tree, nn.Module):
        yield prefix or "net", tree
        return
    if isinstance(tree, Mapping):
        pairs = [(str(key), value) for key, value in tree.items()]
    elif isinstance(tree, tuple | list):
        pairs = [*zip(getattr(tree, "_fields", None) or map(str, range(len(tree))), tree, strict=True)]
    else:
        return
    for name, value in pairs:
        yield from named_nets(value, f"{prefix}.{name}" if prefix else name)


def same_trees(one: Any, two: Any) -> bool:
    """Tell whether two trees hold the same tensors and values.

    Example:
        >>> same_trees((torch.zeros(2), 1), (torch.zeros(2), 1)), same_trees((torch.zeros(2),), (torch.ones(2),))
        (True, False)
    """
    mine, theirs = list(leaves(one)), list(leaves(two))
    return len(mine) == len(theirs) and all(
        torch.equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else a == b
        for a, b in zip(mine, theirs, strict=True)
    )


def _equal(before: Held, now: Held, name: str) -> bool:
    return torch.equal(before.copies[name], now.tensors[name])
