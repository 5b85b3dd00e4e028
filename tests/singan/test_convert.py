"""The authors' folders: built here from the table of their layout, and computed here by plain functions."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import i2i
from benchmarks.reference import singan as authors
from i2i.cli import main
from i2i.convert import convert_files
from i2i.errors import ModelError
from i2i_singan.convert import factor_of, singan
from i2i_singan.model import PyramidGenerator

Sizes = tuple[tuple[int, int], ...]
OLD_FORMAT = {"_use_new_zipfile_serialization": False}


def pyramid(height: int, width: int, least: int, steps: int) -> Sizes:
    """The sizes of the authors' levels: the shorter side shrinks to ``least`` in ``steps`` equal steps."""
    factor = math.pow(least / min(height, width), 1 / steps)
    scales = [math.pow(factor, steps - k) for k in range(steps + 1)]
    return tuple((math.ceil(height * scale), math.ceil(width * scale)) for scale in scales)


SIZES = pyramid(26, 31, 12, 3)


class Training:
    """What a training of the authors' code leaves; every number is drawn."""

    def __init__(
        self,
        sizes: Sizes = SIZES,
        *,
        channels: int = 3,
        widths: Sequence[int] = (2, 2, 2, 3),
        layers: int = 5,
        kernel: int = 3,
        noise_padding: bool = False,
        norm_width: int | None = None,
    ) -> None:
        self.draw = torch.Generator().manual_seed(5)
        self.reach = (kernel - 1) * layers // 2
        self.reals = [2 * torch.rand(1, channels, *size, generator=self.draw) - 1 for size in sizes]
        self.nets = [self.net(channels, width, layers, kernel) for width in widths]
        self.amplitudes: list[Any] = [1, *(torch.tensor(0.05 * k) for k in range(1, len(sizes)))]
        self.noise = [torch.zeros(1, channels, h + 2 * self.reach, w + 2 * self.reach) for h, w in sizes]
        height, width = self.noise[0].shape[2:] if noise_padding else sizes[0]
        drawn = self.random(1, 1, height, width).expand(1, channels, height, width)
        self.noise[0] = drawn if noise_padding else F.pad(drawn, (self.reach,) * 4)

    def random(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.draw)

    def net(self, channels: int, width: int, layers: int, kernel: int) -> dict[str, Tensor]:
        """The state_dict of one generator."""
        weights = {}
        for block in range(layers - 1):
            key = f"body.block{block}" if block else "head"
            weights[f"{key}.conv.weight"] = self.random(width, width if block else channels, kernel, kernel) * 0.2
            weights[f"{key}.conv.bias"] = self.random(width) * 0.1
            weights[f"{key}.norm.weight"] = 1 + self.random(width) * 0.1
            weights[f"{key}.norm.bias"] = self.random(width) * 0.1
            weights[f"{key}.norm.running_mean"] = self.random(width) * 0.1
            weights[f"{key}.norm.running_var"] = 0.5 + self.random(width).abs()
            weights[f"{key}.norm.num_batches_tracked"] = torch.tensor(12000)
        weights["tail.0.weight"] = self.random(channels, width, kernel, kernel) * 0.2
        weights["tail.0.bias"] = self.random(channels) * 0.1
        return weights

    def save(self, folder: Path, *, nets: int | None = None, lists: int | None = None, **options: Any) -> Path:
        """Write the folder; ``nets`` and ``lists``: of how many scales, where it was interrupted."""
        folder.mkdir(parents=True)
        for k, net in enumerate(self.nets[:nets]):
            (folder / str(k)).mkdir()
            torch.save(net, folder / str(k) / "netG.pth", **options)
        torch.save(self.noise[:lists], folder / "Zs.pth", **options)
        torch.save(self.amplitudes[:lists], folder / "NoiseAmp.pth", **options)
        torch.save(self.reals, folder / "reals.pth", **options)
        return folder

    def made(self, factor: float) -> Tensor:
        """The image of the kept noise, in eval mode, with no noise above."""
        image = torch.zeros_like(self.reals[0])
        for k, (net, real) in enumerate(zip(self.nets, self.reals, strict=True)):
            if k:
                image = authors.imresize(image, 1 / factor)[:, :, : real.shape[2], : real.shape[3]]
            prior = F.pad(image, (self.reach,) * 4)
            image = authors.generate(net, self.amplitudes[k] * self.noise[k] + prior, prior, training=False)
        return image


