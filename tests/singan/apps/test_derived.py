from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import skimage
import torch
from filelock import FileLock
from PIL import Image
from skimage.io import imread
from torch import Tensor

from i2i.errors import ModelError, RunError, SettingsError
from i2i.models import load, save
from i2i.pixels import PixelFormat
from i2i.settings import RunSettings
from i2i.toml import write_settings
from i2i_singan.apps.derived import derived, folder_of, quantised_model
from i2i_singan.model import PyramidGenerator, pyramid_generator
from i2i_singan.settings import Settings

SIZES = ((12, 16), (18, 24))
CHANGES = {"noise_padding": True, "min_size": 11}
SETTINGS = Settings(
    steps=1, base_width=3, layers=2, min_size=12, scale_factor=0.5, lr=1e-3, discriminator_moves=1, generator_moves=1
)
RUN = RunSettings(data=Path("/gone/photograph.png"), seed=3, checkpoint_every=1, sample_every=0)


def photograph(depth: int = 8) -> np.ndarray:
    """A real photograph as small as the finest scale, ``(h, w, 3)``."""
    levels = np.asarray(Image.fromarray(skimage.data.coffee()).resize(SIZES[-1][::-1]))
    return levels if depth == 8 else levels.astype(np.uint16) * 257 - (levels > 0).astype(np.uint16)


def trained(folder: Path, pictures: int = 1, depth: int = 8) -> Path:
    """A model of two scales with new weights, of the photograph."""
    torch.manual_seed(0)
    model = pyramid_generator(SIZES, (3, 3), factor=12 / 18, layers=2, images=pictures)
    pixels = torch.from_numpy(photograph(depth) / (2**depth - 1) * 2 - 1).float().permute(2, 0, 1)
    for index in range(pictures):
        model[-1].image[index] = pixels.flip(-1) if index else pixels
    model.reads = model.writes = PixelFormat(depth=depth)
    return save(model, folder)


def begun(run: Path, pictures: int = 1, depth: int = 8) -> Path:
    """A run as it is left after training."""
    trained(run / "model", pictures, depth)
    write_settings(run / "settings.toml", "singan", RUN, SETTINGS)
    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run and the one beside it; not to be changed."""
    run = begun(tmp_path_factory.mktemp("finished") / "run")
    derived(run / "model", "animation", CHANGES, device="cpu")
    return run


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of both, which lies elsewhere."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def weights(model: PyramidGenerator | Path) -> dict[str, Tensor]:
    return (load(model / "model") if isinstance(model, Path) else model).state_dict()


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(value.equal(other[name]) for name, value in one.items())


def test_a_model_is_trained_on_the_picture_and_kept(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    model = derived(finished, "animation", CHANGES, device="cpu")
    assert capsys.readouterr().out == ""  # trained before, and only loaded now
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before
    folder = finished / "animation"
    assert same(weights(model), weights(folder))
    assert not model.training
    assert model.noise_padding
    assert model.sizes == ((11, 15), (15, 19), (18, 24))
    assert model[0].net.head.conv.weight.shape[0] == 3
    assert np.array_equal(imread(folder / "picture.png"), photograph())
    torch.testing.assert_close(model[-1].image[0], torch.from_numpy(photograph() / 127.5 - 1).float().permute(2, 0, 1))
    stored = tomllib.loads((folder / "settings.toml").read_text())
    assert (stored["run"]["seed"], stored["run"]["data"]) == (3, str(folder / "picture.png"))
    assert (stored["settings"]["steps"], stored["settings"]["lr"]) == (1, 1e-3)


@pytest.mark.parametrize("lost", [("step-3", "step-2"), ("step-3", "step-2", "step-1")])
def test_it_goes_on_after_a_kill(run: Path, lost: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    whole, folder = weights(run / "animation"), run / "animation"
    for path in (folder / "model", *(folder / "checkpoints" / name for name in lost)):
        shutil.rmtree(path)
    (folder / "finished").unlink()
    assert same(weights(derived(run, "animation", CHANGES, device="cpu")), whole)
    assert same(weights(folder), whole)
    assert str(folder) in capsys.readouterr().out


def test_a_model_that_a_kill_left_behind_its_checkpoint_is_not_taken(run: Path) -> None:
    whole, folder = weights(run / "animation"), run / "animation"
    (folder / "finished").unlink()
    shutil.rmtree(folder / "model")
    shutil.copytree(run / "model", folder / "model")  # of an earlier checkpoint, as it were
    assert same(weights(derived(run, "animation", CHANGES, device="cpu")), whole)


def test_other_settings_are_told(run: Path) -> None:
    with pytest.raises(RunError, match=r"animation was begun with --steps 1, not 5; use it with --steps 1, or remove"):
        derived(run, "animation", CHANGES, steps=5, device="cpu")
    with pytest.raises(RunError, match=r"animation was begun with --min-size 11, not 10; remove it"):
        derived(run, "animation", {**CHANGES, "min_size": 10}, device="cpu")


def test_another_picture_is_told(run: Path) -> None:
    model = load(run / "model")
    model[-1].image.neg_()
    save(model, run / "model")
    with pytest.raises(RunError, match="animation was trained on another picture than this model; remove it"):
        derived(run, "animation", CHANGES, device="cpu")


def test_a_model_of_no_run_has_its_name_in_front(tmp_path: Path) -> None:
    trained(tmp_path / "cow")
    model = derived(tmp_path / "cow", "animation", {**CHANGES, "base_width": 2, "layers": 2}, steps=1, device="cpu")
    assert same(weights(model), weights(tmp_path / "cow-animation"))
    settings = tomllib.loads((tmp_path / "cow-animation" / "settings.toml").read_text())["settings"]
    assert (settings["steps"], settings["lr"]) == (1, 5e-4)


def test_several_pictures_of_sixteen_bits(tmp_path: Path) -> None:
    run = begun(tmp_path, pictures=2, depth=16)
    model = derived(run, "animation", CHANGES, device="cpu")
    assert len(model[-1].image) == 2
    assert model.writes.depth == 16
    for name, expected in (("0000", photograph(16)), ("0001", photograph(16)[:, ::-1])):
        assert np.array_equal(imagecodecs.imread(run / "animation" / "pictures" / f"{name}.png"), expected)


def test_one_scale_is_trained_anew_in_a_few_colours(run: Path) -> None:
    model = quantised_model(run / "model", 1, 4, device="cpu")
    before, after = weights(run), weights(model)
    assert same(after, weights(run / "paint-1-4"))
    assert all(value.equal(before[name]) for name, value in after.items() if name.startswith("scales.0."))
    assert not after["scales.1.net.head.conv.weight"].equal(before["scales.1.net.head.conv.weight"])
    assert same(weights(quantised_model(run, 1, 4, device="cpu")), after)


def test_what_cannot_be(run: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"steps \(=0\) must lie between"):
        derived(run, "other", CHANGES, steps=0, device="cpu")
    with pytest.raises(ModelError, match="no such folder"):
        derived(tmp_path / "nothing", "other", CHANGES, device="cpu")
    with pytest.raises(SettingsError, match="owner/cow is no folder here, .*; fetch the model first"):
        folder_of("owner/cow", "other")
    assert not (run / "other").exists()


def test_a_run_that_is_in_use(run: Path) -> None:
    (run / "animation" / "finished").unlink()
    with FileLock(run / "animation" / ".lock"), pytest.raises(RunError, match="animation is in use by another run"):
        derived(run, "animation", CHANGES, device="cpu")
