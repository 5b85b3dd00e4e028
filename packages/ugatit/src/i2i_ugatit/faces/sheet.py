"""The contact sheet: all faces of a data set in one picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

_GAP = 3
_WIDTH = 2000  # pixels, about; of thousands of faces it becomes wider
_LARGEST, _SMALLEST = 128, 24  # sides of thumbnails
_FRAME = (255, 140, 0)


def contact_sheet(training: Sequence[Path], testing: Sequence[Path] = ()) -> Image.Image:
    """Draw all faces as thumbnails in a square, those for testing last and framed in orange.

    Args:
        training: files of square images; at least one, or one for testing.
        testing: the same.
    """
    from PIL import Image, ImageOps

    files = [*training, *testing]
    columns = math.ceil(math.sqrt(len(files)))
    side = max(_SMALLEST, min(_LARGEST, _WIDTH // columns - _GAP))
    rows = math.ceil(len(files) / columns)
    sheet = Image.new("RGB", (columns * (side + _GAP) + _GAP, rows * (side + _GAP) + _GAP), "white")
    for index, path in enumerate(files):
        with Image.open(path) as image:
            small = image.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
        place = _GAP + index % columns * (side + _GAP), _GAP + index // columns * (side + _GAP)
        if index >= len(training):
            small, place = ImageOps.expand(small, _GAP - 1, _FRAME), (place[0] - _GAP + 1, place[1] - _GAP + 1)
        sheet.paste(small, place)
    return sheet
