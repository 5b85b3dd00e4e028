"""Images from folders and Hugging Face datasets, as batches in which every random choice has its own number.

Names are imported on first use: ``import i2i.data`` needs neither ``datasets`` nor Pillow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from i2i.data.folders import Folders, find_folders, find_images
    from i2i.data.images import read_image, to_tensor, write_image
    from i2i.data.loader import Batches, single, unpaired
    from i2i.data.pairs import paired
    from i2i.data.prepared import Prepared, prepare
    from i2i.data.previews import preview
    from i2i.data.transforms import CENTRE, Draw, TransformSettings, check_multiple, transform

_HOMES = {
    "Batches": "loader",
    "CENTRE": "transforms",
    "Draw": "transforms",
    "Folders": "folders",
    "TransformSettings": "transforms",
    "check_multiple": "transforms",
    "find_folders": "folders",
    "find_images": "folders",
    "Prepared": "prepared",
    "paired": "pairs",
    "prepare": "prepared",
    "preview": "previews",
    "read_image": "images",
    "single": "loader",
    "to_tensor": "images",
    "transform": "transforms",
    "unpaired": "loader",
    "write_image": "images",
}

__all__ = [
    "CENTRE",
    "Batches",
    "Draw",
    "Folders",
    "Prepared",
    "TransformSettings",
    "check_multiple",
    "find_folders",
    "find_images",
    "paired",
    "prepare",
    "preview",
    "read_image",
    "single",
    "to_tensor",
    "transform",
    "unpaired",
    "write_image",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'i2i.data' has no attribute {name!r}")
    return getattr(import_module(f"i2i.data.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
