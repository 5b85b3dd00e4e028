from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset, Features
from datasets import Image as ImageFeature
from PIL import Image

from i2i.data.formats import find_formats
from i2i.errors import DataError
from i2i.pixels import PixelFormat
from i2i.settings import ImageSettings

Write = Callable[[str, type], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """``write("a/1.png", np.uint16)``: a grey picture of that type; returns its folder."""

    def make(name: str, kind: type) -> Path:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.zeros((4, 8), kind)).save(tmp_path / name)
        return (tmp_path / name).parent

    return make


def test_each_domain_has_the_depth_of_its_first_image(write: Write) -> None:
    a, b = write("a/1.png", np.uint16), write("b/1.tif", np.float32)
    write("a/2.png", np.uint8)
    settings = ImageSettings(channels=1, channels_b=2, range_a=(0, 4095), alpha="white")
    assert find_formats(((a,), (b,)), "unpaired", settings) == (
        PixelFormat(1, depth=16, range=(0, 4095), alpha="white"),
        PixelFormat(2, depth=32, alpha="white"),
    )
    assert find_formats(((b, a), (b / "1.tif",)), "paired", ImageSettings()) == (PixelFormat(depth=32),) * 2


def test_both_sides_of_one_file_have_its_depth(write: Write) -> None:
    folder = write("train/1.png", np.uint16)
    assert find_formats(((folder,),), "paired", ImageSettings()) == (PixelFormat(depth=16),) * 2
    assert find_formats(((folder,),), "one", ImageSettings(alpha="black")) == (
        PixelFormat(1, depth=16, colours="lightness", alpha="black"),
        PixelFormat(2, depth=16, colours="chroma", alpha="black"),
    )


def file(kind: type) -> dict[str, object]:
    written = io.BytesIO()
    Image.fromarray(np.zeros((4, 8), kind)).save(written, "PNG")
    return {"bytes": written.getvalue(), "path": None}


@pytest.mark.parametrize("stream", [False, True])
def test_tables(stream: bool) -> None:
    features = Features({"x": ImageFeature(decode=False), "y": ImageFeature(decode=False)})
    table = Dataset.from_dict({"x": [file(np.uint8)] * 2, "y": [file(np.uint16)] * 2}, features=features)
    found = find_formats(table.to_iterable_dataset() if stream else table, "paired", ImageSettings())
    assert found == (PixelFormat(depth=8), PixelFormat(depth=16))


def test_a_first_image_that_cannot_be_read(write: Write, tmp_path: Path) -> None:
    folder = write("a/2.png", np.uint16)
    (folder / "1.png").write_text("no image")
    with pytest.raises(DataError, match=r"a/1\.png is not an image that can be read; --skip-bad"):
        find_formats(((folder,),), "paired", ImageSettings())
    assert find_formats(((folder,),), "paired", ImageSettings(), skip_bad=True)[0].depth == 16
    (folder / "2.png").unlink()
    with pytest.raises(DataError, match="there is no image that can be used"):
        find_formats(((folder,),), "paired", ImageSettings(), skip_bad=True)
