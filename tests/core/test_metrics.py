from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from i2i.errors import CompositionError, DataError, RunError
from i2i.metrics import kernel_distance, psnr, ssim


@pytest.fixture(params=[1, 3])
def images(request: pytest.FixtureRequest) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy copies of smooth images, beyond [-1, 1] here and there."""
    generator = torch.Generator().manual_seed(request.param)
    coarse = torch.rand(2, request.param, 5, 6, generator=generator) * 2 - 1
    real = torch.nn.functional.interpolate(coarse, (20, 27), mode="bicubic").clamp(-1, 1)
    return real + 0.3 * torch.randn(real.shape, generator=generator), real


def on_host(image: torch.Tensor) -> NDArray[np.float64]:
    return image.clamp(-1, 1).double().permute(1, 2, 0).numpy()


def test_psnr_of_each_image_is_that_of_scikit_image(images: tuple[torch.Tensor, torch.Tensor]) -> None:
    made, real = images
    expected = [peak_signal_noise_ratio(on_host(r), on_host(m), data_range=2) for m, r in zip(made, real, strict=True)]
    assert psnr(made, real).tolist() == pytest.approx(expected, rel=1e-5)


def test_psnr_of_equal_images_is_finite() -> None:
    real = torch.zeros(2, 3, 8, 8)
    made = torch.stack((real[0], real[1] + 0.2))  # mean squared error 0.04 of a range of 2: 20 dB
    assert psnr(made, real).tolist() == pytest.approx([100, 20], rel=1e-5)


def similarity(made: NDArray[np.float64], real: NDArray[np.float64]) -> NDArray[np.float64]:
    """The map of SSIM of one channel, written out."""

    def blurred(image: NDArray[np.float64]) -> NDArray[np.float64]:
        return gaussian_filter(image, 1.5, truncate=3.5, mode="mirror")

    x, y = blurred(made), blurred(real)
    variances = blurred(made**2) - x**2, blurred(real**2) - y**2
    covariance = blurred(made * real) - x * y
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    return (2 * x * y + c1) * (2 * covariance + c2) / ((x**2 + y**2 + c1) * (sum(variances) + c2))


def test_ssim_is_the_formula_with_mirrored_borders(images: tuple[torch.Tensor, torch.Tensor]) -> None:
    for made, real, found in zip(*images, ssim(*images), strict=True):
        m, r = on_host(made), on_host(real)
        maps = [similarity(m[..., channel], r[..., channel]) for channel in range(m.shape[2])]
        assert float(found) == pytest.approx(np.mean(maps), rel=1e-4)
        inside = np.mean([each[5:-5, 5:-5] for each in maps])
        of_skimage = structural_similarity(
            m, r, data_range=2, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        assert inside == pytest.approx(of_skimage, rel=1e-9)  # the formula above is the usual one
    assert ssim(images[1], images[1]).tolist() == pytest.approx([1, 1])


def test_images_that_cannot_be_compared() -> None:
    for measure in (psnr, ssim):
        with pytest.raises(CompositionError, match=r"\(1, 3, 8, 8\) and what they should be \(1, 1, 8, 8\)"):
            measure(torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8))
    with pytest.raises(DataError, match="images of 9 x 5 pixels are too small for SSIM, which needs 6"):
        ssim(torch.zeros(1, 3, 5, 9), torch.zeros(1, 3, 5, 9))
    assert ssim(torch.zeros(1, 3, 6, 6), torch.zeros(1, 3, 6, 6)).tolist() == [1]


def test_torchmetrics_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchmetrics.functional.image", None)
    image = torch.zeros(1, 1, 8, 8)
    for measure in (psnr, ssim):
        with pytest.raises(RunError, match=r"need torchmetrics .*pip install 'i2i-core\[metrics\]'"):
            measure(image, image)


def discrepancy(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """The unbiased estimate, pair by pair."""

    def kernel(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        return float((a @ b / len(a) + 1) ** 3)

    def mean(first: NDArray[np.float64], second: NDArray[np.float64], *, same: bool) -> float:
        pairs = [(i, j) for i in range(len(first)) for j in range(len(second)) if not (same and i == j)]
        return sum(kernel(first[i], second[j]) for i, j in pairs) / len(pairs)

    return mean(x, x, same=True) + mean(y, y, same=True) - 2 * mean(x, y, same=False)


def test_kernel_distance_is_the_unbiased_estimate_for_any_numbers() -> None:
    draws = np.random.default_rng(0)
    x, y = draws.normal(size=(5, 4)), draws.normal(0.5, size=(8, 4))
    assert kernel_distance(torch.tensor(x), torch.tensor(y)) == pytest.approx(discrepancy(x, y), rel=1e-10)


def test_kernel_distance_is_that_of_torchmetrics_for_equal_numbers() -> None:
    from torchmetrics.image.kid import poly_mmd

    x, y = torch.randn(2, 9, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert kernel_distance(x, y) == pytest.approx(float(poly_mmd(x, y)), rel=1e-10)


def test_kernel_distance_of_one_distribution_is_zero_on_average() -> None:
    generator = torch.Generator().manual_seed(0)
    found = [kernel_distance(*torch.randn(2, 12, 8, generator=generator)) for _ in range(200)]
    assert abs(np.mean(found)) < 3 * np.std(found) / math.sqrt(len(found))
    assert min(found) < 0


def test_large_sets_are_cut_into_blocks_in_the_same_random_way() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(2500, 2, generator=generator), torch.rand(1700, 2, generator=generator) * 0.8
    state = torch.get_rng_state()
    found = kernel_distance(x, y)
    assert found == kernel_distance(x, y)
    assert torch.equal(state, torch.get_rng_state())
    order = [torch.randperm(n, generator=torch.Generator().manual_seed(0)) for n in (2500, 1700)]
    parts = [[side.double()[places][part] for part in np.array_split(np.arange(len(side)), blocks)]
             for side, places, blocks in zip((x, y), order, (3, 2), strict=True)]  # fmt: skip
    expected = []
    for a, b in zip(parts[0], (*parts[1], parts[1][0]), strict=True):
        within = [((k := (c @ c.T / 2 + 1) ** 3).sum() - k.diag().sum()) / (len(c) * (len(c) - 1)) for c in (a, b)]
        expected.append(float(within[0] + within[1] - 2 * ((a @ b.T / 2 + 1) ** 3).mean()))
    assert found == pytest.approx(np.mean(expected), rel=1e-9)


def test_a_small_set_is_compared_whole_with_each_block_of_a_large_one() -> None:
    x, y = torch.ones(3500, 1), torch.zeros(3, 1)
    assert kernel_distance(x, y) == pytest.approx((1 + 1) ** 3 + 1 - 2 * 1)


@pytest.mark.parametrize("counts", [(1, 5), (5, 0)])
def test_a_distance_takes_two_images_of_each(counts: tuple[int, int]) -> None:
    message = f"between {counts[0]} translated and {counts[1]} real images: it takes two of each"
    with pytest.raises(DataError, match=message):
        kernel_distance(*(torch.zeros(count, 3) for count in counts))
