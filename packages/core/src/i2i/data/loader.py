"""Batches of images whose n-th is a function of n: the same with any number of workers, and after a resume."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from i2i.data.draws import shuffled, uniforms
from i2i.data.images import to_batch
from i2i.data.rows import Rows
from i2i.data.sources import Domain, Source
from i2i.data.transforms import CENTRE, Draw, Preprocess, TransformSettings
from i2i.errors import DataError, SettingsError
from i2i.pixels import PixelFormat
from i2i.values import Instanced, Labelled, Pair, Single

B = TypeVar("B", Single, Pair, Labelled, Instanced)

log = logging.getLogger("i2i.data")


class _Read(NamedTuple, Generic[B]):
    """What a worker sends: errors travel as text, because torch adds a traceback to exceptions of workers."""

    batch: B | None
    skipped: Sequence[str]
    error: str


@frozen
class Order:
    """Which items make up batch n.

    Attributes:
        items: in one epoch.
        batch_size: images of each domain in a batch.
        seed: of every random number.
        shuffle: take the items in an order of their own in each epoch.
        still: nothing is random, and no item is left out: crops lie in the middle, the last batch may be smaller.
    """

    items: int
    batch_size: int
    seed: int = 0
    shuffle: bool = False
    still: bool = False

    def __attrs_post_init__(self) -> None:
        if self.batch_size < 1:
            raise SettingsError(f"batch_size (={self.batch_size}) must be at least 1")
        if self.seed < 0:
            raise SettingsError(f"seed (={self.seed}) must be at least 0")

    def __len__(self) -> int:
        whole, rest = divmod(self.items, self.batch_size)
        return max(1, whole + bool(rest and self.still))

    def positions(self, n: int) -> tuple[int, range]:
        """Return the epoch of batch ``n`` and the positions in it."""
        epoch, batch = divmod(n, len(self))
        start = batch * self.batch_size
        stop = start + self.batch_size
        return epoch, range(start, min(stop, self.items) if self.still else stop)


@frozen
class Stacker(Generic[B]):
    """Makes a batch of items.

    Attributes:
        batch: a NamedTuple of tensors.
        pixels: of each image of an item; None: it is a map of ids.
        swapped: the images of an item go into the batch the other way round.
    """

    batch: Callable[..., B]
    pixels: tuple[PixelFormat | None, ...]
    swapped: bool = False

    def __call__(self, items: Iterable[Sequence[NDArray[Any]]]) -> B:
        """Stack images of one size.

        Raises:
            DataError: images that would lie in one tensor differ in size.
        """
        columns = zip(zip(*items, strict=True), self.pixels, strict=True)
        stacked = [_stack(images, pixels) for images, pixels in columns]
        return self.batch(*(reversed(stacked) if self.swapped else stacked))


class Reader(Dataset[_Read[B]], Generic[B]):
    """The n-th batch, for every n: runs in the workers."""

    def __init__(self, parts: Sequence[Rows], stack: Stacker[B], order: Order) -> None:
        self.parts, self.order = parts, order
        self.stack: Stacker[B] = stack
        self._shuffled: tuple[int, NDArray[np.integer[Any]]] = (-1, np.empty(0, np.int64))

    def __getitem__(self, n: int) -> _Read[B]:
        skipped: list[str] = []
        try:
            epoch, positions = self.order.positions(n)
            return _Read(self.stack([self._item(epoch, position, skipped) for position in positions]), skipped, "")
        except DataError as error:
            return _Read(None, skipped, str(error))

    def _item(self, epoch: int, position: int, skipped: list[str]) -> list[NDArray[Any]]:
        count = len(self.parts)
        # What windows need stands behind the rest, which it thereby leaves as it was in runs that are older.
        pick, *draws = uniforms(1 + 4 * count, self.order.seed, epoch, position)
        item = self._index(epoch, position)
        images: list[NDArray[Any]] = []
        for k, part in enumerate(self.parts):
            index = int(pick * len(part)) if k > 0 and self.order.shuffle else item % len(part)
            left, top, mirror = draws[3 * k : 3 * k + 3]
            draw = CENTRE if self.order.still else Draw(left, top, mirror, draws[3 * count + k])
            images.extend(part.load(index, draw, skipped))
        return images

    def _index(self, epoch: int, position: int) -> int:
        if not self.order.shuffle:
            return position
        if self._shuffled[0] != epoch:
            self._shuffled = epoch, shuffled(self.order.items, self.order.seed, epoch)
        return int(self._shuffled[1][position % self.order.items])


def _stack(images: Sequence[NDArray[Any]], pixels: PixelFormat | None) -> torch.Tensor:
    sizes = sorted({(image.shape[1], image.shape[0]) for image in images})
    if len(sizes) > 1:
        (w, h), (w2, h2) = sizes[:2]
        raise DataError(
            f"images of one batch differ in size ({w}x{h} and {w2}x{h2}); "
            "use --batch-size 1 or --preprocess resize_and_crop"
        )
    if pixels is None:
        return torch.from_numpy(np.stack([image[None, ..., 0] for image in images]))
    return to_batch(images, pixels)


class Batches(Generic[B]):
    """Batches without end, iterated epoch by epoch.

    ``iter(data)`` goes on at the position, up to the end of the epoch. The position counts the batches that were
    handed out, so batches that workers prepared ahead do not count, and ``load_state_dict`` continues exactly there.
    """

    def __init__(self, reader: Reader[B], workers: int) -> None:
        if workers < 0:
            raise SettingsError(f"workers (={workers}) must be at least 0")
        self._images = [len(part) for part in reader.parts]
        self._numbers = _Numbers(len(reader.order))
        self._warned: set[str] = set()
        self._loader: DataLoader[_Read[B]] = DataLoader(
            reader,
            sampler=self._numbers,
            batch_size=None,
            collate_fn=_as_it_is,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # its own: the loader draws a seed for its workers from it
        )

    def __len__(self) -> int:
        """Batches in one epoch."""
        return self._numbers.epoch

    def __iter__(self) -> Iterator[B]:
        """Yield the rest of the epoch.

        Raises:
            DataError: an image that cannot be used was reached.
        """
        for read in self._loader:
            self._warn(read.skipped)
            if read.batch is None:
                raise DataError(read.error)
            self._numbers.position += 1
            yield read.batch

    def state_dict(self) -> dict[str, Any]:
        """Return ``{"position": batches handed out, "images": how many there are of each domain}``."""
        return {"position": self._numbers.position, "images": self._images}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on at a position that `state_dict` returned; takes effect at the next ``iter``.

        Other numbers of images than then are told: the run is then another one than without the interruption.
        """
        self._numbers.position = int(state["position"])
        before = list(state.get("images", self._images))
        if before != self._images:
            now, then = (" and ".join(map(str, numbers)) for numbers in (self._images, before))
            log.warning("there are %s images now, but were %s: the order of the rest is another one", now, then)

    def _warn(self, skipped: Sequence[str]) -> None:
        for message in skipped:
            if message not in self._warned:
                self._warned.add(message)
                log.warning("skipped: %s", message)


