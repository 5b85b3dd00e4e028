from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from i2i import photographs
from i2i.demos import HeldOut
from i2i_cyclegan.pix2pix import demo
from i2i_cyclegan.pix2pix.demo import baselines, sketch, write_data

Colours = NDArray[np.float64]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, HeldOut]:
    folder = tmp_path_factory.mktemp("data")
    return folder, write_data(folder)


def pictures(folder: Path) -> dict[str, NDArray[np.uint8]]:
    return {path.stem: np.asarray(Image.open(path)) for path in sorted(folder.iterdir())}


def to_bytes(colours: Colours) -> NDArray[np.uint8]:
    return (colours * 255).round().astype(np.uint8)


def drawn(colours: Colours) -> Colours:
    grey = 0.299 * colours[..., 0] + 0.587 * colours[..., 1] + 0.114 * colours[..., 2]
    return np.clip(grey / (gaussian_filter(grey, 6, mode="nearest") + 0.1), 0, 1)


def test_a_sketch_is_grey_and_darkest_beside_an_edge() -> None:
    picture = np.full((40, 40, 3), 0.8)
    picture[:, 20:] = 0.3
    found = sketch(picture)
    np.testing.assert_allclose(found, np.repeat(drawn(picture)[..., None], 3, axis=-1), atol=1e-9)
    row = found[20, :, 0]
    assert row.argmin() == 20  # the first dark pixel
    assert row[20] < 0.6 * row[0]
    assert row[39] > row[20]


def test_pairs_are_the_outer_columns_and_their_sketches(data: tuple[Path, HeldOut]) -> None:
    """No held-out pixel, neither of a photograph nor of a sketch, was seen in training."""
    folder, held_out = data
    sketches, photos, tests = (pictures(folder / name) for name in ("trainA", "trainB", "testB"))
    assert sketches.keys() == photos.keys()
    assert len(photos) == 12
    for name, whole in photographs.load(288).items():
        width = whole.shape[1]
        edge = round(0.38 * width)
        sides = {"left": whole[:, :edge], "right": whole[:, width - edge :]}
        for side, pixels in sides.items():
            assert np.array_equal(photos[f"{name}-{side}"], to_bytes(pixels))
            differs = sketches[f"{name}-{side}"][..., 0].astype(int) - to_bytes(drawn(pixels))
            assert abs(differs).max() <= 1
        middle = to_bytes(whole[:, edge : width - edge])
        mine = [crop for test, crop in tests.items() if test.endswith(name)]
        assert len(mine) == 8
        assert all(lies_in(crop, middle) for crop in mine)
    assert len(held_out.inputs) == len(held_out.truths) == 48
    assert all(np.array_equal(file, to_bytes(x)) for file, x in zip(tests.values(), held_out.truths, strict=True))


def lies_in(crop: NDArray[np.uint8], sheet: NDArray[np.uint8]) -> bool:
    rows, columns = (sheet.shape[axis] - crop.shape[axis] + 1 for axis in (0, 1))
    corner = np.argwhere((sheet[:rows, :columns] == crop[0, 0]).all(-1))
    return any(np.array_equal(sheet[y : y + len(crop), x : x + len(crop)], crop) for y, x in corner)


def psnr(images: list[Colours], truths: list[Colours]) -> float:
    errors = [((np.clip(x, 0, 1) - y) ** 2).mean() for x, y in zip(images, truths, strict=True)]
    return float((-10 * np.log10(errors)).mean())


def test_baselines_are_fitted_on_the_training_pairs(data: tuple[Path, HeldOut]) -> None:
    """Of a grey picture, the best affine map is a line for each colour: its slope is a covariance over a variance."""
    folder, held_out = data
    rows = baselines(*data)
    assert rows["input itself"].psnr == pytest.approx(psnr(held_out.inputs, held_out.truths))
    grey = np.concatenate([x[..., 0].ravel() / 255 for x in pictures(folder / "trainA").values()])
    colours = np.concatenate([x.reshape(-1, 3) / 255 for x in pictures(folder / "trainB").values()])
    slope = ((grey - grey.mean()) @ (colours - colours.mean(0))) / len(grey) / grey.var()
    mapped = [x[..., :1] * slope + (colours.mean(0) - grey.mean() * slope) for x in held_out.inputs]
    assert rows["best colour map"].psnr == pytest.approx(psnr(mapped, held_out.truths), abs=0.02)
    assert 10 < rows["mean image"].psnr < 13
    assert 14 < rows["best colour map"].psnr < 16


def test_demo_from_end_to_end(data: tuple[Path, HeldOut], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo"
    demo.demo(out, seed=3, steps=1)

    rows = json.loads((out / "result.json").read_text())
    assert list(rows) == [
        "input itself", "best colour map", "mean image", "model before training", "model after training",
    ]  # fmt: skip
    assert rows["model after training"] != rows["model before training"]
    assert Image.open(out / "demo.png").size == (3 * (128 + 2) + 2, 14 + 6 * (128 + 2) + 2)
    told = capsys.readouterr().out
    assert "unseen regions of the same photographs" in told
    assert f"{rows['best colour map']['psnr']:.2f} dB" in told
    for domain in ("trainA", "testB"):  # the same data for every seed
        mine, wanted = pictures(out / "data" / domain), pictures(data[0] / domain)
        assert all(np.array_equal(mine[name], wanted[name]) for name in wanted)
