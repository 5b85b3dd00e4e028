"""Folders of scenes: where label maps, instance maps and images lie, and which of them belong together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from i2i.data.folders import check_partners, existing_folder, find_images, named_images, subfolders
from i2i.errors import DataError

#: Where one kind of files lies: folders, or files themselves.
Place: TypeAlias = "str | Path | Sequence[str | Path]"
Split: TypeAlias = Literal["train", "held_out"]

# What Cityscapes puts behind the name of a scene.
_ENDING = re.compile(r"(_gt(Fine|Coarse)_((label|instance)(Train)?Ids|color)|_leftImg8bit)$")
_CITYSCAPES = {
    "labels": ("gtFine", "_gtFine_labelIds"),
    "instances": ("gtFine", "_gtFine_instanceIds"),
    "images": ("leftImg8bit", "_leftImg8bit"),
}
NO_INSTANCES = "or go without: --no-instances"


class Scene(NamedTuple):
    """The files of a scene; without classes, ``labels`` is an image of domain A."""

    labels: Path
    instances: Path | None = None
    image: Path | None = None


class Places(NamedTuple):
    """Where the files of scenes lie, by kind."""

    labels: Place
    instances: Place | None = None
    images: Place | None = None


def find_scenes(
    labels: Place,
    instances: Place | None = None,
    images: Place | None = None,
    *,
    classes: bool = True,
    optional: bool = True,
) -> list[Scene]:
    """List the scenes of folders: the files of the same name belong together.

    A name is the path below its folder, without its suffix, and without what Cityscapes puts behind it
    (``_gtFine_labelIds``, ``_gtFine_instanceIds``, ``_leftImg8bit``). Where a file with the ending of its kind lies in
    a folder, what Cityscapes has of the same scene beside it (colours, other ids) is left out.

    Args:
        labels: folders or files of label maps.
        instances: those of instance maps, where there are some.
        images: those of images.
        classes: False: ``labels`` are images of a domain A, and errors call them so.
        optional: one can go without instance maps, and errors say how (``--no-instances``).

    Returns:
        In the order of the names of ``labels``.

    Raises:
        DataError: a name is of one kind only, or twice in one; the first of them are listed.
    """
    named = _named(labels, "labels" if classes else "A")
    objects = photos = None
    if instances is not None:
        remedy = f", {NO_INSTANCES}" if optional else ""
        objects = _partners(named, instances, ("labels" if classes else "A", "instances"), remedy)
    if images is not None:
        photos = _partners(named, images, ("labels", "images") if classes else ("A", "B"))
    return [
        Scene(path, None if objects is None else objects[name], None if photos is None else photos[name])
        for name, path in named.items()
    ]


def _without_ending(name: str) -> str:
    return _ENDING.sub("", name)


def _named(place: Place, kind: str) -> dict[str, Path]:
    ending = _CITYSCAPES[kind][1] if kind in _CITYSCAPES else ""
    return named_images(place, _without_ending, partial(_chosen, ending))


def _chosen(ending: str, paths: Sequence[Path]) -> list[Path]:
    """Leave out the files of Cityscapes that lie beside one of the same scene with this ending."""
    own = {_scene_of(path) for path in paths if path.stem.endswith(ending)}
    return [
        path
        for path in paths
        if path.stem.endswith(ending) or _scene_of(path) not in own or _ENDING.search(path.stem) is None
    ]


def _scene_of(path: Path) -> Path:
    return path.with_name(_without_ending(path.stem))


def _partners(named: Mapping[str, Path], place: Place, kinds: tuple[str, str], remedy: str = "") -> dict[str, Path]:
    found = _named(place, kinds[1])
    try:
        check_partners(named, found, f"the files of {kinds[0]} and {kinds[1]}", kinds)
    except DataError as error:
        raise DataError(f"{error}{remedy}") from error
    return found


def scene_places(
    root: str | Path, split: Split = "train", *, classes: bool = True, instances: bool = True, optional: bool = True
) -> Places | None:
    """Find scenes in ``root``: the authors' layout, or that of Cityscapes.

    Args:
        root: has ``train_label``, ``train_inst`` and ``train_img`` in it (held out: ``test_...``); without classes
            ``train_A`` or ``trainA``, ``train_B`` or ``trainB``; or ``gtFine/train`` and ``leftImg8bit/train`` (held
            out: ``val``).
        split: ``"train"`` or ``"held_out"``.
        classes: there are label maps; else images of a domain A.
        instances: there are instance maps.
        optional: one can go without them, and errors say how (``--no-instances``).

    Returns:
        None where nothing is held out, or no images of it: label maps alone cannot be compared with anything.

    Raises:
        DataError: a folder is missing; the message says what is there.
    """
    root = existing_folder(root)
    remedy = f", {NO_INSTANCES}" if optional else ""
    if classes and (root / "gtFine").is_dir():
        return _cityscapes(root, split, instances, remedy)
    start = "train" if split == "train" else "test"
    kinds = [(f"{start}_label",), (f"{start}_img",)] if classes else [(f"{start}_{x}", f"{start}{x}") for x in "AB"]
    labels, images = (next((root / name for name in names if (root / name).is_dir()), None) for names in kinds)
    if labels is None or images is None:
        if split == "held_out":
            return None
        missing = [names[0] for names, folder in zip(kinds, (labels, images), strict=True) if folder is None]
        raise _missing(root, missing, classes)
    objects = root / f"{start}_inst"
    if instances and not objects.is_dir():
        if split == "held_out":
            raise DataError(
                f"{root} has {labels.name} and {images.name}, but no {objects.name}: the held-out scenes are "
                f"incomplete; add {objects.name}, or take {images.name} out of it to train without held-out scenes"
            )
        raise DataError(f"{root} has no {objects.name}, the folder of instance maps; add it{remedy}")
    return Places(labels, objects if instances else None, images)


def _missing(root: Path, missing: Sequence[str], classes: bool) -> DataError:
    expected = "train_label, train_inst and train_img, or gtFine and leftImg8bit of Cityscapes"
    named = "--a LABELS --b IMAGES --no-instances (RGB to RGB without label maps: --labels 0)"
    if not classes:
        expected, named = "train_A and train_B (with --labels 0)", "--a DIR --b DIR"
    held = f"it has: {subfolders(root)}"
    return DataError(
        f"{root} has no {' and no '.join(missing)} ({held}); expected {expected}, or name folders: {named}"
    )


def _cityscapes(root: Path, split: Split, instances: bool, remedy: str) -> Places | None:
    part = "train" if split == "train" else "val"
    found: dict[str, list[Path]] = {}
    for kind, (name, ending) in _CITYSCAPES.items():
        folder = root / name / part
        if kind == "instances" and not instances:
            continue
        if not folder.is_dir():
            if split == "held_out":
                return None
            raise DataError(f"{folder} does not exist; the layout of Cityscapes has gtFine/train and leftImg8bit/train")
        found[kind] = [path for path in find_images(folder) if path.stem.endswith(ending)]
        if not found[kind]:
            without = remedy if kind == "instances" else ""
            raise DataError(f"{folder} has no files that end in {ending}.png; add them{without}")
    return Places(found["labels"], found.get("instances"), found["images"])
