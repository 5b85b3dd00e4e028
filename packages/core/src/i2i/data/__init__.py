"""Images from folders and Hugging Face datasets, as batches in which every random choice has its own number.

Names are imported on first use: ``import i2i.data`` needs neither ``datasets`` nor Pillow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from i2i.data.channels import MisfitError, depth_of
    from i2i.data.colours import Colours, coloured, read_colours
    from i2i.data.folders import Folders, find_folders, find_images
    from i2i.data.ids import IdError, read_ids, read_instances, read_labels, write_ids
    from i2i.data.images import (
        can_hold,
        header_size,
        read_header,
        read_image,
        to_array,
        to_batch,
        to_tensor,
        write_array,
        write_image,
        written_channels,
    )
    from i2i.data.joining import joined
    from i2i.data.lab import CHROMA, LIGHTNESS, lab_to_rgb
    from i2i.data.loader import Batches, single, unpaired
    from i2i.data.pairs import paired
    from i2i.data.prepared import Prepared, prepare
    from i2i.data.previews import preview
    from i2i.data.rows import unequal, with_remedy
    from i2i.data.scene_folders import Scene, find_scenes, scene_places
    from i2i.data.scenes import PreparedScenes, prepare_scenes
    from i2i.data.transforms import CENTRE, Draw, TransformSettings, Window, check_multiple, resize, transform

_HOMES = {
    "Batches": "loader",
    "CENTRE": "transforms",
    "CHROMA": "lab",
    "Colours": "colours",
    "Draw": "transforms",
    "Folders": "folders",
    "IdError": "ids",
    "LIGHTNESS": "lab",
    "MisfitError": "channels",
    "Prepared": "prepared",
    "PreparedScenes": "scenes",
    "Scene": "scene_folders",
    "TransformSettings": "transforms",
    "Window": "transforms",
    "can_hold": "images",
    "check_multiple": "transforms",
    "coloured": "colours",
    "depth_of": "channels",
    "find_folders": "folders",
    "find_images": "folders",
    "find_scenes": "scene_folders",
    "header_size": "images",
    "joined": "joining",
    "lab_to_rgb": "lab",
    "paired": "pairs",
    "prepare": "prepared",
    "prepare_scenes": "scenes",
    "preview": "previews",
    "read_colours": "colours",
    "read_header": "images",
    "read_ids": "ids",
    "read_image": "images",
    "read_instances": "ids",
    "read_labels": "ids",
    "resize": "transforms",
    "scene_places": "scene_folders",
    "single": "loader",
    "to_array": "images",
    "to_batch": "images",
    "to_tensor": "images",
    "transform": "transforms",
    "unequal": "rows",
    "unpaired": "loader",
    "with_remedy": "rows",
    "write_array": "images",
    "write_ids": "ids",
    "write_image": "images",
    "written_channels": "images",
}

__all__ = [
    "CENTRE",
    "CHROMA",
    "LIGHTNESS",
    "Batches",
    "Colours",
    "Draw",
    "Folders",
    "IdError",
    "MisfitError",
    "Prepared",
    "PreparedScenes",
    "Scene",
    "TransformSettings",
    "Window",
    "can_hold",
    "check_multiple",
    "coloured",
    "depth_of",
    "find_folders",
    "find_images",
    "find_scenes",
    "header_size",
    "joined",
    "lab_to_rgb",
    "paired",
    "prepare",
    "prepare_scenes",
    "preview",
    "read_colours",
    "read_header",
    "read_ids",
    "read_image",
    "read_instances",
    "read_labels",
    "resize",
    "scene_places",
    "single",
    "to_array",
    "to_batch",
    "to_tensor",
    "transform",
    "unequal",
    "unpaired",
    "with_remedy",
    "write_array",
    "write_ids",
    "write_image",
    "written_channels",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'i2i.data' has no attribute {name!r}")
    return getattr(import_module(f"i2i.data.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
