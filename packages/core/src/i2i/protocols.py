"""What parts are: callables with these signatures. Nothing has to be subclassed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from torch import Tensor

from i2i.values import Translation, Verdict

NetsIn = TypeVar("NetsIn", contravariant=True)
BatchIn = TypeVar("BatchIn", contravariant=True)
SharedIn = TypeVar("SharedIn", contravariant=True)


class Generator(Protocol):
    """Makes an image from an image (or class ids, or noise added to a coarser result).

    ``image (b, c, h, w)`` is what the net reads; ``condition (b, k, h, w)`` is what it adds to. An integer tensor
    ``(b, 1, h, w)`` stands for its one-hot. A generator module may say ``in_channels``, ``out_channels`` and
    ``multiple`` (height and width must be multiples of it): ``i2i translate`` pads accordingly. ``reach`` (how many
    pixels to each side a pixel of the result depends on, norms aside) lets it cut large images exactly. One that
    accepts one size only says ``size`` (height, width), and has a `DataError` for others: ``i2i translate --fit``
    resizes to it. One that makes images of something else than images says ``takes = "noise"`` or
    ``takes = "labels"`` (class ids, or an image where there are no classes, and instance ids as condition, which any
    such net accepts): ``i2i translate`` then refuses it and names the help of its plugin.
    """

    def __call__(self, image: Tensor, /, condition: Tensor | None = None) -> Translation:
        """Translate ``image``; the result is nominally in ``[-1, 1]``."""
        ...


class Discriminator(Protocol):
    """Judges an image, alone or against a ``condition`` (joined along the channels)."""

    def __call__(self, image: Tensor, /, condition: Tensor | None = None) -> Verdict:
        """Judge ``image (b, c, h, w)``; logits are unsquashed."""
        ...


class Loss(Protocol[NetsIn, BatchIn]):
    """A plain function of nets and batch; it reads like the equations of the paper."""

    def __call__(self, nets: NetsIn, batch: BatchIn, /) -> Mapping[str, Tensor]:
        """Return the terms by name, unweighted scalars."""
        ...


class SharedLoss(Protocol[NetsIn, BatchIn, SharedIn]):
    """A loss inside an ``alternate`` that shares: the third argument is what ``share`` returned."""

    def __call__(self, nets: NetsIn, batch: BatchIn, shared: SharedIn, /) -> Mapping[str, Tensor]:
        """Return the terms by name, unweighted scalars."""
        ...


class Schedule(Protocol):
    """A number that changes with training."""

    def __call__(self, now: int, /) -> float:
        """Return the value for batch ``now``, counted from 0 since the (stage of the) run began."""
        ...


class Seen(NamedTuple):
    """What an observer sees.

    Attributes:
        batches: trained so far, from the very start.
        length: of the whole run, in batches.
        metrics: ``<player>/<term>`` (unweighted) and ``<player>/total`` of the last batch.
        nets: as they stand.
        average: the nets to be used: their averages where the policy asks for them, else the nets themselves.
        batch: the last batch, on the device.
        out: the run's folder, or None.
        save: writes a checkpoint into ``out``; returns its folder, None where there is nothing to write.
    """

    batches: int
    length: int
    metrics: Mapping[str, float]
    nets: Any
    average: Any
    batch: Any
    out: Path | None
    save: Callable[[], Path | None]


class Observer(Protocol):
    """Called each ``every`` batches and after the last one; where it has ``also``, after these numbers of batches too.

    A method ``close()``, where there is one, ends it; an attribute ``writes`` that is true says that it needs ``out``.
    With ``state_dict()`` (a tree of tensors, numbers and strings) and ``load_state_dict(state)`` it is resumed as the
    rest of the run; one that was not there when the checkpoint was written begins anew. One that calls ``seen.save()``
    says so by an attribute ``saves`` that is true, and is then called after those that only look: the checkpoint holds
    what they did. A method ``draw(seen, values)``, where there is one, is told what others measured: in a run of
    ``i2i train``, the figures of validation.
    """

    @property
    def every(self) -> int:
        """Batches between two calls."""
        ...

    def __call__(self, seen: Seen, /) -> None:
        """Look at the run; changes neither nets nor random generators."""
        ...