def converted(training: Training, folder: Path, **options: Any) -> PyramidGenerator:
    """Through the folder of the model, as ``i2i convert`` and ``i2i.load``."""
    training.save(folder, **options)
    convert_files("singan", [folder], folder.parent / "model")
    net = i2i.load(folder.parent / "model")
    assert isinstance(net, PyramidGenerator)
    return net


@pytest.mark.parametrize("noise_padding", [False, True])
@pytest.mark.parametrize("options", [{}, OLD_FORMAT], ids=["zip", "old"])
def test_the_kept_noise_gives_what_the_authors_nets_give(tmp_path, noise_padding, options):
    training = Training(noise_padding=noise_padding)
    model = converted(training, tmp_path / "birds", **options)
    factor = (12 / 26) ** (1 / 3)
    assert (model.factor, model.noise_padding, model.reference) == (pytest.approx(factor), noise_padding, True)
    assert model.sizes == SIZES
    with torch.no_grad():
        made = model(model[0].noise).image
    torch.testing.assert_close(made, training.made(factor), rtol=0, atol=2e-5)


def test_every_number_of_the_folder_is_kept(tmp_path):
    training = Training()
    model = converted(training, tmp_path / "birds")
    for scale, net, real, amplitude in zip(model, training.nets, training.reals, training.amplitudes, strict=True):
        kept = {key: value for key, value in net.items() if not key.endswith("num_batches_tracked")}
        held = scale.net.state_dict()
        assert held.keys() == kept.keys()
        assert all(torch.equal(held[key], value) for key, value in kept.items())
        assert torch.equal(scale.image, real)
        assert scale.amplitude == amplitude
    assert torch.equal(model[0].noise, training.noise[0][:, :, 5:-5, 5:-5])
    assert (model.reads.channels, model.writes.depth) == (3, 8)


@pytest.mark.parametrize(
    "changes",
    [
        {"channels": 1},
        {"layers": 3, "widths": (4, 4, 4, 8)},
        {"kernel": 5, "layers": 2},
    ],
)
def test_what_the_shapes_say_is_inferred(tmp_path, changes):
    training = Training(**changes)
    model = converted(training, tmp_path / "birds")
    with torch.no_grad():
        made = model(model[0].noise).image
    torch.testing.assert_close(made, training.made(model.factor), rtol=0, atol=2e-5)
    assert model.reads.channels == changes.get("channels", 3)
    assert model.reach == training.reach


# The sizes of the finest levels, the levels, the factors, the sizes of the coarsest: a table of the authors' code.
@pytest.mark.parametrize(
    ("finest", "levels", "factor", "coarsest"),
    [
        ((188, 250), 10, 0.799176, (26, 34)),
        ((250, 250), 11, 0.794328, (25, 25)),
        ((157, 250), 9, 0.794795, (25, 40)),
        ((202, 250), 9, 0.770147, (26, 31)),
        ((164, 244), 9, 0.790473, (25, 38)),
    ],
)
def test_the_factor_is_found_from_the_sizes(finest, levels, factor, coarsest):
    sizes = pyramid(*finest, 25, levels - 1)
    assert sizes[0] == coarsest
    assert factor_of(sizes) == pytest.approx(factor, abs=5e-7)


def test_the_shorter_side_decides_where_both_would_do():
    assert factor_of(((33, 25), (44, 34), (59, 45))) == pytest.approx((25 / 45) ** (1 / 2))


def test_the_factor_of_early_versions_which_went_by_the_height():
    factor = (25 / 180) ** (1 / 7)
    sizes = tuple((math.ceil(180 * factor**k), math.ceil(120 * factor**k)) for k in range(7, -1, -1))
    assert sizes[0] == (25, 17)
    assert factor_of(sizes) == pytest.approx(factor)


@pytest.mark.parametrize("sizes", [((25, 33),), ((25, 33), (40, 33)), ((33, 43), (25, 33)), ((25, 33), (30, 60))])
def test_sizes_that_are_no_pyramid(sizes):
    with pytest.raises(ModelError, match="holds levels of sizes that no pyramid of SinGAN has: "):
        factor_of(sizes)


