from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from i2i.errors import DataError, SettingsError
from i2i_singan.model import PyramidGenerator, Scale, pyramid_generator
from i2i_singan.resize import resize
from i2i_singan.sampling import drawn, generate, noise_shape, reconstruct, refine, samples
from i2i_ugatit import iln

SIZES = ((12, 14), (16, 19), (21, 25))
FACTOR = 0.76
REACH = 3


@pytest.fixture
def make() -> Callable[..., PyramidGenerator]:
    """``make(images=2)``: three scales in float64 with weights and statistics that matter."""

    def made(**options: Any) -> PyramidGenerator:
        torch.manual_seed(0)
        model = pyramid_generator(SIZES, (3, 3, 4), factor=FACTOR, layers=3, **options).double().eval()
        for name, value in model.state_dict().items():
            value.copy_(torch.rand_like(value) + 0.5 if "norm" in name else torch.randn_like(value) / 3)
        for k, scale in enumerate(model):
            scale.amplitude.fill_(0.3 if k else 1)
            scale.image.clamp_(-1, 1)
        return model.requires_grad_(False)

    return made


def plain_scale(scale: Scale, prior: Tensor, noise: Tensor | None, *, own: bool = False) -> Tensor:
    """``G(sigma z + prior, prior)`` of the paper; ``own``: normalised by the statistics of the image itself."""
    held = scale.net.state_dict()
    x = F.pad(prior, (REACH,) * 4)
    if noise is not None:
        x = x + scale.amplitude * (noise if noise.shape[2:] == x.shape[2:] else F.pad(noise, (REACH,) * 4))
    for name in ("head", "body.block1"):
        x = F.conv2d(x, held[f"{name}.conv.weight"], held[f"{name}.conv.bias"])
        mean, variance = held[f"{name}.norm.running_mean"], held[f"{name}.norm.running_var"]
        if own:
            mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
        x = (x - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt()
        x = x * held[f"{name}.norm.weight"][:, None, None] + held[f"{name}.norm.bias"][:, None, None]
        x = torch.where(x > 0, x, 0.2 * x)
    return torch.tanh(F.conv2d(x, held["tail.0.weight"], held["tail.0.bias"])) + prior


def plain_sample(
    model: PyramidGenerator, sizes: list[tuple[int, int]], seed: int, index: int, prior: Tensor, start: int = 0
) -> Tensor:
    for k in range(start, len(SIZES)):
        prior = prior if k == start else resize(prior, sizes[k], 1 / FACTOR)
        prior = plain_scale(model[k], prior, drawn(seed, index, k, noise_shape(model, k, sizes[k])).double())
    return prior


def plain_reconstructions(model: PyramidGenerator, image: int = 0) -> list[Tensor]:
    noise = model[0].noise
    assert noise is not None
    made = [plain_scale(model[0], torch.zeros(1, 3, *SIZES[0]).double(), noise[image : image + 1])]
    for k in (1, 2):
        made.append(plain_scale(model[k], resize(made[-1], SIZES[k], 1 / FACTOR), None))
    return made


def same(made: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(made, wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("noise_padding", [False, True])
def test_a_sample_is_noise_at_every_scale(make: Callable[..., PyramidGenerator], noise_padding: bool) -> None:
    model = make(noise_padding=noise_padding)
    made = generate(model, 2, seed=3)
    assert made.shape == (2, 3, *SIZES[-1])
    for index in range(2):
        same(made[index : index + 1], plain_sample(model, list(SIZES), 3, index, torch.zeros(1, 3, 12, 14).double()))
    assert (made[0] - made[1]).std() > 0.1


def test_samples_of_other_sizes(make: Callable[..., PyramidGenerator]) -> None:
    model = make()
    # 1.3 times 12, 16, 21 rows, and half of 14, 19, 25 columns; halves are rounded to even as in the authors' code.
    sizes = [(16, 7), (21, 10), (27, 12)]
    made = generate(model, scale_v=1.3, scale_h=0.5)
    same(made, plain_sample(model, sizes, 0, 0, torch.zeros(1, 3, 16, 7).double()))


def test_below_the_start_is_the_photograph(make: Callable[..., PyramidGenerator]) -> None:
    model = make(images=2)
    for index in (0, 1):
        below = plain_reconstructions(model, index)
        for start in (1, 2):
            prior = resize(below[start - 1], SIZES[start], 1 / FACTOR)
            made = generate(model, start_scale=start, first=index)
            same(made, plain_sample(model, list(SIZES), 0, index, prior, start))
    wide = resize(resize(below[0], SIZES[1], 1 / FACTOR), (16, 38), (1.0, 2.0))
    same(
        generate(model, start_scale=1, first=1, scale_h=2),
        plain_sample(model, [(12, 28), (16, 38), (21, 50)], 0, 1, wide, 1),
    )


def test_an_image_is_put_in(make: Callable[..., PyramidGenerator]) -> None:
    model = make()
    image = torch.rand(1, 3, *SIZES[2]) * 2 - 1
    same(generate(model, start_scale=2, image=image, seed=1), plain_sample(model, list(SIZES), 1, 0, image.double(), 2))
    with pytest.raises(DataError, match=r"image of shape \(1, 3, 21, 25\); scale 1 needs one of \(1, 3, 16, 19\)"):
        generate(model, start_scale=1, image=image)


def test_noise_depends_on_seed_number_and_scale_alone(make: Callable[..., PyramidGenerator]) -> None:
    model = make()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    four = generate(model, 4, seed=1)
    assert torch.get_rng_state().equal(before)
    assert four[2:].equal(generate(model, 2, first=2, seed=1))
    assert not four[:1].equal(generate(model, 1, seed=2))
    numbers = torch.stack([drawn(s, i, k, (1, 3, 40, 40)) for s in (0, 1) for i in (0, 1) for k in (0, 1)])
    assert numbers.mean().abs() < 0.02
    assert abs(numbers.std() - 1) < 0.02
    alike = np.corrcoef(numbers.flatten(1).numpy()) - np.eye(8)
    assert abs(alike).max() < 0.1
    assert noise_shape(model, 0, (5, 6)) == (1, 1, 5, 6)  # grey at the coarsest scale
    assert noise_shape(make(noise_padding=True), 1, (5, 6)) == (1, 3, 11, 12)


def test_samples_are_made_one_after_the_other(make: Callable[..., PyramidGenerator]) -> None:
    model = make()
    made: Iterator[Tensor] = samples(model, 10**9)
    assert next(made).equal(generate(model))
    assert next(made).equal(generate(model, first=1))


class Largest(TorchDispatchMode):
    """Notes the largest side of what convolutions make."""

    side = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.convolution.default:
            self.side = max(self.side, *result.shape[2:])
        return result


@pytest.mark.parametrize("noise_padding", [False, True])
def test_tiles_give_the_whole_pass(make: Callable[..., PyramidGenerator], noise_padding: bool) -> None:
    model = make(noise_padding=noise_padding)
    options = {"scale_h": 20.0, "scale_v": 1.5}
    whole = generate(model, **options, tile=10**6)
    assert whole.shape == (1, 3, 32, 500)
    for tile in (5, 64):
        with Largest() as largest:
            tiled = generate(model, **options, tile=tile)
        assert largest.side <= tile + 2 * REACH
        same(tiled, whole)
    # Beyond the border is nothing: tiles that took zeros beside them instead of the image would leave seams.
    apart = torch.cat([model[2](part) for part in whole.split(50, dim=3)], dim=3)
    assert (refine(model[2], whole, None, 50) - apart).abs().max() > 1e-3


def test_several_images_in_tiles(make: Callable[..., PyramidGenerator]) -> None:
    scale, prior = make()[1], torch.rand(2, 3, 16, 19).double()
    noise = torch.randn(2, 1, 16, 19).double()
    same(refine(scale, prior, noise, 7), plain_scale(scale, prior, noise))
    same(refine(scale.train(), prior, noise), plain_scale(scale, prior, noise))


def test_reconstruction_at_every_scale(make: Callable[..., PyramidGenerator]) -> None:
    model = make(images=2)
    found = reconstruct(model)
    assert [tuple(image.shape) for image in found] == [(2, 3, *size) for size in SIZES]
    for index in (0, 1):
        for made, wanted in zip(found, plain_reconstructions(model, index), strict=True):
            same(made[index : index + 1], wanted)
    assert model[0].noise is not None
    same(model(model[0].noise).image, found[-1])


def test_as_in_training_each_scale_has_statistics_of_its_own(make: Callable[..., PyramidGenerator]) -> None:
    model = make()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found, below = reconstruct(model, train_mode=True), plain_reconstructions(model)
    same(found[0], plain_scale(model[0], torch.zeros_like(below[0]), model[0].noise, own=True))
    for k in (1, 2):
        same(found[k], plain_scale(model[k], resize(below[k - 1], SIZES[k], 1 / FACTOR), None, own=True))
    assert (found[2] - reconstruct(model)[2]).abs().max() > 0.01
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


def test_a_model_in_training_is_sampled_as_if_it_were_done(make: Callable[..., PyramidGenerator]) -> None:
    model = make()
    wanted, before = generate(model), {name: value.clone() for name, value in model.state_dict().items()}
    model.train().requires_grad_(True)
    made = generate(model)
    assert made.equal(wanted)
    assert not made.requires_grad
    assert model.training
    assert model[0].net.training
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, r"count \(=0\) must be a whole number of at least 1"),
        ({"tile": 0}, r"tile \(=0\) must be a whole number of at least 1"),
        ({"seed": -1}, r"seed \(=-1\) must be a whole number of at least 0"),
        ({"start_scale": 3}, r"start_scale \(=3\) must lie between 0, the coarsest scale, and 2, the finest one"),
        ({"start_scale": -1}, r"start_scale \(=-1\) must lie between 0"),
        ({"scale_h": 0.0}, r"scale_h \(=0\) must be a number above 0; 1 keeps the size"),
        ({"scale_v": -0.5}, r"scale_v \(=-0.5\) must be a number above 0"),
        ({"scale_v": float("nan")}, r"scale_v \(=nan\) must be a number above 0"),
        ({"scale_h": float("inf")}, r"scale_h \(=inf\) must be a number above 0"),
    ],
)
def test_numbers_out_of_range(make: Callable[..., PyramidGenerator], options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        samples(make(), **{"count": 1, **options})


def test_what_is_larger_than_a_tile_stays_on_the_host() -> None:
    # Tensors without data know their device, and refuse to be mixed with those of another one.
    with FakeTensorMode(allow_non_fake_inputs=True):
        with torch.device("cuda"):
            model = pyramid_generator(SIZES, (2, 2, 2), factor=FACTOR, layers=3)
        assert model[0].image.device.type == "cuda"
        assert generate(model, 2, tile=25).device.type == "cuda"
        for start in range(3):
            assert generate(model, start_scale=start, tile=24).device.type == "cpu"
            assert generate(model, start_scale=start, tile=25, scale_h=3).device.type == "cpu"


def test_norms_that_look_at_the_whole_image_are_given_it_whole() -> None:
    torch.manual_seed(0)
    model = pyramid_generator(SIZES, (4, 4, 4), factor=FACTOR, layers=3, norm=iln(4)).double()
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.5)
    whole = generate(model, scale_h=2, tile=10**6)
    torch.testing.assert_close(generate(model, scale_h=2, tile=5), whole)
    noises = [drawn(0, 0, k, noise_shape(model, k, (size[0], 2 * size[1]))).double() for k, size in enumerate(SIZES)]
    made = torch.zeros(1, 3, 12, 28, dtype=torch.float64)
    for k, noise in enumerate(noises):
        made = model[k](model.upsampled(made, (SIZES[k][0], 2 * SIZES[k][1])) if k else made, noise)
    torch.testing.assert_close(whole, made)
