"""Styles: what the encoder finds in real images, gathered for each class."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import attrs
import torch
from torch import Tensor

from i2i.errors import DataError, ModelError, SettingsError
from i2i.files import write_file, writing
from i2i.tensorfile import TensorFile, write_tensors
from i2i.values import Instanced
from i2i_pix2pixhd.styles.kmeans import kmeans

if TYPE_CHECKING:
    from i2i_pix2pixhd.encoder import FeatureEncoder
    from i2i_pix2pixhd.scene import SceneGenerator
    from i2i_pix2pixhd.step import Scene

FILE = "styles.safetensors"  # in the folder of the model
ENCODE = "i2i pix2pixhd encode MODEL --data DIR"
LEAST_SHARE = 1 / 64  # of an image; smaller regions do not count where a class has larger ones
_DTYPES = {
    "classes": torch.int64, "counts": torch.int64, "centres": torch.float32, "means": torch.float32,
    "mean": torch.float32, "fingerprint": torch.uint8,
}  # fmt: skip


class Regions(NamedTuple):
    """The regions of one image that have a style each: those of equal id.

    Attributes:
        ids: ``(n,)``, rising.
        classes: ``(n,)``: the label that most pixels of each have.
        counts: ``(n,)``: its pixels.
        places: ``(h, w)``: of each pixel, the place of its id in ``ids``.
    """

    ids: Tensor
    classes: Tensor
    counts: Tensor
    places: Tensor


class Rows(NamedTuple):
    """Regions of images, and what the encoder makes of them.

    Attributes:
        ids: ``(n,)`` int64: ids of the regions.
        classes: ``(n,)`` int64: their classes.
        features: ``(n, f)`` float32: means of the encoder's values.
        shares: ``(n,)`` float32: how much of its image each region is, 0 to 1.
    """

    ids: Tensor
    classes: Tensor
    features: Tensor
    shares: Tensor


@attrs.frozen(eq=False)
class Styles:
    """The styles that a model has seen, by class; all tensors float32 on the CPU.

    Attributes:
        centres: ``(m, f)`` for each class, the most frequent first.
        means: ``(f,)`` for each class: of the regions that the centres were found in.
        mean: ``(f,)``: of all regions of all classes.
        fingerprint: of the encoder that found them, see `fingerprint`.
    """

    centres: Mapping[int, Tensor]
    means: Mapping[int, Tensor]
    mean: Tensor
    fingerprint: str


def regions_of(model: SceneGenerator, labels: Tensor, instances: Tensor | None = None) -> Regions:
    """Find the regions of one image that have a style each: instances, or classes where there are none.

    A region has the class that most of its pixels are labelled with (of equally many, the lower one), whatever its id
    is. For a model without classes it is the thousands of the id, as in Cityscapes, or the id where it has none.

    Args:
        model: says whether there are classes.
        labels: ``(1, 1, h, w)``; an image where there are no classes.
        instances: ``(1, 1, h, w)`` or None.

    Raises:
        DataError: there are neither instances nor classes.
    """
    found, places = torch.unique(model.regions(labels, instances)[0, 0], return_inverse=True)
    ids, flat = found.long(), places.reshape(-1)
    counts = flat.bincount(minlength=len(ids))
    if not model.labels:
        return Regions(ids, torch.where(ids >= 1000, ids // 1000, ids), counts, places)
    pairs, times = torch.unique(flat * model.labels + labels.reshape(-1), return_counts=True)
    # The largest of these numbers is that of the label with most pixels, and of the lowest one among several.
    ranks = times * model.labels + (model.labels - 1 - pairs % model.labels)
    best = torch.zeros_like(ids).scatter_reduce_(0, pairs // model.labels, ranks, "amax")
    return Regions(ids, model.labels - 1 - best % model.labels, counts, places)


def encoder_of(model: SceneGenerator) -> FeatureEncoder:
    """Return the network that finds styles.

    Raises:
        SettingsError: the model has none.
    """
    if model.encoder is None:
        raise SettingsError("this model was trained without styles; train one with --styles")
    return model.encoder


def encode_styles(model: SceneGenerator, scenes: Iterable[Scene]) -> Rows:
    """Find the style of every region of images of any size.

    One pass of the encoder for each batch; images are continued by reflection to a size that it accepts, and only
    their own pixels count.

    Args:
        model: trained with styles, in eval mode.
        scenes: batches of scenes with their images; they may lie on another device than the model.

    Returns:
        The rows of all regions, on the device of the model.

    Raises:
        DataError: there is no scene.
        SettingsError: the model has no encoder.

    Differs:
        From the authors' code: a region has the mean of its pixels, which is what the generator is trained with, and
        not what happens to be at one of them.
    """
    found = [rows for scene in scenes for rows in _encoded(model, scene)]
    if not found:
        raise DataError("there is no scene to find styles in")
    return Rows(*(torch.cat(column) for column in zip(*found, strict=True)))


def _encoded(model: SceneGenerator, scene: Scene) -> Iterable[Rows]:
    from i2i.passes import device_of, whole

    encoder = encoder_of(model)
    device = device_of(model, scene.image)
    with torch.inference_mode():
        values = whole(encoder, scene.image.to(device))
    labels = scene.labels.to(device)
    instances = scene.instances.to(device) if isinstance(scene, Instanced) else None
    for place, image in enumerate(values):
        one = slice(place, place + 1)
        regions = regions_of(model, labels[one], None if instances is None else instances[one])
        yield Rows(regions.ids, regions.classes, _means(image, regions), regions.counts / regions.places.numel())


def _means(values: Tensor, regions: Regions) -> Tensor:
    """Return the mean ``(n, f)`` of ``values (f, h, w)`` in each region."""
    wide = values.flatten(1).T.to(torch.float32 if values.device.type == "mps" else torch.float64)
    sums = wide.new_zeros(len(regions.ids), wide.shape[1]).index_add_(0, regions.places.reshape(-1), wide)
    return (sums / regions.counts[:, None]).float()


def cluster(
    rows: Rows, k: int = 10, *, seed: int = 0, least_share: float = LEAST_SHARE, fingerprint: str = ""
) -> Styles:
    """Find the styles that are typical of each class.

    Args:
        rows: regions.
        k: centres of a class; a class of fewer distinct rows has as many as those.
        seed: of k-means.
        least_share: leave regions out that are no more than this of their image, unless a class has no others.
        fingerprint: of the encoder.

    Raises:
        DataError: there is no row.
        ModelError: a feature is not finite.
        SettingsError: ``k`` is below 1, or ``seed`` below 0.

    Example:
        >>> ids = torch.tensor([26001, 26002, 7])
        >>> rows = Rows(ids, torch.tensor([26, 26, 7]), torch.tensor([[0.0], [1.0], [0.5]]), torch.full((3,), 0.1))
        >>> styles = cluster(rows, 1)
        >>> styles.centres[26].tolist(), styles.means[7].tolist(), styles.mean.tolist()
        ([[0.5]], [0.5], [0.5])

    Differs:
        From the authors' code: a class of small regions only has styles, too; there it has none, and its features are
        whatever was in memory. The start of k-means is drawn otherwise than by sklearn.
    """
    if not len(rows.ids):
        raise DataError("there is no region to find styles in")
    if not bool(rows.features.isfinite().all()):
        raise ModelError("the encoder makes numbers of these images that are not finite; use an earlier model")
    centres, means = {}, {}
    for label in torch.unique(rows.classes).tolist():
        own = rows.classes == label
        large = own & (rows.shares > least_share)
        points = rows.features[large if bool(large.any()) else own]
        centres[label] = kmeans(points, k, seed=seed).centres.float().cpu()
        means[label] = points.mean(0).float().cpu()
    return Styles(centres, means, rows.features.mean(0).float().cpu(), fingerprint)


def fingerprint(model: SceneGenerator) -> str:
    """Return the sha256 of the encoder's tensors with their names: styles are of no use to another one.

    Raises:
        SettingsError: the model has no encoder.
    """
    digest = hashlib.sha256()
    for name, value in sorted(encoder_of(model).state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save_styles(styles: Styles, folder: Path) -> Path:
    """Write styles into the folder of their model; those that were there are replaced in one moment.

    Returns:
        The file.

    Raises:
        RunError: it cannot be written.
    """
    labels = sorted(styles.centres)
    tensors = {
        "classes": torch.tensor(labels, dtype=torch.int64),
        "counts": torch.tensor([len(styles.centres[label]) for label in labels], dtype=torch.int64),
        "centres": torch.cat([styles.centres[label] for label in labels]),
        "means": torch.stack([styles.means[label] for label in labels]),
        "mean": styles.mean,
        "fingerprint": torch.tensor(list(bytes.fromhex(styles.fingerprint)), dtype=torch.uint8),
    }
    path = folder / FILE
    with writing(path, "styles that were there are intact"):
        write_file(path, lambda file: write_tensors(file, tensors))
    return path


def load_styles(folder: Path, model: SceneGenerator, name: str | None = None) -> Styles:
    """Read the styles that `save_styles` wrote for ``model``.

    Args:
        folder: of the model.
        model: whose styles they are.
        name: what messages call the model; the folder by default.

    Raises:
        ModelError: there are none, they are damaged, or they are those of another encoder.
        SettingsError: the model has no encoder.
    """
    name = str(folder) if name is None else name
    path, remedy = folder / FILE, f"find them: {ENCODE.replace('MODEL', name)}"
    expected = fingerprint(model)
    if not path.exists():
        raise ModelError(f"{name} has no styles yet; {remedy}")
    try:
        with TensorFile(path) as file:
            _check(path, {name: (entry.dtype, entry.shape) for name, entry in file.entries.items()})
            read = file.read()
        styles = _unpacked(path, read)
    except ModelError as error:
        raise ModelError(f"{error}; {remedy}") from error
    if styles.fingerprint != expected:
        raise ModelError(f"{path} holds styles of another model, or of this one at an earlier time; {remedy}")
    return styles


def _check(path: Path, held: Mapping[str, tuple[torch.dtype, tuple[int, ...]]]) -> None:
    shapes = {name: shape for name, (_, shape) in held.items()}
    count, features = (shapes.get("means") or (0, 0))[:1], shapes.get("mean") or (0,)
    wanted = {"classes": count, "counts": count, "means": count + features, "mean": features, "fingerprint": (32,)}
    fits = shapes == wanted | {"centres": shapes.get("centres", ())[:1] + features} and len(features) == 1
    if not fits or any(dtype != _DTYPES[name] for name, (dtype, _) in held.items()):
        raise ModelError(f"{path} holds no styles that i2i wrote")


def _unpacked(path: Path, read: Mapping[str, Tensor]) -> Styles:
    counts = read["counts"].tolist()
    numbers = torch.cat([read[name].reshape(-1) for name in ("centres", "means", "mean")])
    if min(counts, default=0) < 1 or sum(counts) != len(read["centres"]) or not bool(numbers.isfinite().all()):
        raise ModelError(f"{path} holds no styles that i2i wrote")
    labels = read["classes"].tolist()
    centres = dict(zip(labels, torch.split(read["centres"], counts), strict=True))
    means = dict(zip(labels, read["means"], strict=True))
    return Styles(centres, means, read["mean"], bytes(read["fingerprint"].tolist()).hex())
