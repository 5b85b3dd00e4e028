from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from i2i.data.previews import preview
from i2i.pixels import PixelFormat

MakeFolder = Callable[..., Path]


def tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(image).transpose(2, 0, 1) / 127.5 - 1).float()


def centre(path: Path, load: int, crop: int) -> Tensor:
    image = Image.open(path).resize((load, load), Image.Resampling.BICUBIC)
    edge = (load - crop) // 2
    return tensor(image.crop((edge, edge, edge + crop, edge + crop)))


def test_the_first_images_cropped_in_the_middle_not_mirrored(make_folder: MakeFolder) -> None:
    a, b = make_folder("a", (30, 20), (20, 30), (9, 9)), make_folder("b", (24, 24), (40, 8))
    batch = preview(a, b, count=2, load_size=24, crop_size=16)
    for found, folder in ((batch.a, a), (batch.b, b)):
        expected = torch.stack([centre(folder / name, 24, 16) for name in ("00.png", "01.png")])
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_images_of_unequal_size_take_the_size_of_the_first(make_folder: MakeFolder) -> None:
    a, b = make_folder("a", (21, 16), (12, 30)), make_folder("b", (40, 8), (8, 8), (9, 9))
    batch = preview(a, b, preprocess="none")
    assert batch.a.shape == batch.b.shape == (2, 3, 16, 20)
    first = Image.open(a / "00.png").resize((20, 16), Image.Resampling.BICUBIC)
    torch.testing.assert_close(batch.a[0], tensor(first), atol=1e-6, rtol=0)


def test_channels_and_bad_images(
    make_folder: MakeFolder, truncate: Callable[[Path], Path], caplog: pytest.LogCaptureFixture
) -> None:
    a, b = make_folder("a", (20, 20), (20, 20)), make_folder("b", (20, 20), (20, 20))
    truncate(a / "00.png")
    with caplog.at_level(logging.WARNING):
        batch = preview(
            a, b, load_size=16, crop_size=16, pixels=(PixelFormat(channels=1), PixelFormat()), skip_bad=True
        )
    assert (batch.a.shape, batch.b.shape) == ((2, 1, 16, 16), (2, 3, 16, 16))
    assert torch.equal(batch.a[0], batch.a[1])
    assert caplog.messages[0].startswith(f"skipped: {a / '00.png'} cannot be read")
