"""The pyramid scale by scale, against plain torch."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from i2i_singan.model import PyramidGenerator, pyramid_generator
from i2i_singan.resize import resize
from i2i_singan.scales import begin_scale, scale_image, scale_noises

SIZES, FACTOR, REACH = ((13, 15), (17, 19), (22, 25)), 0.77, 3


def made(*, images: int = 1, widths: tuple[int, ...] = (3, 3, 4), noise_padding: bool = False) -> PyramidGenerator:
    torch.manual_seed(0)
    model = pyramid_generator(SIZES, widths, factor=FACTOR, layers=3, images=images, noise_padding=noise_padding)
    for parameter in model.parameters():
        parameter.data.normal_(0.0, 0.3)
    return model.eval()


def added(model: PyramidGenerator, k: int, prior: Tensor, noise: Tensor | float) -> Tensor:
    """What a scale makes of a coarser image, with noise of its amplitude on it."""
    read = F.pad(prior + noise * model[k].amplitude, (REACH,) * 4)
    return prior + model[k].net(read).image  # type: ignore[no-any-return]


def test_each_scale_adds_to_what_the_coarser_ones_make() -> None:
    model = made()
    model[1].amplitude.fill_(0.5)
    noises = scale_noises(model, 1)
    assert [tuple(noise.shape) for noise in noises] == [(1, 1, 13, 15), (1, 3, 17, 19)]
    coarse = added(model, 0, torch.zeros(1, 3, 13, 15), noises[0])
    wanted = added(model, 1, resize(coarse, (17, 19), 1 / FACTOR), noises[1])
    torch.testing.assert_close(scale_image(model, 1, noises), wanted)
    torch.testing.assert_close(scale_image(model, 0, noises), coarse)


def test_the_fixed_noise_is_on_the_coarsest_scale_alone() -> None:
    model = made()
    assert model[0].noise is not None
    model[0].noise.normal_()
    coarse = added(model, 0, torch.zeros(1, 3, 13, 15), model[0].noise)
    torch.testing.assert_close(scale_image(model, 1), added(model, 1, resize(coarse, (17, 19), 1 / FACTOR), 0.0))


def test_noise_reaches_over_the_border_where_the_model_says_so() -> None:
    model = made(images=2, noise_padding=True)
    noises = scale_noises(model, 2)
    sizes = [(2, 1, 13 + 6, 15 + 6), (2, 3, 17 + 6, 19 + 6), (2, 3, 22 + 6, 25 + 6)]
    assert [tuple(noise.shape) for noise in noises] == sizes
    assert scale_image(model, 2, noises).shape == (2, 3, 22, 25)


def test_gradients_reach_all_that_is_not_frozen() -> None:
    model = made()
    model[0].requires_grad_(False)
    scale_image(model, 1, scale_noises(model, 1)).square().mean().backward()  # type: ignore[no-untyped-call]
    assert model[0].net.head.conv.weight.grad is None
    assert model[1].net.head.conv.weight.grad is not None


def test_the_coarsest_scale_begins_with_its_image_and_one_grey_noise() -> None:
    model, image = made(), torch.rand(1, 3, 13, 15)
    before = {name: value.clone() for name, value in model[0].net.state_dict().items()}
    assert begin_scale(model, 0, image) is model[0]
    noise = model[0].noise
    assert noise is not None
    assert torch.equal(model[0].image, image)
    assert float(noise.std()) == pytest.approx(1, abs=0.2)
    assert torch.equal(noise[:, 0], noise[:, 2])
    assert float(model[0].amplitude) == 1
    assert all(torch.equal(value, before[name]) for name, value in model[0].net.state_dict().items())


def test_a_finer_scale_begins_as_the_one_below_with_noise_for_what_that_leaves() -> None:
    model, image = made(), torch.rand(1, 3, 17, 19)
    begin_scale(model, 0, torch.rand(1, 3, 13, 15))
    begin_scale(model, 1, image, noise_weight=0.25)
    below = resize(scale_image(model, 0), (17, 19), 1 / FACTOR)
    error = float(((image - below.detach()) ** 2).mean().sqrt())
    assert float(model[1].amplitude) == pytest.approx(0.25 * error, rel=1e-5)
    assert torch.equal(model[1].net.tail[0].weight, model[0].net.tail[0].weight)
    assert model[1].noise is None


def test_a_scale_of_another_width_keeps_its_own_weights() -> None:
    model = made()
    before = model[2].net.tail[0].weight.clone()
    begin_scale(model, 2, torch.rand(1, 3, 22, 25))
    assert torch.equal(model[2].net.tail[0].weight, before)
