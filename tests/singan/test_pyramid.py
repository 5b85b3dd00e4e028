import math

import numpy as np
import pytest
import torch

from i2i.errors import DataError, SettingsError
from i2i_singan.pyramid import Pyramid, enlargements, levels, plan, plan_super_resolution, scale_between
from i2i_singan.resize import resize

# What the authors' code makes of photographs of these sizes.
TABLE = [
    ((188, 250), 10, 0.799176, "26x34 32x42 40x53 49x66 62x82 77x102 96x128 121x160 151x200 188x250"),
    ((250, 250), 11, 0.794328, "25x25 32x32 40x40 50x50 63x63 80x80 100x100 126x126 158x158 199x199 250x250"),
    ((366, 585), 9, 0.794795, "25x40 ... 157x250"),
    ((1536, 2048), 9, 0.777093, "25x34 ... 188x250"),
    ((280, 348), 9, 0.770147, "26x31 ... 202x250"),
    ((164, 244), 9, 0.790473, "25x38 ... 164x244"),
]


def text(sizes):
    return " ".join(f"{height}x{width}" for height, width in sizes)


@pytest.mark.parametrize(("size", "count", "factor", "sizes"), TABLE)
def test_scales_are_those_of_the_authors(size, count, factor, sizes):
    pyramid = plan(*size)
    assert len(pyramid.sizes) == count
    assert pyramid.factor == pytest.approx(factor, abs=5e-7)
    if "..." in sizes:
        assert text((pyramid.sizes[0], pyramid.sizes[-1])) == sizes.replace(" ...", "")
    else:
        assert text(pyramid.sizes) == sizes


def test_settings_change_the_scales():
    assert plan(188, 250, max_size=125).sizes[-1] == (94, 125)
    assert plan(188, 250, min_size=50).sizes[0] in ((50, 67), (51, 67))
    assert len(plan(188, 250, scale_factor=0.5).sizes) < len(plan(188, 250, scale_factor=0.9).sizes)


@pytest.mark.parametrize("longer", range(251, 420))
def test_the_finest_scale_is_never_longer_than_asked(longer):
    assert max(plan(longer, 200).sizes[-1]) == 250


@pytest.mark.parametrize(
    ("size", "reference", "count", "factor"),
    [
        ((120, 80), True, 9, 0.8299),
        ((80, 120), True, 8, 0.8081),
        ((120, 80), False, 8, 0.8081),
        ((80, 120), False, 8, 0.8081),
    ],
)
def test_upright_images_get_a_scale_more_in_the_authors_code_only(size, reference, count, factor):
    pyramid = plan_super_resolution(*size, factor=4, reference=reference)
    assert len(pyramid.sizes) == count
    assert pyramid.factor == pytest.approx(factor, abs=5e-5)
    assert pyramid.sizes[-1] == size
    assert min(pyramid.sizes[0]) in (18, 19)


def test_large_images_are_reduced_for_super_resolution_too():
    pyramid = plan_super_resolution(400, 500, factor=2)
    r = 2 ** (1 / 3)
    coarser = int(math.log(400 / 18) / math.log(r)) + 1 - int(math.log(500 / 250) / math.log(r) + 1e-12)
    assert pyramid.sizes[-1] == (200, 250)
    assert len(pyramid.sizes) in (coarser + 1, coarser + 2)  # log(2) / log(2 ** (1 / 3)) may be a little below 3
    assert pyramid.factor == pytest.approx((18 / 200) ** (1 / (len(pyramid.sizes) - 1)))


@pytest.mark.parametrize(("factor", "steps", "each"), [(4, 6, 1.259921), (2, 3, 1.259921), (3, 5, 1.245731)])
def test_enlargements_are_those_of_the_authors(factor, steps, each):
    found = enlargements(factor)
    assert found.steps == steps
    assert found.each == pytest.approx(each, abs=5e-7)
    assert found.each**found.steps == pytest.approx(factor)


def test_a_little_is_enlarged_in_one_step():
    assert enlargements(1.05) == (1, 1.05)


def test_levels_are_reductions_of_the_finest_one():
    image = torch.rand(2, 3, 60, 90, generator=torch.Generator().manual_seed(0)) * 2 - 1
    pyramid = plan(60, 90, max_size=45, min_size=20)
    found = levels(image, pyramid)
    assert [tuple(level.shape) for level in found] == [(2, 3, *size) for size in pyramid.sizes]
    finest = resize(image, (30, 45), 0.5)
    torch.testing.assert_close(found[-1], finest)
    for k, level in enumerate(found[:-1]):
        scale = (20 / 30) ** ((len(found) - 1 - k) / (len(found) - 1))
        torch.testing.assert_close(level, resize(finest, pyramid.sizes[k], scale))


def test_an_image_that_is_not_reduced_is_its_own_finest_level():
    image = torch.rand(1, 3, 40, 50) * 2 - 1
    assert torch.equal(levels(image, plan(40, 50))[-1], image)


def test_reference_cuts_levels_off_twice():
    image = (torch.arange(256) / 255 * 2 - 1).repeat(8).view(1, 1, 32, 64)
    finest = levels(image, plan(32, 64), reference=True)[-1]

    def truncated(x):
        return (np.trunc(np.clip((x + 1) / 2, 0, 1) * np.float32(255)) / 255).astype(np.float32) * 2 - 1

    once = truncated(image.numpy())
    np.testing.assert_allclose(finest.numpy(), truncated(once), atol=1e-6)
    assert (truncated(once) < once - 1e-3).any()


def test_levels_keep_what_a_pyramid_of_a_model_says():
    pyramid = Pyramid(((10, 12), (14, 17)), 0.75)
    assert [tuple(level.shape[2:]) for level in levels(torch.zeros(1, 1, 28, 34), pyramid)] == [(10, 12), (14, 17)]


@pytest.mark.parametrize("longer", [297, 309, 313, 1000, 2048])
def test_a_reduced_training_image_has_one_scale(longer):
    for size in ((longer, 2 * longer // 3), (2 * longer // 3, longer), (longer, longer)):
        finest = plan(*size).sizes[-1]
        assert scale_between(size, finest) == 250 / longer


def test_another_aspect_has_two_scales():
    assert scale_between((100, 100), (50, 60)) == (0.5, 0.6)


@pytest.mark.parametrize(
    ("size", "settings", "message"),
    [
        ((24, 60), {}, "the image is 60x24; .* larger than min_size .=25.*smaller --min-size, or a larger image"),
        ((25, 60), {}, "the image is 60x25; "),
        ((100, 2000), {}, "2000x100, and 13 pixels high or wide at max_size .=250.*larger --max-size"),
        ((20, 90), {"min_size": 20}, "larger than min_size .=20"),
    ],
)
def test_too_small_an_image_is_said(size, settings, message):
    with pytest.raises(DataError, match=message):
        plan(*size, **settings)
    with pytest.raises(DataError, match=message):
        plan_super_resolution(*size, factor=2, **{"min_size": 25} | settings)


@pytest.mark.parametrize("factor", [1, 0.5, math.inf, math.nan])
def test_a_factor_that_does_not_enlarge_is_said(factor):
    with pytest.raises(SettingsError, match=f"factor .={factor:g}. must be above 1"):
        plan_super_resolution(100, 100, factor=factor)


@pytest.mark.parametrize("scale_factor", [0, 1, 1.5])
def test_a_scale_factor_out_of_range_is_said(scale_factor):
    with pytest.raises(SettingsError, match="scale_factor .* between 0 and 1"):
        plan(100, 100, scale_factor=scale_factor)
