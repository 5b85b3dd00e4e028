from __future__ import annotations

import os
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from skimage import color
from torch import Tensor, nn

from i2i import as_generator, shortage
from i2i.errors import CompositionError, DataError, OutOfMemoryError, RunError, SettingsError
from i2i.pixels import PixelFormat
from i2i.translate import translate, translate_files
from i2i.values import Translation


class Seeing(nn.Module):
    """Returns its image and remembers what it was given."""

    def __init__(self, multiple: int = 1, smallest: int = 1, in_channels: int = 3) -> None:
        super().__init__()
        self.multiple = multiple
        self.smallest = smallest
        self.in_channels = in_channels
        self.seen: list[Tensor] = []

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Translation:
        self.seen.append(image)
        return Translation(image)


def picture(path: Path, width: int, height: int, mode: str = "RGB", seed: int = 0) -> np.ndarray:
    """Write noise and return its pixels."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, bands), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.squeeze(2) if bands == 1 else pixels, mode).save(path)
    return pixels


@pytest.mark.parametrize("height", [1, 2, 3, 5, 8, 13])
@pytest.mark.parametrize("width", [1, 4, 6, 31])
def test_padding_is_reflection_repeated_as_often_as_it_takes(height, width) -> None:
    net = Seeing(multiple=8, smallest=16)
    image = torch.randn(2, 3, height, width)
    assert torch.equal(translate(net, image), image)
    (seen,) = net.seen
    rows, columns = (max(16, -(-size // 8) * 8) for size in (height, width))
    around = [
        ((whole - size) // 2, whole - size - (whole - size) // 2) for size, whole in ((height, rows), (width, columns))
    ]
    # numpy repeats reflections, and repeats a single pixel, as asked here
    expected = np.pad(image.numpy(), [(0, 0), (0, 0), *around], mode="reflect")
    assert np.array_equal(seen.numpy(), expected)


def test_an_image_that_fits_is_not_copied() -> None:
    net = Seeing(multiple=4)
    image = torch.randn(1, 3, 8, 4)
    translate(net, image)
    assert net.seen[0].data_ptr() == image.data_ptr()


def test_a_net_that_changes_the_size_is_refused() -> None:
    with pytest.raises(CompositionError, match=r"the net makes \(4, 4\) of an image of \(8, 8\)"):
        translate(as_generator(nn.AvgPool2d(2)), torch.zeros(1, 3, 8, 8))


def test_precision() -> None:
    net = as_generator(nn.Conv2d(3, 3, 1))
    image = torch.randn(1, 3, 4, 4)
    exact = translate(net, image)
    rough = translate(net, image, precision="bf16")
    assert exact.dtype == rough.dtype == torch.float32
    assert torch.equal(exact, nn.functional.conv2d(image, net.module.weight, net.module.bias))
    assert torch.equal(rough, rough.bfloat16().float())
    assert 0 < (exact - rough).abs().max() < 0.05


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_tf32_is_used_where_it_is_asked_for() -> None:
    net = as_generator(nn.Conv2d(64, 3, 3, padding=1)).cuda()
    image = torch.randn(1, 64, 32, 32, device="cuda")
    exact = nn.functional.conv2d(image.double(), net.module.weight.double(), net.module.bias.double(), padding=1)
    errors = {p: (translate(net, image, precision=p) - exact).abs().max().item() for p in ("fp32", "tf32")}
    assert errors["fp32"] * 20 < errors["tf32"]


def test_tf32_on_the_cpu_is_an_error() -> None:
    with pytest.raises(SettingsError, match="precision tf32 needs a CUDA device"):
        translate(Seeing(), torch.zeros(1, 3, 4, 4), precision="tf32")


def test_no_graph_is_kept_and_the_mode_is_left() -> None:
    net = as_generator(nn.Conv2d(3, 3, 1))
    assert not translate(net, torch.zeros(1, 3, 4, 4)).requires_grad
    assert net.training


def test_files_keep_names_sizes_and_pixels(tmp_path) -> None:
    sizes = {"a.png": (5, 7), "b.bmp": (7, 5), "sub/c.tif": (5, 7), "sub/d.ppm": (1, 1), "E.PNG": (5, 7)}
    pixels = {name: picture(tmp_path / "in" / name, *size, seed=i) for i, (name, size) in enumerate(sizes.items())}
    net = Seeing(multiple=4)
    report = translate_files(net, [tmp_path / "in"], tmp_path / "out", batch_size=2)
    assert sorted(report.written) == sorted(tmp_path / "out" / name for name in sizes)
    assert report.skipped == []
    for name, expected in pixels.items():
        assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / name)), expected)
    assert sorted(len(seen) for seen in net.seen) == [1, 1, 1, 2]


def test_lossy_formats_become_png(tmp_path) -> None:
    picture(tmp_path / "photo.jpg", 6, 4)
    (written,) = translate_files(Seeing(), [tmp_path / "photo.jpg"], tmp_path / "out").written
    assert written == tmp_path / "out" / "photo.png"
    assert Image.open(written).format == "PNG"
    assert np.array_equal(np.asarray(Image.open(written)), np.asarray(Image.open(tmp_path / "photo.jpg")))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_read_as_the_net_needs_them(tmp_path, mode, channels) -> None:
    picture(tmp_path / "a.png", 6, 4, mode)
    net = Seeing(in_channels=channels)
    (written,) = translate_files(net, [tmp_path / "a.png"], tmp_path / "out").written
    expected = Image.open(tmp_path / "a.png").convert("RGB").convert("L" if channels == 1 else "RGB")
    assert net.seen[0].shape == (1, channels, 4, 6)
    assert np.array_equal(np.asarray(Image.open(written)), np.asarray(expected))


def test_size_is_that_of_the_short_side(tmp_path) -> None:
    picture(tmp_path / "in" / "wide.png", 40, 20)
    picture(tmp_path / "in" / "tall.png", 7, 21)
    net = Seeing(multiple=4)
    translate_files(net, [tmp_path / "in"], tmp_path / "out", size=10)
    assert Image.open(tmp_path / "out" / "wide.png").size == (20, 10)
    assert Image.open(tmp_path / "out" / "tall.png").size == (10, 30)
    expected = Image.open(tmp_path / "in" / "wide.png").resize((20, 10), Image.Resampling.BICUBIC)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "wide.png")), np.asarray(expected))


def test_rounding_and_the_truncation_of_the_authors(tmp_path) -> None:
    picture(tmp_path / "a.png", 2, 2)

    class Fixed(Seeing):
        def forward(self, image: Tensor, condition: Tensor | None = None) -> Translation:
            return Translation(torch.full_like(image, 100.7 / 255 * 2 - 1))

    for reference, level in ((False, 101), (True, 100)):
        translate_files(Fixed(), [tmp_path / "a.png"], tmp_path / "out", reference=reference)
        assert (np.asarray(Image.open(tmp_path / "out" / "a.png")) == level).all()


def test_many_sizes_do_not_pile_up(tmp_path) -> None:
    for width in range(1, 31):
        picture(tmp_path / "in" / f"{width:02}.png", width, 2)
    passes_after: list[int] = []

    class Counting(Seeing):
        def forward(self, image: Tensor, condition: Tensor | None = None) -> Translation:
            passes_after.append(sum(1 for _ in (tmp_path / "out").glob("*.png")))
            return super().forward(image)

    (tmp_path / "out").mkdir()
    assert len(translate_files(Counting(), [tmp_path / "in"], tmp_path / "out", batch_size=2).written) == 30
    assert passes_after == list(range(30))


def deep_picture(path: Path, channels: int, kind: type, **options: object) -> np.ndarray:
    """Write noise of a kind that Pillow cannot hold, as another library does, and return it."""
    draws = np.random.default_rng(0).random((9, 14, channels))
    array = (draws if kind is np.float32 else draws * np.iinfo(kind).max).astype(kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        path.write_bytes(imagecodecs.png_encode(array.squeeze()))
    else:
        photometric = "rgb" if channels == 3 else "minisblack"
        tifffile.imwrite(path, array.squeeze(), photometric=photometric, planarconfig="contig", **options)
    return array.squeeze()


def formats(net: Seeing, pixels: PixelFormat) -> Seeing:
    net.reads = net.writes = pixels  # type: ignore[assignment]
    return net


@pytest.mark.parametrize(
    ("name", "channels", "kind", "levels"),
    [
        ("grey.png", 1, np.uint16, None),
        ("colour.png", 3, np.uint16, None),
        ("grey.tif", 1, np.uint16, None),
        ("colour.tiff", 3, np.uint16, None),
        ("ranged.tif", 1, np.uint16, (0, 65535)),
        ("seven.tif", 7, np.uint16, None),
        ("seven_eights.tif", 7, np.uint8, None),
        ("float.tif", 1, np.float32, (-1, 1)),
        ("floats.tif", 5, np.float32, (-1, 1)),
    ],
)
def test_every_bit_survives_a_net_that_changes_nothing(tmp_path, name, channels, kind, levels) -> None:
    array = deep_picture(tmp_path / "in" / name, channels, kind)
    depth = {np.uint8: 8, np.uint16: 16, np.float32: 32}[kind]
    net = formats(Seeing(multiple=4), PixelFormat(channels=channels, depth=depth, range=levels))
    (written,) = translate_files(net, [tmp_path / "in"], tmp_path / "out").written
    assert written == tmp_path / "out" / name
    found = imagecodecs.png_decode(written.read_bytes()) if written.suffix == ".png" else tifffile.imread(written)
    assert found.dtype == kind
    assert np.array_equal(found, array)
    assert net.seen[0].shape == (1, channels, 12, 16)


def test_floats_from_zero_to_one_come_back_as_exactly_as_floats_around_one_allow(tmp_path) -> None:
    array = deep_picture(tmp_path / "x.tif", 3, np.float32)
    net = formats(Seeing(), PixelFormat(depth=32))
    (written,) = translate_files(net, [tmp_path / "x.tif"], tmp_path / "out").written
    assert np.abs(tifffile.imread(written) - array).max() <= 2**-24


def test_results_have_the_depth_of_the_model_whatever_the_source_has(tmp_path) -> None:
    pixels = picture(tmp_path / "in" / "a.jpg", 6, 4)
    pixels = np.asarray(Image.open(tmp_path / "in" / "a.jpg"))
    deep = deep_picture(tmp_path / "in" / "b.png", 3, np.uint16)
    translate_files(formats(Seeing(), PixelFormat(depth=16)), [tmp_path / "in"], tmp_path / "16")
    assert np.array_equal(imagecodecs.png_decode((tmp_path / "16" / "a.png").read_bytes()), pixels.astype(int) * 257)
    translate_files(Seeing(), [tmp_path / "in"], tmp_path / "8")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "8" / "b.png")), (deep / 257).round())


def test_size_of_deep_images(tmp_path) -> None:
    array = deep_picture(tmp_path / "x.tif", 5, np.uint16)
    net = formats(Seeing(), PixelFormat(channels=5, depth=16))
    (written,) = translate_files(net, [tmp_path / "x.tif"], tmp_path / "out", size=18).written
    planes = [
        Image.fromarray(array[..., k].astype(np.float32)).resize((28, 18), Image.Resampling.BICUBIC) for k in range(5)
    ]
    expected = np.stack([np.asarray(plane) for plane in planes], 2).round().clip(0, 65535)
    assert np.array_equal(tifffile.imread(written), expected)


def test_colours_for_a_grey_image(tmp_path) -> None:
    source = np.random.default_rng(0).integers(60, 200, (8, 8), dtype=np.uint8)
    Image.fromarray(source).save(tmp_path / "x.jpg", quality=100)

    class Red(Seeing):
        def forward(self, image: Tensor, condition: Tensor | None = None) -> Translation:
            self.seen.append(image)
            return Translation(
                torch.tensor([30.0, 20.0]).view(1, 2, 1, 1).expand(len(image), 2, *image.shape[2:]) / 110
            )

    net = Red()
    net.reads = PixelFormat(channels=1, colours="lightness")  # type: ignore[assignment]
    net.writes = PixelFormat(channels=2, colours="chroma")  # type: ignore[assignment]
    (written,) = translate_files(net, [tmp_path / "x.jpg"], tmp_path / "out", batch_size=3).written
    grey = np.asarray(Image.open(tmp_path / "x.jpg").convert("RGB"))
    lab = color.rgb2lab(grey)
    assert np.abs(net.seen[0][0, 0].numpy() - (lab[..., 0] / 50 - 1)).max() < 1e-4
    lab[..., 1:] = 30, 20
    assert np.abs(np.asarray(Image.open(written)) - color.lab2rgb(lab) * 255).max() <= 0.51


def test_a_source_is_never_overwritten(tmp_path, monkeypatch) -> None:
    picture(tmp_path / "in" / "x.png", 2, 2)
    before = (tmp_path / "in" / "x.png").read_bytes()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"x\.png would be overwritten by its translation; choose another --out"):
        translate_files(Seeing(), ["in"], tmp_path / "in")
    assert (tmp_path / "in" / "x.png").read_bytes() == before


def bad_folder(tmp_path: Path) -> Path:
    picture(tmp_path / "in" / "good.png", 4, 4)
    picture(tmp_path / "in" / "cut.png", 50, 50)
    cut = tmp_path / "in" / "cut.png"
    cut.write_bytes(cut.read_bytes()[:2000])
    (tmp_path / "in" / "text.png").write_text("no image")
    return tmp_path / "in"


@pytest.mark.parametrize("name", ["cut.png", "text.png"])
def test_a_bad_file_is_named(tmp_path, name) -> None:
    path = bad_folder(tmp_path) / name
    with pytest.raises(DataError) as caught:
        translate_files(Seeing(), [path], tmp_path / "out")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_files_can_be_passed_over(tmp_path) -> None:
    folder = bad_folder(tmp_path)
    report = translate_files(Seeing(), [folder], tmp_path / "out", skip_bad=True)
    assert report.written == [tmp_path / "out" / "good.png"]
    assert sorted(line.split()[0] for line in report.skipped) == [str(folder / "cut.png"), str(folder / "text.png")]
    assert os.listdir(tmp_path / "out") == ["good.png"]


def test_nothing_but_bad_files(tmp_path) -> None:
    folder = bad_folder(tmp_path)
    (folder / "good.png").unlink()
    with pytest.raises(DataError, match=r"none of the 2 files can be read; the first: .*cut\.png"):
        translate_files(Seeing(), [folder], tmp_path / "out", skip_bad=True)


def test_missing_and_empty_folders(tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="missing does not exist"):
        translate_files(Seeing(), [tmp_path / "missing"], tmp_path / "out")
    with pytest.raises(DataError, match="empty holds no images"):
        translate_files(Seeing(), [tmp_path / "empty"], tmp_path / "out")
    with pytest.raises(DataError, match="no image or folder was named"):
        translate_files(Seeing(), [], tmp_path / "out")


def test_a_place_that_cannot_be_written(tmp_path) -> None:
    picture(tmp_path / "x.png", 2, 2)
    (tmp_path / "out").write_text("a file")
    with pytest.raises(RunError, match=r"cannot write .*out/x\.png \(File exists\)"):
        translate_files(Seeing(), [tmp_path / "x.png"], tmp_path / "out")


def test_an_error_of_the_net_names_the_image(tmp_path) -> None:
    picture(tmp_path / "x.png", 8, 8)
    with pytest.raises(CompositionError, match=r"x\.png: the net makes \(4, 4\)"):
        translate_files(as_generator(nn.AvgPool2d(2)), [tmp_path / "x.png"], tmp_path / "out")


def test_files_in_tiles(tmp_path) -> None:
    pixels = picture(tmp_path / "x.png", 40, 24)
    net = Seeing(multiple=4)
    translate_files(net, [tmp_path / "x.png"], tmp_path / "out", tile=16)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "x.png")), pixels)
    assert {tuple(seen.shape[-2:]) for seen in net.seen[1:]} == {(16, 16)}


class Noisy(Seeing):
    """Batch norm and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5)).eval()

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Translation:
        return Translation(self.layers(image) / 4)


