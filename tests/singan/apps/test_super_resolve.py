from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.ndimage
import skimage
import torch
import torch.nn.functional as F
from skimage.metrics import peak_signal_noise_ratio
from torch import Tensor

from i2i.errors import DataError, OutOfMemoryError, SettingsError
from i2i_singan.apps.super_resolve import bicubic, enlarged, figures, sharpness, super_resolve
from i2i_singan.model import PyramidGenerator, pyramid_generator
from i2i_singan.resize import resize
from i2i_singan.sampling import drawn

SIZES = ((9, 11), (13, 17))


def made(images: int = 1, *, reference: bool = False) -> PyramidGenerator:
    """A pyramid in float64 with random weights and running statistics, of random images."""
    torch.manual_seed(0)
    model = pyramid_generator(SIZES, (3, 4), factor=0.7, layers=3, images=images, reference=reference).double()
    for scale in model:
        scale.image.copy_(torch.rand_like(scale.image) * 2 - 1)
        scale.amplitude.fill_(0.3)
        for name, value in scale.net.state_dict().items():
            value.copy_(torch.rand_like(value) + 0.5 if "var" in name else torch.randn_like(value) * 0.4)
    return model.eval()


def enlarging(length: int, larger: int, scale: float) -> Tensor:
    """The matrix of bicubic enlargement: Catmull-Rom, the border mirrored."""

    def weight(x: float) -> float:
        x = abs(x)
        if x < 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0

    rows = torch.zeros(larger, length, dtype=torch.float64)
    mirrored = [*range(length), *reversed(range(length))]
    for o in range(larger):
        centre = (o + 0.5) / scale - 0.5
        for j in range(math.floor(centre) - 1, math.floor(centre) + 3):
            rows[o, mirrored[j % (2 * length)]] += weight(centre - j)
    return rows


def refined(model: PyramidGenerator, prior: Tensor, noise: Tensor | None) -> Tensor:
    """The finest scale as plain functions."""
    values = model[-1].net.state_dict()
    x = F.pad(prior if noise is None else prior + 0.3 * noise, (3, 3, 3, 3))
    for block in ("head", "body.block1"):
        x = F.conv2d(x, values[f"{block}.conv.weight"], values[f"{block}.conv.bias"])
        mean, var, weight, bias = (
            values[f"{block}.norm.{name}"][:, None, None] for name in ("running_mean", "running_var", "weight", "bias")
        )
        x = F.leaky_relu((x - mean) / (var + 1e-5).sqrt() * weight + bias, 0.2)
    return torch.tanh(F.conv2d(x, values["tail.0.weight"], values["tail.0.bias"])) + prior


# The factor, how often it is enlarged, by how much each time, and the size of the result.
STEPS = [
    (2, 3, 2 ** (1 / 3), (26, 34)),
    (1.05, 1, 1.05, (13, 17)),
    (1.5, 2, 1.5**0.5, (19, 25)),
    (2.5, 4, 2.5**0.25, (32, 42)),
]


@pytest.mark.parametrize(("factor", "count", "each", "size"), STEPS)
def test_the_finest_scale_is_applied_again_and_again(
    factor: float, count: int, each: float, size: tuple[int, int]
) -> None:
    model = made()
    expected = model[-1].image
    for step in range(count):
        height, width = expected.shape[2:]
        rows = enlarging(height, math.ceil(height * each), each)
        columns = enlarging(width, math.ceil(width * each), each)
        prior = (rows @ expected @ columns.T).clamp(-1, 1)
        expected = refined(model, prior, drawn(7, 0, step, (1, 3, *prior.shape[2:])).double())
    found = enlarged(model, factor, seed=7)
    assert found.shape == (1, 3, *size)
    torch.testing.assert_close(found, expected[..., : size[0], : size[1]], rtol=0, atol=1e-12)


def test_without_noise() -> None:
    model = made()
    prior = (enlarging(13, 16, 1.2) @ model[-1].image @ enlarging(17, 21, 1.2).T).clamp(-1, 1)
    expected = refined(model, prior, None)[..., :15, :20]
    torch.testing.assert_close(enlarged(model, 1.2, noise=False), expected, rtol=0, atol=1e-12)
    assert enlarged(model, 1.2, noise=False, seed=1).equal(enlarged(model, 1.2, noise=False, seed=2))


