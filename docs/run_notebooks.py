"""Run the notebooks of docs/notebooks, and count what they take at full size: `make notebooks`.

Each runs from top to bottom at its small size, in a folder of its own. Then it is gone through at full size as far as
the training, which is counted instead: settings, nets, losses and data fit together, and a GPU of 16 GB is enough.
Notebooks are kept without outputs, and their files are not changed.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import chdir
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

os.environ |= {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}  # with a GPU a notebook would train for hours

import nbformat
from nbclient import NotebookClient

import i2i
from i2i.memory import estimate

NOTEBOOKS = Path(__file__).parent / "notebooks"
_LIMIT = 600  # seconds for a cell; a safeguard
_GIB = 2**30
_ENOUGH = 15 * 3 / 4  # GiB: a quarter of the memory of a T4 is left to kernels and allocators


class Counted(Exception):  # noqa: N818  (no error)
    """Ends a notebook in place of its training; ``size`` is what that would take, in GiB."""

    def __init__(self, size: float) -> None:
        super().__init__(size)
        self.size = size


def main(names: list[str]) -> None:
    """Run the notebooks of these names, or all of them."""
    for path in [NOTEBOOKS / f"{name}.ipynb" for name in names] or sorted(NOTEBOOKS.glob("*.ipynb")):
        began, used = time.monotonic(), _used_by_kernels()
        with tempfile.TemporaryDirectory() as folder:
            run_small(path, folder)
            spent = f"{time.monotonic() - began:.0f} s, {_used_by_kernels() - used:.0f} s of a processor"
            print(f"{path.name}: {spent}; at full size {count_full(path, Path(folder)):.1f} GiB", flush=True)


def run_small(path: Path, folder: str) -> None:
    """Run a notebook in a folder; a cell that fails raises."""
    notebook = nbformat.read(path, as_version=4)
    quiet = ["--log-level=ERROR"]
    NotebookClient(notebook, timeout=_LIMIT, extra_arguments=quiet, resources={"metadata": {"path": folder}}).execute()


def count_full(path: Path, folder: Path) -> float:
    """Return the GiB that the training would take at full size, with the data that the small run left in ``folder``."""
    cells = nbformat.read(path, as_version=4).cells
    first, *others = [cell.source for cell in cells if cell.cell_type == "code"]
    first = first.replace("FULL = torch.cuda.is_available()", "FULL = True")
    for data in folder.glob("runs/*/data"):
        first = first.replace("FOLDER = None", f"FOLDER = {str(data)!r}")
    names: dict[str, Any] = {}
    with chdir(folder), mock.patch.object(i2i, "fit", _counted):
        try:
            for code in (first, *others):
                exec(compile(code, path.name, "exec"), names)
        except Counted as counted:
            if counted.size > _ENOUGH:
                sys.exit(f"{path.name}: {counted.size:.1f} GiB at full size are more than {_ENOUGH:.1f}")
            return counted.size
    sys.exit(f"{path.name} calls no i2i.fit")


def _counted(step: Any, nets: Any, data: Iterable[Any], *, policy: i2i.Policy, **_: Any) -> NoReturn:
    """Stand in for `i2i.fit`."""
    raise Counted(estimate(step, nets, next(iter(data)), policy).total / _GIB)


def _used_by_kernels() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main(sys.argv[1:])