def test_files_as_in_training(tmp_path) -> None:
    """Each image has its own statistics and the same dropout, whatever else is translated; the net is left alone."""
    net = Noisy()
    pixels = picture(tmp_path / "in" / "b.png", 16, 12)
    picture(tmp_path / "in" / "a.png", 16, 12, seed=1)
    translate_files(net, [tmp_path / "in"], tmp_path / "all", train_mode=True)
    translate_files(net, [tmp_path / "in" / "b.png"], tmp_path / "one", train_mode=True)
    made = [np.asarray(Image.open(tmp_path / name / "b.png")).astype(float) for name in ("all", "one")]
    assert np.array_equal(*made)
    dropped = made[0] == 128  # 0 is 127.5 levels, rounded up
    assert 0.4 < dropped.mean() < 0.6
    colours = pixels / 127.5 - 1
    normed = (colours - colours.mean((0, 1))) / colours.std((0, 1))
    expected = np.clip(normed / 2 * 127.5 + 127.5, 0, 255)  # twice as much, as half is dropped, of a quarter
    assert np.abs(made[0] - expected)[~dropped].max() <= 1
    assert not any(module.training for module in net.layers.modules())
    assert torch.equal(net.layers[0].running_mean, torch.zeros(3))
    assert torch.equal(net.layers[0].running_var, torch.ones(3))
    assert net.layers[0].num_batches_tracked == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tile": 64}, "--train-mode takes its statistics and its dropout for the whole image; leave out --tile"),
        ({"batch_size": 2}, "--train-mode would mix the statistics of 2 images; use --batch-size 1"),
    ],
)
def test_what_does_not_go_with_train_mode(tmp_path, settings, message) -> None:
    picture(tmp_path / "x.png", 8, 8)
    with pytest.raises(SettingsError, match=message):
        translate_files(Seeing(), [tmp_path / "x.png"], tmp_path / "out", train_mode=True, **settings)


