"""Pictures that show several images side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from i2i.errors import SettingsError

if TYPE_CHECKING:
    from PIL import Image

_GAP = 2
_CAPTION = 14


def grid(columns: Mapping[str, Tensor], *, smallest: int = 96) -> Image.Image:
    """Draw a captioned column per name and a row per image.

    Args:
        columns: images ``(b, c, h, w)`` in ``[-1, 1]``, clamped. Sizes may differ: each is fitted to the
            first. Of more channels the first three are shown, of two the first one.
        smallest: smaller images are enlarged, by a whole factor, to at least this height.

    Raises:
        SettingsError: there is no column, or one is no batch of images; shows its shape.

    Example:
        >>> grid({"input": torch.zeros(2, 3, 96, 96), "output": torch.zeros(2, 1, 96, 96)}).size
        (198, 212)
    """
    from PIL import Image, ImageDraw

    if not columns:
        raise SettingsError("a grid needs at least one column of images")
    for name, images in columns.items():
        if images.ndim != 4 or not images.shape[1]:
            raise SettingsError(f"column {name} has shape {tuple(images.shape)}; a grid shows images (b, c, h, w)")
    height, width = next(iter(columns.values())).shape[-2:]
    factor = max(1, -(-smallest // height))
    height, width = height * factor, width * factor
    rows = max(len(images) for images in columns.values())
    size = (len(columns) * (width + _GAP) + _GAP, _CAPTION + rows * (height + _GAP) + _GAP)
    sheet = Image.new("RGB", (size[0], size[1]), "white")
    draw = ImageDraw.Draw(sheet)
    for column, (name, images) in enumerate(columns.items()):
        left = _GAP + column * (width + _GAP)
        draw.text((left + 1, 1), name, fill="black")
        for row, image in enumerate(_fit(images, (height, width))):
            sheet.paste(Image.fromarray(image.numpy()), (left, _CAPTION + row * (height + _GAP)))
    return sheet


def viewable(images: Tensor) -> Tensor:
    """Return the channels ``(..., 1 or 3, h, w)`` of ``images (..., c, h, w)`` that a picture of them shows.

    Example:
        >>> viewable(torch.zeros(7, 4, 4)).shape
        torch.Size([3, 4, 4])
    """
    return images[..., : 3 if images.shape[-3] >= 3 else 1, :, :]


def _fit(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Return ``(b, h, w, 3)`` in 0 ... 255."""
    images = viewable(images.detach().float().cpu()).expand(-1, 3, -1, -1)
    images = F.interpolate(images, size=size, mode="nearest")
    return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
