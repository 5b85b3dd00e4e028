from __future__ import annotations

import builtins
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from i2i.errors import DataError, RunError, SettingsError
from i2i.films import Frame, check_film, write_film


def greys(*levels: int, size: tuple[int, int] = (32, 48)) -> list[Frame]:
    return [np.full((*size, 3), level, np.uint8) for level in levels]


def animated(path: Path) -> list[tuple[int, NDArray[np.int64]]]:
    """The duration in milliseconds and the picture of each frame."""
    with Image.open(path) as film:
        assert film.info["loop"] == 0
        found = []
        for frame in ImageSequence.Iterator(film):
            picture = np.asarray(frame.convert("RGB")).astype(int)  # WebP says the duration once it is decoded
            found.append((frame.info["duration"], picture))
    return found


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".WEBP"])
def test_animations(tmp_path: Path, suffix: str) -> None:
    levels = [10, 80, 150, 220]
    assert write_film(iter(greys(*levels)), tmp_path / f"a{suffix}") == tmp_path / f"a{suffix}"
    found = animated(tmp_path / f"a{suffix}")
    assert [duration for duration, _ in found] == [100] * 4
    for level, (_, picture) in zip(levels, found, strict=True):
        assert picture.shape == (32, 48, 3)
        assert abs(picture - level).max() <= 3


@pytest.mark.parametrize(("suffix", "unit"), [(".gif", 10), (".webp", 1)])
def test_durations_are_rounded_but_not_their_sum(tmp_path: Path, suffix: str, unit: int) -> None:
    write_film(greys(*range(0, 240, 40)), tmp_path / f"a{suffix}", rate=24)
    durations = [duration for duration, _ in animated(tmp_path / f"a{suffix}")]
    assert sum(durations) == pytest.approx(250, abs=unit / 2)
    assert all(duration % unit == 0 and abs(duration - 1000 / 24) <= unit for duration in durations)


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".mkv"])
@pytest.mark.parametrize("size", [(32, 48), (31, 45)])
def test_videos(tmp_path: Path, suffix: str, size: tuple[int, int]) -> None:
    levels = [10, 80, 150, 220]
    write_film(greys(*levels, size=size), tmp_path / f"a{suffix}", rate=12.5)
    with av.open(str(tmp_path / f"a{suffix}")) as film:
        frames = [(float(f.time), f.to_ndarray(format="rgb24").astype(int)) for f in film.decode(video=0)]
        assert film.duration / 1e6 == pytest.approx(0.32, abs=2e-3)
    assert [time for time, _ in frames] == pytest.approx([0, 0.08, 0.16, 0.24], abs=2e-3)
    for level, (_, picture) in zip(levels, frames, strict=True):
        assert picture.shape == (*size, 3)
        assert abs(picture - level).max() <= 4


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.mp4"])
def test_an_error_leaves_what_was_there(tmp_path: Path, name: str) -> None:
    write_film(greys(1, 2), tmp_path / name)
    before = (tmp_path / name).read_bytes()

    def failing() -> Iterator[Frame]:
        yield from greys(5, 6)
        raise DataError("no more")

    with pytest.raises(DataError, match="no more"):
        write_film(failing(), tmp_path / name)
    assert (tmp_path / name).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [name]
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=rf"cannot write .*file/{name} \(.*\); what was written before is intact"):
        write_film(greys(1, 2), tmp_path / "file" / name)


@pytest.mark.parametrize(
    ("name", "rate", "message"),
    [
        ("a.avi", 10, r"cannot write a\.avi as a video; use one of \.mp4, .*\.gif, \.webp"),
        ("a.gif", 101, r"101 frames per second: \.gif can show 0\.1 to 100"),
        ("a.mp4", 0, r"0 frames per second: \.mp4 can show 0\.1 to 1000"),
        ("a.webp", float("nan"), r"nan frames per second: \.webp"),
    ],
)
def test_what_cannot_be_written(name: str, rate: float, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        check_film(Path(name), rate)


def test_without_pyav_there_are_animations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "av":
            raise ImportError(name)
        return usual(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert len(animated(write_film(greys(1, 99), tmp_path / "a.gif"))) == 2
    with pytest.raises(RunError, match=r"videos need PyAV: pip install 'i2i-core\[video\]'"):
        write_film(greys(1, 99), tmp_path / "a.mp4")