@pytest.mark.parametrize(
    ("reads", "channels", "kind", "message"),
    [
        (PixelFormat(), 5, np.uint8, "has 5 channels, but this model reads 3 channels"),
        (PixelFormat(channels=1), 2, np.uint8, "has 2 channels, but this model reads 1 channel"),
        (PixelFormat(depth=16, range=(0, 4095)), 3, np.uint8,
         "has 8 bits per channel, but this model reads 16 bits, from 0 to 4095"),
        (PixelFormat(), 3, np.float32, r"has values from 0 to 7, but this model reads floats from 0 to 1"),
    ],
)  # fmt: skip
def test_an_image_that_the_model_does_not_read(tmp_path, reads, channels, kind, message) -> None:
    image = np.zeros((4, 6, channels), kind)
    image[0] = 7
    tifffile.imwrite(tmp_path / "x.tif", image, photometric="minisblack", planarconfig="contig")
    picture(tmp_path / "y.tif", 4, 4)
    net = formats(Seeing(), reads)
    with pytest.raises(DataError, match=rf"x\.tif {message}; --skip-bad passes over such files$"):
        translate_files(net, [tmp_path / "x.tif"], tmp_path / "out")


def test_a_file_that_does_not_hold_the_result(tmp_path) -> None:
    net = Seeing()
    picture(tmp_path / "x.png", 4, 4)
    formats(net, PixelFormat(depth=16))
    with pytest.raises(DataError, match=r"made\.bmp: \.bmp holds no 3 channels of 16 bits; use \.png"):
        translate_files(net, [tmp_path / "x.png"], tmp_path / "made.bmp")
    assert not net.seen
    with pytest.raises(DataError, match=r"x\.png would be overwritten by its translation"):
        translate_files(net, [tmp_path / "x.png"], tmp_path / "x.png")


