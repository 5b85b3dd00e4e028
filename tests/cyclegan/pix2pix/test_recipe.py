"""What surrounds the step, which test_step.py holds against the authors'."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from i2i.cli import main
from i2i.errors import DataError, I2IError, SettingsError
from i2i.models import load
from i2i.pixels import PixelFormat
from i2i.policy import Policy, Turn
from i2i.settings import RunSettings
from i2i.values import Pair
from i2i_cyclegan.pix2pix.recipe import build, make_nets, preview, to_rgb
from i2i_cyclegan.pix2pix.settings import Settings

TINY = Settings(
    base_width=2, downs=2, dropout=0, discriminator_width=2, discriminator_layers=1, load_size=18, crop_size=16,
    steps=2, flip=False, serial=True,
)  # fmt: skip
LEFT, RIGHT = (200, 40, 0), (20, 100, 240)  # the colours of the two sides
Folder = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """``folder(train=3)``: a folder with so many pictures of two sides, red or blue, brighter from one to the next."""

    def make(**counts: int) -> Path:
        for name, count in counts.items():
            (tmp_path / name).mkdir()
            for index in range(count):
                picture = Image.new("RGB", (40, 24), LEFT)
                picture.paste(RIGHT, (20, 0, 40, 24))
                picture.paste((index, 0, 0), (0, 0, 2, 2))
                picture.save(tmp_path / name / f"{index}.png")
        return tmp_path

    return make


def colour(images: torch.Tensor) -> list[int]:
    """The levels of the middle of the first image."""
    levels: list[int] = ((images[0, :, 8, 8] + 1) * 127.5).round().int().tolist()
    return levels


@pytest.mark.parametrize(("direction", "sides"), [("a_to_b", (LEFT, RIGHT)), ("b_to_a", (RIGHT, LEFT))])
def test_direction_says_what_is_read_and_what_is_made(direction: Any, sides: Any, folder: Folder) -> None:
    recipe = build(attrs.evolve(TINY, direction=direction), RunSettings(data=folder(train=2, test=1)))
    for batch in (next(iter(recipe.data())), recipe.preview_batch()):
        assert (colour(batch.a), colour(batch.b)) == (list(sides[0]), list(sides[1]))


def test_channels_follow_the_direction() -> None:
    settings = attrs.evolve(TINY, channels_a=1, channels_b=3)
    there, back = make_nets(settings), make_nets(attrs.evolve(settings, direction="b_to_a"))
    assert (there.G.in_channels, there.G.out_channels, there.D.in_channels) == (1, 3, 4)
    assert (back.G.in_channels, back.G.out_channels, back.D.in_channels) == (3, 1, 4)


def test_an_epoch_is_every_pair(folder: Folder) -> None:
    run = RunSettings(data=folder(train=5))
    assert build(attrs.evolve(TINY, steps=None, epochs=4), run).length == 20
    assert build(attrs.evolve(TINY, steps=None, epochs=4, batch_size=2), run).length == 8
    assert build(attrs.evolve(TINY, steps=7), run).length == 7


def test_how_images_are_cut_is_said_with_what_cuts_none(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    run = RunSettings(data=folder(train=2))
    build(TINY, run).data()
    said = "pairs: images of 40x24 are cut into two of 20x24 (for colourisation of photographs: --colourise)"
    assert caplog.messages == [said]
    build(attrs.evolve(TINY, colourise=True), run).data()
    assert caplog.messages == [said]


def test_a_crop_for_fewer_downs_says_how_many() -> None:
    settings = Settings(crop_size=64, load_size=64)
    with pytest.raises(SettingsError, match="a multiple of 256; use 256; or take fewer downs: --downs 6$"):
        build(settings, RunSettings())
    build(attrs.evolve(settings, downs=6, steps=1), RunSettings())


def test_nets_are_the_authors_by_default() -> None:
    with torch.device("meta"):
        large, small = make_nets(Settings()), make_nets(Settings(downs=7))
    assert [sum(p.numel() for p in net.parameters()) for net in large] == [54_413_955, 2_768_705]
    assert sum(p.numel() for p in small.G.parameters()) == 41_828_995
    assert sum(isinstance(module, nn.Dropout) for module in large.G.modules()) == 3


def test_the_discriminator_has_a_rate_of_its_own() -> None:
    """One step of Adam moves each weight by its rate."""
    settings = attrs.evolve(TINY, lr=1e-3, discriminator_lr=2e-5, schedule="constant", init="torch")
    assert first_moves(settings) == pytest.approx([1e-3, 2e-5], rel=1e-2)
    assert first_moves(attrs.evolve(settings, discriminator_lr=None)) == pytest.approx([1e-3, 1e-3], rel=1e-2)


def first_moves(settings: Settings, *figures: float) -> list[float]:
    """How far the first update moves a weight at most, of both nets; ``figures`` were the validations before."""
    recipe = build(settings, RunSettings(data=Path("not read here"), validate_every=1))
    assert recipe.evaluation is not None
    for figure, plateau in itertools.product(figures, recipe.evaluation.plateaus):
        plateau.watch(figure)
    torch.manual_seed(0)
    nets = make_nets(settings)
    before = [[p.detach().clone() for p in net.parameters()] for net in nets]
    batch = Pair(*(torch.rand(2, 2, 3, 16, 16) * 2 - 1))
    recipe.step.update(nets, recipe.step.init(nets, Policy(), None), batch, Turn(Policy(), 0))
    after = [list(net.parameters()) for net in nets]
    return [
        max((new - old).abs().max().item() for new, old in zip(*both, strict=True))
        for both in zip(after, before, strict=True)
    ]


def test_preview_and_evaluation_show_what_is_made_and_what_it_should_be(folder: Folder) -> None:
    recipe = build(TINY, RunSettings(data=folder(train=1, test=3)))
    nets, batch = make_nets(TINY), recipe.preview_batch()
    columns = recipe.preview(nets, batch)
    assert list(columns) == ["input", "output", "target"]
    assert columns["input"].equal(batch.a)
    assert columns["target"].equal(batch.b)
    assert recipe.evaluation is not None
    assert recipe.evaluation.paired
    held_out = list(recipe.evaluation.batches() or ())
    assert [len(each.a) for each in held_out] == [1, 1, 1]
    ((made, real),) = recipe.evaluation.results(nets, held_out[0]).values()
    assert real.equal(held_out[0].b)
    assert made.equal(nets.G(held_out[0].a).image)


def test_both_rates_follow_the_validation() -> None:
    """PSNR rises, and then falls once, which is borne no time."""
    settings = attrs.evolve(TINY, schedule="plateau", plateau_patience=0, lr=1e-3, discriminator_lr=1e-4, init="torch")
    assert first_moves(settings, 20.0, 25.0) == pytest.approx([1e-3, 1e-4], rel=1e-2)
    assert first_moves(settings, 20.0, 25.0, 24.0) == pytest.approx([2e-4, 2e-5], rel=1e-2)


def test_one_model_is_saved_and_says_what_its_files_are(folder: Folder) -> None:
    settings = attrs.evolve(TINY, range_b=(0.0, 128.0), channels_a=1, direction="b_to_a", alpha="white")
    recipe = build(settings, RunSettings(data=folder(train=1)))
    models = recipe.models(recipe.nets())
    assert list(models) == [""]
    assert models[""].reads == PixelFormat(3, range=(0.0, 128.0), alpha="white")
    assert models[""].writes == PixelFormat(1, alpha="white")


def test_settings_reach_the_judge() -> None:
    pixel = make_nets(attrs.evolve(TINY, discriminator="pixel", discriminator_norm="instance")).D
    assert [name for name, _ in pixel.named_parameters()] == [
        f"net.{place}.{kind}" for place in (0, 2, 5) for kind in ("weight", "bias")
    ]
    frozen = make_nets(attrs.evolve(TINY, adversarial_weight=0.0)).D
    assert not any(p.requires_grad for p in frozen.parameters())


MISTAKES: dict[str, tuple[dict[str, Any], dict[str, Any], type[I2IError], str]] = {
    "no data": ({}, {"data": None}, DataError, "which images?"),
    "only a": ({}, {"data": None, "a": (Path("x"),)}, DataError, "--a names a folder, --b does not"),
    "no such folder": ({}, {"data": Path("nowhere")}, DataError, "nowhere does not exist"),
    "crop": ({"crop_size": 18}, {}, SettingsError, r"crop_size \(=18\) must be a multiple of 4; use 16 or 20"),
    "crop too small to judge": (
        {"discriminator_layers": 3}, {}, SettingsError,
        r"crop_size \(=16\) must be at least 24 for these nets; or take fewer discriminator_layers",
    ),
    "dropout without a place": ({"dropout": 0.5}, {}, SettingsError, "needs at least 6 downs, not 2; use dropout 0"),
    "b of one folder": (
        {"colourise": True}, {"data": None, "a": (Path("x"),), "b": (Path("y"),)}, DataError,
        "--b names a folder, but both sides are made of one image here",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_told_before_anything_is_trained(mistake: str, folder: Folder) -> None:
    of_settings, of_run, kind, message = MISTAKES[mistake]
    run = attrs.evolve(RunSettings(data=folder(train=1)), **of_run)
    with pytest.raises(kind, match=message) as told:
        build(attrs.evolve(TINY, **of_settings), run).data()
    assert "\n" not in str(told.value)


# Colourisation.


def lab(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    from skimage.color import rgb2lab

    found: NDArray[np.float64] = rgb2lab(image)
    return found


def photograph(path: Path, size: tuple[int, int] = (20, 24)) -> NDArray[np.uint8]:
    """Write a picture of soft colours that sRGB has at every lightness nearby."""
    draws = np.random.default_rng(size[0])
    coarse = draws.integers(90, 160, (3, 3, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize(size, Image.Resampling.BILINEAR)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return np.asarray(picture)


@pytest.mark.parametrize("how", ["data", "a"])
def test_lightness_is_read_and_chroma_is_made(how: str, tmp_path: Path) -> None:
    pixels = photograph(tmp_path / "train" / "one.png", (16, 16))
    named: dict[str, Any] = {"data": tmp_path} if how == "data" else {"a": (tmp_path / "train",)}
    settings = attrs.evolve(TINY, colourise=True, preprocess="none")
    recipe = build(settings, RunSettings(**named))
    batch = next(iter(recipe.data()))
    assert (batch.a.shape, batch.b.shape) == ((1, 1, 16, 16), (1, 2, 16, 16))
    wanted = lab(pixels)
    np.testing.assert_allclose((batch.a[0, 0].numpy() + 1) * 50, wanted[..., 0], atol=0.02)
    np.testing.assert_allclose(batch.b[0].permute(1, 2, 0).numpy() * 110, wanted[..., 1:], atol=0.05)


def test_the_preview_of_colours_is_shown_in_rgb(tmp_path: Path) -> None:
    pixels = photograph(tmp_path / "train" / "one.png", (16, 16))
    settings = attrs.evolve(TINY, colourise=True, preprocess="none")
    recipe = build(settings, RunSettings(data=tmp_path))
    nets, batch = make_nets(settings), recipe.preview_batch()
    columns = recipe.preview(nets, batch)
    assert [images.shape[1] for images in columns.values()] == [1, 3, 3]
    np.testing.assert_allclose((columns["target"][0].permute(1, 2, 0).numpy() + 1) * 127.5, pixels, atol=0.1)
    made = preview(settings, nets, batch)["output"]
    shown = ((made[0].permute(1, 2, 0).detach().numpy() + 1) * 127.5).round().astype(np.uint8)
    np.testing.assert_allclose(lab(shown)[..., 0], lab(pixels)[..., 0], atol=1)  # the lightness is the picture's own
    assert recipe.evaluation is not None
    assert [side.shape for side in recipe.evaluation.results(nets, batch)[""]] == [(1, 3, 16, 16)] * 2


def test_to_rgb_is_the_inverse_of_lab(tmp_path: Path) -> None:
    pixels = photograph(tmp_path / "one.png")
    wanted = torch.from_numpy(lab(pixels)).permute(2, 0, 1)[None].float()
    rgb = to_rgb(wanted[:, :1] / 50 - 1, wanted[:, 1:] / 110)
    np.testing.assert_allclose((rgb[0].permute(1, 2, 0).numpy() + 1) * 127.5, pixels, atol=0.1)


def test_a_run_colours_photographs_at_their_own_size(tmp_path: Path) -> None:
    """Grey or colour, of any size; the lightness of the result is that of the source."""
    for index in range(2):
        photograph(tmp_path / "data" / "train" / f"{index}.png")
    out, results = tmp_path / "run", tmp_path / "results"
    small = "--load-size 18 --crop-size 16 --base-width 2 --downs 2 --dropout 0 --discriminator-width 2"
    command = ["train", "pix2pix", "--colourise", "--data", str(tmp_path / "data"), "--out", str(out), "--steps", "2"]
    assert main([*command, *small.split(), "--discriminator-layers", "1", "--device", "cpu"]) == 0
    assert load(out / "model").writes == PixelFormat(2, colours="chroma")

    colours = photograph(tmp_path / "new" / "colour.png", (30, 22))
    Image.fromarray(colours).convert("L").save(tmp_path / "new" / "grey.png")
    assert main(["translate", str(out), str(tmp_path / "new"), "--out", str(results), "--device", "cpu"]) == 0
    for name, source in (("colour", colours), ("grey", np.asarray(Image.open(tmp_path / "new" / "grey.png")))):
        made = Image.open(results / f"{name}.png")
        assert (made.mode, made.size) == ("RGB", (30, 22))
        rgb = source if source.ndim == 3 else np.repeat(source[..., None], 3, axis=-1)
        np.testing.assert_allclose(lab(np.asarray(made))[..., 0], lab(rgb)[..., 0], atol=1)
