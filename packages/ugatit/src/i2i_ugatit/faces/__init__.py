"""Faces out of pictures: found, cut out upright or turned, without near-duplicates, in the folders of a data set.

The command ``i2i ugatit faces`` puts these functions together; each can be used alone. Nothing here imports torch,
OpenCV or Pillow before it is called.
"""

from __future__ import annotations

from i2i_ugatit.faces.boxes import Box, Face
from i2i_ugatit.faces.crops import cut
from i2i_ugatit.faces.detectors import FaceDetector, cascade_detector, own_detector
from i2i_ugatit.faces.duplicates import difference_hash, find_duplicates
from i2i_ugatit.faces.gather import Cutting, Gathered, gather
from i2i_ugatit.faces.names import held_out, unique_names
from i2i_ugatit.faces.publish import check_free, publish, workplace, write_picture
from i2i_ugatit.faces.sheet import contact_sheet

__all__ = [
    "Box",
    "Cutting",
    "Face",
    "FaceDetector",
    "Gathered",
    "cascade_detector",
    "check_free",
    "contact_sheet",
    "cut",
    "difference_hash",
    "find_duplicates",
    "gather",
    "held_out",
    "own_detector",
    "publish",
    "unique_names",
    "workplace",
    "write_picture",
]
