from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import imagecodecs
import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from skimage.data import coffee
from skimage.io import imread

import i2i
from i2i.cli.flags import call
from i2i.errors import I2IError
from i2i.pixels import PixelFormat
from i2i.settings import RunSettings
from i2i.toml import write_settings
from i2i_singan.apps.animate import animate
from i2i_singan.commands import sample as commands
from i2i_singan.model import PyramidGenerator, pyramid_generator
from i2i_singan.sampling import generate, reconstruct
from i2i_singan.settings import Settings

SIZES = ((18, 25), (24, 32))


def photograph(size: tuple[int, int]) -> torch.Tensor:
    """A real photograph, ``(1, 3, h, w)``."""
    small = Image.fromarray(coffee()).resize(size[::-1], Image.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(small) / np.float32(127.5) - 1).permute(2, 0, 1)[None]


def pyramid(**options: Any) -> PyramidGenerator:
    torch.manual_seed(0)
    net = pyramid_generator(SIZES, (2, 2), factor=0.77, layers=2, **options).eval().requires_grad_(False)
    for k, scale in enumerate(net):
        for value in scale.net.parameters():
            value.copy_(torch.randn_like(value))
        scale.image.copy_(photograph(SIZES[k]))
        scale.amplitude.fill_(0.5 if k else 1)
        if scale.noise is not None:
            scale.noise.normal_()
    return net


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return i2i.save(pyramid(), tmp_path_factory.mktemp("run") / "model")


def run(command: str, model: Path, out: Path, *flags: str) -> None:
    call(
        getattr(commands, command), [str(model), "--out", str(out), "--device", "cpu", *flags], f"i2i singan {command}"
    )


def levels(image: torch.Tensor, full: int = 255) -> Any:
    return np.rint((image.clamp(-1, 1).permute(1, 2, 0).double().numpy() + 1) / 2 * full)


