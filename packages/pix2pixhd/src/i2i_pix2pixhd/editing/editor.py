"""Editing scenes: labels, objects and their styles, step by step, each of which can be taken back.

The authors describe such an editor and never released it. This one has no user interface: programs, scripts
(`i2i_pix2pixhd.editing.script`) and pages use it.

References:
    Wang et al., High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs, sections 3.4 and 4.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import attrs
import torch
from torch import Tensor

from i2i.errors import DataError, SettingsError
from i2i.layers import at_least
from i2i.policy import Precision
from i2i_pix2pixhd.editing.numbering import Numbering, around, numbering_of
from i2i_pix2pixhd.editing.regions import Region, absent, known_objects, selected
from i2i_pix2pixhd.editing.renderer import EditedScene, Renderer
from i2i_pix2pixhd.styles.clusters import Styles, encoder_of
from i2i_pix2pixhd.styles.tables import Table

if TYPE_CHECKING:
    from i2i_pix2pixhd.scene import SceneGenerator


class Editor:
    """A scene that is changed by edits, with undo and redo. An edit that fails changes nothing.

    Args:
        model: a model of label maps, in eval mode.
        labels: class ids ``(h, w)``, or with further dimensions of size 1 in front.
        instances: ids of objects of the same size; without them there are no objects, but labels can be edited.
        styles: those that the model has seen.
        table: styles that are named from the start.
        seed: of styles that are drawn.
        sample: draw the style of each region that has no named one, instead of taking the most usual one.
        precision: of the passes of the model.
        depth: how many edits can be undone; each keeps the maps that it changed in memory.

    Attributes:
        renderer: makes images of scenes, and says which styles their regions have.

    Raises:
        DataError: maps of unequal size or of other numbers than ids.
        SettingsError: a label that the model does not know, a model without classes, or a missing instance map.

    New objects are numbered as the instance map does it, see `i2i_pix2pixhd.editing.numbering.Numbering`.
    """

    def __init__(
        self,
        model: SceneGenerator,
        labels: Tensor,
        instances: Tensor | None = None,
        styles: Styles | None = None,
        *,
        table: Table | None = None,
        seed: int = 0,
        sample: bool = False,
        precision: Precision = "fp32",
        depth: int = 100,
    ) -> None:
        if not model.labels:
            raise SettingsError("this model reads images, not label maps; only scenes of label maps can be edited")
        if model.boundaries and instances is None:
            raise SettingsError("this model sees the boundaries of objects: name an instance map (--instances FILE)")
        at_least("seed", seed, 0)
        at_least("depth", depth, 1)
        self.renderer = Renderer(model, styles, seed, sample, precision)
        classes, objects = _ids("labels", labels), None if instances is None else _ids("instances", instances)
        if objects is not None and objects.shape != classes.shape:
            one, other = ("x".join(map(str, reversed(each.shape))) for each in (classes, objects))
            raise DataError(f"the labels are {one}, but the instances are {other}; both have the size of the scene")
        self._numbers = Numbering("segments") if objects is None else numbering_of(classes, objects)
        self._depth, self._scene = depth, EditedScene(classes, objects, table or Table())
        self._past: list[EditedScene] = []
        self._future: list[EditedScene] = []
        for label in (int(classes.min()), int(classes.max())):
            self._check_label("a label of the scene", label)

    @property
    def scene(self) -> EditedScene:
        """The scene as it stands."""
        return self._scene

    def undo(self) -> None:
        """Take the last edit back.

        Raises:
            SettingsError: there is none.
        """
        self._scene = _moved(self._past, self._future, self._scene, "taken back")

    def redo(self) -> None:
        """Do again what was taken back last; that goes until there is another edit.

        Raises:
            SettingsError: there is none.
        """
        self._scene = _moved(self._future, self._past, self._scene, "done again")

    def paint(self, region: Region, label: int, instance: int | None = None) -> None:
        """Give a region another label.

        Args:
            region: where.
            label: class id.
            instance: an object of that class, which grows by the region; None: it belongs to no object.

        Raises:
            DataError: the region lies outside, or there is no such object of that class.
            SettingsError: the model does not know the label.
        """
        self._check_label("label", label)
        mask = selected(region, self._scene.labels, self._scene.instances)
        if instance is not None and (own := self._target(instance, None)[1]) != label:
            raise DataError(f"object {instance} has the label {own}, not {label}; add makes a new object")
        self._do(self._painted(mask, label, instance))

    def replace(self, label: int, by: int, region: Region | None = None) -> None:
        """Give all that has one label another one; objects stay objects, and their own styles are forgotten.

        Args:
            label: class id.
            by: class id.
            region: where; everywhere when left out. An object that reaches beyond it is divided.

        Raises:
            DataError: the label is not there, or the region lies outside.
            SettingsError: the model does not know one of the labels, or they are the same.
        """
        self._check_label("label", label)
        self._check_label("by", by)
        if label == by:
            raise SettingsError(f"label and by are both {label}; nothing would change")
        scene = self._scene
        within = torch.ones_like(scene.labels, dtype=torch.bool)
        if region is not None:
            within = selected(region, scene.labels, scene.instances)
        mask = within & (scene.labels == label)
        if not bool(mask.any()):
            there = ", ".join(map(str, torch.unique(scene.labels[within]).tolist()))
            raise DataError(f"there is no label {label} to replace; there are {there}")
        if scene.instances is None:
            self._do(self._painted(mask, by))
            return
        for id in torch.unique(scene.instances[mask]).tolist():
            scene = self._reclassed(scene, mask, id, by)
        self._do(scene)

    def add(self, region: Region, label: int) -> int:
        """Add an object, with its boundary and a style of its own.

        Args:
            region: where.
            label: its class id.

        Returns:
            The id of the object.

        Raises:
            DataError: the region lies outside, or there is no instance map.
            SettingsError: the model does not know the label.
        """
        self._check_label("label", label)
        id = self._numbers.new(known_objects(self._scene.instances), label)
        mask = selected(region, self._scene.labels, self._scene.instances)
        self._do(_forgetting(self._painted(mask, label, id), [id]))
        return id

    def remove(self, id: int, fill: int | Literal["surroundings"] = "surroundings") -> None:
        """Remove an object.

        Args:
            id: of the object.
            fill: the label that takes its place; ``"surroundings"``: the one that is most frequent around it.

        Raises:
            DataError: there is no such object, or nothing around it.
            SettingsError: the model does not know the label.
        """
        self._target(id, None)
        mask = known_objects(self._scene.instances) == id
        if fill == "surroundings":
            ring = around(mask)
            if not bool(ring.any()):
                raise DataError(f"object {id} fills the whole image; name the label that takes its place (fill)")
            fill = int(self._scene.labels[ring].bincount().argmax())
        self._check_label("fill", fill)
        self._do(self._painted(mask, fill))

    def restyle(
        self,
        style: Tensor | Sequence[float] | int | Literal["sample", "nearest"],
        *,
        object: int | None = None,
        label: int | None = None,
    ) -> None:
        """Give an object, or all of a class, another style.

        Args:
            style: as many numbers as the styles of the model have; or which centre of the class (0 is the most
                frequent); or ``"sample"``: another centre than now, by chance; or ``"nearest"``: the most usual one.
            object: id of an object.
            label: class id; styles that its objects have of their own are forgotten.

        Raises:
            DataError: there is no such object or class, or no such style.
            SettingsError: the model was trained without styles, or not one of ``object`` and ``label`` is named.
        """
        encoder_of(self.renderer.model)
        ids, own = self._target(object, label)
        vector = self.renderer.named(self._scene, style, own if object is None else object, own)
        scene = _forgetting(self._scene, ids)
        named = (scene.table.classes, scene.table.objects)
        table = (
            Table({**named[0], own: vector}, named[1])
            if object is None
            else Table(named[0], {**named[1], object: vector})
        )
        self._do(attrs.evolve(scene, table=table))

    def render(self, scene: EditedScene | None = None) -> Tensor:
        """Make the image.

        Args:
            scene: as it was at another moment; as it stands when left out.

        Returns:
            ``(c, h, w)`` float32 on the CPU, nominally in ``[-1, 1]``, not clamped.

        Raises:
            DataError: a region has no style.
            OutOfMemoryError: the device has too little memory.
        """
        scene = self._scene if scene is None else scene
        return self.renderer.images(scene, [scene.table])[0]

    def variants(self, count: int, *, object: int | None = None, label: int | None = None) -> Tensor:
        """Make images of the scene that differ in styles; the scene stays as it is.

        Each gives regions other centres of their classes than they have now and than the images before, as long as
        there are others. As many as have 2**20 pixels together go through the model in one pass.

        Args:
            count: how many.
            object: vary this object only.
            label: vary the regions of this class only.

        Returns:
            ``(count, c, h, w)`` float32 on the CPU, nominally in ``[-1, 1]``, not clamped.

        Raises:
            DataError: there is no such object or class, or there are no styles.
            OutOfMemoryError: the device has too little memory.
            SettingsError: the model was trained without styles, or ``count`` is below 1.
        """
        return self.renderer.images(self._scene, self.varied(count, object=object, label=label))

    def varied(self, count: int, *, object: int | None = None, label: int | None = None) -> list[Table]:
        """Return the styles of `variants`, whose arguments and errors it has, without making the images."""
        at_least("count", count, 1)
        encoder_of(self.renderer.model)
        everything = object is None and label is None
        ids = self.renderer.regions(self._scene)[0] if everything else self._target(object, label)[0]
        return self.renderer.varied(self._scene, count, ids)

    def _do(self, scene: EditedScene) -> None:
        self._past.append(self._scene)
        del self._past[: -self._depth]
        self._future.clear()
        self._scene = scene

    def _check_label(self, name: str, label: Any) -> None:
        most = self.renderer.model.labels - 1
        if type(label) is not int or not 0 <= label <= most:
            raise SettingsError(f"{name} (={label}) must lie between 0 and {most}, the classes of the model")

    def _painted(self, mask: Tensor, label: int, instance: int | None = None) -> EditedScene:
        """Return the scene with another label where ``mask`` says; None: outside of all objects."""
        labels, instances = self._scene.labels, self._scene.instances
        if instances is not None:
            id = self._numbers.background(labels, instances, label, mask) if instance is None else instance
            instances = instances.masked_fill(mask, id)
        return attrs.evolve(self._scene, labels=labels.masked_fill(mask, label), instances=instances)

    def _reclassed(self, scene: EditedScene, mask: Tensor, id: int, by: int) -> EditedScene:
        """Return a scene in which the pixels of one id have another label where ``mask`` says."""
        instances = known_objects(scene.instances)
        own = known_objects(self._scene.instances) == id
        part = own & mask
        if not self._numbers.is_object(id):
            to = self._numbers.background(scene.labels, instances, by, part)
        elif self._numbers.kind == "cityscapes" or not part.equal(own):
            to = self._numbers.new(instances, by)
        else:
            to = id
        made = EditedScene(scene.labels.masked_fill(part, by), instances.masked_fill(part, to), scene.table)
        return _forgetting(made, [to])

    def _target(self, object: int | None, label: int | None) -> tuple[list[int], int]:
        """Ids of the regions that are meant, and their class."""
        if (object is None) == (label is None):
            raise SettingsError("which object, or which label? name one of the two")
        ids, classes = self.renderer.regions(self._scene)
        if object is not None:
            known_objects(self._scene.instances)
            if object not in ids:
                raise absent(object, ids)
            return [object], classes[ids.index(object)]
        found = [id for id, own in zip(ids, classes, strict=True) if own == label]
        if label is None or not found:
            raise DataError(f"there is nothing of class {label}; there are {', '.join(map(str, sorted(set(classes))))}")
        return found, label


def _forgetting(scene: EditedScene, ids: Iterable[int]) -> EditedScene:
    """Return a scene in which these objects have no styles of their own."""
    gone = set(ids)
    objects = {id: style for id, style in scene.table.objects.items() if id not in gone}
    return attrs.evolve(scene, table=Table(scene.table.classes, objects))


def _moved(source: list[EditedScene], target: list[EditedScene], now: EditedScene, done: str) -> EditedScene:
    if not source:
        raise SettingsError(f"there is no edit that could be {done}")
    target.append(now)
    return source.pop()


def _ids(name: str, map: Tensor) -> Tensor:
    """Return a copy of a map, ``(h, w)`` int32 on the CPU."""
    height, width = map.shape[-2:] if map.ndim > 1 else (0, 0)
    if map.is_floating_point() or map.dtype == torch.bool or not map.numel() or map.numel() != height * width:
        raise DataError(f"{name} of shape {tuple(map.shape)} and type {map.dtype}: a map is (h, w) of whole numbers")
    return map.detach().reshape(height, width).to("cpu", torch.int32, copy=True)
