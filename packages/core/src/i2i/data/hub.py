"""Hugging Face datasets by their id on the Hub, or from a folder that ``datasets`` can load."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeGuard

from i2i.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

Table: TypeAlias = "Dataset | IterableDataset"

_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_HUB_REMEDY = "there is no such folder here either: check the name and the connection to the Hub, or name a folder"
_NOISY = ("huggingface_hub", "datasets")  # what they log while they try again and again


def load_split(name: str, *, subset: str | None = None, split: str = "train", streaming: bool = False) -> Table:
    """Load one split.

    Args:
        name: a folder with Parquet files, images, archives of images, ...; or, where there is no such folder, an id on
            the Hub, ``owner/name`` (the old ids without an owner are not looked for: a mistyped folder looks like one).
        subset: the configuration, where there are several.
        split: its name.
        streaming: read it as it is needed; else all of it is fetched first and kept in the cache of ``datasets``.

    Raises:
        DataError: it cannot be loaded; what ``datasets`` says of it is in the message.
    """
    on_hub = not Path(name).exists()
    if on_hub and not _HUB_ID.fullmatch(name):
        raise DataError(f"--dataset {name}: no such folder; a dataset of the Hub is named owner/name")
    import datasets

    try:
        with _quiet():
            return datasets.load_dataset(name, subset, split=split, streaming=streaming)
    except Exception as error:  # builders raise errors of any kind
        reason = (" ".join(str(error).split()) or type(error).__name__).rstrip(".")
        asked = f"--dataset {name} --split {split}" + (f" --subset {subset}" if subset else "")
        remedy = f"; {_HUB_REMEDY}" if on_hub and isinstance(error, OSError) else ""
        raise DataError(f"{asked} cannot be loaded: {reason}{remedy}") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Let only errors be logged: what cannot be reached is said in one line, once they have given up."""
    loggers = [logging.getLogger(name) for name in _NOISY]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def is_stream(table: object) -> TypeGuard[IterableDataset]:
    """Tell whether something is a table that is read as it comes."""
    if isinstance(table, tuple):
        return False
    from datasets import IterableDataset

    return isinstance(table, IterableDataset)


def in_memory(table: Table, rows: int | None = None) -> Dataset:
    """Return the first rows of a table (all: None); those of a stream are fetched and kept in memory as files."""
    from datasets import Dataset

    if isinstance(table, Dataset):
        return table if rows is None else table.select(range(min(rows, len(table))))
    return Dataset.from_list(list(table if rows is None else table.take(rows)), features=table.features)


def image_columns(table: Table, wanted: Sequence[str] = (), *, least: int = 1, most: int = 2) -> Table:
    """Keep the image columns of a table and leave their files undecoded.

    Args:
        table: one split.
        wanted: the columns to keep, in this order; when empty, all image columns, in the order of the table.
        least: how many columns are needed.
        most: how many can be used.

    Returns:
        A table with these columns only, whose cells are ``{"bytes": ..., "path": ...}``.

    Raises:
        DataError: a column is missing or no image, or there are too few or too many of them.

    Example:
        >>> from datasets import Dataset, Features, Image
        >>> table = Dataset.from_dict({"a": [], "b": []}, features=Features({"a": Image(), "b": Image()}))
        >>> image_columns(table, ["b", "a"]).column_names
        ['b', 'a']
    """
    from datasets import Image

    features = table.features or {}  # a stream made of a function knows no features
    there = [name for name, kind in features.items() if isinstance(kind, Image)]
    names = list(wanted) or there
    shown = ", ".join(there) or f"none (all columns: {', '.join(features)})"
    bad = [name for name in names if name not in there]
    if bad:
        state = "no image column" if bad[0] in features else "not in the dataset"
        raise DataError(f"column {bad[0]} is {state}; its image columns are: {shown}; choose with --columns")
    if len(set(names)) != len(names) or not least <= len(names) <= most:
        count = f"{least}" if least == most else f"{least} or {most}"
        raise DataError(
            f"{count} different image column{'s' * (most > 1)} must be chosen with --columns, not {len(names)} "
            f"({', '.join(names)}); there are: {shown}"
        )
    table = table.select_columns(names)
    for name in names:
        table = table.cast_column(name, Image(decode=False))
    return table
