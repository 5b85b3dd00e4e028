"""What surrounds the step, which test_parity.py holds against the authors'."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from PIL import Image
from torch import nn

from i2i.errors import DataError, I2IError, SettingsError
from i2i.parts import Spec
from i2i.policy import Policy, Turn
from i2i.recipes import Recipe
from i2i.settings import RunSettings
from i2i.values import Pair
from i2i_cyclegan.recipe import build, learning_rate, make_nets, make_step, preview
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


# Learning rates: section 1.7 of the specification.


def reference_rates(**changes: Any) -> list[float]:
    """By epoch e = 1 ... 200, three batches each; all batches of an epoch have the same rate."""
    settings = attrs.evolve(Settings(reference=True), **changes)
    rate = learning_rate(settings, length=600, per_epoch=3)
    by_batch = [rate(now) for now in range(600)]
    assert by_batch[::3] == by_batch[1::3] == by_batch[2::3]
    return by_batch[::3]


def test_reference_linear_is_the_authors_table() -> None:
    rates = reference_rates()
    wanted = [2e-4 * (1 - max(0, e + 1 - 100) / 101) for e in range(1, 201)]
    assert rates == pytest.approx(wanted, rel=1e-12, abs=1e-20)
    assert rates[:99] == [2e-4] * 99
    assert [rates[e - 1] for e in (100, 150, 199)] == pytest.approx([1.980e-4, 9.90e-5, 1.98e-6], rel=1e-3)
    assert rates[199] == 0


def test_reference_step_begins_each_stair_one_epoch_early() -> None:
    rates = reference_rates(schedule="step")
    assert rates == pytest.approx([2e-4 * 0.1 ** (e // 50) for e in range(1, 201)], rel=1e-12)
    assert rates[48] == 2e-4
    assert rates[49] == pytest.approx(2e-5)


def test_reference_cosine_climbs_again() -> None:
    rates = reference_rates(schedule="cosine")
    assert rates == pytest.approx([1e-4 * (1 + math.cos(math.pi * e / 100)) for e in range(1, 201)], abs=1e-18)
    assert rates[99] == 0
    assert rates[199] == 2e-4


def test_reference_counts_the_epochs_of_a_run_in_steps() -> None:
    """Seven batches, two per epoch: four epochs, the last of them begun only."""
    rate = learning_rate(Settings(reference=True, lr=1.0), length=7, per_epoch=2)
    assert [rate(now) for now in range(7)] == pytest.approx([1, 1, 2 / 3, 2 / 3, 1 / 3, 1 / 3, 0])


@pytest.mark.parametrize("schedule", ["linear", "step", "cosine", "constant"])
@pytest.mark.parametrize("decay_start", [0.0, 0.5, 1.0])
def test_default_rates_never_rise_and_train_the_last_batch(schedule: Any, decay_start: float) -> None:
    rate = learning_rate(Settings(schedule=schedule, decay_start=decay_start), length=400, per_epoch=2)
    rates = [rate(now) for now in range(400)]
    assert rates[0] == 2e-4
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] > 0


def test_default_rates_by_hand() -> None:
    def rates(**changes: Any) -> list[float]:
        rate = learning_rate(attrs.evolve(Settings(lr=1.0), **changes), length=8, per_epoch=2)
        return [rate(now) for now in range(8)]

    assert rates() == [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]
    assert rates(decay_start=0.75) == [1, 1, 1, 1, 1, 1, 1, 0.5]
    assert rates(schedule="step", decay_epochs=2) == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1])
    assert rates(schedule="cosine") == pytest.approx([0.5 + 0.5 * math.cos(math.pi * i / 8) for i in range(8)])


# Losses that the authors do not have.


def one_update(**changes: Any) -> dict[str, float]:
    torch.manual_seed(0)
    settings = attrs.evolve(TINY, **changes)
    nets = make_nets(settings)
    step = make_step(settings, 1e-4)
    a, b = torch.rand(2, 2, 3, 16, 16) * 2 - 1
    _, metrics = step.update(nets, step.init(nets, Policy(), None), Pair(a, b), Turn(Policy(), 0))
    return {name: value.item() for name, value in metrics.items()}


def test_wgan_has_a_penalty_of_weight_ten() -> None:
    terms = one_update(criterion="wgan")
    plain = 0.5 * (terms["d/a"] + terms["d/b"])
    penalty = terms["d/penalty_a"] + terms["d/penalty_b"]
    assert penalty > 0.01
    assert terms["d/total"] == pytest.approx(plain + 10 * penalty, rel=1e-5)


@pytest.mark.parametrize(
    "changes", [{"criterion": "wgan", "reference": True}, {"criterion": "wgan", "gradient_penalty": 0.0}, {}]
)
def test_there_is_no_penalty_where_none_is_wanted(changes: dict[str, Any]) -> None:
    assert not [name for name in one_update(**changes) if "penalty" in name]


def test_hinge_trains_and_its_terms_have_the_weights_of_the_settings() -> None:
    terms = one_update(criterion="hinge", cycle_weight_a=3.0, cycle_weight_b=2.0, identity_weight=0.25)
    weighted = terms["g/adv_a"] + terms["g/adv_b"] + 3 * terms["g/cycle_a"] + 2 * terms["g/cycle_b"]
    weighted += 0.75 * terms["g/identity_a"] + 0.5 * terms["g/identity_b"]
    assert terms["g/total"] == pytest.approx(weighted, rel=1e-5)


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
        generator="unet", base_width=6, downs=6, norm="batch", dropout=0.3, channels_a=1, identity_weight=0,
        discriminator_width=5, discriminator_layers=2, discriminator_norm="none", init="xavier", init_gain=0.5,
    )  # fmt: skip
    a2b, b2a, judge_a, judge_b = map(arguments, make_nets(settings))
    assert a2b == {
        "in_channels": 1, "out_channels": 3, "base_width": 6, "downs": 6, "norm": "batch", "dropout": 0.3,
        "init": "xavier", "init_gain": 0.5,
    }  # fmt: skip
    assert (b2a["in_channels"], b2a["out_channels"]) == (3, 1)
    judge = {"base_width": 5, "layers": 2, "norm": "none", "init": "xavier", "init_gain": 0.5}
    assert judge_a == judge | {"in_channels": 1}
    assert judge_b == judge | {"in_channels": 3}

    wanted: dict[str, Any] = {
        "base_width": 2, "blocks": 3, "downs": 1, "padding": "zero", "norm": "none", "dropout": 0.1,
        "init": "kaiming", "init_gain": 0.3,
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


def test_what_is_saved_for_use(folder: Folder) -> None:
    recipe = build(TINY, RunSettings(data=folder(trainA=1, trainB=1)))
    nets = recipe.nets()
    models = recipe.models(nets)
    assert set(models) == {"a2b", "b2a"}
    assert models["a2b"] is nets.G
    assert models["b2a"] is nets.F


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