def test_an_image_without_room_is_named_before_the_pass(tmp_path, monkeypatch) -> None:
    picture(tmp_path / "x.png", 1500, 1400)
    (tmp_path / "meminfo").write_text("MemAvailable:   20000 kB\n")
    monkeypatch.setattr(shortage, "_MEMINFO", tmp_path / "meminfo")
    net = Seeing().eval()
    with pytest.raises(OutOfMemoryError, match=r"x\.png: 1500x1400 pixels need 30\.0 MiB to be read, but 19\.5 MiB"):
        translate_files(net, [tmp_path / "x.png"], tmp_path / "out")
    (tmp_path / "meminfo").write_text("MemAvailable:   31000 kB\n")
    with pytest.raises(OutOfMemoryError, match=r"x\.png: 1500x1400 pixels need about 42\.1 MiB in one pass, .*--tile"):
        translate_files(net, [tmp_path / "x.png"], tmp_path / "out")
    assert not net.seen


class OneSize(Seeing):
    """Accepts images of one size only, as a net whose layers look at all pixels at once."""

    def __init__(self, height: int, width: int, **arguments: int) -> None:
        super().__init__(**arguments)
        self.size = (height, width)

    def forward(self, image: Tensor, condition: Tensor | None = None) -> Translation:
        if image.shape[-2:] != self.size:
            raise DataError("an image of another size reached the net")
        return super().forward(image)


