"""Styles of objects: found in real images, clustered by class, chosen for scenes, named in files.

Names are imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from i2i_pix2pixhd.styles.clusters import Styles, cluster, encode_styles, load_styles, save_styles
    from i2i_pix2pixhd.styles.tables import Choice, Table, read_table, write_table

_HOMES = {
    "Choice": "tables",
    "Styles": "clusters",
    "Table": "tables",
    "cluster": "clusters",
    "encode_styles": "clusters",
    "load_styles": "clusters",
    "read_table": "tables",
    "save_styles": "clusters",
    "write_table": "tables",
}

__all__ = [
    "Choice",
    "Styles",
    "Table",
    "cluster",
    "encode_styles",
    "load_styles",
    "read_table",
    "save_styles",
    "write_table",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'i2i_pix2pixhd.styles' has no attribute {name!r}")
    return getattr(import_module(f"i2i_pix2pixhd.styles.{_HOMES[name]}"), name)