def test_an_interrupted_training_gives_the_scales_that_are_finished(tmp_path):
    training = Training()
    training.save(tmp_path / "birds", nets=3, lists=2)
    with pytest.warns(UserWarning, match=r"birds: 2 of 4 scales are trained; the model makes images of 16x19$"):
        (model,) = singan(tmp_path / "birds").values()
    assert model.sizes == SIZES[:2]
    assert model.factor == pytest.approx((12 / 26) ** (1 / 3))


def test_the_name_of_the_picture_is_that_of_the_model(tmp_path):
    options = ("scale_factor=0.750000,alpha=10", "scale_factor=0.750000_paint/start_scale=2", "")
    folders = [Training().save(tmp_path / f"{k}" / "starry night" / option) for k, option in enumerate(options)]
    assert [list(singan(folder)) for folder in folders] == [["starry-night"]] * 3


# Gs.pth: whole modules of the authors' classes.

CLASSES = """
from torch import nn

class ConvBlock(nn.Sequential):
    def __init__(self, channels, width, kernel):
        super().__init__()
        self.add_module("conv", nn.Conv2d(channels, width, kernel))
        self.add_module("norm", nn.BatchNorm2d(width))
        self.add_module("LeakyRelu", nn.LeakyReLU(0.2, inplace=True))

class GeneratorConcatSkip2CleanAdd(nn.Module):
    def __init__(self, channels, width):
        super().__init__()
        self.is_cuda = True
        self.head = ConvBlock(channels, width, 3)
        self.body = nn.Sequential()
        for index in range(3):
            self.body.add_module(f"block{index + 1}", ConvBlock(width, width, 3))
        self.tail = nn.Sequential(nn.Conv2d(width, channels, 3), nn.Tanh())

    def __setstate__(self, state):
        raise SystemExit("this code was run")
"""


@pytest.fixture
def whole(tmp_path, monkeypatch) -> Callable[..., Path]:
    """``whole(training, nets)``: a folder with Gs.pth, and with the files of the first ``nets`` scales."""

    def make(training: Training, nets: int, **options: Any) -> Path:
        module = ModuleType("SinGAN.models")
        exec(CLASSES, vars(module))
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "SinGAN", ModuleType("SinGAN"))
            patch.setitem(sys.modules, "SinGAN.models", module)
            made: list[nn.Module] = []
            for weights in training.nets:
                width, channels = weights["head.conv.weight"].shape[:2]
                made.append(module.GeneratorConcatSkip2CleanAdd(channels, width))
                made[-1].load_state_dict(weights)
            folder = training.save(tmp_path / "birds", nets=nets)
            torch.save(made, folder / "Gs.pth", **options)
        return folder

    return make


@pytest.mark.parametrize("nets", [0, 3])
def test_whole_modules_give_the_same_model_and_are_not_run(whole, tmp_path, nets):
    training = Training()
    (found,) = singan(whole(training, nets)).values()
    (expected,) = singan(training.save(tmp_path / "plain")).values()
    held, wanted = found.state_dict(), expected.state_dict()
    assert held.keys() == wanted.keys()
    assert all(torch.equal(held[key], value) for key, value in wanted.items())


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
def test_whole_modules_of_the_old_format_are_refused_and_not_needed(whole):
    folder = whole(Training(), 4, **OLD_FORMAT)
    assert len(singan(folder)["birds"]) == 4
    (folder / "1" / "netG.pth").unlink()
    (folder / "2" / "netG.pth").unlink()
    with pytest.raises(ModelError) as caught:
        singan(folder)
    assert str(caught.value) == (
        f"{folder / 'Gs.pth'}: holds whole modules in the old format of PyTorch and was not opened; where it was made, "
        "save net.state_dict() instead; or give the files of the scales that training wrote: 1/netG.pth, 2/netG.pth"
    )


