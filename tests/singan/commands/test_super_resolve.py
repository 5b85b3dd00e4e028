from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import skimage
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage.io import imread, imsave
from skimage.metrics import peak_signal_noise_ratio

from i2i.cli.flags import call
from i2i.errors import DataError, ModelError, RunError, SettingsError
from i2i.models import load, save
from i2i.pixels import PixelFormat
from i2i.settings import RunSettings
from i2i.toml import write_settings
from i2i_singan.commands.super_resolve import super_resolve
from i2i_singan.model import pyramid_generator
from i2i_singan.settings import Settings

SIZE = (20, 27)
SETTINGS = Settings(steps=1, base_width=3, layers=3, discriminator_moves=1, generator_moves=1)
NAMES = ("super-resolution", "bicubic")


def photograph(height: int, width: int) -> NDArray[np.uint8]:
    """A real photograph, ``(h, w, 3)``."""
    return np.asarray(Image.fromarray(skimage.data.coffee()).resize((width, height), Image.Resampling.BICUBIC))


def trained(run: Path, images: int = 1, size: tuple[int, int] = SIZE) -> Path:
    """A run whose model has new weights."""
    torch.manual_seed(0)
    model = pyramid_generator(((12, 16), size), (3, 3), factor=12 / size[0], layers=3, images=images)
    model[-1].image.copy_(torch.from_numpy(photograph(*size) / 127.5 - 1).permute(2, 0, 1))
    model.reads = model.writes = PixelFormat()
    save(model, run / "model")
    write_settings(run / "settings.toml", "singan", RunSettings(sample_every=0, precision="fp32"), SETTINGS)
    return run