class _Numbers:
    """The numbers of the batches up to the end of the epoch, from the position at the start of each iteration.

    It knows nothing of `Batches`: a cycle of references would leave the workers to the garbage collector, which closes
    their queues before it stops them, and every one of them would then be waited for in vain for five seconds.
    """

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.position = 0

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.position, (self.position // self.epoch + 1) * self.epoch))


def _as_it_is(read: Any) -> Any:
    return read


def both(pixels: PixelFormat | tuple[PixelFormat, PixelFormat]) -> tuple[PixelFormat, PixelFormat]:
    """Return the formats of both domains: one stands for two."""
    return (pixels, pixels) if isinstance(pixels, PixelFormat) else pixels


def unpaired(
    a: Source,
    b: Source,
    *,
    load_size: int = 286,
    crop_size: int = 256,
    preprocess: Preprocess = "resize_and_crop",
    multiple: int = 4,
    smallest: int = 1,
    flip: bool = True,
    pixels: PixelFormat | tuple[PixelFormat, PixelFormat] = PixelFormat(),
    batch_size: int = 1,
    seed: int = 0,
    workers: int = 0,
    serial: bool = False,
    skip_bad: bool = False,
    max_images: int | None = None,
) -> Batches[Pair]:
    """Batches of two domains that do not belong together.

    An epoch is as long as the larger domain. Item i takes A's image ``i mod |A|``, in an order shuffled anew for each
    epoch, and an image of B drawn with replacement. A last batch that would not be full is left out; if all images
    together do not fill one batch, they are repeated until they do.

    Args:
        a: folders, files or a `datasets.Dataset` with an image column.
        b: the same for the other domain.
        load_size: see `TransformSettings`, like the next five.
        crop_size: in pixels.
        preprocess: how images are brought to size.
        multiple: sides without a crop are rounded to it.
        smallest: the least side without a crop.
        flip: mirror images at random, one in two.
        pixels: how images become numbers, for both domains or for each: channels, range, colours, alpha.
        batch_size: images of each domain in a batch.
        seed: every shuffle, draw, crop and flip follows from (seed, epoch, position).
        workers: processes that read ahead; they do not change what is read.
        serial: no shuffling, and B's image ``i mod |B|``.
        skip_bad: go on without images that cannot be used.
        max_images: use the first so many images of each domain only.

    Returns:
        Batches of `Pair` with ``a (b, c, h, w)`` and ``b (b, c, h, w)``, float32 in ``[-1, 1]``.

    Raises:
        DataError: a folder or an image that cannot be used.
        SettingsError: a setting that is out of range.

    References:
        The authors' code of CycleGAN, ``data/unaligned_dataset.py``.
    """
    settings = TransformSettings(preprocess, load_size, crop_size, flip, multiple, smallest)
    domains = [
        Domain(source, settings, pixels=one, skip_bad=skip_bad, max_images=max_images)
        for source, one in zip((a, b), both(pixels), strict=True)
    ]
    order = training_order(max(map(len, domains)), batch_size, seed, serial=serial)
    return Batches(Reader([domain.rows for domain in domains], Stacker(Pair, both(pixels)), order), workers)


def training_order(items: int, batch_size: int, seed: int, *, serial: bool) -> Order:
    """Return the order of training; say so where images are repeated to fill a batch."""
    order = Order(items, batch_size, seed, shuffle=not serial)
    if items < batch_size:
        log.warning("%d images do not fill a batch of %d: they are repeated", items, batch_size)
    return order


def single(
    source: Source,
    *,
    load_size: int = 286,
    crop_size: int = 256,
    preprocess: Preprocess = "none",
    multiple: int = 4,
    pixels: PixelFormat = PixelFormat(),
    batch_size: int = 1,
    workers: int = 0,
    skip_bad: bool = False,
    max_images: int | None = None,
) -> Batches[Single]:
    """Every image of one domain once per epoch, in order, not mirrored, cropped in the middle at most.

    The last batch may be smaller. The arguments are those of `unpaired`.

    Returns:
        Batches of `Single` with ``image (b, c, h, w)``, float32 in ``[-1, 1]``.

    Raises:
        DataError: a folder or an image that cannot be used.
        SettingsError: a setting that is out of range.
    """
    settings = TransformSettings(preprocess, load_size, crop_size, False, multiple)
    domain = Domain(source, settings, pixels=pixels, skip_bad=skip_bad, max_images=max_images)
    order = Order(len(domain), batch_size, still=True)
    return Batches(Reader([domain.rows], Stacker(Single, (pixels,)), order), workers)
