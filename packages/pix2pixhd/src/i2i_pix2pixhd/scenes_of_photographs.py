"""Label maps of real photographs: segments of similar colour, and classes of similar segments; for demo and evidence.

The photographs lie inside the packages of scikit-image and scikit-learn. Their left columns are for training, the right
ones are held out: other regions of the same photographs, not other photographs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from i2i import photographs
from i2i.data import write_ids
from i2i.demos import write_colours
from i2i.photographs import Colours

CROP = 128
"""Side of the squares that are trained on and held out, in pixels."""
Kind = Literal["lightness", "colour"]
CLASSES: Mapping[Kind, int] = {"lightness": 5, "colour": 10}
"""How many classes there are, by what they say of a segment: how light it is, or its colour."""
_LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_SHORT_SIDE = 344  # so that a crop fits into the held-out columns of a square photograph
_TRAINING = 0.62  # of the columns
_SEGMENT = 400  # pixels
_HELD_OUT, _SEED = 36, 0


class Region(NamedTuple):
    """Part of a photograph: colours ``(h, w, 3)`` in 0 ... 1, class and instance ids ``(h, w)``."""

    image: Colours
    labels: NDArray[np.int32]
    instances: NDArray[np.int32]

    def crop(self, rows: slice, columns: slice) -> Region:
        """Return a part of it."""
        return Region(self.image[rows, columns], self.labels[rows, columns], self.instances[rows, columns])


def regions(kind: Kind = "lightness") -> tuple[dict[str, Region], dict[str, Region]]:
    """Return the training regions and the held-out ones, by the names of the photographs.

    Classes are clusters of the mean lightness, or colour, of the segments of the training regions. Where they say only
    how light an object is, its colour is left to styles. An id of an instance is its class times 1000, and its number
    within that.
    """
    from sklearn.cluster import KMeans

    halves: list[dict[str, Colours]] = [{}, {}]
    for name, whole in photographs.load(_SHORT_SIDE).items():
        edge = round(whole.shape[1] * _TRAINING)
        halves[0][name], halves[1][name] = whole[:, :edge], whole[:, edge:]
    segments = [{name: _segments(image) for name, image in half.items()} for half in halves]
    colours = [
        {name: _told(_mean_colours(image, parts[name]), kind) for name, image in half.items()}
        for half, parts in zip(halves, segments, strict=True)
    ]
    clusters = KMeans(CLASSES[kind], random_state=0, n_init=4).fit(np.concatenate(list(colours[0].values())))
    found = []
    for half, parts, means in zip(halves, segments, colours, strict=True):
        classes = {name: clusters.predict(values) for name, values in means.items()}
        found.append({name: _region(half[name], parts[name], classes[name]) for name in half})
    return found[0], found[1]


def _segments(image: Colours) -> NDArray[np.intp]:
    from skimage.segmentation import slic

    count = image.shape[0] * image.shape[1] // _SEGMENT
    found: NDArray[np.intp] = slic(image, n_segments=count, compactness=10, start_label=0)
    return np.unique(found, return_inverse=True)[1].reshape(found.shape)


def _mean_colours(image: Colours, segments: NDArray[np.intp]) -> Colours:
    counts = np.bincount(segments.ravel())
    sums = [np.bincount(segments.ravel(), weights=image[..., channel].ravel()) for channel in range(3)]
    means: Colours = np.stack(sums, axis=1) / counts[:, None]
    return means


def _told(colours: Colours, kind: Kind) -> Colours:
    """Return what classes say of segments of these mean colours ``(n, 3)``."""
    return colours if kind == "colour" else colours @ _LUMINANCE[:, None]


def _region(image: Colours, segments: NDArray[np.intp], classes: NDArray[Any]) -> Region:
    numbers = np.array([np.count_nonzero(classes[:index] == one) for index, one in enumerate(classes)])
    return Region(image, classes[segments].astype(np.int32), (classes * 1000 + numbers)[segments].astype(np.int32))


def held_out_crops(regions: dict[str, Region]) -> dict[str, Region]:
    """Cut the held-out regions into 36 squares, always the same ones."""
    names = list(regions)
    drawn = photographs.crops([region.image for region in regions.values()], CROP, _HELD_OUT, _SEED)
    return {
        f"{index:02d}-{names[which]}": regions[names[which]].crop(rows, columns)
        for index, (which, rows, columns) in enumerate(drawn)
    }


def training_crops(regions: dict[str, Region], count: int) -> list[Region]:
    """Cut squares out of the training regions, for the baselines; always the same ones."""
    each = list(regions.values())
    drawn = photographs.crops([region.image for region in each], CROP, count, _SEED + 1)
    return [each[which].crop(rows, columns) for which, rows, columns in drawn]


def write_scenes(folder: Path, phase: str, scenes: dict[str, Region]) -> None:
    """Write scenes in the layout of the authors: ``<phase>_label``, ``<phase>_inst`` and ``<phase>_img``."""
    for name, scene in scenes.items():
        write_colours(folder / f"{phase}_img" / f"{name}.png", scene.image)
        for kind, ids in (("label", scene.labels), ("inst", scene.instances)):
            (folder / f"{phase}_{kind}").mkdir(exist_ok=True)
            write_ids(ids, folder / f"{phase}_{kind}" / f"{name}.png")
