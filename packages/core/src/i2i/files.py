"""Writes that a crash cannot tear: a temporary name, fsync, rename."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from i2i.errors import RunError


def write_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write one file so that readers and crashes at any moment find the old one or the new one, complete.

    Args:
        path: the file; its folder exists.
        write: is called with the open temporary file ``.NAME.tmp``. A leftover of a killed write is overwritten by the
            next one.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "note.txt")
        >>> write_file(path, lambda file: file.write(b"kept"))
        >>> path.read_bytes()
        b'kept'
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        # After an error (disk full, Ctrl-C) the space is given back; only a kill leaves the temporary file.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)


def fsync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable (a rename is not on disk before this); nothing to do on Windows."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_folder(folder: Path) -> None:
    """Remove ``folder`` under a temporary name first, so that no half-removed one keeps its name."""
    doomed = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(doomed, ignore_errors=True)
    os.rename(folder, doomed)
    shutil.rmtree(doomed)


@contextlib.contextmanager
def writing(what: Path, intact: str) -> Iterator[None]:
    """Turn a failed write (disk full, no permission) into one line that says what is still there.

    Args:
        what: the file or folder that is being written.
        intact: the end of the message, for example ``"the model saved before is intact"``.

    Raises:
        RunError: when the body raises an ``OSError``.
    """
    try:
        yield
    except OSError as error:
        raise RunError(f"cannot write {what} ({error.strerror or error}); {intact}") from error
