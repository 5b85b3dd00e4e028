"""Settings: attrs records with a docstring per field, which the command line shows, and validators in one line."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, Literal

import attrs

from i2i.errors import PluginError, RunError, SettingsError

Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]
_DEVICE = re.compile(r"auto|cpu|mps|(cuda|xpu)(:\d+)?")
_SEED_LIMIT = 2**32 - 1  # of numpy's global generator


def at_least(low: float) -> Validator:
    """Return a validator: the value is None, or ``low`` or more (and a number: nan is refused)."""

    def check(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value is not None and not value >= low:
            raise SettingsError(f"{setting(attribute.name)} (={value}) must be at least {low}")
        if value == float("inf"):
            raise SettingsError(f"{setting(attribute.name)} (={value}) must be finite")

    return check


def above(low: float) -> Validator:
    """Return a validator: the value is None, or finite and more than ``low``."""

    def check(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value is not None and not value > low:
            raise SettingsError(f"{setting(attribute.name)} (={value}) must be more than {low}")
        if value == float("inf"):
            raise SettingsError(f"{setting(attribute.name)} (={value}) must be finite")

    return check


def between(low: float, high: float) -> Validator:
    """Return a validator: the value is None, or from ``low`` to ``high``, both included."""

    def check(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value is not None and not low <= value <= high:
            raise SettingsError(f"{setting(attribute.name)} (={value}) must lie between {low} and {high}")

    return check


def _is_average(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and not 0 < value < 1:
        raise SettingsError(f"{setting(attribute.name)} (={value}) must lie between 0 and 1, for example 0.999")


def _is_device(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not _DEVICE.fullmatch(value):
        raise SettingsError(f"{setting(attribute.name)} (={value}) must be auto, cpu, cuda, cuda:N, xpu, xpu:N or mps")


@attrs.frozen
class RunSettings:
    """What every run has, whatever its recipe."""

    data: Path | None = None
    """What to train on: a folder, for example with trainA, trainB, testA and testB in it; for singan, an image."""
    a: tuple[Path, ...] = ()
    """Folders of domain A, instead of --data."""
    b: tuple[Path, ...] = ()
    """Folders of domain B, instead of --data."""
    held_out_a: tuple[Path, ...] = ()
    """Folders of domain A that are never trained on, for samples and validation, beside --a."""
    held_out_b: tuple[Path, ...] = ()
    """Folders of domain B that are never trained on, beside --b."""
    dataset: str | None = None
    """A Hugging Face dataset instead of folders: an id of the Hub, owner/name, or a folder that datasets can load."""
    subset: str | None = None
    """The configuration of --dataset, where it has several."""
    columns: tuple[str, ...] = ()
    """The image columns of --dataset: first that of domain A, then that of B."""
    split: str = "train"
    """The split of --dataset to train on."""
    held_out_split: str | None = None
    """The split of --dataset for samples and validation."""
    streaming: bool = False
    """Read --dataset as it is needed instead of fetching all of it first; its order is then not repeated exactly."""
    out: Path | None = None
    """Folder of the run: settings, metrics, samples, checkpoints and models."""
    resume: bool = False
    """Go on with the run in --out; all settings are taken from there."""
    seed: int = attrs.field(default=0, validator=between(0, _SEED_LIMIT))
    """One seed gives the same run again on the CPU."""
    device: str = attrs.field(default="auto", validator=_is_device)
    """auto, cpu, cuda, cuda:N, xpu or mps."""
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = "auto"
    """Number format of the nets; auto takes bf16 where the device is fast in it."""
    accumulate: int = attrs.field(default=1, validator=at_least(1))
    """Micro-batches that each batch is cut into, to save memory."""
    average: float | None = attrs.field(default=None, validator=_is_average)
    """Decay per batch of a moving average of the weights, which is then what is saved for use; for example 0.999."""
    guarded: bool = True
    """Stop with a clear error when a loss or a gradient is no longer finite."""
    graphed: bool = False
    """On a CUDA device, replay each update as one graph: for small nets, on which Python is slow; more memory."""
    workers: int = attrs.field(default=0, validator=between(0, 256))
    """Processes that read images; 0 reads in the training process. Does not change the run."""
    skip_bad: bool = False
    """Leave out files that are no images or cannot be read, instead of stopping."""
    observers: tuple[str, ...] = ()
    """Further observers, by the names that plugins registered."""
    log_every: int = attrs.field(default=50, validator=at_least(1))
    """Batches between two lines of metrics."""
    sample_every: int = attrs.field(default=500, validator=at_least(0))
    """Batches between two grids of sample images; 0 for none."""
    checkpoint_every: int = attrs.field(default=1000, validator=at_least(1))
    """Batches between two checkpoints; the last batch is always saved."""
    validate_every: int = attrs.field(default=0, validator=at_least(0))
    """Batches between two validations on images that are held out; 0 for none. The best models are kept in best/."""
    extractor: str | None = None
    """What measures unpaired validation: a network of torchvision (resnet50) or a function of yours, package:name."""
    keep_last: int = attrs.field(default=3, validator=at_least(1))
    """How many of the latest checkpoints are kept."""
    keep_every: int | None = attrs.field(default=None, validator=at_least(1))
    """Keep each checkpoint at a multiple of this many batches as well."""


@attrs.frozen
class ImageSettings:
    """How images are read and brought to size: what recipes of pairs of domains have in common; theirs extend it."""

    load_size: int = attrs.field(default=286, validator=between(1, 16384))
    """Images are brought to this size before they are cropped, in pixels."""
    crop_size: int = attrs.field(default=256, validator=between(1, 16384))
    """Side of the square that the nets see, in pixels."""
    preprocess: Literal["resize_and_crop", "crop", "scale_width", "scale_width_and_crop", "none"] = "resize_and_crop"
    """How images are brought to size."""
    flip: bool = True
    """Mirror images at random, one in two."""
    serial: bool = False
    """Take the images in the order of their names instead of shuffled."""
    max_images: int | None = attrs.field(default=None, validator=at_least(1))
    """Use the first so many images of each domain only."""
    channels: int = attrs.field(default=3, validator=between(1, 1024))
    """Channels of the images: 3 (colour), 1 (grey), or as many as TIFF files have."""
    channels_a: int | None = attrs.field(default=None, validator=between(1, 1024))
    """Channels of domain A, where the domains differ."""
    channels_b: int | None = attrs.field(default=None, validator=between(1, 1024))
    """Channels of domain B, where the domains differ."""
    range_a: tuple[float, float] | None = None
    """The lowest and the highest level in the files of domain A, where they do not use their whole depth."""
    range_b: tuple[float, float] | None = None
    """The lowest and the highest level in the files of domain B."""
    alpha: Literal["drop", "white", "black"] = "drop"
    """Transparency, where the nets have no channel for it: drop it, or put the image on white or black."""

    @property
    def both_channels(self) -> tuple[int, int]:
        """The channels of A and of B."""
        a, b = self.channels_a, self.channels_b
        return self.channels if a is None else a, self.channels if b is None else b


#: The settings that say how long a run is.
LENGTHS = frozenset({"steps", "epochs"})
#: What a resumed run may change: length, device, intervals, how files are read (``skip_bad``, so that a run that met a
#: bad file can go on), ``recompute`` (so that one that ran out of memory can), who watches; and where the run lies now.
MAY_DIFFER = LENGTHS | frozenset(
    {
        "device",
        "workers",
        "skip_bad",
        "recompute",
        "log_every",
        "validate_every",
        "sample_every",
        "checkpoint_every",
        "keep_last",
        "keep_every",
        "observers",
    }
    | {"out", "resume"}
)


def setting(name: str) -> str:
    """Return what a field is called where no Python is read: ``from_`` is ``from``, which no field can be."""
    plain = name.removesuffix("_")
    return plain if keyword.iskeyword(plain.rpartition(".")[2]) else name


def flag(name: str) -> str:
    """Return the flag of a setting.

    Example:
        >>> flag("checkpoint_every"), flag("from_")
        ('--checkpoint-every', '--from')
    """
    return f"--{setting(name).replace('_', '-')}"


def check_recipe_settings(settings: Any, owner: str) -> None:
    """Check that a class can be the settings of a recipe.

    Args:
        settings: what the recipe registered.
        owner: the recipe and its distribution, for the message.

    Raises:
        PluginError: it is no attrs class, has a field without a default, or repeats a setting of every run.
    """
    if not (isinstance(settings, type) and attrs.has(settings)):
        raise PluginError(f"the settings of {owner} must be an attrs class, not {settings!r}")
    taken = {field.name: f"RunSettings.{field.name}" for field in attrs.fields(RunSettings)} | {"config": "--config"}
    for field in attrs.fields(settings):
        if field.name in taken:
            raise PluginError(
                f"{settings.__name__}.{field.name} of {owner} repeats {taken[field.name]}, which every run has; "
                "rename it, or read it from the run"
            )
        if field.default is attrs.NOTHING:
            raise PluginError(f"{settings.__name__}.{field.name} of {owner} needs a default")


def check_resumed(
    saved: tuple[RunSettings, Any], wanted: tuple[RunSettings, Any], *, may_differ: Collection[str] = MAY_DIFFER
) -> None:
    """Check that a run is resumed with the settings it was begun with.

    Args:
        saved: run settings and recipe settings as stored.
        wanted: those now asked for.
        may_differ: the names of those that may be others; without `LENGTHS` where a run has stages.

    Raises:
        RunError: one differs; both values are named.
    """
    for old, new in zip(saved, wanted, strict=True):
        for name, before, now in _differences(old, new, ""):
            if name not in may_differ:
                raise RunError(
                    f"{flag(name)} is {_shown(now)}, but this run was begun with {_shown(before)}; "
                    f"leave {flag(name)} out to resume, or begin another run with another --out"
                )


def _differences(old: Any, new: Any, prefix: str) -> Iterator[tuple[str, Any, Any]]:
    for field in attrs.fields(type(old)):
        before, now, name = getattr(old, field.name), getattr(new, field.name), prefix + field.name
        if attrs.has(type(before)) and type(before) is type(now):
            yield from _differences(before, now, f"{name}.")
        elif before != now:
            yield name, before, now


def _shown(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) and value else str(value)
