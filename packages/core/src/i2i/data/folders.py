"""Folders of images: which files count, in which order, where the domains lie, and which images belong together."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from i2i.errors import DataError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".tif", ".tiff")
_NAMED = "or name two folders with --a DIR --b DIR"
_SHOWN = 3  # names that do not match, in a message


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
    root = existing_folder(root)
    train_a, train_b, test_a, test_b = (root / name for name in ("trainA", "trainB", "testA", "testB"))
    missing = [path.name for path in (train_a, train_b) if not path.is_dir()]
    if missing:
        raise DataError(
            f"{root} has no {' and no '.join(missing)} (it has: {subfolders(root)}); "
            f"expected {train_a} and {train_b}, {_NAMED}"
        )
    return Folders(train_a, train_b, *(path if path.is_dir() else None for path in (test_a, test_b)))


class PairedFolders(NamedTuple):
    """Where pairs of images lie: one folder of images that hold both sides, or two folders with equal names in them."""

    train: tuple[Path, ...]
    held_out: tuple[Path, ...] | None


def find_paired_folders(root: str | Path) -> PairedFolders:
    """Find the folders of pairs in ``root``.

    ``train`` holds images with both sides, A on the left and B on the right; where there is none, ``trainA`` and
    ``trainB`` hold one side each. ``val`` (or ``valA`` and ``valB``) is held out; where there is none, ``test`` is.

    Raises:
        DataError: there is no such folder; the message says what is there.
    """
    root = existing_folder(root)
    for sides in (("",), ("A", "B")):
        train, val, test = (tuple(root / (name + side) for side in sides) for name in ("train", "val", "test"))
        if _all_there(train):
            return PairedFolders(train, next((folders for folders in (val, test) if _all_there(folders)), None))
    raise DataError(
        f"{root} has neither train nor trainA and trainB (it has: {subfolders(root)}); "
        f"expected images with both sides in {root / 'train'}, one side each in {root / 'trainA'} and "
        f"{root / 'trainB'}, {_NAMED}"
    )


def find_pairs(a: str | Path | Sequence[str | Path], b: str | Path | Sequence[str | Path]) -> list[tuple[Path, Path]]:
    """List the images of two domains that have the same name; the suffix does not count.

    Args:
        a: a folder or several of them; a name is the path below its folder.
        b: the same for the other domain.

    Returns:
        Pairs in the order of `find_images` of ``a``.

    Raises:
        DataError: a name is in one domain only, or twice in one; the first of them are listed.
    """
    named_a, named_b = named_images(a), named_images(b)
    check_partners(named_a, named_b, "the images of A and B", ("A", "B"))
    return [(path, named_b[name]) for name, path in named_a.items()]


def check_partners(one: Mapping[str, Path], other: Mapping[str, Path], what: str, sides: tuple[str, str]) -> None:
    """Check that images by name have partners, on both sides.

    Args:
        one: images by name.
        other: those of the other side.
        what: what errors call all of them.
        sides: what they call each side.

    Raises:
        DataError: a name is on one side only; the first of them are listed.
    """
    alone = [_alone(one, other, sides[0]), _alone(other, one, sides[1])]
    if any(alone):
        raise DataError(
            f"{what} must have the same names (suffixes do not count): {'; '.join(filter(None, alone))}"
            "; rename them, and put those that have no partner somewhere else"
        )


def named_images(
    source: str | Path | Sequence[str | Path],
    rename: Callable[[str], str] = lambda name: name,
    choose: Callable[[Sequence[Path]], Sequence[Path]] = lambda paths: paths,
) -> dict[str, Path]:
    """Return the images of folders and files by their names: the path below the folder, without its suffix.

    Args:
        source: a folder, a file, or several of them.
        rename: says what of a name counts.
        choose: says which files of a folder count.

    Raises:
        DataError: two have the same name, or there is no image.
    """
    found: dict[str, Path] = {}
    for entry in [source] if isinstance(source, str | Path) else source:
        folder = Path(entry) if Path(entry).is_dir() else Path(entry).parent
        for path in choose(find_images(entry)):
            name = rename(path.relative_to(folder).with_suffix("").as_posix())
            if name in found:
                raise DataError(f"{found[name]} and {path} have the same name, so no image can be matched with them")
            found[name] = path
    return found


def _alone(one: Mapping[str, Path], other: Mapping[str, Path], domain: str) -> str:
    names = [name for name in one if name not in other]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"only in {domain}: {', '.join(names[:_SHOWN])}{more}" if names else ""


def _all_there(folders: Sequence[Path]) -> bool:
    return all(folder.is_dir() for folder in folders)


def subfolders(root: Path) -> str:
    """List the names of the folders in ``root`` for a message."""
    return ", ".join(sorted(path.name for path in root.iterdir() if path.is_dir())) or "no subfolders"


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
    return [
        path
        for entry in entries
        for path in ([Path(entry)] if Path(entry).is_file() else _walk(existing_folder(entry)))
    ]


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


def existing_folder(path: str | Path) -> Path:
    """Return ``path``.

    Raises:
        DataError: there is no such folder.
    """
    folder = Path(path)
    if folder.is_dir():
        return folder
    raise DataError(f"{folder} is a file, not a folder" if folder.exists() else f"{folder} does not exist")
