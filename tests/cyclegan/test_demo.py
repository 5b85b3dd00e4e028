from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from i2i import photographs
from i2i.errors import RunError
from i2i_cyclegan import demo
from i2i_cyclegan.demo import HeldOut, baselines, thermal, write_data

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, HeldOut]:
    folder = tmp_path_factory.mktemp("data")
    return folder, write_data(folder)


def pictures(folder: Path) -> dict[str, Pixels]:
    return {path.stem: np.asarray(Image.open(path)) for path in sorted(folder.iterdir())}


def to_bytes(colours: NDArray[np.float64]) -> Pixels:
    return (colours * 255).round().astype(np.uint8)


def test_the_palette_at_its_stops_and_between() -> None:
    greys = np.repeat([[0.0], [0.25], [0.5], [0.75], [1.0], [0.125]], 3, axis=1)
    wanted = [
        [0.02, 0.03, 0.20], [0.35, 0.05, 0.50], [0.85, 0.25, 0.30], [0.98, 0.65, 0.15], [1.00, 0.97, 0.80],
        [0.185, 0.04, 0.35],
    ]  # fmt: skip
    np.testing.assert_allclose(thermal(greys), wanted, atol=1e-12)
    red, grey = thermal(np.array([[1.0, 0, 0]])), thermal(np.full((1, 3), 0.299))
    np.testing.assert_allclose(red, grey, atol=1e-12)


def test_domains_and_what_is_held_out_share_no_pixel(data: tuple[Path, HeldOut]) -> None:
    """A is the first 38 % of the columns, B the last 38 %, and every held-out crop lies between."""
    folder, _ = data
    a, b, tests = (pictures(folder / name) for name in ("trainA", "trainB", "testA"))
    for name, whole in photographs.load(288).items():
        width = whole.shape[1]
        edge = round(0.38 * width)
        assert np.array_equal(a[name], to_bytes(whole[:, :edge]))
        assert np.array_equal(b[name], to_bytes(thermal(whole[:, width - edge :])))
        middle = to_bytes(whole[:, edge : width - edge])
        held_out = [crop for test, crop in tests.items() if test.endswith(name)]
        assert len(held_out) == 8
        assert all(lies_in(crop, middle) for crop in held_out)


def lies_in(crop: Pixels, sheet: Pixels) -> bool:
    rows, columns = (sheet.shape[axis] - crop.shape[axis] + 1 for axis in (0, 1))
    corner = np.argwhere((sheet[:rows, :columns] == crop[0, 0]).all(-1))
    return any(np.array_equal(sheet[y : y + len(crop), x : x + len(crop)], crop) for y, x in corner)


def test_held_out_truths_are_the_transform_of_the_inputs(data: tuple[Path, HeldOut]) -> None:
    folder, held_out = data
    assert len(held_out.inputs) == len(held_out.truths) == 48
    for truth, source in zip(held_out.truths, held_out.inputs, strict=True):
        assert source.shape == (64, 64, 3)
        assert np.array_equal(truth, thermal(source))
    for domain, crops in (("testA", held_out.inputs), ("testB", held_out.truths)):
        written = pictures(folder / domain).values()
        assert all(np.array_equal(file, to_bytes(crop)) for file, crop in zip(written, crops, strict=True))


def test_baselines_are_those_of_the_issue(data: tuple[Path, HeldOut]) -> None:
    """The best colour map has seen the training pixels only, and does better than the input itself."""
    rows = baselines(*data)
    same, best = rows["input itself"], rows["best colour map (unpaired)"]
    errors = [((x - y) ** 2).mean() for x, y in zip(*data[1], strict=True)]
    assert same.psnr == pytest.approx(-10 * np.log10(errors).mean())
    assert 13 < same.psnr < 15.5
    assert 16.5 < best.psnr < 19.5
    assert best.ssim > same.ssim


def test_demo_from_end_to_end(data: tuple[Path, HeldOut], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo"
    demo.demo(out, seed=3, steps=1)

    for domain in ("trainA", "trainB", "testA", "testB"):  # the same data for every seed
        mine, wanted = pictures(out / "data" / domain), pictures(data[0] / domain)
        assert mine.keys() == wanted.keys()
        assert all(np.array_equal(mine[name], wanted[name]) for name in wanted)
    rows = json.loads((out / "result.json").read_text())
    assert list(rows) == [
        "input itself", "best colour map (unpaired)", "model before training", "model after training",
    ]  # fmt: skip
    assert all(set(row) == {"psnr", "ssim"} for row in rows.values())
    assert Image.open(out / "demo.png").size == (6 * (128 + 2) + 2, 14 + 6 * (128 + 2) + 2)
    told = capsys.readouterr().out
    assert "unseen regions of the same photographs" in told
    assert all(licence in told for licence in photographs.LICENCES.values())
    assert f"{rows['input itself']['psnr']:.2f} dB" in told

    with pytest.raises(RunError, match="is not empty; choose another --out, or go on with the demo in it: --resume"):
        demo.demo(out, seed=3, steps=1)
    demo.demo(out, seed=3, steps=2, resume=True)
    assert sorted(path.name for path in (out / "run" / "checkpoints").iterdir()) == ["step-1", "step-2"]
    again = json.loads((out / "result.json").read_text())
    assert again["model before training"] == rows["model before training"]
    assert again["model after training"] != rows["model after training"]
