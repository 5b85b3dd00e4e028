"""How an edited scene looks: the styles of its regions, and its image."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import torch
from torch import Tensor

from i2i.engine import backend_flags
from i2i.errors import DataError
from i2i.passes import device_of
from i2i.policy import Policy, Precision
from i2i.shortage import memory_suffices
from i2i_pix2pixhd.styles.clusters import ENCODE, Styles, regions_of
from i2i_pix2pixhd.styles.tables import Choice, Table, as_style, order, painted, usual

if TYPE_CHECKING:
    from i2i_pix2pixhd.scene import SceneGenerator

_LESS = "--precision bf16, a smaller scene"
_AT_ONCE = 2**20  # pixels that go through the model in one pass, unless one image has more


@attrs.frozen(eq=False)
class EditedScene:
    """A scene at one moment; none of its tensors is ever changed.

    Attributes:
        labels: ``(h, w)`` int32 on the CPU.
        instances: ``(h, w)`` int32 on the CPU, or None.
        table: styles that are named.
    """

    labels: Tensor
    instances: Tensor | None
    table: Table


@attrs.frozen(eq=False)
class Renderer:
    """A model with the styles that it has seen, for scenes of label maps.

    Attributes:
        model: in eval mode.
        styles: those that it has seen; None: all that are needed are named.
        seed: of what is drawn.
        sample: draw the style of a region that has no named one; otherwise it has the most usual one of its class.
        precision: of the passes.
    """

    model: SceneGenerator
    styles: Styles | None
    seed: int = 0
    sample: bool = False
    precision: Precision = "fp32"

    def regions(self, scene: EditedScene) -> tuple[list[int], list[int]]:
        """Return the ids, rising, and the classes of what has a style of its own."""
        found = regions_of(self.model, *_batched(scene))
        return found.ids.tolist(), found.classes.tolist()

    def table(self, scene: EditedScene) -> Table:
        """Return the style of every region by its name; an empty table for a model without styles.

        Raises:
            DataError: a region has no style.
        """
        if not self.model.features:
            return Table()
        ids, classes = self.regions(scene)
        named = dict(zip(ids, self._choice(scene.table).vectors(ids, classes), strict=True))
        return Table(named, {}) if scene.instances is None else Table(scene.table.classes, named)

    def named(self, scene: EditedScene, style: Any, id: int, label: int) -> Tensor:
        """Return the style ``(f,)`` that is meant by a list of numbers, the number of a centre, or a word.

        Args:
            scene: as it is; ``"sample"`` gives another style than the region has now, if there are several.
            style: see `i2i_pix2pixhd.editing.editor.Editor.restyle`.
            id: of the region that gets it; for a class its label.
            label: the class of the region.

        Raises:
            DataError: there is no such style.
        """
        if isinstance(style, bool) or not isinstance(style, str | int):
            return as_style(style, self.model.features)
        if isinstance(style, str) and style not in ("sample", "nearest"):
            raise DataError(f"style (={style!r}) must be a list of numbers, the number of a centre, sample or nearest")
        if style == "sample":
            return self._others(id, label, self._choice(scene.table).vectors([id], [label])[0])[0]
        known = self._known()
        if style == "nearest":
            return usual(known, label)
        centres = known.centres.get(label, known.mean[None])
        if not 0 <= int(style) < len(centres):
            raise DataError(f"style (={style}) must lie between 0 and {len(centres) - 1}, the centres of class {label}")
        return centres[int(style)]

    def varied(self, scene: EditedScene, count: int, ids: Collection[int]) -> list[Table]:
        """Return styles for images that differ in the regions ``ids``.

        Each gives them other centres of their classes than they have now and than the ones before, as long as there
        are others.

        Raises:
            DataError: there are no styles.
        """
        found, classes = self.regions(scene)
        now = self._choice(scene.table).vectors(found, classes)
        others = {
            id: self._others(id, label, vector)
            for id, label, vector in zip(found, classes, now, strict=True)
            if id in ids
        }
        turns = [{id: styles[turn % len(styles)] for id, styles in others.items()} for turn in range(count)]
        return [Table(scene.table.classes, {**scene.table.objects, **chosen}) for chosen in turns]

    def images(self, scene: EditedScene, tables: Sequence[Table]) -> Tensor:
        """Make an image of a scene with each of several tables of styles.

        As many as have 2**20 pixels together go through the model in one pass.

        Returns:
            ``(tables, c, h, w)`` float32 on the CPU, nominally in ``[-1, 1]``, not clamped.

        Raises:
            DataError: a region has no style.
            OutOfMemoryError: the device has too little memory.
        """
        size = max(_AT_ONCE // scene.labels.numel(), 1)
        return torch.cat([self._pass(scene, tables[at : at + size]) for at in range(0, len(tables), size)])

    def _pass(self, scene: EditedScene, tables: Sequence[Table]) -> Tensor:
        labels, instances = _batched(scene)
        features = None
        if self.model.features:
            found = regions_of(self.model, labels, instances)
            ids, classes = found.ids.tolist(), found.classes.tolist()
            vectors = torch.stack([self._choice(table).vectors(ids, classes) for table in tables])
            features = painted(vectors, found.places)
        many = (len(tables), -1, -1, -1)
        maps = labels.expand(many), None if instances is None else instances.expand(many)
        return rendered(self.model, *maps, features, precision=self.precision)

    def _choice(self, table: Table) -> Choice:
        return Choice(self.styles, table, self.seed if self.sample else None)

    def _known(self) -> Styles:
        if self.styles is None:
            raise DataError(f"there are no styles to choose from; let the model find them in images: {ENCODE}")
        return self.styles

    def _others(self, id: int, label: int, now: Tensor) -> list[Tensor]:
        """The centres of a class in an order that follows from the seed and the id; the present one comes last."""
        known = self._known()
        centres = known.centres.get(label, known.mean[None])
        turned = [centres[place] for place in order(self.seed, id, len(centres))]
        at = next((place for place, centre in enumerate(turned) if centre.equal(now)), -1) + 1
        return turned[at:] + turned[:at]


def rendered(
    model: SceneGenerator,
    labels: Tensor,
    instances: Tensor | None = None,
    features: Tensor | None = None,
    *,
    precision: Precision = "fp32",
) -> Tensor:
    """Make the images of scenes of any size, in one pass; the arguments are those of `whole_scene`, on any device.

    Returns:
        ``(b, c, h, w)`` float32 on the CPU, nominally in ``[-1, 1]``, not clamped.

    Raises:
        DataError: see `whole_scene`.
        OutOfMemoryError: the device has too little memory.
        SettingsError: a precision that the device does not have.
    """
    from i2i_pix2pixhd.scene import whole_scene

    device, policy = device_of(model, labels), Policy(precision=precision)
    height, width = labels.shape[-2:]
    with (
        memory_suffices(_LESS, lambda: f"a scene of {width}x{height} pixels"),
        backend_flags(policy, device),
        policy.autocast(device),
    ):
        scene = [None if each is None else each.to(device) for each in (instances, features)]
        return whole_scene(model, labels.to(device), *scene).cpu()


def _batched(scene: EditedScene) -> tuple[Tensor, Tensor | None]:
    """The maps as ``(1, 1, h, w)``."""
    return scene.labels[None, None], None if scene.instances is None else scene.instances[None, None]
