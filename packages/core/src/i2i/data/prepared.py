"""From the settings of a run to its batches."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import attrs

from i2i.data.formats import find_formats
from i2i.data.hub import in_memory, is_stream
from i2i.data.loader import B, Batches, Order, Reader, Stacker, training_order
from i2i.data.named import Layout, Named, find_held_out, find_named
from i2i.data.pairs import Direction, OneSide, pair_rows
from i2i.data.previews import first_batch
from i2i.data.rows import RowReader, Rows, Sides
from i2i.data.sources import Domain, Source
from i2i.data.streaming import Stream, StreamedRows
from i2i.data.transforms import TransformSettings, Window, check_multiple
from i2i.errors import SettingsError
from i2i.pixels import PixelFormat
from i2i.settings import ImageSettings, RunSettings
from i2i.values import Pair

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

log = logging.getLogger("i2i.data")

T = TypeVar("T", "Dataset", "IterableDataset")
_SHOWN = 4  # pairs in the preview
_ONE_SIDE: dict[Layout, OneSide] = {"paired": "halves", "one": "same"}


class Prepared(NamedTuple):
    """The data of a run, as calls: nothing is read before it is needed, and nothing twice.

    Attributes:
        batches: those to train on; those of a streamed dataset have no ``len``.
        preview: a few images as one fixed batch, held out where there are some.
        held_out: all held-out images in order, cropped in the middle, not mirrored; None where there are none. Where
            unpaired domains differ in number, images of the smaller one come again.
        formats: what the images of ``a`` and of ``b`` are in their files: channels, range and transparency as the
            settings say, depth as the first image has it.
    """

    batches: Callable[[], Batches[Pair] | Stream]
    preview: Callable[[], Pair]
    held_out: Callable[[], Iterable[Pair] | None]
    formats: Callable[[], tuple[PixelFormat, PixelFormat]]


def prepare(
    run: RunSettings,
    settings: ImageSettings,
    *,
    batch_size: int,
    multiple: int,
    smallest: Mapping[str, int],
    layout: Layout = "unpaired",
    direction: Direction = "a_to_b",
    windows: tuple[Window | None, Window | None] = (None, None),
) -> Prepared:
    """Find the data of a run, and check what the nets need of it.

    Args:
        run: what it names (``--data``, ``--a`` and ``--b``, or ``--dataset``), its seed, how images are read.
        settings: how images are brought to size.
        batch_size: images of each domain in a batch.
        multiple: the nets accept sides that are multiples of it.
        smallest: the least sides that the nets accept, in pixels, each by the setting that it grows with:
            ``{"downs": 8}``; ``{}`` where only the nets know it, who then refuse an image when they see it.
        layout: ``"unpaired"``; ``"paired"``: images of A and of B belong together, see `i2i.data.paired`; ``"one"``:
            A is the lightness of colour photographs, B their chroma (a and b of CIE Lab).
        direction: ``"b_to_a"``: batches hold B as ``a``, A as ``b``.
        windows: of A and of B, for training: see `Window`. They need domains that do not belong together, and
            ``resize_and_crop``.

    Raises:
        SettingsError: a crop that the nets would refuse, or windows with another layout or way to bring images to size.
    """
    if layout != "unpaired" and windows != (None, None):
        raise SettingsError(
            f"windows move images of A and of B each by themselves, but with layout {layout!r} they belong together; "
            "leave windows out"
        )
    check_crop(settings, multiple, smallest)
    s, least = settings, max(smallest.values(), default=1)
    transforms = TransformSettings(s.preprocess, s.load_size, s.crop_size, s.flip, multiple, least)
    a, b = (attrs.evolve(transforms, window=window) for window in windows)
    data = _Data(run, settings, transforms, batch_size, layout, (a, b), swapped=direction == "b_to_a")
    return Prepared(*once(data, Prepared._fields))


def once(data: object, names: Sequence[str]) -> list[Callable[[], Any]]:
    """Return the methods of these names as calls that compute what they return only once."""
    return [functools.cache(getattr(data, name)) for name in names]


def check_crop(settings: ImageSettings, multiple: int, smallest: Mapping[str, int]) -> None:
    """Check that the nets accept the crop, where there is one; the arguments are those of `prepare`.

    Raises:
        SettingsError: they do not; of nets that halve it as the setting ``downs`` says, the message says how many downs
            would do.
    """
    crop = settings.crop_size
    if settings.preprocess in ("none", "scale_width"):
        return
    try:
        check_multiple(crop, multiple)
    except SettingsError as error:
        if (downs := _fewer_downs(settings, multiple, smallest)) is None:
            raise
        raise SettingsError(f"{error}; or take fewer downs: --downs {downs}") from error
    for name, side in smallest.items():
        if crop < side:
            raise SettingsError(f"crop_size (={crop}) must be at least {side} for these nets; or take fewer {name}")


def _fewer_downs(settings: ImageSettings, multiple: int, smallest: Mapping[str, int]) -> int | None:
    """The most downs with which the nets accept the crop; None where there are none, or other things decide it."""
    if not hasattr(settings, "downs") or "downs" not in smallest or multiple.bit_count() != 1:
        return None
    crop, least, halvings = settings.crop_size, smallest["downs"], multiple.bit_length() - 1
    # Parts around a net may halve more often than it says; where it says nothing, only the multiple tells.
    downs = halvings if settings.downs is None else int(settings.downs)
    # Each down less halves both the multiple and the least side.
    fewer = range(1, min(downs, halvings + 1))
    return next((downs - n for n in fewer if crop % (multiple >> n) == 0 and crop << n >= least), None)


@attrs.frozen(slots=False)
class Plan:
    """How batches are made of rows.

    Attributes:
        run: the settings of the run.
        settings: how images are read and in which order.
        transforms: how they are brought to size for training.
        batch_size: items in a batch.
    """

    run: RunSettings
    settings: ImageSettings
    transforms: TransformSettings
    batch_size: int

    @property
    def still(self) -> TransformSettings:
        """How images are brought to size where nothing is random."""
        return attrs.evolve(self.transforms, flip=False, window=None)

    def training_batches(self, parts: Sequence[Rows], stack: Stacker[B]) -> Batches[B]:
        """Return the batches to train on, in the order that the settings ask for."""
        order = training_order(max(map(len, parts)), self.batch_size, self.run.seed, serial=self.settings.serial)
        return Batches(Reader(parts, stack, order), self.run.workers)

    def still_batches(self, parts: Sequence[Rows], stack: Stacker[B]) -> Batches[B]:
        """Return all rows in order, without chance."""
        size = self.batch_size if self.transforms.crops else 1  # without a crop, images may differ in size
        return Batches(Reader(parts, stack, Order(max(map(len, parts)), size, still=True)), self.run.workers)


@attrs.frozen(slots=False)
class _Data(Plan):
    """What `Prepared` calls; ``a`` and ``b`` as the data name them, until a batch is made.

    Attributes:
        layout: see `prepare`.
        training: how images of A and of B are brought to size for training; ``transforms``, perhaps with windows.
        swapped: batches hold B as ``a``.
    """

    layout: Layout
    training: tuple[TransformSettings, TransformSettings]
    swapped: bool

    def batches(self) -> Batches[Pair] | Stream:
        named = self._named
        if is_stream(named):
            return self._stream(named)
        parts = self._parts(named, self.training, self.settings.max_images)
        if parts[0].sides == "halves":
            self._say_how_cut(parts[0].first_size())
        batches = self.training_batches(parts, self._stack)
        if self.layout == "unpaired":
            self._say_how_unequal(*map(len, parts), batches=len(batches))
        return batches

    def _say_how_unequal(self, a: int, b: int, *, batches: int) -> None:
        if a == b:
            return
        log.warning(
            "domain A has %d image%s, B %d: an epoch is %d batch%s of %d, images of %s come again",
            a, "s" * (a != 1), b, batches, "es" * (batches != 1), self.batch_size, "A" if a < b else "B",
        )  # fmt: skip

    def _say_how_cut(self, size: tuple[int, int] | None) -> None:
        if size is None:
            return
        width, height = size
        colours = " (for colourisation of photographs: --colourise)" if hasattr(self.settings, "colourise") else ""
        log.warning("pairs: images of %dx%d are cut into two of %dx%d%s", width, height, width // 2, height, colours)

    def preview(self) -> Pair:
        named = find_held_out(self.run, self.layout) or self._named
        return first_batch(self._parts(named, (self.still, self.still), _SHOWN), self._stack, _SHOWN)

    def held_out(self) -> Iterable[Pair] | None:
        named = find_held_out(self.run, self.layout)
        if named is None:
            return None
        parts = self._parts(named, (self.still, self.still), self.settings.max_images)
        return self.still_batches(parts, self._stack)

    def formats(self) -> tuple[PixelFormat, PixelFormat]:
        a, b = self._formats
        return (b, a) if self.swapped else (a, b)

    @functools.cached_property
    def _named(self) -> Named:
        return find_named(self.run, self.layout)

    @functools.cached_property
    def _formats(self) -> tuple[PixelFormat, PixelFormat]:
        return find_formats(self._named, self.layout, self.settings, skip_bad=self.run.skip_bad)

    @property
    def _stack(self) -> Stacker[Pair]:
        return Stacker(Pair, self._formats, self.swapped)

    def _parts(
        self, named: Named, transforms: tuple[TransformSettings, TransformSettings], limit: int | None
    ) -> list[Rows]:
        """Return a part for each domain, with its own transforms, or one whose rows are pairs."""
        skip_bad = self.run.skip_bad
        sources: Sequence[Source] = named if isinstance(named, tuple) else self._columns(in_memory(named, limit))
        if self.layout == "unpaired":
            return [
                Domain(source, each, pixels=pixels, skip_bad=skip_bad, max_images=limit).rows
                for source, each, pixels in zip(sources, transforms, self._formats, strict=True)
            ]
        a, b = sources if len(sources) > 1 else (sources[0], None)
        side = _ONE_SIDE[self.layout]
        return [pair_rows(a, b, transforms[0], self._formats, one_side=side, skip_bad=skip_bad, max_images=limit)]

    def _columns(self, table: T) -> Sequence[T]:
        """Return a table for each domain, or one whose rows are pairs."""
        if self.layout != "unpaired":
            return [table]
        return [table.select_columns([name]) for name in table.column_names]

    def _stream(self, table: IterableDataset) -> Stream:
        tables = self._columns(table if self.settings.max_images is None else table.take(self.settings.max_images))
        serial, skip_bad = self.settings.serial, self.run.skip_bad
        if self.layout == "unpaired":
            readers = [RowReader(each, (pixels,)) for each, pixels in zip(self.training, self._formats, strict=True)]
        else:
            sides: Sides = "files" if len(table.column_names) == 2 else _ONE_SIDE[self.layout]
            readers = [RowReader(self.transforms, self._formats, sides)]
        rows = [
            StreamedRows(part, read, seed=2 * self.run.seed + k, serial=serial, skip_bad=skip_bad)
            for k, (part, read) in enumerate(zip(tables, readers, strict=True))
        ]
        return Stream(rows, self._stack, self.batch_size, self.run.workers)
