"""The scenes that a run names, as a table of files: ``--data``, ``--a`` and ``--b``, or ``--dataset``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from i2i.data.hub import image_columns, in_memory, load_split
from i2i.data.named import check_named
from i2i.data.scene_folders import NO_INSTANCES, Places, Split, find_scenes, scene_places
from i2i.data.sources import check_max_images, file_table
from i2i.errors import DataError
from i2i.settings import RunSettings

if TYPE_CHECKING:
    from datasets import Dataset


def scene_table(run: RunSettings, split: Split, classes: bool, instances: bool, most: int | None) -> Dataset | None:
    """Return the scenes of a split, undecoded: a column of label maps, one of instance maps, one of images.

    Args:
        run: what it names.
        split: ``"train"`` or ``"held_out"``.
        classes: there are label maps; else images of a domain A in their place.
        instances: there are instance maps.
        most: take the first so many scenes.

    Returns:
        None where nothing is held out.

    Raises:
        DataError: nothing is named, or too much, or it is not there; or files have no partners.
        SettingsError: ``most`` is below 1.
    """
    check_max_images(most)
    check_named(run, "scenes")
    if run.dataset is not None:
        name = run.split if split == "train" else run.held_out_split
        return None if name is None else _columns(run, run.dataset, name, instances, most)
    places = _places(run, split, classes, instances)
    if places is None:
        return None
    scenes = find_scenes(*places, classes=classes)[:most]
    columns = zip(("labels", "instances", "image"), zip(*scenes, strict=True), strict=True)
    files = {name: [str(path) for path in paths] for name, paths in columns if None not in paths}
    return file_table(files, [scene.labels for scene in scenes])


def _places(run: RunSettings, split: Split, classes: bool, instances: bool) -> Places | None:
    if run.data is not None:
        return scene_places(run.data, split, classes=classes, instances=instances)
    if instances:
        raise DataError(
            "--a and --b name no instance maps; name a folder with train_label, train_inst and train_img by --data, "
            f"{NO_INSTANCES}"
        )
    a, b = (run.a, run.b) if split == "train" else (run.held_out_a, run.held_out_b)
    return Places(a, None, b) if a else None


def _columns(run: RunSettings, dataset: str, split: str, instances: bool, most: int | None) -> Dataset:
    if run.streaming:
        raise DataError(
            "--streaming: label maps are not streamed, since their ids are checked before training; "
            "leave it out, and the dataset is fetched first"
        )
    wanted = 3 if instances else 2
    if instances and len(run.columns) == 2:
        raise DataError(
            f"--columns {' '.join(run.columns)} names no instance maps; name three columns (labels, instances, "
            f"images), {NO_INSTANCES}"
        )
    found = image_columns(load_split(dataset, subset=run.subset, split=split), run.columns, least=wanted, most=wanted)
    table = in_memory(found, most)
    if not len(table):
        raise DataError(f"the split {split} of --dataset {dataset} is empty")
    return table
