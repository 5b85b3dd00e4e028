"""Scenes in files: which files belong together, and how they are read for a model."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from i2i.errors import DataError, SettingsError
from i2i.values import Instanced, Labelled

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from i2i.data import Colours, Scene
    from i2i.pixels import PixelFormat
    from i2i_pix2pixhd.scene import SceneGenerator

Found = TypeVar("Found")

_EQUAL = "the files of a scene"


class ReadScene(NamedTuple):
    """A scene that was read: each ``(1, c, h, w)``; ids are int32, images in ``[-1, 1]``; None where there is none."""

    labels: Tensor
    instances: Tensor | None
    image: Tensor | None

    @property
    def batch(self) -> Labelled | Instanced:
        """The scene with its image, as a batch of one."""
        assert self.image is not None  # asked for only where images were named
        if self.instances is None:
            return Labelled(self.labels, self.image)
        return Instanced(self.labels, self.instances, self.image)


class Trained(NamedTuple):
    """How the scenes of a training were read.

    Attributes:
        width: that they were brought to; None: they were not, or this is no run.
        instances: with instance maps.
    """

    width: int | None
    instances: bool


def check_instances(model: SceneGenerator, given: bool, *, edited: bool = False) -> None:
    """Check that instance maps are named where a model needs them, and only where they are of use.

    Args:
        model: says whether it sees objects, or pools styles by them.
        given: they are named.
        edited: the scene is edited, for which objects are of use, whatever the model sees.

    Raises:
        SettingsError: they are not, or are of none.
    """
    if not given and (model.boundaries or (model.features and not model.labels)):
        raise SettingsError("this model sees objects: name their instance maps with --instances")
    if given and not (model.boundaries or model.features or edited):
        raise SettingsError("this model was trained without instance maps; leave --instances out")


def colours_of(model: SceneGenerator, path: Path | None) -> Colours | None:
    """Read a table of colours, for a model that has classes.

    Raises:
        DataError: the table says something else.
        SettingsError: the model has none.
    """
    from i2i.data import read_colours

    if path is None:
        return None
    if not model.labels:
        raise SettingsError("this model reads images, which have no classes; leave --colours out")
    return read_colours(path)


def find_scenes(model: SceneGenerator, labels: Path, instances: Path | None, images: Path | None = None) -> list[Scene]:
    """Find the files that belong together: those of equal name; files that are named themselves do, whatever they say.

    Of folders of Cityscapes the files of each kind are taken.

    Args:
        model: says whether labels are maps or images.
        labels: a folder or a file.
        instances: of the same kind, or None.
        images: of the same kind, or None.

    Raises:
        DataError: there is none, or one has no partner.
        SettingsError: one image is named for several scenes.
    """
    from i2i.data import Scene
    from i2i.data import find_scenes as find

    given = [path for path in (labels, instances, images) if path is not None]
    if len(given) > 1 and all(path.is_file() for path in given):
        return [Scene(labels, instances, images)]
    if images is not None and images.is_file() and (count := len(find(labels, classes=model.labels > 0))) > 1:
        one = "map with --labels" if model.labels else "image with --images"
        raise SettingsError(
            f"--style encode:{images} is one image, but there are {count} scenes in {labels}; name a folder of images, "
            f"or one {one} FILE"
        )
    return find(labels, instances, images, classes=model.labels > 0, optional=False)


def training_scenes(model: SceneGenerator, data: Path, *, instances: bool) -> list[Scene]:
    """Find the scenes to train on in a folder of the authors' layout, or that of Cityscapes.

    Args:
        model: says whether labels are maps or images.
        data: the folder.
        instances: with instance maps.

    Raises:
        DataError: a folder is missing, or a file has no partner.
    """
    from i2i.data import find_scenes as find
    from i2i.data import scene_places

    # Only a training can go without instance maps.
    places = scene_places(data, "train", classes=model.labels > 0, instances=instances, optional=False)
    assert places is not None  # it is what is held out that may be missing
    return find(*places, classes=model.labels > 0, optional=False)


def read_scene(
    model: SceneGenerator, files: Scene, *, colours: Colours | None = None, width: int | None = None
) -> ReadScene:
    """Read a scene as a model takes it, and check it.

    Args:
        model: says how many classes there are, and how images lie in files.
        files: where it lies.
        colours: of the classes in RGB label maps; those that the model was trained with when left out.
        width: bring the scene to this width, maps by nearest neighbour; its own when left out.

    Raises:
        DataError: a file cannot be used, sizes differ, or an id is too high for the model.
    """
    import torch

    from i2i.data import read_instances, resize, to_tensor, unequal
    from i2i.pixels import formats_of

    reads, writes = formats_of(model)
    found: list[tuple[Path, NDArray[Any], PixelFormat | None]] = []
    if model.labels:
        found.append((files.labels, _labels(model, files.labels, colours)[..., None], None))
    else:
        found.append((files.labels, _image(files.labels, reads), reads))
    if files.instances is not None:
        found.append((files.instances, read_instances(files.instances)[..., None], None))
    if files.image is not None:
        found.append((files.image, _image(files.image, writes), writes))
    sizes = [(array.shape[1], array.shape[0]) for _, array, _ in found]
    if len(set(sizes)) > 1:
        raise unequal(sizes, [path for path, _, _ in found], _EQUAL)
    size = sizes[0] if width is None else (width, max(int(width * sizes[0][1] / sizes[0][0]), 1))
    made = iter([
        torch.from_numpy(resize(array, size)).permute(2, 0, 1)[None] if pixels is None
        else to_tensor(resize(array, size), pixels)[None]
        for _, array, pixels in found
    ])  # fmt: skip
    return ReadScene(
        next(made),
        next(made) if files.instances is not None else None,
        next(made) if files.image is not None else None,
    )


def _labels(model: SceneGenerator, path: Path, colours: Colours | None) -> NDArray[Any]:
    from i2i.data import IdError, read_labels

    try:
        return read_labels(path, model.labels, model.palette if colours is None else colours)
    except DataError as error:
        if isinstance(high := error.__cause__, IdError):
            raise DataError(
                f"{path} has class id {high.found}, but this model knows {model.labels} classes (0 to "
                f"{model.labels - 1}); correct the map, or take a model of more classes"
            ) from error
        raise


def _image(path: Path, pixels: PixelFormat) -> NDArray[Any]:
    from i2i.data import MisfitError, read_image

    try:
        return read_image(path, pixels)
    except DataError as error:
        if isinstance(misfit := error.__cause__, MisfitError):
            raise DataError(f"{path} {misfit.by_model}") from error
        raise


def read_all(
    scenes: Iterable[Scene], read: Callable[[Scene], Found], *, skip_bad: bool, what: str
) -> Iterator[tuple[Scene, Found]]:
    """Read scenes one after the other, with a progress bar; say which ones are passed over.

    Args:
        scenes: their files.
        read: reads one.
        skip_bad: pass over scenes that cannot be used instead of stopping.
        what: the word in front of the bar.

    Raises:
        DataError: a scene cannot be used, and is not to be passed over; or none can.
    """
    from tqdm import tqdm

    listed, bad = list(scenes), []
    for scene in tqdm(listed, unit="scene", desc=what, disable=None):
        try:
            found = read(scene)
        except DataError as error:
            if not skip_bad:
                raise DataError(f"{error}; --skip-bad passes over such scenes") from error
            bad.append(str(error))
            tqdm.write(f"i2i: skipped: {error}", file=sys.stderr)
            continue
        yield scene, found
    if len(bad) == len(listed):
        raise DataError(f"none of the {len(listed)} scenes can be used; the first: {bad[0]}")


def trained(model: str) -> Trained:
    """Return how the scenes of a training were read, as the settings of its run say.

    Args:
        model: a run, or one of the models in it (``model``, ``best``); of others nothing is known.

    Raises:
        SettingsError: the settings of the run are damaged.
    """
    from i2i.toml import read_settings

    folder = Path(model).resolve()
    places = [folder, folder.parent] if folder.name in ("model", "best") else [folder]
    path = next((path for place in places if (path := place / "settings.toml").is_file()), None)
    settings = {} if path is None else read_settings(path).settings
    scaled = str(settings.get("preprocess", "")) not in ("", "none", "crop")
    width = settings.get("load_size")
    return Trained(width if scaled and isinstance(width, int) else None, settings.get("instances") is True)