def by_planes(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    planes = [Image.fromarray(plane.astype(np.float32)) for plane in np.moveaxis(array, 2, 0)]
    return np.stack([np.asarray(plane.resize(size, Image.Resampling.BICUBIC)) for plane in planes], 2)


def test_fitted_images_go_through_together_and_come_back_at_their_sizes(tmp_path) -> None:
    sizes = {"a.png": (5, 9), "b.bmp": (40, 30), "sub/c.png": (8, 6), "d.jpg": (21, 10)}
    for seed, (name, size) in enumerate(sizes.items()):
        picture(tmp_path / "in" / name, *size, seed=seed)
    net = OneSize(6, 8)
    report = translate_files(net, [tmp_path / "in"], tmp_path / "out", batch_size=4, fit=True)
    assert [tuple(seen.shape) for seen in net.seen] == [(4, 3, 6, 8)]
    assert sorted(report.written) == sorted(tmp_path / "out" / name.replace("jpg", "png") for name in sizes)
    for name, size in sizes.items():
        source = Image.open(tmp_path / "in" / name)
        small = np.asarray(source.resize((8, 6), Image.Resampling.BICUBIC)).astype(np.float32)
        expected = by_planes(small, size).clip(0, 255)
        found = np.asarray(Image.open(tmp_path / "out" / name.replace("jpg", "png")))
        assert found.shape[:2] == size[::-1]
        assert np.abs(found - expected).max() <= 0.501  # rounded once


def test_an_image_that_needs_no_fitting_is_not_resampled(tmp_path) -> None:
    pixels = picture(tmp_path / "a.png", 8, 6)
    translate_files(OneSize(6, 8), [tmp_path / "a.png"], tmp_path / "out", fit=True)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "a.png")), pixels)


