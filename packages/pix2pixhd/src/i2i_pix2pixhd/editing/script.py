"""Scripts of edits: ``{"edits": [{"do": "paint", "rectangle": [0, 0, 64, 32], "label": 7}, ...]}``.

All of a script is checked before anything is done, and all of it is done before anything is made or written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import attrs

from i2i.errors import DataError, I2IError
from i2i.nearest import nearest
from i2i_pix2pixhd.editing.editor import Editor
from i2i_pix2pixhd.editing.regions import ObjectPixels, Region
from i2i_pix2pixhd.editing.renderer import EditedScene
from i2i_pix2pixhd.editing.script_values import CHECKS, REGIONS, region_of
from i2i_pix2pixhd.styles.tables import Table


class AppliedEdit(NamedTuple):
    """What an edit led to.

    Attributes:
        number: of the edit, from 1 on.
        scene: after it.
        variants: styles of the images that it asks for.
    """

    number: int
    scene: EditedScene
    variants: Sequence[Table] = ()


@attrs.frozen
class Edit:
    """One entry of a script, checked.

    Attributes:
        number: from 1 on.
        do: its kind.
        values: the other keys, except those of the region; objects by id, or by the name that an ``add`` gave.
        region: where; an object that is named is looked up when the edit is done.
    """

    number: int
    do: str
    values: Mapping[str, Any]
    region: Region | str | None = None

    def __str__(self) -> str:
        """Name it in messages."""
        return f"edit {self.number} ({self.do})"


class _Kind(NamedTuple):
    """The keys of a kind of edit; ``region``: it has one, may have one (None), or has none."""

    needs: tuple[str, ...] = ()
    may: tuple[str, ...] = ()
    region: bool | None = False
    one_of: tuple[str, ...] = ()


_KINDS = {
    "paint": _Kind(("label",), ("instance",), region=True),
    "replace": _Kind(("label", "by"), region=None),
    "add": _Kind(("label",), ("name",), region=True),
    "remove": _Kind(("object",), ("fill",)),
    "restyle": _Kind(("style",), one_of=("object", "label")),
    "variants": _Kind(("count",), one_of=("object", "label")),
    "undo": _Kind(),
    "redo": _Kind(),
}


def read_script(path: Path) -> list[Edit]:
    """Read a script and check all that can be checked without its scene.

    Args:
        path: JSON; masks in it are named relative to its folder.

    Raises:
        DataError: it cannot be read, or an entry is wrong; the message says which entry, and which key.
    """
    try:
        stored = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: no JSON ({' '.join(str(error).split())})") from error
    edits = stored.get("edits") if isinstance(stored, dict) else None
    if not isinstance(edits, list) or not edits:
        raise DataError(f'{path}: expected {{"edits": [{{"do": "paint", ...}}, ...]}} with one edit at least')
    for key in stored:
        if key != "edits":
            raise DataError(f"{path}: unknown key {key!r}; {nearest(key, ['edits'])}")
    names: set[str] = set()
    return [_edit(f"{path}: edit {number}", number, entry, path.parent, names) for number, entry in enumerate(edits, 1)]


def _edit(where: str, number: int, entry: Any, folder: Path, names: set[str]) -> Edit:
    do = entry.get("do") if isinstance(entry, dict) else None
    if not isinstance(do, str):
        raise DataError(f'{where} must be a table with a key "do", such as {{"do": "undo"}}')
    if do not in _KINDS:
        raise DataError(f"{where}: unknown edit {do!r}; {nearest(do, _KINDS)}")
    try:
        return _checked(Edit(number, do, {key: value for key, value in entry.items() if key != "do"}), folder, names)
    except DataError as error:
        raise DataError(f"{where} ({do}): {error}") from error


def _checked(edit: Edit, folder: Path, names: set[str]) -> Edit:
    kind, given = _KINDS[edit.do], edit.values
    places = () if kind.region is False else REGIONS
    known = {*kind.needs, *kind.may, *kind.one_of, *places, *(("radius",) if places else ())}
    for key in given:
        if key not in known:
            raise DataError(f"unknown key {key!r}; {nearest(key, known)}")
    if "radius" in given and "stroke" not in given:
        raise DataError(f"radius (={given['radius']}) is that of a stroke, and there is none")
    for key in kind.needs:
        if key not in given:
            raise DataError(f"needs a key {key!r}")
    where = [key for key in places if key in given]
    if len(where) > 1 or (kind.region and not where):
        found = f", not {' and '.join(where)}" if where else ""
        raise DataError(f"needs one region{found}: {', '.join(REGIONS)}")
    targets = [key for key in kind.one_of if key in given]
    if len(targets) > 1 or (kind.one_of and not targets and edit.do != "variants"):
        raise DataError(f"needs {'either ' * bool(targets)}an object or a label{', not both' * bool(targets)}")
    values = {key: CHECKS[key](key, value, names) for key, value in given.items() if key in CHECKS}
    region = region_of(where[0], given, folder, values) if where else None
    if "name" in values:
        names.add(values["name"])
    return attrs.evolve(edit, values={key: values[key] for key in values if key not in where}, region=region)


def run_script(editor: Editor, edits: Sequence[Edit], name: str) -> list[AppliedEdit]:
    """Do all edits, without making an image.

    Args:
        editor: holds the last scene afterwards.
        edits: of `read_script`.
        name: what messages call the script.

    Raises:
        I2IError: an edit cannot be done; the message begins with the script and the edit.
    """
    names: dict[str, int] = {}
    steps = []
    for edit in edits:
        try:
            variants = _done(editor, edit, names)
        except I2IError as error:
            raise type(error)(f"{name}: {edit}: {error}") from error
        steps.append(AppliedEdit(edit.number, editor.scene, variants))
    return steps


def _done(editor: Editor, edit: Edit, names: dict[str, int]) -> Sequence[Table]:
    """Do an edit; return the styles of the variants that it asks for."""
    values = dict(edit.values)
    for key in ("object", "instance"):
        if isinstance(values.get(key), str):
            values[key] = names[values[key]]
    if edit.region is not None:
        values["region"] = ObjectPixels(names[edit.region]) if isinstance(edit.region, str) else edit.region
    if edit.do == "variants":
        return editor.varied(**values)
    if edit.do == "remove":
        values["id"] = values.pop("object")
    name = values.pop("name", None)
    made = getattr(editor, edit.do)(**values)
    if name is not None:
        names[name] = made
    return ()
