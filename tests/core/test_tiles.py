from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from i2i import as_generator
from i2i.errors import CompositionError, SettingsError
from i2i.tiles import approximation, in_tiles, usable_tile
from i2i.translate import translate
from i2i.values import Translation

REACH = 4  # of `Strided`: 1 for the last layer, 1/2 + 1/2 going up, twice that + 1 going down, 1 for the first layer


class Strided(nn.Module):
    """Down and up again, with every norm that tiles must cope with; notes the sizes of what it was given."""

    def __init__(self, reach: int | None = REACH) -> None:
        super().__init__()
        self.multiple = 2
        self.smallest = 4
        self.reach = reach
        self.sizes: list[tuple[int, int]] = []
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(3, 4, 3),
            nn.InstanceNorm2d(4),
            nn.ReLU(),
            nn.Conv2d(4, 6, 3, stride=2, padding=1),
            nn.InstanceNorm2d(6, affine=True),
            nn.ReLU(),
            nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, output_padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(4, 2, 3),
        )
        draw = torch.Generator().manual_seed(0)
        for name, value in self.state_dict().items():
            if value.is_floating_point():
                value.uniform_(*((0.5, 2) if "running_var" in name else (-0.3, 0.3)), generator=draw)
        self.eval()

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Translation:
        self.sizes.append(tuple(image.shape[-2:]))
        return Translation(self.layers(image))