def test_fitted_images_are_upright(tmp_path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.full((10, 20, 3), 77, np.uint8)).save(tmp_path / "a.png", exif=exif)
    translate_files(OneSize(8, 8), [tmp_path / "a.png"], tmp_path / "out", fit=True)
    with Image.open(tmp_path / "out" / "a.png") as made:
        assert made.size == (10, 20)
        assert not made.getexif()


def test_fitted_images_keep_their_depth(tmp_path) -> None:
    array = deep_picture(tmp_path / "x.tif", 5, np.uint16)
    net = formats(OneSize(6, 8), PixelFormat(channels=5, depth=16))
    (written,) = translate_files(net, [tmp_path / "x.tif"], tmp_path / "out", fit=True).written
    expected = by_planes(by_planes(array, (8, 6)).round().clip(0, 65535), (14, 9)).clip(0, 65535)
    found = tifffile.imread(written)
    assert found.dtype == np.uint16
    assert np.abs(found - expected).max() <= 0.51


def test_what_lies_beyond_white_does_not_spread_when_it_is_brought_back(tmp_path) -> None:
    class Glaring(OneSize):
        def forward(self, image: Tensor, condition: Tensor | None = None) -> Translation:
            made = torch.full_like(image, -1.0)
            made[..., 2, 2] = 9.0
            return Translation(made)

    picture(tmp_path / "a.png", 32, 32)
    translate_files(Glaring(8, 8), [tmp_path / "a.png"], tmp_path / "out", fit=True)
    spot = np.zeros((8, 8, 3))
    spot[2, 2] = 255
    found = np.asarray(Image.open(tmp_path / "out" / "a.png"))
    assert np.abs(found - by_planes(spot, (32, 32)).clip(0, 255)).max() <= 0.501


