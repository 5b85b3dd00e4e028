"""What surrounds the step, which test_parity.py holds against the authors'."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn.utils import parameters_to_vector

from i2i.errors import DataError, I2IError, SettingsError
from i2i.models import load
from i2i.parts import Spec
from i2i.pixels import PixelFormat
from i2i.policy import Policy, Turn
from i2i.recipes import Recipe
from i2i.settings import RunSettings
from i2i.training import train
from i2i.values import Pair
from i2i_cyclegan.recipe import build, make_nets, preview
from i2i_cyclegan.settings import Settings

TINY = Settings(
    base_width=2, blocks=1, discriminator_width=2, discriminator_layers=1, load_size=18, crop_size=16, steps=2
)
Folder = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """``folder(trainA=3, trainB=2)``: folders with so many pictures, black but for a left half of their own colour."""

    def make(**counts: int) -> Path:
        for domain, count in counts.items():
            (tmp_path / domain).mkdir()
            for index in range(count):
                colour = (40 * index, 200 if domain.endswith("A") else 20, 100 if "test" in domain else 0)
                picture = Image.new("RGB", (20, 24))
                picture.paste(colour, (0, 0, 10, 24))
                picture.save(tmp_path / domain / f"{index}.png")
        return tmp_path

    return make


# Nets.


def test_nets_are_the_authors_by_default() -> None:
    with torch.device("meta"):
        nets = make_nets(Settings())
    assert [sum(p.numel() for p in net.parameters()) for net in nets] == [11_378_179, 11_378_179, 2_764_737, 2_764_737]


def arguments(net: nn.Module) -> Mapping[str, Any]:
    spec: Any = net.spec
    assert isinstance(spec, Spec)
    return spec.arguments


def test_settings_reach_the_nets() -> None:
    settings = Settings(
        generator="unet", base_width=6, downs=6, norm="batch", dropout=0.3, recompute=True, channels_a=1,
        identity_weight=0, discriminator_width=5, discriminator_layers=2, discriminator_norm="none", init="xavier",
        init_gain=0.5,
    )  # fmt: skip
    a2b, b2a, judge_a, judge_b = map(arguments, make_nets(settings))
    assert a2b == {
        "in_channels": 1, "out_channels": 3, "base_width": 6, "downs": 6, "norm": "batch", "dropout": 0.3,
        "init": "xavier", "init_gain": 0.5, "recompute": True,
    }  # fmt: skip
    assert (b2a["in_channels"], b2a["out_channels"]) == (3, 1)
    judge = {"base_width": 5, "layers": 2, "norm": "none", "init": "xavier", "init_gain": 0.5}
    assert judge_a == judge | {"in_channels": 1}
    assert judge_b == judge | {"in_channels": 3}

    wanted: dict[str, Any] = {
        "base_width": 2, "blocks": 3, "downs": 1, "padding": "zero", "norm": "none", "dropout": 0.1,
        "init": "kaiming", "init_gain": 0.3, "recompute": True,
    }  # fmt: skip
    resnet = arguments(make_nets(Settings(**wanted)).G)
    assert resnet == {"in_channels": 3, "out_channels": 3} | wanted


# The recipe.


def test_an_epoch_is_as_long_as_the_larger_domain(folder: Folder) -> None:
    run = RunSettings(data=folder(trainA=3, trainB=5))
    assert build(attrs.evolve(TINY, steps=None, epochs=4), run).length == 20
    assert build(attrs.evolve(TINY, steps=None, epochs=4, batch_size=2), run).length == 8  # 5 // 2 batches
    assert build(attrs.evolve(TINY, steps=None, epochs=4, max_images=2), run).length == 8
    assert build(attrs.evolve(TINY, steps=7, epochs=4), run).length == 7


def test_settings_reach_the_data(folder: Folder) -> None:
    run = RunSettings(data=folder(trainA=4, trainB=4))
    settings = attrs.evolve(TINY, serial=True, flip=False, channels_a=1, identity_weight=0, batch_size=4)
    batch = next(iter(build(settings, run).data()))
    assert (batch.a.shape, batch.b.shape) == ((4, 1, 16, 16), (4, 3, 16, 16))
    left = ((batch.b[:, :, 5, 2] + 1) * 127.5).round().int().tolist()
    assert left == [[0, 20, 0], [40, 20, 0], [80, 20, 0], [120, 20, 0]]  # in the order of the names, not mirrored


def test_the_seed_of_the_run_draws_the_data(folder: Folder) -> None:
    root = folder(trainA=5, trainB=5)

    def first(seed: int) -> torch.Tensor:
        recipe = build(attrs.evolve(TINY, batch_size=5), RunSettings(data=root, seed=seed))
        return torch.cat(tuple(next(iter(recipe.data()))))

    assert first(1).equal(first(1))
    assert not first(1).equal(first(2))


def test_two_folders_instead_of_one(folder: Folder) -> None:
    root = folder(trainA=1, trainB=1, more=2)
    recipe = build(TINY, RunSettings(a=(root / "trainA", root / "more"), b=(root / "trainB",)))
    assert len(list(recipe.data())) == 3
    assert len(recipe.preview_batch().b) == 1


def test_the_preview_shows_held_out_images_where_there_are_some(folder: Folder) -> None:
    def blue(recipe: Recipe) -> list[int]:
        return [int(((images[0, 2, 8, 2] + 1) * 127.5).round()) for images in recipe.preview_batch()]

    root = folder(trainA=2, trainB=2)
    run = RunSettings(data=root)
    assert blue(build(TINY, run)) == [0, 0]
    folder(testA=2, testB=2)
    assert blue(build(TINY, run)) == [100, 100]


def test_the_preview_goes_there_and_back() -> None:
    torch.manual_seed(1)
    nets = make_nets(attrs.evolve(TINY, init="torch"))
    batch = Pair(*(torch.rand(2, 2, 3, 16, 16) * 2 - 1))
    columns = preview(nets, batch)
    there, other = nets.G(batch.a).image, nets.F(batch.b).image
    wanted = {
        "A": batch.a, "A to B": there, "and back": nets.F(there).image,
        "B": batch.b, "B to A": other, "and back ": nets.G(other).image,
    }  # fmt: skip
    assert list(columns) == list(wanted)
    for name, images in wanted.items():
        assert columns[name].equal(images), name


def test_the_generators_note_what_their_images_are_in_files(folder: Folder) -> None:
    root = folder(trainA=1, trainB=1)
    Image.fromarray(np.zeros((24, 20), np.uint16)).save(root / "trainB" / "0.png")
    settings = attrs.evolve(TINY, channels_b=1, range_b=(0, 4095), identity_weight=0, alpha="white")
    nets = build(settings, RunSettings(data=root)).nets()
    a, b = PixelFormat(3, alpha="white"), PixelFormat(1, depth=16, range=(0, 4095), alpha="white")
    assert (nets.G.reads, nets.G.writes, nets.F.reads, nets.F.writes) == (a, b, b, a)


def test_a_streamed_dataset_needs_steps(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder(trainA=3, trainB=3)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", root / "cache")
    datasets.disable_progress_bars()
    columns = {side: [str(root / f"train{side}" / f"{i}.png") for i in range(3)] for side in "AB"}
    features = datasets.Features({side: datasets.Image() for side in columns})
    (root / "table").mkdir()
    datasets.Dataset.from_dict(columns, features=features).to_parquet(root / "table" / "train.parquet")
    run = RunSettings(dataset=str(root / "table"), streaming=True)
    with pytest.raises(SettingsError, match="no known length; say how long the run is with --steps"):
        build(attrs.evolve(TINY, steps=None), run)
    # With steps the length of the run is known, but not that of an epoch.
    by_epoch: dict[str, Any] = {"schedule": "step", "reference": True}
    for name, value in by_epoch.items():
        with pytest.raises(
            SettingsError, match=rf"{name} \(={value}\) counts epochs.*; leave {name} out, or streaming"
        ):
            build(attrs.evolve(TINY, **{name: value}), run)
    recipe = build(attrs.evolve(TINY, serial=True, flip=False), run)
    assert recipe.length == 2
    assert next(iter(recipe.data())).a.shape == (1, 3, 16, 16)


def test_what_is_saved_for_use(folder: Folder) -> None:
    recipe = build(TINY, RunSettings(data=folder(trainA=1, trainB=1)))
    nets = recipe.nets()
    models = recipe.models(nets)
    assert set(models) == {"a2b", "b2a"}
    assert models["a2b"] is nets.G
    assert models["b2a"] is nets.F


def test_with_average_the_models_are_the_average(folder: Folder, tmp_path: Path) -> None:
    """Decay 0.5 after two batches: a quarter of the first weights, a quarter of those after a batch, half of the last.

    The weights in between come from runs without average.
    """
    data = folder(trainA=2, trainB=2)

    def weights(steps: int, average: float | None = None) -> torch.Tensor:
        out = tmp_path / f"run-{steps}-{average}"
        run = RunSettings(data=data, out=out, average=average, device="cpu", precision="fp32", sample_every=0, seed=4)
        train("cyclegan", attrs.evolve(TINY, steps=steps, schedule="constant", lr=0.01), run)
        return parameters_to_vector(load(out / "model" / "b2a").parameters()).detach()

    torch.manual_seed(4)
    first = parameters_to_vector(make_nets(TINY).F.parameters()).detach()
    after_one, after_two = weights(1), weights(2)
    assert not after_one.equal(after_two)
    wanted = first / 4 + after_one / 4 + after_two / 2
    torch.testing.assert_close(weights(2, average=0.5), wanted, rtol=1e-6, atol=1e-7)


# Validation.


def test_both_directions_are_validated_on_each_held_out_image_once(folder: Folder) -> None:
    recipe = build(TINY, RunSettings(data=folder(trainA=1, trainB=1, testA=2, testB=3)))
    evaluation, nets = recipe.evaluation, recipe.nets()
    assert evaluation is not None
    assert not evaluation.paired
    batches = list(evaluation.batches() or ())
    assert [(len(batch.a), len(batch.b)) for batch in batches] == [(1, 1), (1, 1), (0, 1)]
    found = evaluation.results(nets, batches[0])
    assert list(found) == ["a2b", "b2a"]
    for (made, real), net, source, target in zip(found.values(), nets[:2], batches[0], batches[0][::-1], strict=True):
        assert made.equal(net(source).image)
        assert real.equal(target)
    assert [len(images) for sides in evaluation.results(nets, batches[2]).values() for images in sides] == [0, 1, 1, 0]


def test_without_held_out_images_there_is_no_validation(folder: Folder) -> None:
    recipe = build(TINY, RunSettings(data=folder(trainA=1, trainB=1)))
    assert recipe.evaluation is not None
    assert recipe.evaluation.batches() is None


EXTRACTOR = """
from torch import nn

