from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from i2i.errors import DataError, SettingsError
from i2i_singan.apps.masks import feathered
from i2i_singan.apps.paint import at_finest, edit, harmonize, paint, prior_of
from i2i_singan.model import PyramidGenerator, pyramid_generator
from i2i_singan.palette import palette, quantised
from i2i_singan.resize import resize
from i2i_singan.sampling import generate

SIZES = ((12, 15), (16, 20), (21, 27), (28, 36))
FACTOR = (12 / 28) ** (1 / 3)


@pytest.fixture(scope="module")
def model() -> PyramidGenerator:
    """A pyramid of four scales with random weights and a photograph of soft colours."""
    torch.manual_seed(0)
    made = pyramid_generator(SIZES, (4, 4, 4, 4), factor=FACTOR, layers=3)
    finest = torch.nn.functional.interpolate(torch.rand(1, 3, 5, 6) * 1.6 - 0.8, SIZES[-1], mode="bilinear")
    for scale, size in zip(made, SIZES, strict=True):
        scale.image.copy_(torch.nn.functional.interpolate(finest, size, mode="bilinear", antialias=True))
        scale.amplitude.fill_(0.3)
    return made.eval()


@pytest.fixture
def image(model: PyramidGenerator) -> Tensor:
    """The training image with a bright square pasted in."""
    pasted = model[-1].image.clone()
    pasted[..., 6:12, 8:15] = 0.95
    return pasted


def injected(image: Tensor, scale: int) -> Tensor:
    """What is put in at a scale: N - n + 1 scales down, and one up again."""
    down = FACTOR ** (len(SIZES) - 1 - scale + 1)
    return resize(resize(image, SIZES[scale - 1], down), SIZES[scale], 1 / FACTOR)


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_painting_goes_down_to_the_scale_below_and_up_again(model: PyramidGenerator, image: Tensor, scale: int) -> None:
    wanted = generate(model, 1, seed=5, start_scale=scale, image=injected(image, scale))
    made = paint(model, image, scale, seed=5)
    assert made.shape == (1, 3, *SIZES[-1])
    torch.testing.assert_close(made, wanted)
    assert not torch.allclose(paint(model, image, scale, seed=6), wanted)


def test_a_palette_is_applied_before_and_after_the_painting_is_resized(model: PyramidGenerator, image: Tensor) -> None:
    few = palette(model[2].image, 3)
    prior = quantised(resize(quantised(image, few), SIZES[2], FACTOR), few)
    assert len(prior.flatten(2)[0].unique(dim=1).T) == 3
    wanted = generate(model, 1, seed=1, start_scale=2, image=prior)
    torch.testing.assert_close(paint(model, image, 2, palette=few, seed=1), wanted)


@pytest.mark.parametrize(("application", "radius"), [(edit, 20), (harmonize, 7)])
def test_outside_the_mask_is_the_input_to_the_bit(model, image, application, radius) -> None:  # type: ignore[no-untyped-def]
    mask = torch.zeros(1, 1, *SIZES[-1], dtype=torch.bool)
    mask[..., 0, 0] = True
    made = application(model, image, 2, mask=mask, feather=1.0, seed=3)

    rows, columns = torch.meshgrid(torch.arange(28), torch.arange(36), indexing="ij")
    distance = (rows**2 + columns**2).sqrt()
    assert (made.weight[0, 0] > 0.5)[distance <= radius - 2].all()
    outside = made.weight[0, 0] == 0
    # A Gaussian of 1 pixel ends after 4, in rows and in columns.
    assert outside[distance > radius + 4 * math.sqrt(2)].all()
    assert made.image[..., outside].equal(image[..., outside])
    inside = made.weight[0, 0] == 1
    assert inside.any()
    assert made.image[..., inside].equal(made.made.clamp(-1, 1)[..., inside])
    torch.testing.assert_close(made.made, generate(model, 1, seed=3, start_scale=2, image=injected(image, 2)))
    assert made.weight.equal(feathered(mask, radius=radius, sigma=1.0))


def test_the_mask_is_found_where_none_is_given(model: PyramidGenerator, image: Tensor) -> None:
    made = edit(model, image, 1, dilation=0, feather=0)
    assert (made.weight[..., 6:12, 8:15] == 1).all()
    far = torch.ones(SIZES[-1], dtype=torch.bool)
    far[3:15, 5:18] = False
    assert (made.weight[0, 0][far] == 0).all()
    wider = edit(model, image, 1, dilation=0, feather=0, tolerance=0.4).weight
    assert 0 < wider.sum() < made.weight.sum()
    with pytest.raises(DataError, match=r"the image differs nowhere from the training image by more than 0.05"):
        harmonize(model, model[-1].image, 1)


def test_an_image_of_another_size_is_resized_and_its_mask_with_it(model: PyramidGenerator) -> None:
    large = torch.nn.functional.interpolate(model[-1].image, (56, 72), mode="bilinear")
    mask = torch.zeros(1, 1, 56, 72, dtype=torch.bool)
    mask[..., 20, 30] = True
    made = edit(model, large, 1, mask=mask, dilation=0, feather=0)
    assert made.weight[0, 0].nonzero().tolist() == [[10, 15]]
    small = resize(large, SIZES[-1], 0.5)
    assert made.image[made.weight.expand_as(small) == 0].equal(small[made.weight.expand_as(small) == 0])


def test_images_are_brought_to_the_finest_scale_as_in_training(model: PyramidGenerator) -> None:
    draws = torch.Generator().manual_seed(2)
    # Times 36 / 71, 57 rows make 28.9, so 29: not those of the finest scale, and each axis has a factor of its own.
    for (height, width), scale in (((54, 71), 36 / 71), ((57, 71), (28 / 57, 36 / 71)), ((20, 20), (1.4, 1.8))):
        image = torch.rand(1, 3, height, width, generator=draws) * 2 - 1
        torch.testing.assert_close(at_finest(model, image), resize(image, SIZES[-1], scale))
    assert at_finest(model, model[-1].image).equal(model[-1].image)
    assert prior_of(model, model[-1].image, 2).shape == (1, 3, *SIZES[2])


def test_mistakes_are_told_in_one_line(model: PyramidGenerator, image: Tensor) -> None:
    mask = torch.zeros(1, 1, *SIZES[-1], dtype=torch.bool)
    for scale in (0, 4, -1):
        for application in (paint, edit, harmonize):
            with pytest.raises(
                SettingsError, match=rf"start_scale \(={scale}\) must lie between 1 and 3; the coarsest"
            ):
                application(model, image, scale)
    with pytest.raises(DataError, match=r"a mask of shape \(1, 1, 5, 6\); this image needs one of \(1, 1, 28, 36\)"):
        edit(model, image, 1, mask=mask[..., :5, :6])
    with pytest.raises(DataError, match="the mask is empty: nothing would change"):
        edit(model, image, 1, mask=mask)
    with pytest.raises(DataError, match="the mask is full: nothing would be kept"):
        harmonize(model, image, 1, mask=~mask)
    with pytest.raises(DataError, match=r"an image of shape \(1, 1, 28, 36\); this model needs one of \(1, 3, h, w\)"):
        paint(model, image[:, :1], 1)
