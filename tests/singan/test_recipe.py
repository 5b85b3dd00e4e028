"""The recipe as a whole: data, pictures, models, and a run that finds another picture than it was begun with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from PIL import Image

from i2i.data.images import read_header
from i2i.errors import DataError, I2IError, SettingsError
from i2i.models import load
from i2i.settings import RunSettings
from i2i.training import train
from i2i_singan.commands.sample import sample
from i2i_singan.model import PyramidGenerator
from i2i_singan.recipe import build, planned, preview, spans
from i2i_singan.sampling import generate
from i2i_singan.settings import Settings

TINY = Settings(steps=2, base_width=2, layers=2, min_size=14, max_size=20, generator_moves=1)

Painted = Callable[..., Path]


@pytest.fixture
def painted(tmp_path: Path) -> Painted:
    def paint(name: str = "a.png", seed: int = 0, size: tuple[int, int] = (18, 20)) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)).save(path)
        return path

    return paint


def run_of(data: Path, **changes: object) -> RunSettings:
    run = RunSettings(data=data, out=data.parent / "run", device="cpu", sample_every=0)
    return attrs.evolve(run, **changes)  # type: ignore[arg-type]


def test_a_run_makes_a_model_that_makes_images(painted: Painted) -> None:
    run = run_of(painted())
    train("singan", TINY, run)
    model = load(run.out / "model")
    assert isinstance(model, PyramidGenerator)
    assert model.sizes == ((14, 16), (16, 18), (18, 20))
    assert generate(model, 2).shape == (2, 3, 18, 20)
    numbers = np.asarray(Image.open(painted()), np.float32).transpose(2, 0, 1) / 127.5 - 1
    torch.testing.assert_close(model[-1].image[0], torch.from_numpy(numbers))
    scale = model[0]  # its norms are settled
    x = scale.net.head.conv(scale.inputs(torch.zeros_like(scale.image), scale.noise))
    torch.testing.assert_close(scale.net.head.norm.running_mean, x.mean((0, 2, 3)), rtol=1e-3, atol=1e-4)


def test_several_images_have_a_row_each(painted: Painted) -> None:
    painted("in/a.png", 0)
    folder = painted("in/b.png", 1, (18, 24)).parent
    run = run_of(folder, sample_every=100, out=folder.parent / "run")
    train("singan", TINY, run)
    model = load(run.out / "model")
    assert isinstance(model, PyramidGenerator)
    assert model[-1].image.shape == (2, 3, 18, 20)
    columns = preview(model)
    assert list(columns) == ["photograph", "of the fixed noise", "sample 1", "sample 2", "sample 3"]
    assert all(images.shape == (2, 3, 18, 20) for images in columns.values())
    samples = torch.cat([columns[f"sample {k}"] for k in (1, 2, 3)])
    assert len(samples.flatten(1).unique(dim=0)) == 6
    assert sorted((run.out / "samples").iterdir())


@pytest.mark.parametrize(("channels", "kind", "depth"), [(1, np.uint16, 16), (4, np.uint8, 8)])
def test_samples_lie_in_files_as_the_photograph(channels: int, kind: type, depth: int, tmp_path: Path) -> None:
    full = np.iinfo(kind).max
    levels = np.random.default_rng(0).integers(0, full, (18, 20, channels), kind).squeeze()
    Image.fromarray(levels).save(tmp_path / "a.png")
    run = run_of(tmp_path / "a.png")
    train("singan", attrs.evolve(TINY, channels=channels, steps=1), run)
    sample(str(run.out), out=tmp_path / "samples", count=1, device="cpu")
    with Image.open(tmp_path / "samples" / "sample-000.png") as image:
        assert (image.size, len(image.getbands())) == ((20, 18), channels)
        assert read_header(tmp_path / "samples" / "sample-000.png").depth == depth
        assert len(np.unique(np.asarray(image))) > 100


def begun(data: Path) -> RunSettings:
    """Train; return how to go on."""
    run = run_of(data)
    train("singan", TINY, run)
    return attrs.evolve(run, resume=True)


@pytest.mark.parametrize("size", [(18, 20), (20, 18)])
def test_another_picture_is_not_gone_on_with(painted: Painted, size: tuple[int, int]) -> None:
    path = painted(seed=0)
    run = begun(path)
    before = {file: file.read_bytes() for file in run.out.rglob("*") if file.is_file()}
    painted(seed=1, size=size)
    with pytest.raises(I2IError, match=r"a\.png is not what this run was begun with: another picture.*--out") as caught:
        train("singan", TINY, run)
    assert "\n" not in str(caught.value)
    assert {file: file.read_bytes() for file in run.out.rglob("*") if file.is_file()} == before
    painted(seed=0)
    train("singan", TINY, run)


def test_levels_off_by_one_are_the_same_picture(painted: Painted) -> None:
    path = painted()
    run = begun(path)
    levels = np.asarray(Image.open(path)).copy()
    levels[::2] ^= 1
    Image.fromarray(levels).save(path)
    train("singan", TINY, run)


def test_one_picture_more_is_not_gone_on_with(painted: Painted) -> None:
    folder = painted("in/a.png", 0).parent
    run = begun(folder)
    painted("in/b.png", 1)
    with pytest.raises(DataError, match="in is not what this run was begun with"):
        train("singan", TINY, run)


def test_what_is_missing_or_at_odds_is_said(painted: Painted) -> None:
    with pytest.raises(SettingsError, match="which image.*--data IMAGE"):
        build(TINY, RunSettings())
    run = run_of(painted(), accumulate=2)
    with pytest.raises(SettingsError, match=r"accumulate \(=2\) needs generator_gradient fresh, not stale"):
        build(attrs.evolve(TINY, reference=True), run)
    with pytest.raises(DataError, match=r"the image is 20x18; .*min_size \(=18\)"):
        build(attrs.evolve(TINY, min_size=18), run)


def test_the_pyramid_of_super_resolution_is_another_one() -> None:
    image = torch.zeros(1, 3, 100, 120)
    settings = attrs.evolve(TINY, min_size=18, max_size=120)
    assert len(planned(image, settings).sizes) == 8
    assert len(planned(image, attrs.evolve(settings, super_resolution_factor=2.0)).sizes) == 9


def test_the_work_of_a_scale_grows_with_pixels_and_width() -> None:
    pyramid = planned(torch.zeros(1, 3, 186, 250), Settings())
    found = spans(Settings(), pyramid, "cpu")
    assert [span.batches for span in found] == [2000] * 9
    (h, w), (height, width) = pyramid.sizes[0], pyramid.sizes[3]
    assert found[3].work / found[0].work == pytest.approx(height * width / (h * w), rel=0.2)
    assert 3 < found[4].work / found[3].work < 7  # twice as wide, and larger