class Colours(nn.Module):
    def forward(self, images):
        return images.flatten(2).mean(2)
"""


@pytest.mark.parametrize(("distances", "rate"), [((3.0, 2.0), 1e-3), ((3.0, 2.0, 2.5), 2e-4)])
def test_the_rates_follow_the_validation(distances: tuple[float, ...], rate: float) -> None:
    """One step of Adam moves each weight by its rate, and at most by that."""
    settings = attrs.evolve(TINY, schedule="plateau", plateau_patience=0, lr=1e-3, init="torch")
    recipe = build(settings, RunSettings(data=Path("not read here"), validate_every=1))
    assert recipe.evaluation is not None
    for plateau in recipe.evaluation.plateaus:
        for distance in distances:
            plateau.watch(distance)
    torch.manual_seed(0)
    nets = make_nets(settings)
    before = [parameters_to_vector(net.parameters()).detach() for net in nets]
    batch = Pair(*(torch.rand(2, 1, 3, 16, 16) * 2 - 1))
    recipe.step.update(nets, recipe.step.init(nets, Policy(), None), batch, Turn(Policy(), 0))
    moves = [(parameters_to_vector(net.parameters()) - old).abs() for net, old in zip(nets, before, strict=True)]
    assert [move.max().item() for move in moves] == pytest.approx([rate] * 4, rel=1e-2)


def test_a_run_on_a_plateau_is_resumed_as_if_undisturbed(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = folder(trainA=2, trainB=3, testA=3, testB=2)
    (tmp_path / "cyclegan_extractor.py").write_text(EXTRACTOR)
    monkeypatch.syspath_prepend(str(tmp_path))
    settings = attrs.evolve(TINY, schedule="plateau", plateau_patience=0, plateau_factor=0.5, lr=0.05, pool_size=2)

    def finish(name: str, steps: int, *, resume: bool = False) -> torch.Tensor:
        run = RunSettings(
            data=data, out=tmp_path / name, resume=resume, device="cpu", precision="fp32", sample_every=0,
            validate_every=1, extractor="cyclegan_extractor:Colours", average=0.9, accumulate=2, keep_last=1,
        )  # fmt: skip
        nets = train("cyclegan", attrs.evolve(settings, steps=steps, batch_size=2), run).nets
        return torch.cat([parameters_to_vector(net.parameters()).detach() for net in nets])

    whole = finish("whole", 6)
    finish("again", 5)  # the rate has fallen by then
    resumed = finish("again", 6, resume=True)
    assert resumed.equal(whole)
    rows = [(tmp_path / name / "validation.jsonl").read_text() for name in ("whole", "again")]
    assert rows[0] == rows[1]
    found = [json.loads(row) for row in rows[0].splitlines()]
    best = min(found, key=lambda row: row["distance"])
    assert [row["batch"] for row in found if row["best"]][-1] == best["batch"]
    kept = {f"step-{best['batch']}", "step-6"}
    assert {path.name for path in (tmp_path / "whole" / "checkpoints").iterdir()} == kept
    assert (tmp_path / "whole" / "best" / "b2a" / "model.safetensors").is_file()
    assert best["batch"] < 5


MISTAKES: dict[str, tuple[dict[str, Any], dict[str, Any], type[I2IError], str]] = {
    "no data": ({}, {"data": None}, DataError, r"which images\? name a folder with trainA and trainB by --data DIR"),
    "only a": ({}, {"data": None, "a": (Path("x"),)}, DataError, "--a names a folder, --b does not"),
    "only b": ({}, {"data": None, "b": (Path("x"),)}, DataError, "--b names a folder, --a does not"),
    "both": ({}, {"a": (Path("x"),), "b": (Path("y"),)}, DataError, "--data and --a / --b both name images"),
    "no such folder": ({}, {"data": Path("nowhere")}, DataError, "nowhere does not exist"),
    "crop": ({"crop_size": 250}, {}, SettingsError, r"crop_size \(=250\) must be a multiple of 4; use 248 or 252"),
    "crop for a U-Net": ({"generator": "unet"}, {}, SettingsError, r"\(=16\) must be a multiple of 256; use 256"),
    "crop too large": ({"crop_size": 20}, {}, SettingsError, r"crop_size \(=20\) is larger than load_size \(=18\)"),
    "crop too small to judge": (
        {"discriminator_layers": 3}, {}, SettingsError,
        r"crop_size \(=16\) must be at least 24 for these nets; or take fewer discriminator_layers",
    ),
    "crop too small to translate": (
        {"crop_size": 4, "load_size": 4}, {}, SettingsError,
        r"crop_size \(=4\) must be at least 8 for these nets; or take fewer downs",
    ),
    "dropout without a place": (
        {"generator": "unet", "downs": 3, "dropout": 0.5}, {}, SettingsError, "needs at least 6 downs",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("steps", [2, None])
def test_mistakes_are_told_before_anything_is_trained(mistake: str, steps: int | None, folder: Folder) -> None:
    of_settings, of_run, kind, message = MISTAKES[mistake]
    run = attrs.evolve(RunSettings(data=folder(trainA=1, trainB=1)), **of_run)
    settings = attrs.evolve(TINY, steps=steps, **of_settings)
    with pytest.raises(kind, match=message) as told:
        build(settings, run).data()
    assert "\n" not in str(told.value)