def enlarge(*arguments: object) -> None:
    call(super_resolve, [str(argument) for argument in (*arguments, "--device", "cpu")], "i2i singan super-resolve")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was enlarged by 1.5 already; not to be changed."""
    run = trained(tmp_path_factory.mktemp("finished") / "run")
    enlarge(run / "model", "--factor", "1.5", "--out", run.with_name("out"))
    return run


def written(folder: Path) -> dict[str, NDArray[np.uint8]]:
    return {path.name: imread(path) for path in folder.iterdir()}


def measured(image: NDArray[np.uint8], truth: NDArray[np.uint8]) -> tuple[float, float]:
    """PSNR in decibels, and sharpness as a share of that of the truth."""

    def sharp(levels: NDArray[np.uint8]) -> float:
        laplacians = [scipy.ndimage.laplace(channel.astype(float))[1:-1, 1:-1] for channel in levels.transpose(2, 0, 1)]
        return float(np.abs(laplacians).mean())

    return float(peak_signal_noise_ratio(truth, image)), sharp(image) / sharp(truth)


def test_the_photograph_is_enlarged(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = written(finished.with_name("out"))
    assert {name: image.shape for name, image in first.items()} == {f"{name}-1.5.png": (30, 40, 3) for name in NAMES}
    assert (finished / "super-resolution-1.5" / "model" / "config.json").is_file()
    enlarge(finished, "--factor", "1.5", "--out", tmp_path / "a")  # the run, not its model
    *paths, told = capsys.readouterr().out.splitlines()
    assert paths == [str(tmp_path / "a" / f"{name}-1.5.png") for name in NAMES]
    own, bicubic = (measured(first[f"{name}-1.5.png"], photograph(30, 40))[1] for name in NAMES)
    words = re.fullmatch(r"(\d\.\d\d) times as sharp as bicubic; whether its details are right, .*--truth.*", told)
    assert words is not None
    assert float(words[1]) == pytest.approx(own / bicubic, abs=0.06)  # what is written is rounded
    assert all(np.array_equal(image, first[name]) for name, image in written(tmp_path / "a").items())

    # In the middle, where Pillow treats no border otherwise, it is what bicubic enlargement gives.
    small = Image.fromarray(photograph(*SIZE))
    pillow = np.asarray(small.resize((40, 30), Image.Resampling.BICUBIC, (0, 0, 40 / 1.5, 20)))
    difference = first["bicubic-1.5.png"].astype(int) - pillow
    assert np.abs(difference[4:-4, 4:-4]).max() <= 2  # it rounds twice


def test_seed_and_noise(finished: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    model = load(run / "super-resolution-1.5" / "model")
    model.scales[-1].amplitude.fill_(20.0)  # one batch leaves the net too weak to show it
    save(model, run / "super-resolution-1.5" / "model")
    flags = {"a": ["--seed", "1"], "b": ["--no-noise"], "c": ["--no-noise", "--seed", "1", "--tile", "16"]}
    for name, given in flags.items():
        enlarge(run, "--factor", "1.5", "--out", tmp_path / name, *given)
    found = [written(tmp_path / name)["super-resolution-1.5.png"].astype(int) for name in flags]
    assert np.abs(found[1] - found[2]).max() <= 1
    assert np.abs(found[0] - found[1]).max() > 1


def test_the_truth_is_compared_with_both(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = photograph(30, 41)  # a column more: 1.5 x 27 = 40.5
    imsave(tmp_path / "truth.png", truth)
    enlarge(finished, "--factor", "1.5", "--out", tmp_path / "out", "--truth", tmp_path / "truth.png")
    images = written(tmp_path / "out")
    *_, head, first, second, last = capsys.readouterr().out.splitlines()
    assert head.split() == ["PSNR", "sharpness"]
    expected = {name: measured(images[f"{name}-1.5.png"], truth[:, :40]) for name in NAMES}
    for line, name in ((first, NAMES[0]), (second, NAMES[1])):
        words = re.fullmatch(rf"{name} +(\d+\.\d\d) dB +(\d+\.\d\d) of the truth's", line)
        assert words is not None, line
        assert [float(words[1]), float(words[2])] == pytest.approx(list(expected[name]), abs=0.05)
    apart = expected["super-resolution"][0] - expected["bicubic"][0]
    assert abs(apart) > 0.1
    pattern = r"\d\.\d\d times as sharp as bicubic, and (\d+\.\d\d) dB (further from|closer to) the truth"
    words = re.fullmatch(pattern, last)
    assert words is not None, last
    assert float(words[1]) == pytest.approx(abs(apart), abs=0.1)
    assert words[2] == ("further from" if apart < 0 else "closer to")


@pytest.mark.parametrize("factor", ["1", "0.5", "-3", "nan", "inf"])
def test_factors_that_do_not_enlarge(finished: Path, tmp_path: Path, factor: str) -> None:
    with pytest.raises(SettingsError, match=r"factor \(=.*\) must be above 1"):
        enlarge(finished, f"--factor={factor}", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_truths_that_cannot_be_compared(finished: Path, tmp_path: Path) -> None:
    def refused(path: Path, words: str, model: Path = finished) -> None:
        with pytest.raises((DataError, SettingsError), match=words):
            enlarge(model, "--factor", "1.5", "--out", tmp_path / "out", "--truth", path)
        assert not (tmp_path / "out").exists()

    refused(tmp_path / "gone.png", "gone.png")
    (tmp_path / "text.png").write_text("no image")
    refused(tmp_path / "text.png", "text.png is not an image")
    imsave(tmp_path / "large.png", photograph(40, 54))
    refused(tmp_path / "large.png", "large.png is 54x40, but the enlarged image 40x30; .* or another --factor")
    imsave(tmp_path / "plain.png", np.full((30, 40, 3), 9, np.uint8), check_contrast=False)
    refused(tmp_path / "plain.png", "the truth is of one colour")
    imsave(tmp_path / "good.png", photograph(30, 40))
    refused(tmp_path / "good.png", "trained on 2", trained(tmp_path / "two", images=2))


def test_other_mistakes_are_told_before_anything_is_trained(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="begun with --steps 1, not 3; use it with --steps 1"):
        enlarge(finished, "--factor", "1.5", "--out", tmp_path / "out", "--steps", "3")
    with pytest.raises(ModelError, match="no such folder"):
        enlarge(tmp_path / "gone", "--out", tmp_path / "out")
    with pytest.raises(DataError, match=r"27x18; .* larger than min_size \(=18\)"):
        enlarge(trained(tmp_path / "small", size=(18, 27)), "--out", tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="file is a file"):
        enlarge(finished, "--factor", "1.2", "--out", tmp_path / "file")
    assert not (finished / "super-resolution-1.2").exists()


def test_several_training_images(tmp_path: Path) -> None:
    enlarge(trained(tmp_path / "run", images=2), "--factor", "1.2", "--out", tmp_path / "out")
    assert {name: image.shape for name, image in written(tmp_path / "out").items()} == {
        f"{name}-1.2-{number}.png": (24, 32, 3) for name in NAMES for number in (1, 2)
    }
