from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import skimage
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image

from i2i.cli.flags import call
from i2i.errors import DataError, SettingsError
from i2i.models import save
from i2i.pixels import PixelFormat
from i2i_singan.commands import compose
from i2i_singan.model import pyramid_generator

SIZES = ((12, 16), (18, 24), (27, 36), (40, 54))


def photograph(depth: int = 8, size: tuple[int, int] = SIZES[-1]) -> NDArray[Any]:
    """A real photograph, ``(h, w, 3)``."""
    small = Image.fromarray(skimage.data.coffee()).resize(size[::-1], Image.Resampling.BICUBIC)
    levels = np.asarray(small)
    draws = np.random.default_rng(0)
    if depth == 16:
        return (
            (levels.astype(np.uint16) * 257 + draws.integers(-100, 100, levels.shape)).clip(0, 65535).astype(np.uint16)
        )
    return levels if depth == 8 else (levels / 255).astype(np.float32)


def trained(folder: Path, depth: int = 8) -> Path:
    """A model of four scales with random weights, of the photograph."""
    torch.manual_seed(0)
    model = pyramid_generator(SIZES, (4, 4, 4, 4), factor=(12 / 40) ** (1 / 3), layers=3)
    full = {8: 255.0, 16: 65535.0, 32: 1.0}[depth]
    finest = torch.from_numpy(photograph(depth) / full * 2 - 1).float().permute(2, 0, 1)[None]
    for scale, size in zip(model, SIZES, strict=True):
        scale.image.copy_(torch.nn.functional.interpolate(finest, size, mode="bilinear", antialias=True))
        scale.amplitude.fill_(0.1)
    model[-1].image.copy_(finest)
    model.reads = model.writes = PixelFormat(depth=depth)
    return save(model, folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("run") / "model")


@pytest.fixture
def collage(tmp_path: Path) -> Path:
    """The photograph with a green square in it."""
    levels = photograph().copy()
    levels[15:25, 20:33] = (40, 220, 90)
    Image.fromarray(levels).save(tmp_path / "collage.png")
    return tmp_path / "collage.png"


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    marked = np.zeros(SIZES[-1], np.uint8)
    marked[15:25, 20:33] = 255
    Image.fromarray(marked).save(tmp_path / "mask.png")
    return tmp_path / "mask.png"


def run(command: Callable[..., None], *arguments: object) -> None:
    call(command, [*map(str, arguments), "--device", "cpu"], f"i2i singan {command.__name__}")


def read(path: Path) -> NDArray[Any]:
    return np.asarray(Image.open(path))


def test_painting_at_several_scales(model: Path, collage: Path, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "out"
    run(compose.paint, model, collage, "--out", out, "--start-scale", 1, 3)
    names = ["collage-painted-1.png", "collage-painted-3.png"]
    assert sorted(path.name for path in out.iterdir()) == names
    printed = capsys.readouterr()
    assert printed.out.split() == [str(out / name) for name in names]
    assert printed.err == ""
    first, third = (read(out / name) for name in names)
    assert first.shape == third.shape == (*SIZES[-1], 3)
    # The later it is put in, the more of the painting is left.
    distances = [np.abs(made.astype(int) - read(collage)).mean() for made in (first, third)]
    assert distances[1] < distances[0]
    run(compose.paint, model, collage, "--out", tmp_path / "again", "--start-scale", 1)
    assert np.array_equal(read(tmp_path / "again" / names[0]), first)
    run(compose.paint, model, collage, "--out", tmp_path / "other", "--start-scale", 1, "--seed", 1)
    assert not np.array_equal(read(tmp_path / "other" / names[0]), first)


@pytest.mark.parametrize("given", [True, False])
def test_harmonizing_keeps_what_is_outside_the_mask(
    model: Path, collage: Path, mask: Path, tmp_path: Path, given
) -> None:  # type: ignore[no-untyped-def]
    named = ["--mask", mask] if given else []
    run(compose.harmonize, model, collage, *named, "--out", tmp_path / "out", "--start-scale", 2, "--feather", 1.7)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "collage-harmonized-2.png", "collage-harmonized-mask.png",
    }  # fmt: skip
    made, weight = (read(tmp_path / "out" / f"collage-harmonized-{end}.png") for end in ("2", "mask"))
    source = read(collage)
    outside = np.ones(SIZES[-1], bool)
    reach = 7 + 7 + (0 if given else 4)  # disk, Gaussian (4 times 1.7, rounded), and what the comparison averages over
    outside[max(15 - reach, 0) : 25 + reach, 20 - reach : 33 + reach] = False
    assert outside.any()
    assert np.array_equal(made[outside], source[outside])
    assert (weight[outside] == 0).all()
    assert np.array_equal(made[weight == 0], source[weight == 0])  # the mask shows every pixel that may differ
    assert (weight[15:25, 20:33] == 255).all()
    assert np.abs(made[16:24, 21:32].astype(int) - source[16:24, 21:32]).mean() > 1
    run(compose.harmonize, model, collage, *named, "--out", tmp_path / "out", "--start-scale", 2, "--seed", 1)
    assert not np.array_equal(read(tmp_path / "out" / "collage-harmonized-2.png")[16:24, 21:32], made[16:24, 21:32])