def test_samples(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("sample", model, tmp_path / "out", "--count", "3", "--seed", "2", "--scale-h", "2", "--scale-v", "0.5")
    for index, made in enumerate(generate(pyramid(), 3, seed=2, scale_h=2, scale_v=0.5)):
        image = imread(tmp_path / "out" / f"sample-{index:03}.png")
        assert image.shape == (12, 64, 3)
        assert abs(image - levels(made)).max() <= 1
    assert capsys.readouterr().out == f"3 samples: {tmp_path}/out/sample-000.png to sample-002.png\n"
    run("sample", model, tmp_path / "out", "--count", "1", "--start-scale", "1", "--tile", "5")
    (made,) = generate(pyramid(), start_scale=1)
    assert abs(imread(tmp_path / "out" / "sample-000.png") - levels(made)).max() <= 1
    assert capsys.readouterr().out == f"1 sample: {tmp_path}/out/sample-000.png\n"
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_fifty_samples_when_nothing_is_said(model: Path, tmp_path: Path) -> None:
    run("sample", model, tmp_path)
    assert len({path.read_bytes() for path in tmp_path.glob("sample-*.png")}) == 50


def test_samples_of_sixteen_bits(tmp_path: Path) -> None:
    net = pyramid()
    net.reads = net.writes = PixelFormat(depth=16)  # type: ignore[assignment]
    run("sample", i2i.save(net, tmp_path / "model"), tmp_path / "out", "--count", "1")
    image = imagecodecs.imread(tmp_path / "out" / "sample-000.png")
    assert image.dtype == np.uint16
    assert abs(image - levels(generate(net)[0], 65535)).max() <= 1


def test_the_photograph_of_the_fixed_noise(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = pyramid()
    found = reconstruct(net)
    run("reconstruct", model, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["reconstruction.png"]
    image = imread(tmp_path / "reconstruction.png")
    assert abs(image - levels(found[-1][0])).max() <= 1
    error = np.sqrt(((image / 127.5 - 1 - net[-1].image[0].permute(1, 2, 0).numpy()) ** 2).mean()) / 2 * 100
    said = capsys.readouterr().out
    assert said.startswith("scale 1, 32x24: ")
    assert float(said.split()[3]) == pytest.approx(error, abs=0.3)
    assert said.endswith(f"{tmp_path}/reconstruction.png\n")
    run("reconstruct", model, tmp_path / "all", "--all-scales", "--reference")
    own = reconstruct(net, train_mode=True)
    for k in (0, 1):
        image = imread(tmp_path / "all" / f"reconstruction-scale-{k}.png")
        cut = np.floor((own[k][0].clamp(-1, 1).permute(1, 2, 0).double().numpy() + 1) / 2 * 255)
        assert abs(image - cut).max() <= 1
        assert abs(image - cut).mean() < 0.01


def test_several_photographs(tmp_path: Path) -> None:
    folder = i2i.save(pyramid(images=2), tmp_path / "model")
    run("reconstruct", folder, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "reconstruction-image-000.png",
        "reconstruction-image-001.png",
    ]


def test_the_films_of_the_paper(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    net = pyramid_generator((*SIZES, (30, 40)), (2, 2, 2), factor=0.77, layers=2)
    run("animate", i2i.save(net, tmp_path / "model"), tmp_path / "out", "--as-is", "--frames", "2")
    names = {f"start-{k}-alpha-0.1-beta-{beta}.gif" for k in (0, 1, 2) for beta in ("0.8", "0.85", "0.9", "0.95")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    assert set(capsys.readouterr().out.split()) == {str(tmp_path / "out" / name) for name in names}
    with Image.open(tmp_path / "out" / "start-0-alpha-0.1-beta-0.95.gif") as film:
        assert (film.size, film.n_frames, film.info["duration"]) == ((40, 30), 2, 100)  # type: ignore[attr-defined]


def test_a_film_of_every_kind(tmp_path: Path) -> None:
    model = i2i.save(pyramid(noise_padding=True), tmp_path / "model")  # needs no training of another one
    flags = ["--start-scale", "1", "--alpha", "0.2", "--beta", "0.5", "--frames", "4", "--fps", "20"]
    for kind in ("gif", "webp", "mp4"):
        run("animate", model, tmp_path / "out", *flags, "--format", kind)
    name = str(tmp_path / "out" / "start-1-alpha-0.2-beta-0.5.")
    for kind in ("gif", "webp"):
        with Image.open(name + kind) as film:
            assert film.n_frames == 4  # type: ignore[attr-defined]
            film.seek(3)
            last = np.asarray(film.convert("RGB")).astype(int)
            assert film.info["duration"] == 50
    with av.open(name + "mp4") as clip:
        frames = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]
        assert (len(frames), clip.duration) == (4, 200_000)
    luma = np.array([0.299, 0.587, 0.114])  # a film has colours at half the resolution
    assert np.corrcoef((frames[3] @ luma).ravel(), (last @ luma).ravel())[0, 1] > 0.98


def test_films_of_a_model_that_is_trained_for_them_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    i2i.save(pyramid(), tmp_path / "run" / "model")
    settings = Settings(steps=5, min_size=24, base_width=2, layers=2, scale_factor=0.5)
    write_settings(tmp_path / "run" / "settings.toml", "singan", RunSettings(precision="fp32"), settings)
    flags = ["--start-scale", "1", "--beta", "0.9", "--frames", "3", "--steps", "1"]
    run("animate", tmp_path / "run", tmp_path / "first", *flags)
    name = "start-1-alpha-0.1-beta-0.9.gif"
    assert "training singan" in capsys.readouterr().out
    trained = i2i.load(tmp_path / "run" / "animation" / "model")
    assert trained.noise_padding
    assert trained.sizes[0] in ((20, 27), (21, 28))  # 20 pixels, as in the paper; the last bit of the factor decides
    assert trained.sizes[-1] == SIZES[-1]
    with Image.open(tmp_path / "first" / name) as film:
        pictures = [np.asarray(frame.convert("RGB")).astype(int) for frame in ImageSequence.Iterator(film)]
    made = animate(trained, start_scale=1, frames=3)
    assert all(abs(picture - levels(frame[0])).mean() < 6 for picture, frame in zip(pictures, made, strict=True))
    run("animate", tmp_path / "run", tmp_path / "second", *flags[:-2])  # the batches that it was begun with
    assert "training singan" not in capsys.readouterr().out
    assert (tmp_path / "second" / name).read_bytes() == (tmp_path / "first" / name).read_bytes()
    # Without --start-scale, films of all scales of the paper that there are: those of what is animated count.
    run("animate", tmp_path / "run", tmp_path / "all", "--beta", "0.9", "--frames", "2")
    made = sorted(path.name for path in (tmp_path / "all").iterdir())
    assert made == [f"start-{k}-alpha-0.1-beta-0.9.gif" for k in range(min(3, len(trained)))]
    with pytest.raises(I2IError, match=rf"start_scale \(=5\) must lie between 0.*{len(trained) - 1}, the finest"):
        run("animate", tmp_path / "run", tmp_path / "none", "--start-scale", "5")


def test_steps_are_for_the_training_of_another_model(model: Path, tmp_path: Path) -> None:
    with pytest.raises(I2IError, match=r"--steps \(=5\) is for the training before; this model is animated as it is"):
        run("animate", model, tmp_path, "--as-is", "--steps", "5")


@pytest.mark.parametrize(
    ("command", "flags", "message"),
    [
        ("sample", ["--count", "0"], r"count \(=0\) must be a whole number of at least 1"),
        ("sample", ["--start-scale", "2"], r"start_scale \(=2\) must lie between 0, the coarsest scale, and 1"),
        ("sample", ["--scale-h", "0"], r"scale_h \(=0\) must be a number above 0"),
        ("sample", ["--scale-v", "-1"], r"scale_v \(=-1\) must be a number above 0"),
        ("sample", ["--seed", "-1"], r"seed \(=-1\) must be a whole number of at least 0"),
        (
            "animate",
            ["--start-scale", "0", "5", "--as-is"],
            r"start_scale \(=5\) must lie between 0, the coarsest scale, and 1",
        ),
        ("animate", ["--start-scale", "0", "--beta", "2"], r"beta \(=2\) must lie between 0 and 1"),
        ("animate", ["--start-scale", "0", "--frames", "0"], r"frames \(=0\) must be a whole number of at least 1"),
        ("animate", ["--start-scale", "0", "--fps", "500"], r"500 frames per second: \.gif can show 0\.1 to 100"),
        ("animate", ["--format", "avi"], r"--format: 'avi' must be one of .gif., .webp., .mp4."),
    ],
)
def test_mistakes_are_told_before_anything_is_made(
    model: Path, tmp_path: Path, command: str, flags: list[str], message: str
) -> None:
    with pytest.raises(I2IError, match=message) as told:
        run(command, model, tmp_path / "out", *flags)
    assert "\n" not in str(told.value)
    assert not list(tmp_path.rglob("*.*"))
    assert [path.name for path in model.parent.iterdir()] == ["model"]


def test_a_sample_that_needs_too_much_memory(model: Path, tmp_path: Path) -> None:
    with pytest.raises(I2IError, match=r"a sample of 1e\+09 times the width .*: out of memory.*a smaller --tile"):
        run("sample", model, tmp_path, "--count", "1", "--scale-h", "1e9", "--scale-v", "1e3")