def test_the_reference_gives_one_channel_of_noise_to_all_at_first() -> None:
    model = made(reference=True)
    expected = model[-1].image
    for step, channels in enumerate((1, 3)):
        height, width = expected.shape[2:]
        size = math.ceil(height * 1.5**0.5), math.ceil(width * 1.5**0.5)
        prior = resize(expected, size, 1.5**0.5, reference=True)
        expected = refined(model, prior, drawn(0, 0, step, (1, channels, *size)).double())
    torch.testing.assert_close(enlarged(model, 1.5), expected[..., :19, :25], rtol=0, atol=1e-12)


def test_the_noise_is_of_the_seed_and_of_nothing_else() -> None:
    model = made()
    state = torch.get_rng_state()
    first = enlarged(model, 1.5, seed=1)
    assert torch.get_rng_state().equal(state)
    assert enlarged(model, 1.5, seed=1).equal(first)
    assert (enlarged(model, 1.5, seed=2) - first).std() > 0.05


def test_tiles_and_several_images_change_nothing() -> None:
    several = made(images=2)
    found = enlarged(several, 2, seed=3)
    torch.testing.assert_close(enlarged(several, 2, seed=3, tile=7), found, rtol=0, atol=1e-12)
    single = made()
    single.load_state_dict(
        {
            name: value[:1] if name.endswith(("image", "noise")) else value
            for name, value in several.state_dict().items()
        }
    )
    torch.testing.assert_close(enlarged(single, 2, seed=3), found[:1], rtol=0, atol=1e-12)
    assert (found[0] - found[1]).std() > 0.1


def test_bicubic() -> None:
    image = torch.rand(2, 3, 7, 9, dtype=torch.float64) * 2 - 1
    expected = (enlarging(7, 10, 1.5) @ image @ enlarging(9, 13, 1.5).T).clamp(-1, 1)
    torch.testing.assert_close(bicubic(image, 1.5), expected, rtol=0, atol=1e-12)


def test_sharpness_is_that_of_scipy() -> None:
    image = torch.rand(2, 3, 6, 8, dtype=torch.float64) * 3 - 1.5
    for found, each in zip(sharpness(image), image.clamp(-1, 1).numpy(), strict=True):
        expected = np.mean([np.abs(scipy.ndimage.laplace(channel)[1:-1, 1:-1]) for channel in each])
        assert float(found) == pytest.approx(expected, abs=1e-12)


def test_figures_of_a_photograph() -> None:
    levels = skimage.data.coffee()[:41, :60]
    truth = torch.from_numpy(levels / 127.5 - 1).permute(2, 0, 1)[None]
    blurred = torch.from_numpy(scipy.ndimage.gaussian_filter(levels[:40] / 127.5 - 1, (1, 1, 0))).permute(2, 0, 1)[None]
    found = figures(blurred, truth)  # which has a row more
    expected = peak_signal_noise_ratio(truth[0, :, :40].numpy(), blurred[0].numpy(), data_range=2)
    assert found.psnr == pytest.approx(expected, abs=1e-3)
    assert found.sharpness == pytest.approx(float(sharpness(blurred) / sharpness(truth[:, :, :40])), rel=1e-9)
    assert found.sharpness < 0.5
    assert figures(blurred) == (pytest.approx(float(sharpness(blurred))), None)
    assert figures(truth, truth) == (1, 100)


def test_a_truth_of_one_colour_is_told() -> None:
    with pytest.raises(DataError, match="the truth is of one colour"):
        figures(torch.rand(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize("factor", [1.0, 0.5, -2.0, math.nan, math.inf])
def test_factors_that_do_not_enlarge(factor: float) -> None:
    with pytest.raises(SettingsError, match="factor .* must be above 1"):
        enlarged(made(), factor)
    with pytest.raises(SettingsError, match="factor .* must be above 1"):
        super_resolve("no/model", factor)


def test_seed_and_tile_are_checked_before_anything_is_trained() -> None:
    with pytest.raises(SettingsError, match=r"seed \(=-1\)"):
        super_resolve("no/model", 2, seed=-1)
    with pytest.raises(SettingsError, match=r"tile \(=0\)"):
        super_resolve("no/model", 2, tile=0)


def test_what_the_host_cannot_hold_is_refused_before_it_is_made() -> None:
    words = r"170000x130000 pixels need about .* GiB, but .* are free; what needs less: a smaller --factor"
    with pytest.raises(OutOfMemoryError, match=words):
        enlarged(made(), 10_000)
    with pytest.raises(OutOfMemoryError, match=words):
        bicubic(made()[-1].image, 10_000)