def test_editing_writes_the_whole_result_too(model: Path, collage: Path, mask: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["--out", out, "--start-scale", 1, "--dilation", 2, "--feather", 0]
    run(compose.edit, model, collage, "--mask", mask, *options)
    made, raw, weight = (read(out / f"collage-edited-{end}.png") for end in ("1", "1-raw", "mask"))
    inside = weight == 255
    assert inside.sum() == 10 * 13 + 2 * 2 * (10 + 13) + 4 * 1  # 2 on each side, and 1 pixel in each corner
    assert np.array_equal(made, np.where(inside[..., None], raw, read(collage)))
    run(compose.paint, model, collage, "--out", out, "--start-scale", 1)
    assert np.array_equal(read(out / "collage-painted-1.png"), raw)


@pytest.mark.parametrize(("depth", "suffix"), [(16, "png"), (32, "tif")])
def test_deep_images_stay_as_they_are_outside_the_mask(depth: int, suffix: str, mask: Path, tmp_path: Path) -> None:
    levels = photograph(depth)
    tifffile.imwrite(tmp_path / "deep.tif", levels, photometric="rgb")
    deep = trained(tmp_path / "model", depth)
    run(compose.edit, deep, tmp_path / "deep.tif", "--mask", mask, "--out", tmp_path / "out", "--start-scale", 2,
        "--dilation", 1, "--feather", 0)  # fmt: skip
    assert read(tmp_path / "out" / "deep-edited-mask.png")[15:25, 20:33].min() == 255
    made = tmp_path / "out" / f"deep-edited-2.{suffix}"
    result = tifffile.imread(made) if suffix == "tif" else imagecodecs.png_decode(made.read_bytes())
    assert result.dtype == levels.dtype
    outside = np.ones(SIZES[-1], bool)
    outside[14:26, 19:34] = False
    assert np.array_equal(result[outside], levels[outside])
    assert not np.array_equal(result, levels)


def test_an_image_of_another_size_is_resized_and_that_is_said(model: Path, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    Image.fromarray(photograph(size=(80, 108))).save(tmp_path / "large.jpg")
    run(compose.paint, model, tmp_path / "large.jpg", "--out", tmp_path / "out", "--start-scale", 3)
    told = f"i2i: {tmp_path / 'large.jpg'} is 108x80; resized to 54x40, the finest scale of the model\n"
    assert capsys.readouterr().err == told
    assert read(tmp_path / "out" / "large-painted-3.png").shape == (*SIZES[-1], 3)


@pytest.mark.parametrize(
    ("command", "flags", "told"),
    [
        (compose.paint, ["--colours", 3], r"--colours \(=3\) is for --quantise; add that, or leave it out"),
        (compose.paint, ["--steps", 3], r"--steps \(=3\) is for --quantise"),
        (compose.edit, ["--mask", "MASK", "--dilation", 60], "covers the whole image"),
        (compose.edit, ["--mask", "MASK", "--tolerance", 0.1], r"--tolerance \(=0.1\) is for a mask that is found"),
        (compose.edit, ["--dilation", -1], r"--dilation \(=-1\) must lie between 0 and 1000 pixels"),
        (compose.harmonize, ["--feather", -1], r"--feather \(=-1\) must lie between 0 and 1000 pixels"),
        (compose.edit, ["--tolerance", 1], "differs nowhere from the training image by more than 1 of the range"),
        (compose.harmonize, ["--tolerance", 2], r"--tolerance \(=2\) must lie between 0 and 1"),
        (compose.edit, ["--tile", 0], r"tile \(=0\) must be a whole number of at least 1"),
    ],
)
def test_flags_that_make_no_sense(
    command: Callable[..., None], flags: list[object], told: str, model: Path, collage: Path, mask: Path, tmp_path: Path
) -> None:
    given = [mask if flag == "MASK" else flag for flag in flags]
    with pytest.raises((DataError, SettingsError), match=told):
        run(command, model, collage, "--start-scale", 1, *given, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_mask_that_is_given_is_never_overwritten(model: Path, collage: Path, mask: Path, tmp_path: Path) -> None:
    mine = mask.rename(tmp_path / "collage-edited-mask.png")
    before = mine.read_bytes()
    with pytest.raises(DataError, match="collage-edited-mask.png would be overwritten by the mask as it was used; cho"):
        run(compose.edit, model, collage, "--mask", mine, "--out", tmp_path, "--start-scale", 1, "--dilation", 1)
    assert mine.read_bytes() == before
    assert not (tmp_path / "collage-edited-1.png").exists()


def test_quantised_painting_trains_one_scale_once(collage: Path, tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    mine = trained(tmp_path / "coffee")
    options = [mine, collage, "--start-scale", 2, "--quantise", "--colours", 3]
    run(compose.paint, *options, "--steps", 1, "--out", tmp_path / "out")
    painted = read(tmp_path / "out" / "collage-painted-2-quantised.png")
    kept = tmp_path / "coffee-paint-2-3" / "model" / "model.safetensors"
    before = kept.stat().st_mtime_ns
    run(compose.paint, mine, collage, "--start-scale", 2, "--out", tmp_path / "out")
    assert not np.array_equal(read(tmp_path / "out" / "collage-painted-2.png"), painted)

    capsys.readouterr()
    run(compose.paint, *options, "--steps", 1, "--out", tmp_path / "again")
    assert capsys.readouterr().out.split() == [str(tmp_path / "again" / "collage-painted-2-quantised.png")]
    assert np.array_equal(read(tmp_path / "again" / "collage-painted-2-quantised.png"), painted)
    assert kept.stat().st_mtime_ns == before
    with pytest.raises(SettingsError, match=r"colours \(=1\) must lie between 2 and 256"):
        run(compose.paint, *options[:-1], 1, "--out", tmp_path / "other")
