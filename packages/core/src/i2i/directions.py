"""What recipes of two translators between unpaired domains have in common: ``G`` from A to B, ``F`` from B to A."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from torch import Tensor

from i2i.recipes import Evaluation
from i2i.schedules import Plateau
from i2i.validation import distinct
from i2i.values import Pair

if TYPE_CHECKING:
    from i2i.data import Prepared


class Directions(Protocol):
    """Nets of which two are generators."""

    @property
    def G(self) -> Any:
        """The generator from A to B."""

    @property
    def F(self) -> Any:
        """The generator from B to A."""


N = TypeVar("N", bound=Directions)


def evaluation(prepared: Prepared, plateaus: tuple[Plateau, ...] = ()) -> Evaluation:
    """Say how both directions are validated, on held-out images that each count once.

    Args:
        prepared: the data.
        plateaus: see `i2i.recipes.Evaluation`.
    """

    def batches() -> Iterable[Pair] | None:
        held_out = prepared.held_out()
        return None if held_out is None else distinct(held_out)

    return Evaluation(batches=batches, results=results, paired=False, plateaus=plateaus)


def results(nets: Directions, batch: Pair) -> dict[str, tuple[Tensor, Tensor]]:
    """Return what is made and what there is of each domain; a side of the batch may have no images left."""
    fake_b, fake_a = (
        net(images).image if len(images) else images for net, images in ((nets.G, batch.a), (nets.F, batch.b))
    )
    return {"a2b": (fake_b, batch.b), "b2a": (fake_a, batch.a)}


def with_formats(nets: N, prepared: Prepared) -> N:
    """Note on both generators what their images are in files; return ``nets``."""
    a, b = prepared.formats()
    nets.G.reads, nets.G.writes = a, b
    nets.F.reads, nets.F.writes = b, a
    return nets
