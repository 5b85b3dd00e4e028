"""Which images a run names: ``--data``, ``--a`` and ``--b``, or ``--dataset``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

from i2i.data.folders import find_folders, find_paired_folders
from i2i.data.hub import Table, image_columns, load_split
from i2i.errors import DataError
from i2i.settings import RunSettings, flag

#: What belongs together: nothing, the images of A and of B, or the two sides that every single image has.
Layout: TypeAlias = Literal["unpaired", "paired", "one"]
Folders: TypeAlias = tuple[Path, ...]
#: With the scenes of `i2i.data.prepare_scenes`, which hold label maps.
AnyLayout: TypeAlias = Literal["unpaired", "paired", "one", "scenes"]
#: The folders of A and those of B; only the first where one file holds both sides; or a table of both.
Named: TypeAlias = "tuple[Folders, ...] | Table"

_EXPECTED = {
    "unpaired": "trainA and trainB",
    "paired": "train, or trainA and trainB,",
    "one": "train",
    "scenes": "train_label, train_inst and train_img",
}
_UNSET = RunSettings()
_GO_WITH = {
    "dataset": ("subset", "columns", "split", "held_out_split", "streaming"),
    "a": ("held_out_a", "held_out_b"),
}


def find_named(run: RunSettings, layout: Layout) -> Named:
    """Return the images that a run trains on.

    Args:
        run: its data settings.
        layout: ``"unpaired"``, ``"paired"``, or ``"one"``: both sides are made of one image.

    Raises:
        DataError: nothing is named, or too much, or it is not there.
    """
    check_named(run, layout)
    if run.dataset is not None:
        return _table(run, run.dataset, run.split, layout)
    if run.data is None:
        return tuple(folders for folders in (run.a, run.b) if folders)
    if layout == "unpaired":
        a, b, _, _ = find_folders(run.data)
        return (a,), (b,)
    return _sides(run.data, find_paired_folders(run.data).train, layout)


def find_held_out(run: RunSettings, layout: Layout) -> Named | None:
    """Return the images that a run holds out, or None; the arguments are those of `find_named`.

    Raises:
        DataError: nothing is named, or too much, or it is not there.
    """
    check_named(run, layout)
    if run.dataset is not None:
        return None if run.held_out_split is None else _table(run, run.dataset, run.held_out_split, layout)
    if run.data is None:
        return tuple(folders for folders in (run.held_out_a, run.held_out_b) if folders) or None
    if layout == "unpaired":
        _, _, a, b = find_folders(run.data)
        return None if a is None or b is None else ((a,), (b,))
    folders = find_paired_folders(run.data).held_out
    return None if folders is None else _sides(run.data, folders, layout)


def _sides(root: Path, folders: Folders, layout: Layout) -> tuple[Folders, ...]:
    if layout == "one" and len(folders) > 1:
        raise DataError(f"{root} has no train, the folder of the images; or name folders of images with --a DIR")
    return tuple((folder,) for folder in folders)


def _table(run: RunSettings, name: str, split: str, layout: Layout) -> Table:
    table = load_split(name, subset=run.subset, split=split, streaming=run.streaming)
    least, most = {"unpaired": (2, 2), "paired": (1, 2), "one": (1, 1)}[layout]
    return image_columns(table, run.columns, least=least, most=most)


def check_named(run: RunSettings, layout: AnyLayout) -> None:
    """Check that a run names images in one way, with the flags that go with it.

    Raises:
        DataError: nothing is named, or too much.
    """
    sources = {"--data": run.data, "--a / --b": run.a or run.b, "--dataset": run.dataset}
    named = [name for name, value in sources.items() if value]
    if len(named) > 1:
        raise DataError(f"{' and '.join(named)} both name images; use one or the other")
    for one, other in (("a", "b"), ("held_out_a", "held_out_b")):
        there, missing = (one, other) if getattr(run, one) else (other, one)
        if layout == "one" and getattr(run, other):
            raise DataError(f"{flag(other)} names a folder, but both sides are made of one image here; use {flag(one)}")
        if layout != "one" and getattr(run, there) and not getattr(run, missing):
            raise DataError(
                f"{flag(there)} names a folder, {flag(missing)} does not; name one or more folders of both domains"
            )
    if not named:
        raise DataError(
            f"which images? name a folder with {_EXPECTED[layout]} by --data DIR, or two by --a DIR --b DIR, "
            "or a Hugging Face dataset by --dataset NAME"
        )
    for source, others in _GO_WITH.items():
        for other in others:
            if getattr(run, other) != getattr(_UNSET, other) and not getattr(run, source):
                raise DataError(f"{flag(other)} goes with {flag(source)}, not with {named[0]}; leave it out")