def test_fitted_colours_keep_the_lightness_of_their_source(tmp_path) -> None:
    source = np.random.default_rng(0).integers(60, 200, (24, 30), dtype=np.uint8)
    Image.fromarray(source).save(tmp_path / "x.png")

    class Red(OneSize):
        def forward(self, image: Tensor, condition: Tensor | None = None) -> Translation:
            super().forward(image)
            chroma = torch.tensor([30.0, 20.0]).view(1, 2, 1, 1) / 110
            return Translation(chroma.expand(len(image), 2, *image.shape[2:]))

    net = Red(8, 8)
    net.reads = PixelFormat(channels=1, colours="lightness")  # type: ignore[assignment]
    net.writes = PixelFormat(channels=2, colours="chroma")  # type: ignore[assignment]
    (written,) = translate_files(net, [tmp_path / "x.png"], tmp_path / "out", fit=True).written
    lab = color.rgb2lab(np.repeat(source[..., None], 3, 2))
    lab[..., 1:] = 30, 20
    assert np.abs(np.asarray(Image.open(written)) - color.lab2rgb(lab) * 255).max() <= 0.51


def test_an_image_of_another_size_is_named_before_anything_is_translated(tmp_path) -> None:
    picture(tmp_path / "in" / "a.png", 8, 6)
    picture(tmp_path / "in" / "b.png", 6, 8)
    net = OneSize(6, 8)
    with pytest.raises(DataError) as caught:
        translate_files(net, [tmp_path / "in"], tmp_path / "out")
    assert str(caught.value) == (
        f"{tmp_path / 'in' / 'b.png'} is 6x8, but this model was built for 8x6; "
        "use --fit, which brings images to that size and results back"
    )
    assert not net.seen
    assert not (tmp_path / "out").exists()
    report = translate_files(net, [tmp_path / "in"], tmp_path / "out", skip_bad=True)
    assert report.written == [tmp_path / "out" / "a.png"]
    assert report.skipped == [str(caught.value)]


def test_another_size_may_become_the_right_one_by_size_or_by_what_the_net_continues(tmp_path) -> None:
    picture(tmp_path / "a.png", 40, 30)
    assert translate_files(OneSize(6, 8), [tmp_path / "a.png"], tmp_path / "out", size=6).written
    with pytest.raises(DataError, match=r"a\.png is 40x30 \(9x7 by --size 7\), but this model was built for 8x6; use"):
        translate_files(OneSize(6, 8), [tmp_path / "a.png"], tmp_path / "out", size=7)
    picture(tmp_path / "b.png", 7, 5)
    net = OneSize(8, 8, multiple=4)
    assert translate_files(net, [tmp_path / "b.png"], tmp_path / "out").written
    assert Image.open(tmp_path / "out" / "b.png").size == (7, 5)


def test_a_file_that_cannot_be_read_is_still_said_when_it_is_reached(tmp_path) -> None:
    folder = bad_folder(tmp_path)
    with pytest.raises(DataError, match=r"cut\.png .*--skip-bad passes over such files$"):
        translate_files(OneSize(50, 50), [folder / "cut.png", folder / "text.png"], tmp_path / "out")


@pytest.mark.parametrize(
    ("net", "settings", "message"),
    [
        (Seeing(), {"fit": True},
         "--fit is for models that accept one size only; this one accepts others, so leave it out"),
        (OneSize(6, 8), {"fit": True, "size": 6}, "--fit brings images to the size of the model; leave out --size"),
        (OneSize(6, 8), {"fit": True, "size": 6, "tile": 6},
         "--fit brings images to the size of the model; leave out --size and --tile"),
        (OneSize(6, 8), {"tile": 6}, "this model was built for 8x6 and translates no tiles; use --fit, not --tile"),
    ],
)  # fmt: skip
def test_what_does_not_go_with_fit(tmp_path, net, settings, message) -> None:
    picture(tmp_path / "a.png", 8, 6)
    with pytest.raises(SettingsError) as caught:
        translate_files(net, [tmp_path / "a.png"], tmp_path / "out", **settings)
    assert str(caught.value) == message
    assert not (tmp_path / "out").exists()
