from __future__ import annotations

from pathlib import Path

import pytest

from i2i.errors import DataError
from i2i.pixels import PixelFormat
from i2i.results import plan


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


@pytest.mark.parametrize(
    ("inputs", "targets"),
    [
        (["in/a/x.png", "in/b/y.png"], ["x.png", "y.png"]),
        (["in/a/x.png", "in/b/x.png"], ["a/x.png", "b/x.png"]),
        (["in"], ["a/x.png", "a/z.png", "b/x.png", "b/y.png"]),
        (["in/a", "in/b"], ["a/x.png", "a/z.png", "b/x.png", "b/y.png"]),
        (["in/a", "in/a/x.png"], ["x.png", "z.png"]),
        (["both"], ["both/s.jpg.png", "both/s.png"]),
    ],
)
def test_every_source_gets_a_name_of_its_own(tmp_path, inputs, targets) -> None:
    for name in ("in/a/x.png", "in/a/z.png", "in/b/x.png", "in/b/y.png", "both/s.jpg", "both/s.png"):
        touch(tmp_path / name)
    jobs = plan([tmp_path / name for name in inputs], tmp_path / "out")
    assert sorted(str(job.target.relative_to(tmp_path / "out")) for job in jobs) == targets


def test_sources_that_cannot_be_told_apart(tmp_path) -> None:
    for name in ("1/in/x.png", "2/in/x.png"):
        touch(tmp_path / name)
    with pytest.raises(DataError, match=r"would both be written to .*x\.png; translate them into two folders"):
        plan([tmp_path / "1" / "in", tmp_path / "2" / "in"], tmp_path / "out")


@pytest.mark.parametrize(
    ("writes", "suffixes"),
    [
        (PixelFormat(), [".png", ".PNG", ".bmp", ".ppm", ".tif"]),
        (PixelFormat(channels=1), [".png", ".PNG", ".bmp", ".ppm", ".tif"]),
        (PixelFormat(depth=16), [".png", ".PNG", ".png", ".png", ".tif"]),
        (PixelFormat(channels=4), [".png", ".PNG", ".png", ".png", ".tif"]),
        (PixelFormat(channels=5), [".tif", ".tif", ".tif", ".tif", ".tif"]),
        (PixelFormat(depth=32), [".tif", ".tif", ".tif", ".tif", ".tif"]),
        (PixelFormat(channels=2, colours="chroma"), [".png", ".PNG", ".bmp", ".ppm", ".tif"]),
    ],
)
def test_the_suffix_is_one_that_holds_the_result(tmp_path, writes, suffixes) -> None:
    names = ["a.jpg", "b.PNG", "c.bmp", "d.ppm", "e.tif"]
    for name in names:
        touch(tmp_path / "in" / name)
    jobs = plan([tmp_path / "in" / name for name in names], tmp_path / "out", writes)
    assert [job.target for job in jobs] == [
        (tmp_path / "out" / name).with_suffix(suffix) for name, suffix in zip(names, suffixes, strict=True)
    ]
    touch(tmp_path / "in" / "a.png")
    jobs = plan([tmp_path / "in" / "a.jpg", tmp_path / "in" / "a.png"], tmp_path / "out", writes)
    whole = ["a.jpg" + suffixes[0], "a.png" if suffixes[1] == ".PNG" else "a.png.tif"]
    assert [job.target.name for job in jobs] == whole
