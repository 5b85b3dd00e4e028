"""From a temporary folder to a data set: nothing of it is seen before all of it is there."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from i2i.errors import DataError, RunError, SettingsError
from i2i.files import fsync_folder, write_file, writing
from i2i_ugatit.faces.sheet import contact_sheet

if TYPE_CHECKING:
    from PIL import Image

_NOTHING = "nothing was written"


class Places(NamedTuple):
    """What is written for one domain into a folder."""

    train: Path
    test: Path
    sheet: Path
    report: Path


def places(out: Path, domain: str) -> Places:
    """Return where the results of a domain lie.

    Example:
        >>> [path.name for path in places(Path("data"), "A")]
        ['trainA', 'testA', 'faces-A.png', 'faces-A.json']
    """
    return Places(*(out / name.format(domain) for name in ("train{}", "test{}", "faces-{}.png", "faces-{}.json")))


def check_free(out: Path, domain: str, pictures: Sequence[Path]) -> None:
    """Check that nothing would be written over, and that no result is read as a picture.

    Raises:
        DataError: a picture lies among the results of either domain.
        RunError: a folder of the domain holds something.
        SettingsError: ``out`` is a file.
    """
    if out.exists() and not out.is_dir():
        raise SettingsError(f"--out {out} is a file; name a folder for the data set")
    for folder in places(out, domain)[:2]:
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise RunError(f"{folder} is not empty; move it away, or name another --out or --domain")
    results = {path.resolve() for each in "AB" for path in places(out, each)}
    for picture in pictures:
        if not results.isdisjoint([picture.resolve(), *picture.resolve().parents]):
            raise DataError(f"{picture} is a result in --out (={out}); name folders that hold no results")


@contextlib.contextmanager
def workplace(out: Path, domain: str) -> Iterator[Path]:
    """Make a temporary folder in ``out``; in the end it is removed, and so are folders made for it that are empty.

    That of a killed command has a name with a dot in front, which no command reads; the next one clears it.
    """
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    work = out / f".faces-{domain}.tmp"
    try:
        with writing(out, _NOTHING):
            if work.exists():
                shutil.rmtree(work)
            work.mkdir(parents=True)
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        for folder in made:
            with contextlib.suppress(OSError):  # not empty: all went well
                folder.rmdir()


def write_picture(picture: NDArray[np.uint8] | Image.Image, path: Path) -> None:
    """Write ``(h, w, 3)`` or a picture as PNG, on disk when this returns.

    Raises:
        RunError: the disk is full, or the folder is gone.
    """
    from PIL import Image

    drawn = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    with writing(path, _NOTHING):
        write_file(path, lambda file: drawn.save(file, "PNG"))


def publish(work: Path, out: Path, domain: str, training: Sequence[str], testing: Sequence[str], report: bytes) -> None:
    """Move faces out of a temporary folder to where they are read from, with a contact sheet and a report.

    Training images come last: without them ``i2i train`` takes the folder for incomplete.

    Args:
        work: holds ``NAME.png`` of each face; others in it are left.
        out: the data set.
        domain: A or B.
        training: names of faces.
        testing: names of other faces.
        report: what the report holds.

    Raises:
        RunError: a file cannot be written, or a folder was filled in the meantime.
    """
    ready, there = places(work, domain), places(out, domain)
    with writing(out, f"what is in {there.train} is complete, where there is one"):
        files = [_moved(names, work, folder) for names, folder in ((training, ready.train), (testing, ready.test))]
        write_picture(contact_sheet(*files), ready.sheet)
        write_file(ready.report, lambda file: file.write(report))
        if testing:
            _replace(ready.test, there.test)
        os.replace(ready.sheet, there.sheet)
        os.replace(ready.report, there.report)
        _replace(ready.train, there.train)
        fsync_folder(out)


def _moved(names: Sequence[str], work: Path, folder: Path) -> list[Path]:
    """Move faces into a new folder, if there are any, and return where they are now, by name."""
    if names:
        folder.mkdir()
    for name in names:
        os.rename(work / f"{name}.png", folder / f"{name}.png")
    return [folder / f"{name}.png" for name in sorted(names)]


def _replace(source: Path, target: Path) -> None:
    if target.exists():
        target.rmdir()  # an error, unless it is empty
    os.rename(source, target)
