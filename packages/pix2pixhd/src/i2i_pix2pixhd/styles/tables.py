"""Which style each object of a scene gets: named ones, one of its class by chance, or the most usual one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import torch
from torch import Tensor

from i2i.errors import DataError
from i2i.files import write_file, writing
from i2i.nearest import nearest
from i2i_pix2pixhd.styles.clusters import ENCODE, Styles, regions_of

if TYPE_CHECKING:
    from i2i_pix2pixhd.scene import SceneGenerator


@attrs.frozen(eq=False)
class Table:
    """Styles that are named: of classes, and of single objects, which come first; each ``(f,)`` float32 on the CPU."""

    classes: Mapping[int, Tensor] = attrs.field(factory=dict)
    objects: Mapping[int, Tensor] = attrs.field(factory=dict)


@attrs.frozen(eq=False)
class Choice:
    """Chooses a style for each region of a scene.

    Attributes:
        styles: those that the model has seen; None where the table names all that is needed.
        table: styles that are named; they come before all others.
        seed: draw one of the class's centres for each id; None: take the centre that is nearest to the class's mean.

    The draw follows from the seed and the id alone. So an object has the same style in every image, whatever else is
    there. A class that was never seen has the mean of all styles.
    """

    styles: Styles | None
    table: Table = attrs.field(factory=Table)
    seed: int | None = None

    def vectors(self, ids: Sequence[int], classes: Sequence[int], turn: int = 0) -> Tensor:
        """Return the styles ``(n, f)``, float32 on the CPU, of regions with these ids and classes.

        Args:
            ids: of the regions.
            classes: of the regions.
            turn: which of several draws; each gives another centre than those before it, as long as there are others.

        Raises:
            DataError: the table does not name a region, and there are no other styles.
        """
        return torch.stack([self._vector(id, label, turn) for id, label in zip(ids, classes, strict=True)])

    def _vector(self, id: int, label: int, turn: int) -> Tensor:
        for known, key in ((self.table.objects, id), (self.table.classes, label)):
            if key in known:
                return known[key]
        if self.styles is None:
            raise DataError(
                f"there is no style for object {id} of class {label}; name one, or let the model find them in images: "
                f"{ENCODE}"
            )
        if self.seed is None or label not in self.styles.centres:
            return usual(self.styles, label)
        centres = self.styles.centres[label]
        return centres[order(self.seed, id, len(centres))[turn % len(centres)]]

    def features(self, model: SceneGenerator, labels: Tensor, instances: Tensor | None = None, turn: int = 0) -> Tensor:
        """Return the styles of scenes at every pixel, ``(b, f, h, w)`` float32 on the device of ``labels``.

        Args:
            model: says what the regions are.
            labels: ``(b, 1, h, w)``.
            instances: ``(b, 1, h, w)`` or None.
            turn: see `vectors`.

        Raises:
            DataError: see `vectors`.
        """
        images = []
        for place in range(len(labels)):
            one = slice(place, place + 1)
            regions = regions_of(model, labels[one], None if instances is None else instances[one])
            vectors = self.vectors(regions.ids.tolist(), regions.classes.tolist(), turn)
            images.append(painted(vectors[None].to(labels.device), regions.places))
        return torch.cat(images)


def painted(vectors: Tensor, places: Tensor) -> Tensor:
    """Give every pixel the style of its region.

    Args:
        vectors: ``(b, n, f)``: styles of the regions.
        places: ``(h, w)``: the region of each pixel.

    Returns:
        ``(b, f, h, w)``.

    Example:
        >>> painted(torch.tensor([[[0.5], [0.75]]]), torch.tensor([[1, 0, 1]])).tolist()
        [[[[0.75, 0.5, 0.75]]]]
    """
    return vectors[:, places].permute(0, 3, 1, 2)


def usual(styles: Styles, label: int) -> Tensor:
    """Return the centre ``(f,)`` of a class that is nearest to the class's mean: a look without chance.

    A class that was never seen has the mean of all styles.

    Example:
        >>> styles = Styles({7: torch.tensor([[0.0], [1.0]])}, {7: torch.tensor([0.6])}, torch.zeros(1), "")
        >>> usual(styles, 7)
        tensor([1.])
    """
    if label not in styles.centres:
        return styles.mean
    centres = styles.centres[label]
    return centres[int((centres - styles.means[label]).square().sum(1).argmin())]


def order(seed: int, id: int, count: int) -> list[int]:
    """Return ``range(count)`` in an order that follows from the seed and an id.

    By a checksum: no random generator promises the same order on every machine and in every version.

    Example:
        >>> sorted(order(0, 26001, 4)), order(0, 26001, 4) == order(0, 26001, 4)
        ([0, 1, 2, 3], True)
    """
    return sorted(range(count), key=lambda place: hashlib.blake2b(f"{seed} {id} {place}".encode()).digest())


def read_table(path: Path, features: int) -> Table:
    """Read styles that are named in a file: ``{"classes": {"26": [0.1, ...]}, "objects": {"26001": [0.2, ...]}}``.

    Args:
        path: JSON, as `write_table` writes it; either of the two may be left out.
        features: numbers of each style.

    Raises:
        DataError: it cannot be read, or says something else; the message says where.
    """
    try:
        stored = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: no JSON ({' '.join(str(error).split())})") from error
    known = ("classes", "objects")
    if not isinstance(stored, dict) or not stored:
        raise DataError(f'{path}: expected {{"classes": {{"26": [...]}}, "objects": {{"26001": [...]}}}}')
    for key, named in stored.items():
        if key not in known:
            raise DataError(f"{path}: unknown key {key!r}; {nearest(key, known)}")
        if not isinstance(named, dict):
            raise DataError(f'{path}: {key} must be a table such as {{"26": [...]}}')
    found = {key: {_id(path, key, id): _style(path, key, id, value, features) for id, value in named.items()}
             for key, named in stored.items()}  # fmt: skip
    return Table(**found)


def _id(path: Path, key: str, id: str) -> int:
    if not (id.isascii() and id.isdigit()):
        raise DataError(f"{path}: {key}: {id!r} is no id; ids are whole numbers of at least 0")
    return int(id)


def _style(path: Path, key: str, id: str, value: Any, features: int) -> Tensor:
    try:
        return as_style(value, features)
    except DataError as error:
        raise DataError(f"{path}: {key}: {id}: {error}") from error


def as_style(value: Any, features: int) -> Tensor:
    """Return a list of numbers as a style, ``(features,)`` float32.

    Raises:
        DataError: it is something else, has another length, or a number that is not finite as float32.
    """
    numbers = value.tolist() if isinstance(value, Tensor) else value
    plain = isinstance(numbers, list | tuple) and all(type(number) in (int, float) for number in numbers)
    if plain and len(numbers) == features:
        with suppress(OverflowError):  # a whole number that no float holds
            style = torch.tensor([float(number) for number in numbers], dtype=torch.float32)
            if bool(style.isfinite().all()):
                return style
    raise DataError(f"a style of this model is a list of {features} finite numbers, not {str(value)[:60]}")


def write_table(table: Table, path: Path) -> None:
    """Write styles so that `read_table` reads them; every number comes back as it was.

    Raises:
        RunError: the file cannot be written.
    """
    stored = {
        key: {str(id): style.tolist() for id, style in sorted(named.items())}
        for key, named in (("classes", table.classes), ("objects", table.objects))
    }
    with writing(path, "a file that was there is intact"):
        write_file(path, lambda file: file.write(json.dumps(stored, indent=1).encode() + b"\n"))
