"""Folders of images: which files count, in which order, and where the domains lie."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from i2i.errors import DataError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".tif", ".tiff")
_NAMED = "or name two folders with --a DIR --b DIR"


class Folders(NamedTuple):
    """The folders of two domains, for training and, where they exist, for testing."""

    train_a: Path
    train_b: Path
    test_a: Path | None
    test_b: Path | None


def find_folders(root: str | Path) -> Folders:
    """Find ``trainA``, ``trainB`` and, if there are any, ``testA``, ``testB`` in ``root``.

    Raises:
        DataError: no such folder, or a training folder is missing; the message says what is there.
    """
    root = _folder(root)
    train_a, train_b, test_a, test_b = (root / name for name in ("trainA", "trainB", "testA", "testB"))
    missing = [path.name for path in (train_a, train_b) if not path.is_dir()]
    if missing:
        found = ", ".join(sorted(path.name for path in root.iterdir() if path.is_dir())) or "no subfolders"
        raise DataError(
            f"{root} has no {' and no '.join(missing)} (it has: {found}); expected {train_a} and {train_b}, {_NAMED}"
        )
    return Folders(train_a, train_b, *(path if path.is_dir() else None for path in (test_a, test_b)))


def find_images(source: str | Path | Sequence[str | Path]) -> list[Path]:
    """List the images of files and folders, each folder with all below it in the order of the path names.

    Files and folders whose names begin with a dot are left out (thumbnails and the like). A file that is named itself
    is taken whatever its suffix.

    Args:
        source: a folder, a file, or several of them, which keep their order.

    Raises:
        DataError: one of them does not exist or holds no image.
    """
    entries = [source] if isinstance(source, str | Path) else list(source)
    if not entries:
        raise DataError("no folder of images was named")
    return [path for entry in entries for path in ([Path(entry)] if Path(entry).is_file() else _walk(_folder(entry)))]


def _walk(folder: Path) -> list[Path]:
    names: list[str] = []
    others = 0
    for where, inner, files in os.walk(folder, onerror=_unreadable):
        inner[:] = [name for name in inner if not name.startswith(".")]
        shown = [name for name in files if not name.startswith(".")]
        images = [os.path.join(where, name) for name in shown if name.lower().endswith(EXTENSIONS)]
        others += len(shown) - len(images)
        names += images
    if not names:
        held = f"{others} other file{'s' * (others != 1)}" if others else "no files at all"
        raise DataError(f"{folder} holds no images ({held}); images end in {', '.join(EXTENSIONS)}")
    return [Path(name) for name in sorted(names)]


def _unreadable(error: OSError) -> None:
    raise DataError(f"cannot list {error.filename}: {error.strerror}") from error


def _folder(path: str | Path) -> Path:
    folder = Path(path)
    if folder.is_dir():
        return folder
    raise DataError(f"{folder} is a file, not a folder" if folder.exists() else f"{folder} does not exist")
