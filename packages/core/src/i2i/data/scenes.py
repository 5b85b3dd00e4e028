"""From the settings of a run to batches of scenes: label maps, instance maps and the images that they describe."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import attrs

from i2i.data.colours import Colours, read_colours
from i2i.data.formats import find_formats
from i2i.data.ids import read_palette
from i2i.data.loader import Batches, Order, Stacker
from i2i.data.prepared import Plan, check_crop, once
from i2i.data.previews import first_batch
from i2i.data.rows import Rows, source_of, with_remedy
from i2i.data.scene_rows import SceneReader, usable_scenes
from i2i.data.scene_tables import scene_table
from i2i.data.transforms import TransformSettings
from i2i.errors import DataError, SettingsError
from i2i.pixels import PixelFormat
from i2i.settings import ImageSettings, RunSettings
from i2i.values import Instanced, Labelled

if TYPE_CHECKING:
    from datasets import Dataset

Scenes: TypeAlias = "Labelled | Instanced"
_SHOWN = 4  # scenes in the preview


class PreparedScenes(NamedTuple):
    """The scenes of a run, as calls: nothing is read before it is needed, and nothing twice.

    Attributes:
        batches: those to train on, after a check of all label maps, those that are held out included.
        preview: the first four scenes as one fixed batch, held out where there are some.
        held_out: all held-out scenes in order, cropped in the middle, not mirrored; None where there are none.
        formats: what the images are in their files: of domain A, None where there are label maps; of the images.
        palette: the colours of the classes: those of ``--colours``, or of the first label map; None where it has none.
        epoch: batches in one epoch, counted without the check (with ``skip_bad``, after it).
    """

    batches: Callable[[], Batches[Any]]
    preview: Callable[[], Scenes]
    held_out: Callable[[], Iterable[Scenes] | None]
    formats: Callable[[], tuple[PixelFormat | None, PixelFormat]]
    palette: Callable[[], Colours | None]
    epoch: Callable[[], int]


def prepare_scenes(
    run: RunSettings,
    settings: ImageSettings,
    *,
    labels: int,
    instances: bool = True,
    colours: Path | None = None,
    batch_size: int,
    multiple: int,
    smallest: Mapping[str, int],
) -> PreparedScenes:
    """Find the scenes of a run, and check what the nets need of them.

    Args:
        run: what it names (``--data``, ``--a`` and ``--b``, or ``--dataset``), its seed, how images are read.
        settings: how scenes are brought to size; with ``scale_width`` heights follow the widths, whatever the crop is.
        labels: classes; 0: RGB to RGB, without label maps.
        instances: there are instance maps, too.
        colours: a table of the colours of RGB label maps, see `read_colours`.
        batch_size: scenes in a batch.
        multiple: the nets accept sides that are multiples of it.
        smallest: the least sides that the nets accept, see `prepare`.

    Returns:
        Batches of `Instanced`, without instances of `Labelled`: ``labels`` and ``instances`` int32 ``(b, 1, h, w)``,
        ``image`` float32 ``(b, c, h, w)`` in ``[-1, 1]``, as are ``labels`` without classes.

    Raises:
        SettingsError: a crop that the nets would refuse, or ``colours`` without classes.

    Differs:
        The authors' code pairs files by their order, pads images that are smaller than the crop by class 0, and does
        not look at ids.
    """
    if labels < 0:
        raise SettingsError(f"labels (={labels}) must be at least 0")
    if colours is not None and not labels:
        raise SettingsError("--colours names the colours of classes, and there are none with --labels 0; leave it out")
    check_crop(settings, multiple, smallest)
    least = max(smallest.values(), default=1)
    s, crop = settings, 1 if settings.preprocess == "scale_width" else settings.crop_size
    transforms = TransformSettings(s.preprocess, s.load_size, crop, s.flip, multiple, least)
    data = _Data(run, settings, transforms, batch_size, labels, instances, colours)
    return PreparedScenes(*once(data, PreparedScenes._fields))


@attrs.frozen(slots=False)
class _Data(Plan):
    """What `PreparedScenes` calls."""

    classes: int
    instances: bool
    colour_table: Path | None

    def batches(self) -> Batches[Any]:
        rows = Rows(self._training, self._reader(self.transforms), skip_bad=self.run.skip_bad)
        _ = self._held_out  # its maps are checked before training, too
        return self.training_batches([rows], self._stack)

    def preview(self) -> Scenes:
        found = self._found_held_out
        rows = Rows(self._found if found is None else found, self._reader(self.still), skip_bad=self.run.skip_bad)
        shown: Scenes = first_batch([rows], self._stack, _SHOWN)
        return shown

    def held_out(self) -> Iterable[Scenes] | None:
        if self._held_out is None:
            return None
        rows = Rows(self._held_out, self._reader(self.still), skip_bad=self.run.skip_bad)
        return self.still_batches([rows], self._stack)

    def formats(self) -> tuple[PixelFormat | None, PixelFormat]:
        names = self._found.column_names
        images = self._found.select_columns(names[-1:] if self.classes else [names[0], names[-1]])
        a, b = find_formats(images, "paired", self.settings, skip_bad=self.run.skip_bad)
        return None if self.classes else a, b

    def palette(self) -> Colours | None:
        if not self.classes or self._colours is not None:
            return self._colours
        table = self._training if self.run.skip_bad else self._found
        name = "row 0 of the dataset"
        cell = next(iter(table[0].values()))
        try:
            found = read_palette(source_of(cell, name), name=(cell or {}).get("path") or name)
        except DataError as error:
            raise with_remedy(error) from error
        return None if found is None else found[: self.classes]

    def epoch(self) -> int:
        count = len(self._training if self.run.skip_bad else self._found)
        return len(Order(count, self.batch_size))

    @functools.cached_property
    def _training(self) -> Dataset:
        return self._usable(self._found)

    @functools.cached_property
    def _held_out(self) -> Dataset | None:
        return None if self._found_held_out is None else self._usable(self._found_held_out)

    def _usable(self, table: Dataset) -> Dataset:
        # What a run found good when it began needs no second look; but the same scenes must be left out again.
        known = self.run.resume and not self.run.skip_bad
        return usable_scenes(table, self._reader(self.transforms), labels=not known, skip_bad=self.run.skip_bad)

    @functools.cached_property
    def _found(self) -> Dataset:
        found = scene_table(self.run, "train", self.classes > 0, self.instances, self.settings.max_images)
        assert found is not None  # or it has raised
        return found

    @functools.cached_property
    def _found_held_out(self) -> Dataset | None:
        return scene_table(self.run, "held_out", self.classes > 0, self.instances, self.settings.max_images)

    @functools.cached_property
    def _colours(self) -> Colours | None:
        if self.colour_table is None:
            return None
        found = read_colours(self.colour_table)
        if len(found) > self.classes:
            raise SettingsError(
                f"{self.colour_table} has {len(found)} colours, but there are {self.classes} classes; "
                f"use --labels {len(found)}"
            )
        return found

    @functools.cached_property
    def _stack(self) -> Stacker[Any]:
        return Stacker(Instanced if self.instances else Labelled, self._reader(self.still).pixels)

    @functools.cached_property
    def _formats(self) -> tuple[PixelFormat | None, PixelFormat]:
        return self.formats()

    def _reader(self, transforms: TransformSettings) -> SceneReader:
        return SceneReader(transforms, self._formats, self.classes, self._colours, self.instances)