def test_code_in_a_folder_is_not_run(whole, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    folder = whole(Training(), 0)
    torch.save([Touch()], folder / "Gs.pth")
    with pytest.raises(ModelError, match=r"Gs\.pth: holds more than weights \(\w+\.mkdir\), which could run code"):
        singan(folder)
    torch.save([Touch()], folder / "NoiseAmp.pth")
    with pytest.raises(ModelError, match=r"NoiseAmp\.pth: holds more than weights"):
        singan(folder)
    assert not Path("ran").exists()


class Touch:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("ran",)


# What is wrong with a folder is said in one line.


OTHERS = pyramid(20, 31, 12, 3)


def changed(what: str, value: Any) -> Training:
    training = Training()
    setattr(training, what, value)
    return training


def without(*keys: str) -> Training:
    training = Training()
    for key in keys:
        del training.nets[1][key]
    return training


def failed(key: str) -> Training:
    training = Training()
    training.nets[2][key][0] = math.nan
    return training


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: without("tail.0.weight"), "1/netG.pth: holds no generator of SinGAN; found 29 entries: "),
        (lambda: without("tail.0.bias"), ": does not fit pyramid_generator: scales.1.net.tail.0.bias [3] is missing; "),
        (lambda: failed("tail.0.bias"), "2/netG.pth: 'tail.0.bias' is not finite: the training had failed by then"),
        (lambda: changed("reals", {"a": 1}), "reals.pth: holds a dict, not a list"),
        (lambda: changed("reals", ["a"]), "reals.pth: level 0 should be a tensor, not str"),
        (lambda: changed("reals", [torch.zeros(3, 8, 8)]), "level 0 should be an image (1, channels, height, width), "),
        (lambda: changed("reals", Training(channels=1).reals), "should be [1, 1, 22, 25], with its border, not [1"),
        (lambda: changed("reals", Training(OTHERS).reals), "Zs.pth: the noise of the coarsest scale should be [1, 3, "),
        (lambda: changed("noise", [3.0] * 4), "with its border, not float"),
        (lambda: changed("noise", []), "birds: no scale of it is trained"),
        (lambda: changed("amplitudes", [1, "a", 2, 3]), "NoiseAmp.pth: entry 1 should be a tensor, not str"),
        (lambda: changed("amplitudes", [torch.ones(2)] * 4), "NoiseAmp.pth: entry 0 should be a number, not [2]"),
        (lambda: changed("amplitudes", [math.inf] * 4), "NoiseAmp.pth: 'entry 0' is not finite"),
        (lambda: changed("nets", Training().nets[:3]), "birds holds 4 scales, but neither 3/netG.pth nor Gs.pth"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(tmp_path, make, message):
    folder = make().save(tmp_path / "birds")
    with pytest.raises(ModelError) as caught:
        singan(folder)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(folder))
    assert "\n" not in str(caught.value)


MISSING = "holds a dict, not a list; or give the files of the scales that training wrote: 2/netG.pth, 3/netG.pth"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "holds 0 scales, but Zs.pth 4; they are not of one training"),
        ([1, 2, 3, 4], "it is no module, but int"),
        ([nn.Conv2d(3, 2, 3)] * 4, "holds no generator of SinGAN; found 2 entries: 'weight' [2, 3, 3, 3], 'bias' [2]"),
        ({"a": 1}, MISSING),
    ],
)
def test_other_things_in_the_file_of_whole_modules(whole, content, message):
    folder = whole(Training(), 2)
    torch.save(content, folder / "Gs.pth")
    with pytest.raises(ModelError) as caught:
        singan(folder)
    assert str(caught.value) == f"{folder / 'Gs.pth'}: {message}"


def test_the_folder_around_the_folder(tmp_path):
    inner = Training().save(tmp_path / "birds" / "scale_factor=0.750000,alpha=10")
    with pytest.raises(ModelError) as caught:
        singan(tmp_path / "birds")
    assert str(caught.value) == (
        f"{tmp_path / 'birds'} holds no reals.pth, which SinGAN's training writes after its first scale; "
        f"name a folder in it, such as {inner}"
    )
    (inner / "Zs.pth").unlink()
    with pytest.raises(ModelError, match=r"holds no Zs\.pth, which SinGAN's training writes after its first scale$"):
        singan(inner)


def test_the_command(tmp_path, capsys):
    folder = Training().save(tmp_path / "birds" / "scale_factor=0.750000,alpha=10", lists=3)
    assert main(["convert", "singan", str(folder), "--out", str(tmp_path / "model")]) == 0
    said = capsys.readouterr()
    assert said.err == f"i2i: {folder}: 3 of 4 scales are trained; the model makes images of 21x24\n"
    assert said.out.startswith(f"{folder}: singan/pyramid_generator, ")
    assert main(["convert", "singan", str(folder / "Zs.pth"), "--out", str(tmp_path / "other")]) == 2
    assert f"Zs.pth is a file; name the folder that holds it: {folder}\n" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
