"""What is found in one image file: its class activation maps, where they are highest, and what they say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from i2i.data import MisfitError, read_image, resize, to_tensor
from i2i.errors import CompositionError, DataError, I2IError, ModelError
from i2i.fitting import Fitting
from i2i.pixels import PixelFormat, formats_of
from i2i.shortage import memory_suffices
from i2i_ugatit.attention import Look, look
from i2i_ugatit.heatmaps import peak
from i2i_ugatit.viewers import Viewer

_LESS = "smaller images, or --device cpu"


class Found(NamedTuple):
    """A map in an image.

    Attributes:
        name: of the map, ``""`` for the only one of a generator.
        heatmap: ``(1, 1, h, w)``, of the size of the image.
        peak: ``(x, y)`` in pixels, where it is highest; None: it is the same everywhere.
        logits: what its classifiers say; () where there are none.
        source: how sure a generator is that the image is of its source domain, 0 to 1; None for a discriminator.
    """

    name: str
    heatmap: Tensor
    peak: tuple[int, int] | None
    logits: tuple[float, ...]
    source: float | None

    def as_json(self) -> dict[str, Any]:
        """Return what ``attention.json`` holds of it."""
        return {"peak": self.peak, "logits": self.logits} | ({} if self.source is None else {"source": self.source})

    def __str__(self) -> str:
        """Say it in a line."""
        said = [self.name.replace("-", " ")] if self.name else []
        if self.source is not None:
            said.append(f"{100 * self.source:.0f} % source domain")
        elif self.logits:
            said.append(f"logits {' '.join(f'{logit:.2f}' for logit in self.logits)}")
        where = "the same everywhere" if self.peak is None else f"peak at x {self.peak[0]}, y {self.peak[1]}"
        return ", ".join([*said, where])


def look_at(source: Path, sizes: Fitting, viewers: Sequence[Viewer]) -> tuple[Tensor, list[Found]]:
    """Let all viewers look at an image file.

    Args:
        source: the file; turned upright.
        sizes: how images are brought to size, for the first viewer.
        viewers: all get the image as the first one reads it.

    Returns:
        The image ``(1, c, h, w)`` in ``[-1, 1]`` in its own size, and what was found in it.

    Raises:
        CompositionError: a viewer has no heat maps.
        DataError: the file cannot be read, or has other channels.
        ModelError: a map is not finite.
        OutOfMemoryError: the image is too large.
    """
    reads, _ = formats_of(sizes.net)
    array = _read(source, reads)
    height, width = array.shape[:2]
    shown = to_tensor(array, reads)[None]
    inside = to_tensor(resize(array, sizes.inside((width, height))), reads)[None]
    found: list[Found] = []
    for viewer in viewers:
        with memory_suffices(_LESS, lambda: f"{source}: {width}x{height} pixels"):
            found += _found(viewer, _seen(viewer, source, inside), (height, width))
    return shown, found


def _read(source: Path, reads: PixelFormat) -> NDArray[Any]:
    try:
        return read_image(source, reads)
    except DataError as error:
        if isinstance(misfit := error.__cause__, MisfitError):
            raise DataError(f"{source} {misfit.by_model}") from error
        raise


def _seen(viewer: Viewer, source: Path, image: Tensor) -> Look:
    """Let a viewer look; what is wrong with it is said with its name, what is wrong with the image with that."""
    try:
        return look(viewer.net, image)
    except I2IError as error:
        name = viewer.name if isinstance(error, CompositionError | ModelError) else source
        raise type(error)(f"{name}: {error}") from error


def _found(viewer: Viewer, seen: Look, size: tuple[int, int]) -> Iterator[Found]:
    for name, heatmap, logits in zip(viewer.map_names(len(seen.heatmaps)), *seen, strict=True):
        native = F.interpolate(heatmap, size=size, mode="bilinear")
        told = () if logits is None else tuple(logits[0].float().flatten().tolist())
        # Trained by cross-entropy in a generator; in a discriminator by any criterion, so nothing is a probability.
        sure = None if logits is None or viewer.judges else float(logits[0].float().sigmoid().mean())
        yield Found(name, native, peak(native)[0], told, sure)
