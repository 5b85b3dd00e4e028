"""``replayed``: remembered fakes instead of new ones, the image pool."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from i2i.errors import CompositionError
from i2i.policy import Policy, Turn, to_device
from i2i.step import B, Metrics, N, Saved, State, Step, begin_inner
from i2i.values import Translation

_ALONE = Turn(Policy(), 0)


def replayed(size: int, fields: Sequence[str], step: Step[N, B]) -> Step[N, B]:
    """Let ``step`` see remembered fakes instead of new ones in some fields of what is shared.

    Per image, in order: while the pool fills, the image is kept and shown; then, with probability one half, an old one
    is shown and the new one takes its place, else the new one is shown and not kept. Draws come from one generator, a
    copy of Python's global one at the start of the run, field by field in the order given: after ``random.seed(s)``
    they are the draws of the authors' code. Images and draws are State.

    Args:
        size: images kept per field; 0 shows the new ones only.
        fields: names of fields of the shared NamedTuple or mapping; each a Tensor ``(b, c, h, w)`` or a `Translation`,
            of which the image is remembered.
        step: what sees them; not the live player, whose fakes need their graph.

    Raises:
        CompositionError: nothing is shared, a field is missing, or ``step`` holds the live player.

    References:
        Shrivastava et al., Learning from Simulated and Unsupervised Images through Adversarial Training, section 2.3.
    """
    if size < 0:
        raise CompositionError(f"replayed({size}, ...): the size of the pool must be 0 or more")

    def init(nets: N, policy: Policy, saved: Saved | None) -> State:
        pool = ImagePool(size)
        if saved is not None:
            pool.load_state_dict(saved[0])
        return pool, begin_inner("replayed()", step, nets, policy, None if saved is None else saved[1])

    def update(nets: N, state: State, batch: B, turn: Turn) -> tuple[State, Metrics]:
        pool, inner = state
        if turn.shared is None:
            raise CompositionError("replayed() needs an alternate(share=...) around it: there is nothing shared")
        if getattr(turn.shared, "live", False):
            raise CompositionError(
                "replayed() holds the live player, whose fakes need their graph: not around that one"
            )
        if getattr(turn.shared, "judged", False):
            raise CompositionError(
                "replayed() shows other fakes than those that judge() has judged; judge in the loss instead"
            )
        shared = _replace([turn.shared[index] for index in range(len(turn.shared))], fields, pool, turn)
        inner, metrics = step.update(nets, inner, batch, turn._replace(shared=shared))
        return (pool, inner), metrics

    return step._replace(init=init, update=update)


def _replace(shared: Sequence[Any], fields: Sequence[str], pool: ImagePool, turn: Turn) -> tuple[Any, ...]:
    """Replace the fields in what is shared, a value per micro-batch."""
    named = [_by_name(value, fields) for value in shared]
    for field in fields:  # one after the other for the whole batch: the draws do not depend on how it is cut
        for values in named:
            new = values[field]
            image = new.image if isinstance(new, Translation) else new
            shown = pool(field, image, turn)
            values[field] = Translation(shown) if isinstance(new, Translation) else shown
    pairs = zip(shared, named, strict=True)
    return tuple(type(value)(**values) if hasattr(value, "_fields") else values for value, values in pairs)


def _by_name(shared: Any, fields: Sequence[str]) -> dict[str, Any]:
    values = shared._asdict() if hasattr(shared, "_asdict") else dict(shared) if isinstance(shared, Mapping) else None
    if values is None:
        kind = type(shared).__name__
        raise CompositionError(f"replayed() needs names, but share() returns a {kind}; let it return a NamedTuple")
    missing = [field for field in fields if field not in values]
    if missing:
        raise CompositionError(f"replayed() finds no field {', '.join(missing)}; share() returns {', '.join(values)}")
    return values


class ImagePool:
    """The images remembered for some fields, and the generator of the draws.

    Images of equal size are kept in one tensor per field on the device; once another size comes, in a list on the
    host.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: dict[str, _Ring | list[Tensor]] = {}
        # A copy, so that nothing else shifts the draws; then the global generator moves on, so that two pools differ.
        self._draws = random.Random()
        self._draws.setstate(random.getstate())
        random.seed(random.getrandbits(64))

    def __call__(self, field: str, images: Tensor, turn: Turn = _ALONE) -> Tensor:
        """Return the images to show ``(b, c, h, w)``, detached, and remember."""
        images = images.detach()
        if self._size == 0:
            return images
        kept = self._place(field, images)
        if isinstance(kept, list):
            turn.no_graph("fakes of unequal sizes are remembered on the host")
            return _exchange(kept, images, self._slots(kept, len(images)))
        index = turn.static(lambda: torch.empty((4, len(images)), dtype=torch.int64, device=images.device))
        turn.host(lambda _: kept.decide(self._slots(kept, len(images)), index))
        return kept.exchange(images, index)

    def _place(self, field: str, images: Tensor) -> _Ring | list[Tensor]:
        """Return where images of a field are kept."""
        kept = self._kept.get(field)
        if kept is None:
            kept = self._kept[field] = _Ring(self._size, images)
        if isinstance(kept, _Ring) and not kept.fits(images):
            kept = self._kept[field] = kept.as_list()
        if isinstance(kept, _Ring):
            kept.images = kept.images.to(images)  # a checkpoint is read on the host, and may be of another precision
        return kept

    def _slots(self, kept: _Ring | list[Tensor], count: int) -> list[int | None]:
        return [self._draw(min(len(kept) + i, self._size)) for i in range(count)]

    def _draw(self, held: int) -> int | None:
        """Return the slot to exchange with (``held`` itself: a new slot), or None to pass by."""
        if held < self._size:
            return held
        return self._draws.randint(0, self._size - 1) if self._draws.uniform(0, 1) > 0.5 else None

    def state_dict(self) -> dict[str, Any]:
        """Return what is to be saved."""
        kept = {f: k if isinstance(k, list) else k.images[: len(k)] for f, k in self._kept.items()}
        return {"kept": kept, "draws": self._draws.getstate()}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from what was saved."""
        self._draws.setstate(saved["draws"])
        self._kept = {
            field: list(images) if isinstance(images, list) else _Ring(self._size, images, held=len(images))
            for field, images in saved["kept"].items()
        }


class _Ring:
    """Up to ``size`` images of equal size in one tensor; a last one more takes what nobody keeps."""

    def __init__(self, size: int, images: Tensor, held: int = 0) -> None:
        self.images = images.new_zeros((size + 1, *images.shape[1:]))
        self.images[:held] = images[:held]
        self._size, self._held = size, held

    def __len__(self) -> int:
        return self._held

    def fits(self, images: Tensor) -> bool:
        return images.shape[1:] == self.images.shape[1:]

    def as_list(self) -> list[Tensor]:
        return list(self.images[: self._held].cpu().unbind())

    def decide(self, slots: Sequence[int | None], index: Tensor) -> None:
        """Write into ``index (4, b)`` which images are shown and kept by these ``slots``.

        A slot may be drawn twice in one batch: then the second image meets the first one, which is still new.
        """
        origin: dict[int, int] = {}  # slot -> which of the new images lies in it by now
        from_ring, from_new, is_old = [], [], []
        for number, slot in enumerate(slots):
            old = slot is not None and slot < self._held and slot not in origin
            is_old.append(old)
            from_ring.append(slot if old and slot is not None else 0)
            from_new.append(number if slot is None else origin.get(slot, number))
            if slot is not None:
                origin[slot] = number
        keeper = {number: slot for slot, number in origin.items()}
        to = [keeper.get(number, self._size) for number in range(len(slots))]
        self._held = max([self._held, *(slot + 1 for slot in origin)])
        index.copy_(to_device(torch.tensor([from_ring, from_new, to, is_old]), index.device))

    def exchange(self, images: Tensor, index: Tensor) -> Tensor:
        """Show and keep images as `decide` wrote; three operations on the device, whatever was drawn."""
        shape = (-1,) + (1,) * (images.ndim - 1)
        old_images, new_images = self.images.index_select(0, index[0]), images.index_select(0, index[1])
        shown = torch.where(index[3].bool().view(shape), old_images, new_images)
        self.images.index_copy_(0, index[2], images)
        return shown


def _exchange(kept: list[Tensor], images: Tensor, slots: Sequence[int | None]) -> Tensor:
    """The same for images of unequal sizes, kept on the host.

    A remembered image of another size cannot stand in a batch beside new ones: batches then hold one image.
    """
    if len(images) > 1:
        raise CompositionError("replayed() of images of unequal sizes needs batches of 1: they cannot be stacked")
    slot = slots[0]
    if slot is None:
        return images
    if slot == len(kept):
        kept.append(images[0].cpu())
        return images
    shown, kept[slot] = kept[slot], images[0].cpu()
    return shown.to(images.device)[None]
