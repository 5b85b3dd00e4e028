from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from i2i.errors import SettingsError
from i2i.models import load, save
from i2i.policy import Policy, Turn
from i2i.settings import RunSettings
from i2i.training import train
from i2i_singan.model import PyramidGenerator, pyramid_generator
from i2i_singan.palette import palette
from i2i_singan.quantised import quantised_step, with_scale
from i2i_singan.settings import Settings
from i2i_singan.step import Levels
from i2i_ugatit import iln

SIZES = ((12, 15), (16, 20), (21, 27))
SETTINGS = Settings(steps=2, base_width=4, layers=3, quantised_scale=2, colours=3)


@pytest.fixture
def model() -> PyramidGenerator:
    """A pyramid of three scales with random weights and images."""
    torch.manual_seed(0)
    made = pyramid_generator(SIZES, (4, 4, 5), factor=0.77, layers=3)
    for k, scale in enumerate(made):
        scale.image.copy_(torch.rand_like(scale.image) * 2 - 1)
        scale.amplitude.fill_(0.3 if k else 1.0)
        for weight in scale.parameters():
            torch.nn.init.normal_(weight, 0, 0.4)  # so that it makes more than grey
    made[0].noise.normal_()
    return made.eval()


def colours_of(image: Tensor) -> Tensor:
    """Return the different colours of ``(b, c, h, w)``, one in a row."""
    return image.transpose(0, 1).flatten(1).unique(dim=1).T


def test_all_that_the_scale_is_trained_on_has_the_colours_of_the_palette(model: PyramidGenerator) -> None:
    step = quantised_step(SETTINGS, model)
    assert step.length == 2
    state = step.init(None, Policy(), None)
    scale = step.nets(None, state).current.G
    seen: list[Tensor] = []
    scale.net.register_forward_hook(lambda net, given, result: seen.append(given[1]))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    step.update(None, state, Levels(tuple(each.image for each in model)), Turn(Policy(), 0))

    few = palette(model[2].image, 3)
    assert few.shape == (3, 3)
    assert [len(each) for each in seen] == [3, 2, 2, 2]  # fakes for the discriminator; moves of the generator
    for prior in seen:
        used = colours_of(prior).tolist()
        assert len(used) > 1
        assert all(colour in few.tolist() for colour in used)
    assert scale.net.head.conv.out_channels == 5  # as wide as the scale that it replaces
    assert scale.image.equal(model[2].image)
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


def test_the_noise_is_measured_on_what_was_not_quantised(model: PyramidGenerator) -> None:
    step = quantised_step(SETTINGS, model)
    scale = step.nets(None, step.init(None, Policy(), None)).current.G
    with torch.no_grad():
        made = model[0](torch.zeros(1, 3, *SIZES[0]), model[0].noise)
        made = model[1](model.upsampled(made, SIZES[1]))
        missed = (model.upsampled(made, SIZES[2]) - model[2].image).square().mean().sqrt()
    torch.testing.assert_close(scale.amplitude, 0.1 * missed)


def test_training_it_as_a_recipe_gives_the_model_with_one_new_scale(model: PyramidGenerator, tmp_path: Path) -> None:
    save(model, tmp_path / "trained")
    train("singan", SETTINGS, RunSettings(data=tmp_path / "trained", out=tmp_path / "run", device="cpu"))
    made = load(tmp_path / "run" / "model")
    assert isinstance(made, PyramidGenerator)
    assert made.sizes == SIZES
    assert made.factor == 0.77
    for name, value in made.state_dict().items():
        assert name.startswith("scales.2.") or value.equal(model.state_dict()[name])
    assert not made[2].net.head.conv.weight.equal(model[2].net.head.conv.weight)


def test_a_scale_is_put_in_place(model: PyramidGenerator) -> None:
    other = pyramid_generator(SIZES, (4, 4, 5), factor=0.77, layers=3)
    made = with_scale(model, 1, other[1])
    assert list(made) == [model[0], other[1], model[2]]
    assert list(model)[1] is not other[1]


@pytest.mark.parametrize("scale", [3, 7])
def test_a_scale_that_is_not_there(model: PyramidGenerator, scale: int) -> None:
    settings = Settings(quantised_scale=scale)
    with pytest.raises(
        SettingsError, match=rf"quantised_scale \(={scale}\) must lie between 1 and 2, the scales of th"
    ):
        quantised_step(settings, model)


def test_a_model_with_norms_of_another_kind_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"norms of another kind"):
        quantised_step(SETTINGS, pyramid_generator(SIZES, (4, 4, 4), factor=0.77, layers=3, norm=iln(4)))
