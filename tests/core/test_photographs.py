from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from i2i import photographs
from i2i.errors import RunError
from i2i.photographs import Colours, Likeness, colour_map, columns, crops, likeness


def noise(*shape: int, seed: int = 0) -> Colours:
    return np.random.default_rng(seed).random(shape)


def test_photographs_are_resized_to_their_short_side() -> None:
    found = photographs.load(48)
    assert list(found) == ["astronaut", "coffee", "chelsea", "rocket", "china", "flower"]
    # 512x512, 400x600, 300x451, 427x640, 427x640, 427x640 pixels
    assert [image.shape for image in found.values()] == [
        (48, 48, 3), (48, 72, 3), (48, 72, 3), (48, 72, 3), (48, 72, 3), (48, 72, 3),
    ]  # fmt: skip
    assert all(0 <= image.min() < 0.2 and 0.7 < image.max() <= 1 for image in found.values())


def test_photographs_are_those_of_their_packages() -> None:
    import skimage.data
    import sklearn.datasets

    found = photographs.load(427)
    assert np.array_equal(found["china"] * 255, sklearn.datasets.load_sample_image("china.jpg"))
    pixels: Any = skimage.data
    resized = Image.fromarray(pixels.astronaut()).resize((427, 427), Image.Resampling.BICUBIC)
    assert np.array_equal((found["astronaut"] * 255).round(), np.asarray(resized))


def test_licences_are_what_the_packages_state() -> None:
    import skimage.data
    import sklearn.datasets

    readme = Path(sklearn.datasets.__file__).parent.joinpath("images", "README.txt").read_text()
    china, flower = readme.split("Image: ")[1:]
    told = {name: getattr(skimage.data, name).__doc__ or "" for name in ("astronaut", "coffee", "chelsea", "rocket")}
    told |= {"china": china, "flower": flower}
    assert set(told) == set(photographs.LICENCES)
    for name, text in told.items():
        owner, licence = photographs.LICENCES[name].split(", ")
        assert owner.lower() in text.lower(), name
        in_words = {"CC0": "CC0", "CC BY 2.0": "licenses/by/2.0", "public domain": "public domain"}[licence]
        assert in_words in text, name


def test_a_missing_package_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    with pytest.raises(RunError, match=r"photographs need skimage.data: pip install 'i2i-core\[demo\]'"):
        photographs.load(48)


@pytest.mark.parametrize(("width", "share"), [(100, 0.38), (433, 0.38), (7, 0.3), (10, 0.5)])
def test_columns_hold_every_pixel_once(width: int, share: float) -> None:
    whole = noise(5, width, 3)
    left, middle, right = columns(whole, share)
    assert np.array_equal(np.concatenate((left, middle, right), axis=1), whole)
    assert left.shape == right.shape
    assert abs(left.shape[1] - share * width) <= 0.5


def test_crops_lie_inside_and_follow_the_seed() -> None:
    sheets = [np.zeros((20, 30, 3)), np.zeros((8, 50, 3))]
    found = crops(sheets, 8, 41, seed=4)
    assert [which for which, _, _ in found] == [index % 2 for index in range(41)]
    assert all(sheets[which][rows, cols].shape == (8, 8, 3) for which, rows, cols in found)
    lefts = {cols.start for which, _, cols in found if which == 1}
    assert len(lefts) > 10
    assert found == crops(sheets, 8, 41, seed=4)
    assert found != crops(sheets, 8, 41, seed=5)


def test_colour_map_finds_a_map_without_rotation() -> None:
    """Monge-Kantorovich: of all maps between the two clouds, the one whose matrix is symmetric and positive."""
    wanted = np.array([[0.8, 0.1, 0.0], [0.1, 0.5, -0.2], [0.0, -0.2, 0.6]])
    source = noise(4000, 3)
    shuffled = np.random.default_rng(1).permutation(source @ wanted + [0.1, 0.2, 0.3])
    matrix, offset = colour_map(source, shuffled)
    np.testing.assert_allclose(matrix, wanted, atol=1e-9)
    np.testing.assert_allclose(offset, [0.1, 0.2, 0.3], atol=1e-9)


def test_colour_map_moves_mean_and_covariance() -> None:
    source, target = noise(500, 3), noise(700, 3, seed=2) @ noise(3, 3, seed=3) + 0.2
    matrix, offset = colour_map(source, target)
    moved = source @ matrix + offset
    np.testing.assert_allclose(moved.mean(0), target.mean(0), atol=1e-10)
    np.testing.assert_allclose(np.cov(moved.T), np.cov(target.T), atol=1e-10)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-10)


def psnr(image: Colours, truth: Colours) -> float:
    return float(-10 * np.log10(((image - truth) ** 2).mean()))


def ssim(image: Colours, truth: Colours) -> float:
    """Wang et al., eq. 13, in windows of 7x7, channel by channel, with sample covariances."""
    x, y = (sliding_window_view(v, (7, 7), axis=(0, 1)).reshape(*v[6:, 6:].shape, 49) for v in (image, truth))
    mx, my = x.mean(-1), y.mean(-1)
    covariance = ((x - mx[..., None]) * (y - my[..., None])).sum(-1) / 48
    c1, c2 = 0.01**2, 0.03**2
    top = (2 * mx * my + c1) * (2 * covariance + c2)
    return float((top / ((mx**2 + my**2 + c1) * (x.var(-1, ddof=1) + y.var(-1, ddof=1) + c2))).mean())


def test_likeness_is_the_mean_of_the_formulas() -> None:
    truths = [noise(12, 9, 3), noise(8, 10, 3, seed=1)]
    images = [truth * 0.8 + 0.1 * noise(*truth.shape, seed=5) for truth in truths]
    found = likeness(images, truths)
    pairs = list(zip(images, truths, strict=True))
    assert found.psnr == pytest.approx(np.mean([psnr(*pair) for pair in pairs]), rel=1e-10)
    assert found.ssim == pytest.approx(np.mean([ssim(*pair) for pair in pairs]), rel=1e-6)


def test_likeness_clips_images_first() -> None:
    truth, image = noise(8, 8, 3), noise(8, 8, 3, seed=1) * 3 - 1
    assert likeness([image], [truth]) == likeness([image.clip(0, 1)], [truth])
    assert likeness([image], [truth]).psnr == pytest.approx(psnr(image.clip(0, 1), truth))


def test_likeness_needs_a_truth_for_each_image() -> None:
    with pytest.raises(ValueError, match="shorter"):
        likeness([noise(8, 8, 3)] * 2, [noise(8, 8, 3)])


def test_likeness_is_shown_in_the_words_of_a_table() -> None:
    assert str(Likeness(9.876, 0.1234)) == " 9.88 dB   0.123"
