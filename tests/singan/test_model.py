"""The pyramid of generators, against plain torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from i2i.errors import DataError, SettingsError
from i2i.models import load, save
from i2i_singan.model import PyramidGenerator, Scale, assembled, pyramid_generator
from i2i_singan.resize import resize
from i2i_ugatit import iln

SIZES, FACTOR, REACH = ((13, 15), (17, 19), (22, 25)), 0.77, 3


def made(*, images: int = 1, noise_padding: bool = False) -> PyramidGenerator:
    """A pyramid with weights, statistics, images and noise that matter."""
    torch.manual_seed(0)
    model = pyramid_generator(SIZES, (3, 3, 4), factor=FACTOR, layers=3, images=images, noise_padding=noise_padding)
    for name, value in model.state_dict().items():
        value.normal_(1.0 if name.endswith(("norm.weight", "running_var")) else 0.0, 0.2)
    for k, scale in enumerate(model):
        scale.amplitude.fill_(0.3 if k else 1.0)
    return model.eval()


def plain(scale: Scale, image: Tensor, condition: Tensor) -> Tensor:
    """The net of a scale in eval mode."""
    w, x = scale.net.state_dict(), image
    for block in ("head", "body.block1"):
        x = F.conv2d(x, w[f"{block}.conv.weight"], w[f"{block}.conv.bias"])
        names = ("running_mean", "running_var", "weight", "bias")
        x = F.leaky_relu(F.batch_norm(x, *(w[f"{block}.norm.{name}"] for name in names)), 0.2)
    return torch.tanh(F.conv2d(x, w["tail.0.weight"], w["tail.0.bias"])) + condition


@pytest.mark.parametrize("noise_padding", [False, True])
def test_noise_becomes_an_image_scale_by_scale(noise_padding: bool) -> None:
    model = made(noise_padding=noise_padding)
    border = 2 * REACH if noise_padding else 0
    noise = torch.randn(2, 3, 13 + border, 15 + border)
    image = plain(model[0], noise if noise_padding else F.pad(noise, (REACH,) * 4), torch.zeros(2, 3, 13, 15))
    for scale, size in zip(list(model)[1:], SIZES[1:], strict=True):
        prior = resize(image, size, 1 / FACTOR)
        image = plain(scale, F.pad(prior, (REACH,) * 4), prior)
    torch.testing.assert_close(model(noise).image, image)
    assert model(noise).image.shape == (2, 3, 22, 25)


@pytest.mark.parametrize("noise_padding", [False, True])
def test_a_scale_adds_noise_to_what_the_net_reads_and_not_to_what_it_adds_to(noise_padding: bool) -> None:
    scale = made(noise_padding=noise_padding)[1]
    border = 2 * REACH if noise_padding else 0
    prior, noise = torch.randn(1, 3, 17, 19), torch.randn(1, 3, 17 + border, 19 + border)
    outer = noise if noise_padding else F.pad(noise, (REACH,) * 4)
    torch.testing.assert_close(scale(prior, noise), plain(scale, F.pad(prior, (REACH,) * 4) + 0.3 * outer, prior))


@pytest.mark.parametrize("images", [1, 2])
def test_a_settled_scale_makes_the_image_of_the_fixed_noise_as_in_training(images: int) -> None:
    model = made(images=images)
    scale = model[0].train()
    before = {name: value.clone() for name, value in scale.state_dict().items()}
    settled = scale.settled()
    assert all(torch.equal(value, before[name]) for name, value in scale.state_dict().items())
    assert scale.training
    assert not settled.net.training
    assert settled.image is scale.image
    assert settled.noise is scale.noise
    prior = torch.zeros_like(scale.image)
    x = F.pad(scale.noise, (REACH,) * 4)  # type: ignore[arg-type]
    x = F.conv2d(x, scale.net.head.conv.weight, scale.net.head.conv.bias)
    torch.testing.assert_close(settled.net.head.norm.running_mean, x.mean((0, 2, 3)))
    if images == 1:
        torch.testing.assert_close(settled(prior, settled.noise), scale(prior, scale.noise))


def test_a_settled_scale_is_settled_on_its_prior() -> None:
    scale = made()[1]
    scale.prior = torch.randn(1, 3, 17, 19)
    settled = scale.settled()
    torch.testing.assert_close(settled(scale.prior), scale.train()(scale.prior))
    assert (settled.prior is scale.prior) & (settled.amplitude is scale.amplitude)


@pytest.mark.parametrize("options", [{}, {"images": 2}, {"noise_padding": True}])
def test_what_is_assembled_is_saved_with_all_that_it_needs(options: dict[str, Any], tmp_path: Path) -> None:
    model = made(**options)
    again = assembled(list(model)[:2], FACTOR, noise_padding=model.noise_padding, reference=True)
    assert again.sizes == SIZES[:2]
    save(again, tmp_path)
    loaded = load(tmp_path)
    assert isinstance(loaded, PyramidGenerator)
    assert (loaded.reference, loaded.noise_padding, loaded.factor) == (True, model.noise_padding, FACTOR)
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    assert loaded.takes == "noise"


def test_only_noise_of_the_coarsest_scale_is_read() -> None:
    model = made()
    for given in (torch.zeros(1, 3, 22, 25), torch.zeros(1, 1, 13, 15), torch.zeros(3, 13, 15)):
        with pytest.raises(DataError, match=r"reads noise of shape \(batch, 3, 13, 15\), no images"):
            model(given)
    with pytest.raises(DataError, match=r"\(batch, 3, 19, 21\)"):
        made(noise_padding=True)(torch.zeros(1, 3, 13, 15))


@pytest.mark.parametrize(
    ("sizes", "widths", "factor", "message"),
    [((), (), 0.7, "as many"), (SIZES, (2,), 0.7, "as many"), (SIZES, (2, 2, 2), 1.0, r"factor \(=1.0\)")],
)
def test_pyramids_that_cannot_be(sizes: Any, widths: Any, factor: float, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        pyramid_generator(sizes, widths, factor=factor)


def test_one_norm_for_all_scales_travels_with_the_model(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = pyramid_generator(SIZES[:2], (4, 4), factor=FACTOR, layers=3, norm=iln(4))
    model[1].net.head.norm.rho.data.fill_(0.5)  # type: ignore[union-attr, operator]
    loaded = load(save(model, tmp_path))
    noise = torch.randn(1, 3, 13, 15)
    torch.testing.assert_close(loaded(noise).image, model(noise).image)
    with pytest.raises(SettingsError, match=r"widths \(=\(4, 5\)\) must be equal where a norm is given"):
        pyramid_generator(SIZES[:2], (4, 5), factor=FACTOR, norm=iln(4))
