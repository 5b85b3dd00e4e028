from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import skimage
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from i2i.errors import DataError
from i2i_singan.apps.masks import blended, difference_mask, dilated, feathered, fitted, read_mask

SHAPE = (9, 12)


@pytest.fixture
def drawn() -> NDArray[np.bool_]:
    """A mask with a rectangle and a single pixel."""
    mask = np.zeros(SHAPE, bool)
    mask[2:6, 3:8] = True
    mask[8, 11] = True
    return mask


def saved(image: Image.Image, path: Path) -> Path:
    image.save(path)
    return path


def written(array: NDArray[np.generic], path: Path) -> Path:
    tifffile.imwrite(path, array)
    return path


def transparent(drawn: NDArray[np.bool_]) -> Image.Image:
    """White everywhere, seen only where it is drawn."""
    pixels = np.full((*SHAPE, 4), 255, np.uint8)
    pixels[..., 3] = drawn * 255
    return Image.fromarray(pixels)


def palette(drawn: NDArray[np.bool_]) -> Image.Image:
    image = Image.fromarray(drawn.astype(np.uint8)).convert("P")
    image.putpalette([0, 0, 0, 200, 40, 10])
    return image


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("bits.png", lambda m, p: saved(Image.fromarray(m), p)),
        ("labels.png", lambda m, p: saved(Image.fromarray(m.astype(np.uint8)), p)),
        ("grey.bmp", lambda m, p: saved(Image.fromarray(m.astype(np.uint8) * 255), p)),
        ("red.png", lambda m, p: saved(Image.fromarray(np.dstack([m * 255, m * 0, m * 0]).astype(np.uint8)), p)),
        ("palette.gif", lambda m, p: saved(palette(m), p)),
        ("transparent.png", lambda m, p: saved(transparent(m), p)),
        ("deep.png", lambda m, p: saved(Image.fromarray((m * 65535).astype(np.uint16)), p)),
        ("deep.tif", lambda m, p: written((m * 40000).astype(np.uint16), p)),
        ("float.tif", lambda m, p: written(m.astype(np.float32), p)),
        ("float255.tif", lambda m, p: written(m.astype(np.float64) * 255, p)),
        ("int.tif", lambda m, p: written(m.astype(np.int32) * 7, p)),
    ],
)
def test_files_of_any_format_and_depth(name, write, drawn: NDArray[np.bool_], tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for reference in (False, True) if name != "transparent.png" else (False,):
        mask = read_mask(write(drawn, tmp_path / name), SHAPE, reference=reference)
        assert mask.dtype == torch.bool
        assert np.array_equal(mask[0, 0], drawn)


def test_the_noise_of_jpeg_is_no_part_of_the_mask_unless_as_the_authors_take_it(tmp_path: Path) -> None:
    drawn = np.zeros((48, 64), bool)
    drawn[10:31, 20:50] = True
    path = tmp_path / "mask.jpg"
    Image.fromarray((drawn * 255).astype(np.uint8)).save(path, quality=60)
    found = np.asarray(Image.open(path))
    assert (found[~drawn] > 0).any()  # there is noise
    assert np.array_equal(read_mask(path, (48, 64))[0, 0], drawn)
    assert np.array_equal(read_mask(path, (48, 64), reference=True)[0, 0], found > 0)


def test_only_what_is_brighter_than_half_of_the_brightest_counts(tmp_path: Path) -> None:
    path = saved(Image.fromarray(np.array([[0, 50, 100, 101, 200]], np.uint8)), tmp_path / "mask.png")
    assert read_mask(path, (1, 5)).flatten().tolist() == [False, False, False, True, True]
    assert read_mask(path, (1, 5), reference=True).flatten().tolist() == [False, True, True, True, True]
    first = np.array([[[0, 9, 9], [1, 0, 0]]], np.uint8)  # the authors look at the first channel only
    path = saved(Image.fromarray(first), tmp_path / "colours.png")
    assert read_mask(path, (1, 2), reference=True).flatten().tolist() == [False, True]


def test_masks_that_cannot_be_used(drawn: NDArray[np.bool_], tmp_path: Path) -> None:
    path = saved(Image.fromarray(drawn), tmp_path / "mask.png")
    with pytest.raises(DataError, match=r"mask.png is 12x9, but its image is 9x12; save the mask at the size of its"):
        read_mask(path, (12, 9))
    for value, told in (
        (0, "black everywhere: nothing would change"),
        (200, "white everywhere: nothing would be kept"),
    ):
        path = saved(Image.new("L", (12, 9), value), tmp_path / "constant.png")
        for reference in (False, True):
            with pytest.raises(DataError, match=f"constant.png is {told}"):
                read_mask(path, SHAPE, reference=reference)
    with pytest.raises(DataError, match=r"below.tif is black everywhere"):
        read_mask(written(np.linspace(-2, -1, 108, dtype=np.float32).reshape(SHAPE), tmp_path / "below.tif"), SHAPE)
    tifffile.imwrite(tmp_path / "five.tif", np.zeros((*SHAPE, 5), np.uint8), planarconfig="contig")
    with pytest.raises(DataError, match=r"five.tif is no mask: it has neither one nor three channels; save it as grey"):
        read_mask(tmp_path / "five.tif", SHAPE)
    with pytest.raises(DataError, match=r"nan.tif has 108 values that are not finite"):
        read_mask(written(np.full(SHAPE, np.nan, np.float32), tmp_path / "nan.tif"), SHAPE)
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(DataError, match=r"text.png is not an image that can be read"):
        read_mask(tmp_path / "text.png", SHAPE)
    with pytest.raises(DataError, match=r"none.png cannot be read as an image: .*No such file"):
        read_mask(tmp_path / "none.png", SHAPE)


def photograph(height: int = 96) -> NDArray[np.uint8]:
    whole = Image.fromarray(skimage.data.astronaut())
    return np.asarray(whole.resize((height * 4 // 3, height), Image.Resampling.BICUBIC))


def tensor(array: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(array / 127.5 - 1).permute(2, 0, 1)[None]


def test_an_edit_is_found_in_a_jpeg() -> None:
    before = photograph()
    after = before.copy()
    after[40:60, 30:70] = 255 - after[40:60, 30:70]
    file = io.BytesIO()
    Image.fromarray(after).save(file, "JPEG", quality=75)
    noisy = np.asarray(Image.open(file))
    raw = np.abs(noisy.astype(int) - before).max(axis=2) > 0.05 * 255
    assert raw[:30].mean() > 0.05  # the noise alone, far from the edit

    other = tensor(before[::-1].copy())
    mask = difference_mask(tensor(noisy), torch.cat((other, tensor(before))))[0, 0].numpy()  # the nearest one counts
    near = np.zeros_like(mask)
    near[36:64, 26:74] = True
    assert not mask[~near].any()
    assert mask[44:56, 34:66].mean() > 0.97


def test_the_difference_is_averaged_over_seven_pixels_and_compared() -> None:
    before = torch.zeros(1, 2, 15, 17, dtype=torch.float64)
    after = before.clone()
    after[0, 1, 7, 8] = -0.49  # on average 0.01 = 0.5 % of the range
    wanted = torch.zeros(15, 17, dtype=torch.bool)
    wanted[4:11, 5:12] = True
    assert difference_mask(after, before, tolerance=0.0049)[0, 0].equal(wanted)
    with pytest.raises(DataError, match=r"differs nowhere .* more than 0.0051 of the range; .*--mask FILE, or lower"):
        difference_mask(after, before, tolerance=0.0051)
    with pytest.raises(DataError, match=r"differs everywhere from the training image; name .*--mask FILE, or paint"):
        difference_mask(before + 0.5, before)


def test_no_pixel_of_a_mask_is_lost_at_another_size() -> None:
    mask = torch.zeros(1, 1, 30, 41, dtype=torch.bool)
    mask[0, 0, 17, 5] = mask[0, 0, 29, 40] = True
    small = fitted(mask, (10, 20))[0, 0]
    # Row 17 of 30 lies in row 5 of 10; column 5 of 41 covers 2.44 to 2.93 of 20; the last corner is the last corner.
    assert small.nonzero().tolist() == [[5, 2], [9, 19]]
    large = fitted(mask, (60, 82))[0, 0]
    assert large.nonzero().tolist() == [[34, 10], [34, 11], [35, 10], [35, 11], [58, 80], [58, 81], [59, 80], [59, 81]]


def distances(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Squared distance of each pixel to the nearest one of the mask, by looking at all of them."""
    rows, columns = np.indices(mask.shape)
    return np.min([(rows - y) ** 2 + (columns - x) ** 2 for y, x in np.argwhere(mask)], axis=0)


@pytest.mark.parametrize("radius", [0, 1, 7, 20])
def test_dilation_reaches_as_far_as_the_disk(radius: int) -> None:
    mask = np.zeros((50, 61), bool)
    mask[3, 5] = mask[30:33, 40] = True
    grown = dilated(torch.from_numpy(mask)[None, None], radius)[0, 0]
    assert np.array_equal(grown, distances(mask) <= radius**2)
    disk = skimage.morphology.dilation(mask, skimage.morphology.disk(radius))
    assert np.array_equal(grown, disk)


@pytest.mark.parametrize(("radius", "sigma"), [(7, 5.0), (20, 5.0), (2, 1.3), (3, 0.0)])
def test_feathering_is_that_of_the_authors(radius: int, sigma: float) -> None:
    mask = np.zeros((64, 90), bool)
    mask[10:14, 2:9] = True
    grown = skimage.morphology.dilation(mask, skimage.morphology.disk(radius))
    soft = skimage.filters.gaussian(grown.astype(float), sigma=sigma) if sigma else grown.astype(float)
    wanted = (soft - soft.min()) / (soft.max() - soft.min())
    weight = feathered(torch.from_numpy(mask)[None, None], radius=radius, sigma=sigma)
    assert weight.shape == (1, 1, 64, 90)
    np.testing.assert_allclose(weight[0, 0], wanted, atol=1e-12)
    assert (weight.min(), weight.max()) == (0, 1)


def test_a_mask_that_grows_over_the_whole_image() -> None:
    mask = torch.zeros(1, 1, 12, 12, dtype=torch.bool)
    mask[0, 0, 6, 6] = True
    with pytest.raises(DataError, match=r"the mask, grown by 20 pixels, covers the whole image; use a smaller --dil"):
        feathered(mask, radius=20)


def test_blending_keeps_what_is_outside_to_the_bit() -> None:
    image = torch.rand(1, 3, 4, 5, generator=torch.Generator().manual_seed(0)) * 2 - 1
    made = torch.full((1, 3, 4, 5), 1.5)
    made[..., 0] = torch.nan  # even this
    weight = torch.zeros(1, 1, 4, 5, dtype=torch.float64)
    weight[..., 2], weight[..., 3] = 0.25, 1
    result = blended(image, made, weight)
    assert result.dtype == image.dtype
    assert result[..., [0, 1, 4]].equal(image[..., [0, 1, 4]])
    torch.testing.assert_close(result[..., 2], 0.75 * image[..., 2] + 0.25)
    assert (result[..., 3] == 1).all()