def noise(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


def shrunk(image: Tensor, tile: int) -> Tensor:
    """Pillow's antialiased resize of each channel, to the area of a tile."""
    height, width = image.shape[-2:]
    scale = min(1, (tile * tile / (height * width)) ** 0.5)
    size = (round(width * scale), round(height * scale))
    bands = [
        np.asarray(Image.fromarray(band, "F").resize(size, Image.Resampling.BILINEAR))
        for band in image.float().flatten(0, 1).numpy()
    ]
    return torch.from_numpy(np.stack(bands)).unflatten(0, image.shape[:2]).to(image.dtype)


def reflected(image: Tensor, multiple: int) -> tuple[Tensor, tuple[slice, slice]]:
    """NumPy's reflection, and where the image lies in it."""
    short = [-size % multiple for size in image.shape[-2:]]
    around = [(0, 0), (0, 0), *((n // 2, n - n // 2) for n in short)]
    crop = tuple(slice(n // 2, n // 2 + size) for n, size in zip(short, image.shape[-2:], strict=True))
    return torch.from_numpy(np.pad(image.numpy(), around, mode="reflect")), crop  # type: ignore[return-value]


@torch.no_grad()
def one_pass(net: Strided, image: Tensor, small: Tensor) -> Tensor:
    """The whole image at once, with instance norms by their formula: mean and variance are those of ``small``."""
    (image, crop), (small, _) = (reflected(x, net.multiple) for x in (image, small))
    for layer in net.layers:
        if isinstance(layer, nn.InstanceNorm2d):
            mean = small.mean((2, 3), keepdim=True)
            deviation = (small.var((2, 3), unbiased=False, keepdim=True) + layer.eps).sqrt()
            weight, bias = (1, 0) if layer.weight is None else (layer.weight[:, None, None], layer.bias[:, None, None])
            image, small = ((x - mean) / deviation * weight + bias for x in (image, small))
        else:
            image, small = layer(image), layer(small)
    return image[..., *crop]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-6), (torch.bfloat16, 0.02)])
@pytest.mark.parametrize("size", [(64, 96), (71, 40), (33, 21), (20, 131), (25, 27)])
def test_tiles_are_one_pass_with_the_statistics_of_the_shrunk_image(size, dtype, tolerance) -> None:
    net = Strided()
    image = noise(2, 3, *size).to(dtype)
    # with rough numbers the formula is still computed exactly
    exact = torch.float64 if dtype == torch.float64 else torch.float32
    expected = one_pass(net.to(exact), image.to(exact), shrunk(image, 24).to(exact)).float()
    made = in_tiles(net.to(dtype), image, 24).detach()
    assert made.dtype == torch.float32
    assert made.shape == (2, 2, *size)
    torch.testing.assert_close(made, expected, rtol=0, atol=tolerance)


def test_autocast() -> None:
    net, image = Strided(), noise(1, 3, 40, 50)
    expected = one_pass(net, image, shrunk(image, 24))
    made = translate(net, image, precision="bf16", tile=24)
    assert 0 < (made - expected).abs().max() < 0.02


def smooth(net: Strided) -> Strided:
    """Give all layers kernels that blur, so that a smooth image becomes a smooth image."""
    row = torch.tensor([1.0, 2.0, 1.0])
    for layer in net.layers:
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.weight.data = layer.weight.data.sum((2, 3), keepdim=True) * row * row[:, None] / 4
    nn.init.ones_(net.layers[5].weight)  # type: ignore[arg-type]
    return net


@pytest.mark.parametrize("size", [(150, 101), (130, 200)])
def test_no_step_shows_where_tiles_meet(size) -> None:
    """Tiles by themselves, each with its own statistics, must fail where ours pass."""
    net, tile, level = smooth(Strided()), 64, 2 / 255
    down, across = (torch.linspace(-1, 1, n) for n in size)
    image = torch.stack([down[:, None] * across, down[:, None] + 0 * across, across - down[:, None]])[None] / 2
    whole, ours = translate(net, image), translate(net, image, tile=tile)
    alone = torch.cat(
        [torch.cat([translate(net, x) for x in y.split(tile, -1)], -1) for y in image.split(tile, -2)], -2
    )
    for dim in (-2, -1):
        most, naive, step = (x.diff(dim=dim).abs().max() / level for x in (whole, alone, ours))
        assert naive > most + 20
        assert step < most + 1
    assert (whole - ours).abs().max() < 0.02


@pytest.mark.parametrize("size", [(24, 24), (23, 9), (1, 1), (2, 24)])
def test_an_image_that_fits_into_one_tile_goes_through_whole(size) -> None:
    net, image = Strided(), noise(1, 3, *size)
    assert torch.equal(translate(net, image, tile=24), translate(net, image))


def test_only_tiles_are_computed() -> None:
    net = Strided()
    translate(net, noise(1, 3, 60, 200), tile=23)  # rounded up to 24
    assert net.sizes[0] == (14, 44)  # the whole image, shrunk: 13.1 x 43.8, padded
    assert set(net.sizes[1:]) == {(24, 24)}
    # 16 of 24 pixels are kept: ceil(36 / 16) + 1 by ceil(176 / 16) + 1
    assert len(net.sizes[1:]) == 4 * 12


def test_a_narrow_image_is_cut_along_its_length_only() -> None:
    net = Strided()
    translate(net, noise(1, 3, 9, 60), tile=24)
    assert net.sizes[0] == (10, 60)  # fewer pixels than a tile has: nothing is shrunk
    assert set(net.sizes[1:]) == {(10, 24)}


@pytest.mark.parametrize("reach", [None, 30])
@pytest.mark.parametrize("size", [(64, 96), (26, 24), (33, 131)])
def test_blended_tiles_add_up(size, reach) -> None:
    """Where all tiles agree, blending changes nothing: the weights add up to 1."""
    net = as_generator(nn.Identity())
    net.multiple, net.reach = 2, reach
    image = noise(2, 3, *size)
    torch.testing.assert_close(in_tiles(net, image, 24), image, rtol=0, atol=1e-6)


def test_a_thin_image_that_lies_channels_last() -> None:
    image = noise(2, 3, 500, 3)  # shrunk to a single column
    found = in_tiles(Strided(), image.to(memory_format=torch.channels_last), 16)
    torch.testing.assert_close(found, in_tiles(Strided(), image, 16), atol=1e-5, rtol=0)


def test_blending_is_linear_between_tiles_that_disagree() -> None:
    class Mean(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return image.mean((-2, -1), keepdim=True).expand_as(image)

    ramp = torch.arange(28.0).expand(1, 1, 16, 28)
    made = in_tiles(as_generator(Mean()), ramp, 16)[0, 0, 0]
    # tiles begin at 0 and 12, their means are 7.5 and 19.5, and 4 pixels overlap
    expected = [7.5] * 12 + [7.5 + 12 * share for share in (1 / 8, 3 / 8, 5 / 8, 7 / 8)] + [19.5] * 12
    torch.testing.assert_close(made, torch.tensor(expected))


def test_the_result_lies_where_the_image_lies() -> None:
    image = noise(1, 3, 40, 30)
    assert in_tiles(Strided(), image, 24).device == image.device


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_only_tiles_are_on_the_device() -> None:
    image = noise(1, 3, 1024, 1024)
    expected = translate(Strided(), image, tile=64)
    net = Strided().cuda()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    made = translate(net, image, tile=64)
    assert torch.cuda.max_memory_allocated() - before < image.nbytes / 4
    assert made.device == image.device
    torch.testing.assert_close(made, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("fatal", [1, 2])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_the_net_is_left_as_it_was(error, fatal) -> None:
    """Also when the pass over the shrunk image, or that over a tile, is stopped half-way."""
    net, image = Strided(), noise(1, 3, 40, 30)
    state = {name: value.clone() for name, value in net.state_dict().items()}
    before = {name: dict(vars(module)) for name, module in net.named_modules()}
    expected = translate(net, image)
    in_tiles(net, image, 24)
    calls = []

    def stop(*_: object) -> None:
        calls.append(1)
        if len(calls) == fatal:
            raise error

    handle = net.layers[5].register_forward_hook(stop)
    with pytest.raises(error):
        translate(net, image, tile=24)
    handle.remove()
    assert {name: dict(vars(module)) for name, module in net.named_modules()} == before
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert torch.equal(translate(net, image), expected)


@pytest.mark.parametrize("tile", [0, -8, 1, 3])
def test_a_tile_that_is_too_small(tile) -> None:
    with pytest.raises(SettingsError, match=rf"^--tile \(={tile}\) must be at least 4 for this net$"):
        translate(Strided(), noise(1, 3, 40, 40), tile=tile)


def test_tiles_are_rounded_up_to_what_the_net_accepts() -> None:
    net = Strided()
    assert [usable_tile(net, tile) for tile in (4, 5, 23, 24)] == [4, 6, 24, 24]
    net.multiple, net.smallest = 8, 20
    with pytest.raises(SettingsError, match="at least 24"):
        usable_tile(net, 20)


@pytest.mark.parametrize(
    ("reach", "tile", "message"),
    [
        (4, 12, None),  # 4 of 12 pixels are kept
        (4, 10, "tiles of 10 are blended, which is approximate: this net sees 4 pixels to each side; "
                "tiles of 12 or more are exact"),
        (0, 4, None),
        (None, 64, "tiles are blended, which is approximate: this net does not say how far it sees (net.reach)"),
    ],
)  # fmt: skip
def test_it_is_said_whether_tiles_are_exact(reach, tile, message) -> None:
    assert approximation(Strided(reach), tile) == message


@pytest.mark.parametrize("tile", [10, 12])
def test_what_is_said_to_be_exact_is(tile) -> None:
    net, image = Strided(), noise(1, 3, 40, 30)
    expected = one_pass(net, image, shrunk(image, tile))
    error = (in_tiles(net, image, tile) - expected).abs().max()
    assert error < 1e-5 if approximation(net, tile) is None else error > 1e-3


def test_a_net_that_changes_the_size_is_refused() -> None:
    with pytest.raises(CompositionError, match=r"the net makes \(8, 8\) of an image of \(16, 16\)"):
        translate(as_generator(nn.AvgPool2d(2)), noise(1, 3, 40, 40), tile=16)


def test_tiles_lie_on_the_grid_of_the_net() -> None:
    """A net that sees where the pixels of its grid lie gives the same pattern as in one pass."""

    class Grid(nn.Module):
        multiple, reach = 4, 1

        def forward(self, image: Tensor, condition: Tensor | None = None) -> Translation:
            rows, columns = (torch.arange(n) % 4 for n in image.shape[-2:])
            return Translation((rows[:, None] * 4.0 + columns).expand_as(image))

    for size in ((50, 61), (64, 64), (37, 90)):
        image = noise(1, 1, *size)
        assert torch.equal(in_tiles(Grid(), image, 16), translate(Grid(), image))


@pytest.mark.parametrize(("multiple", "reach"), [(1, 0), (1, 3), (4, 5), (8, 1)])
@pytest.mark.parametrize(("tile", "size"), [(16, 17), (24, 25), (40, 81), (64, 200), (32, 33)])
def test_each_pixel_comes_from_one_tile_when_tiles_are_exact(multiple, reach, tile, size) -> None:
    net = as_generator(nn.Identity())
    net.multiple, net.reach = multiple, reach
    assert approximation(net, tile) is None
    image = noise(1, 1, size, 3)
    assert torch.equal(in_tiles(net, image, tile), image)
