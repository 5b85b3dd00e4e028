"""The finished scales below one: what they draw and what they make."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from i2i_singan.coarser import Coarser, drawn, fixed_noise, noise_shape
from i2i_singan.model import PyramidGenerator, pyramid_generator
from i2i_singan.pyramid import Pyramid
from i2i_singan.settings import Settings

SIZES, FACTOR = ((13, 15), (17, 19), (22, 25)), 0.77


@pytest.fixture
def model() -> PyramidGenerator:
    """A trained pyramid of two images."""
    torch.manual_seed(0)
    made = pyramid_generator(SIZES, (3, 3, 4), factor=FACTOR, layers=3, images=2)
    for name, value in made.state_dict().items():
        value.normal_(1.0 if name.endswith(("norm.weight", "running_var")) else 0.0, 0.2)
    made[1].amplitude.fill_(0.3)
    made[0].amplitude.fill_(1.0)
    return made.eval()


def coarser(
    model: PyramidGenerator, settings: Settings | None = None, count: int = 2, seen: Callable[..., Tensor] | None = None
) -> Coarser:
    image = model[count].image
    return Coarser(list(model)[:count], Pyramid(SIZES, FACTOR), settings or Settings(), image, seen)


def test_what_the_fixed_noise_gives_is_the_result_of_the_scales_enlarged(model: PyramidGenerator) -> None:
    assert model[0].noise is not None
    below = PyramidGenerator(list(model)[:2], FACTOR, noise_padding=False, reference=False)
    wanted = model.upsampled(below(model[0].noise).image, SIZES[2])
    torch.testing.assert_close(coarser(model).reconstructed(), wanted)


def test_priors_have_noise_at_every_scale(model: PyramidGenerator) -> None:
    below = coarser(model)
    grey, colour = torch.randn(4, 1, *SIZES[0]), torch.randn(4, 3, *SIZES[1])
    first = model[0](torch.zeros(4, 3, *SIZES[0]), grey.expand(-1, 3, -1, -1))
    wanted = model.upsampled(model[1](model.upsampled(first, SIZES[1]), colour), SIZES[2])
    torch.testing.assert_close(below.made([grey, colour]), wanted)
    assert not below.made([grey, colour]).requires_grad


def test_below_the_coarsest_scale_is_nothing(model: PyramidGenerator) -> None:
    below = coarser(model, count=0)
    assert (len(below), below.noises(3)) == (0, [])
    assert torch.equal(below.reconstructed(), torch.zeros(2, 3, *SIZES[0]))


@pytest.mark.parametrize(("padding", "border"), [(False, 0), (True, 6)])
def test_noise_is_grey_at_the_coarsest_scale_alone(model: PyramidGenerator, padding: bool, border: int) -> None:
    height, width = (size + border for size in SIZES[0])
    assert noise_shape(model[0], 4, padding=padding) == (4, 1, height, width)
    assert noise_shape(model[1], 4, padding=padding) == (4, 3, 17 + border, 19 + border)
    fixed = fixed_noise(model[0], padding=padding)
    assert fixed.shape == (2, 3, height, width)
    assert torch.equal(fixed[:, 0], fixed[:, 2])
    assert not torch.equal(fixed[0], fixed[1])


def test_all_noise_is_one_draw_and_under_reference_one_for_each_scale(model: PyramidGenerator) -> None:
    shapes = [(6, 1, *SIZES[0]), (6, 3, *SIZES[1])]  # three for each of two images
    torch.manual_seed(5)
    first, second = coarser(model).noises(3)
    torch.manual_seed(5)
    whole = torch.randn(6 * (13 * 15 + 3 * 17 * 19))
    assert torch.equal(torch.cat((first.flatten(), second.flatten())), whole)
    torch.manual_seed(5)
    found = coarser(model, Settings(reference=True)).noises(3)
    torch.manual_seed(5)
    assert all(torch.equal(noise, torch.randn(shape)) for noise, shape in zip(found, shapes, strict=True))
    assert [tuple(noise.shape) for noise in (first, second)] == shapes
    assert drawn((2, 2), torch.zeros(1, dtype=torch.float64)).dtype == torch.float64


def test_what_it_makes_stays_when_the_scales_are_trained_on(model: PyramidGenerator) -> None:
    below = coarser(model)
    before = below.reconstructed()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5)
    assert torch.equal(below.reconstructed(), before)
