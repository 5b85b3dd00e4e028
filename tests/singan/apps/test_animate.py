from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from i2i.errors import SettingsError
from i2i.pixels import PixelFormat
from i2i_singan.apps.animate import animate, animation_settings, pictures, walk
from i2i_singan.model import PyramidGenerator, pyramid_generator
from i2i_singan.sampling import drawn, reconstruct

SIZES = ((12, 14), (16, 19), (21, 25))
OPTIONS: dict[str, Any] = {"start_scale": 0, "alpha": 0.1, "beta": 0.9, "frames": 3, "seed": 0, "tile": 512}


def pyramid(**options: Any) -> PyramidGenerator:
    torch.manual_seed(0)
    model = pyramid_generator(SIZES, (3, 3, 3), factor=0.76, layers=3, **options).eval().requires_grad_(False)
    for k, scale in enumerate(model):
        for value in scale.net.parameters():
            value.copy_(torch.randn_like(value) / 2)
        scale.amplitude.fill_(0.3 if k else 1)
        if scale.noise is not None:
            scale.noise.normal_()
    return model


def test_the_walk_of_the_noise() -> None:
    fixed, draws = torch.randn(1, 1, 5, 6), torch.randn(5, 1, 1, 5, 6)
    alpha, beta = 0.2, 0.7
    before, now = fixed.double().numpy(), (0.95 * fixed + 0.05 * draws[0]).double().numpy()
    for step, made in enumerate(islice(walk(fixed, lambda k: draws[k], alpha, beta), 4), 1):
        d = beta * (now - before) + (1 - beta) * draws[step].numpy()
        new = alpha * fixed.numpy() + (1 - alpha) * (now + d)
        np.testing.assert_allclose(made.numpy(), new, atol=1e-5)
        before, now = now, new


@pytest.mark.parametrize("noise_padding", [False, True])
@pytest.mark.parametrize("start", [0, 1, 2])
def test_frames_are_made_of_the_walk_from_the_start_on(noise_padding: bool, start: int) -> None:
    model = pyramid(noise_padding=noise_padding)
    border = 6 if noise_padding else 0
    below = reconstruct(model)[start - 1] if start else None
    walks = []
    for k, (height, width) in enumerate(SIZES):
        shape = (1, 3 if k else 1, height + border, width + border)
        fixed = model[k].noise if k == 0 else torch.zeros(shape)
        assert fixed is not None
        walks.append(walk(fixed, lambda step, k=k, shape=shape: drawn(4, step, k, shape), 0.3, 0.8))  # type: ignore[misc]
    for made in animate(model, start_scale=start, alpha=0.3, beta=0.8, frames=3, seed=4, tile=8):
        wanted = torch.zeros(1, 3, *SIZES[0]) if below is None else model.upsampled(below, SIZES[start])
        for k in range(start, 3):
            prior = wanted if k == start else model.upsampled(wanted, SIZES[k])
            wanted = model[k](prior, next(walks[k]))
        torch.testing.assert_close(made, wanted, rtol=0, atol=1e-5)


def distances(frames: list[Tensor], image: Tensor) -> list[float]:
    return [float((frame - image).square().mean().sqrt()) for frame in frames]


def test_what_alpha_beta_and_the_start_do() -> None:
    model = pyramid()
    still = reconstruct(model)[-1]
    free = list(animate(model, alpha=0.0, frames=6))
    held = list(animate(model, alpha=0.9, beta=1.0, frames=6))
    assert max(distances(held, still)) < min(distances(free, still))
    assert all(frame.equal(free[0]) for frame in animate(model, alpha=1.0, beta=1.0, frames=2)) is False
    fixed = list(animate(model, alpha=1.0, beta=1.0, frames=2))
    torch.testing.assert_close(fixed[1], still)  # nothing is left of the walk
    fine = list(animate(model, start_scale=2, frames=6))
    assert max(distances(fine, still)) < max(distances(list(animate(model, frames=6)), still))
    assert [len(list(animate(model, frames=count))) for count in (1, 7)] == [1, 7]


def test_of_several_images_the_first_is_animated() -> None:
    model = pyramid(images=2)
    for start in (0, 1):
        (made,) = animate(model, start_scale=start, alpha=1.0, frames=1)
        assert made.shape == (1, 3, 21, 25)
    (made,) = animate(model, alpha=1.0, frames=1)
    assert (made - reconstruct(model)[-1][:1]).abs().max() < (made - reconstruct(model)[-1][1:]).abs().max()
    torch.testing.assert_close(made, reconstruct(model)[-1][:1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start_scale": 3}, r"start_scale \(=3\) must lie between 0, the coarsest scale, and 2"),
        ({"alpha": 1.5}, r"alpha \(=1.5\) must lie between 0 and 1"),
        ({"beta": -0.1}, r"beta \(=-0.1\) must lie between 0 and 1"),
        ({"beta": float("nan")}, r"beta \(=nan\) must lie between 0 and 1"),
        ({"frames": 0}, r"frames \(=0\) must be a whole number of at least 1"),
        ({"seed": -1}, r"seed \(=-1\)"),
        ({"tile": 0}, r"tile \(=0\)"),
    ],
)
def test_numbers_out_of_range(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        animate(pyramid(), **{**OPTIONS, **changes})


def test_channels_that_a_film_has_not() -> None:
    with pytest.raises(SettingsError, match=r"makes 7 channels; a film has 3 \(colour\) or 1 \(grey\)"):
        animate(pyramid(channels=7), **OPTIONS)
    animate(pyramid(channels=1), **OPTIONS)


def test_pictures_have_eight_bits_and_three_channels() -> None:
    frame = torch.rand(1, 3, 4, 5) * 2 - 1
    deep, grey = pyramid(), pyramid(channels=1)
    deep.writes = PixelFormat(depth=16, range=(0, 4095))  # type: ignore[assignment]
    expected = np.rint((frame[0].permute(1, 2, 0).double().numpy() + 1) * 127.5).astype(np.uint8)
    np.testing.assert_array_equal(next(pictures(deep, iter([frame]))), expected)
    np.testing.assert_array_equal(next(pictures(grey, iter([frame[:, :1]]))), expected[..., :1].repeat(3, 2))


@pytest.mark.parametrize(("own", "used"), [(25, 20), (20, 20), (12, 12)])
def test_a_smaller_coarsest_scale_is_kept(own: int, used: int) -> None:
    assert animation_settings(own) == {"noise_padding": True, "min_size": used}
