"""Editing scenes, with undo and redo; no user interface: programs, scripts and pages use it.

Names are imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from i2i_pix2pixhd.editing.editor import Editor
    from i2i_pix2pixhd.editing.regions import Flood, Mask, ObjectPixels, Polygon, Rectangle, Stroke, read_mask
    from i2i_pix2pixhd.editing.script import read_script, run_script

_HOMES = {
    "Editor": "editor",
    "Flood": "regions",
    "Mask": "regions",
    "ObjectPixels": "regions",
    "Polygon": "regions",
    "Rectangle": "regions",
    "Stroke": "regions",
    "read_mask": "regions",
    "read_script": "script",
    "run_script": "script",
}

__all__ = [
    "Editor",
    "Flood",
    "Mask",
    "ObjectPixels",
    "Polygon",
    "Rectangle",
    "Stroke",
    "read_mask",
    "read_script",
    "run_script",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'i2i_pix2pixhd.editing' has no attribute {name!r}")
    return getattr(import_module(f"i2i_pix2pixhd.editing.{_HOMES[name]}"), name)
