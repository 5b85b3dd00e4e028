"""What surrounds the step: nets, data, length, pictures, runs from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from i2i.checkpoint import latest, load_checkpoint
from i2i.cli import main
from i2i.errors import DataError
from i2i.settings import RunSettings
from i2i.training import train
from i2i.tree import leaves
from i2i.values import Pair
from i2i_ugatit.heatmaps import overlay
from i2i_ugatit.recipe import WINDOWS, build, learning_rate, make_nets, preview
from i2i_ugatit.settings import Settings
from i2i_ugatit.step import Nets

TINY = Settings(base_width=2, blocks=1, discriminator_width=2, discriminator_layers=(4, 3), crop_size=16, steps=4)
LAYERS = ("--discriminator-layers", "4", "3")
FLAGS = ["--base-width", "2", "--blocks", "1", "--discriminator-width", "2", "--crop-size", "16", *LAYERS]
Folder = Callable[..., Path]


@pytest.fixture(autouse=True)
def without_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run takes is counted in the tests of the core; here it would take most of the time."""
    monkeypatch.setattr("i2i.training.memory_line", lambda *_: "")
    monkeypatch.setattr("i2i.training.disk_line", lambda *_: None)


def eval_nets() -> Nets:
    """In eval mode, where a pass does not move the discriminators on."""
    torch.manual_seed(0)
    nets = make_nets(TINY)
    for net in nets:
        net.eval()
    return nets


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    def make(size: tuple[int, int] = (24, 20), **counts: int) -> Path:
        draws = np.random.default_rng(0)
        for domain, count in (counts or {"trainA": 3, "trainB": 3, "testA": 2, "testB": 2}).items():
            (tmp_path / "data" / domain).mkdir(parents=True)
            for index in range(count):
                pixels = draws.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "data" / domain / f"{index}.png")
        return tmp_path / "data"

    return make


def test_nets_of_all_six_have_the_authors_number_of_weights() -> None:
    with torch.device("meta"):
        nets = make_nets(Settings())
    assert sum(parameter.numel() for net in nets for parameter in net.parameters()) == 134_021_248


def test_settings_reach_the_nets() -> None:
    settings = Settings(
        preset="article", base_width=2, head="full", crop_size=32, discriminator_width=3, discriminator_layers=(4,),
        channels=1, recompute=True,
    )  # fmt: skip
    g, _, judge, _ = (net.spec.arguments for net in make_nets(settings))  # type: ignore[union-attr]
    assert g == {
        "in_channels": 1, "out_channels": 1, "base_width": 2, "blocks": 6, "head": "full", "size": (32, 32),
        "init": "normal", "recompute": True,
    }  # fmt: skip
    assert judge == {"in_channels": 1, "base_width": 3, "layers": (4,), "init": "normal"}


@pytest.mark.parametrize(
    ("changes", "length"), [({"steps": 7}, 7), ({"steps": None, "epochs": 2}, 10), ({"steps": None}, 10**6)]
)
def test_length(changes: dict[str, Any], length: int, folder: Folder) -> None:
    data = folder(trainA=3, trainB=5)
    assert build(attrs.evolve(TINY, **changes), RunSettings(data=data)).length == length


def test_the_article_s_length_and_windows(folder: Folder) -> None:
    """Forty passes over the larger domain, and images that are enlarged and moved but never mirrored."""
    recipe = build(attrs.evolve(TINY, preset="article", steps=None), RunSettings(data=folder(trainA=2, trainB=2)))
    assert recipe.length == 80
    a, b = WINDOWS
    assert (a.least, a.across, a.down) == (0.9, (-0.05, 0.05), (-0.05, 0.05))
    assert (b.least, b.across, b.down) == (0.7, (-0.1, 0.1), (-0.1, 0.25))


def test_windows_enlarge_b_more_than_a_and_mirror_nothing(tmp_path: Path) -> None:
    """A ramp from black to white across: how much of it is left tells the window, its direction the mirror."""
    ramp = np.repeat(np.linspace(0, 255, 64).round().astype(np.uint8)[None, :, None], 64, 0).repeat(3, 2)
    for domain in ("trainA", "trainB"):
        (tmp_path / domain).mkdir()
        for index in range(20):
            Image.fromarray(ramp).save(tmp_path / domain / f"{index}.png")
    settings = attrs.evolve(TINY, preset="article", crop_size=32)
    batches = list(build(settings, RunSettings(data=tmp_path)).data())
    left, right = 12, 20  # between them no window reaches beyond the ramp
    slopes = [torch.cat([x[k][..., right] - x[k][..., left] for x in batches]).mean((1, 2)) for k in (0, 1)]
    whole = 2 * (right - left) / 32  # of the range from -1 to 1, which 32 pixels cover
    assert all(bool((slope > 0).all()) for slope in slopes)
    assert 0.85 * whole < slopes[0].min() < slopes[0].max() <= 1.02 * whole
    assert 0.65 * whole < slopes[1].min() < 0.85 * whole


def test_a_preview_shows_both_directions_and_where_all_nets_look() -> None:
    nets, batch = eval_nets(), Pair(*torch.rand(2, 2, 3, 16, 20))
    with torch.no_grad():
        shown = preview(nets, batch)
        expected: dict[str, Tensor] = {}
        for own, other, source, forth, back, judge in (
            ("A", "B", batch.a, nets.G, nets.F, nets.DA),
            ("B", "A", batch.b, nets.F, nets.G, nets.DB),
        ):
            made, seen = forth(source), judge(source).extras["heatmap"]
            expected |= {own: source, f"{own} to {other}": made.image, f"and back to {own}": back(made.image).image}
            expected[f"{own} to {other}: where"] = overlay(source, made.extras["heatmap"])
            expected |= {f"judge of {own}, 4 layers": overlay(source, seen[0])}
            expected |= {f"judge of {own}, 3 layers": overlay(source, seen[1])}
    assert shown.keys() == expected.keys()
    for name, images in shown.items():
        torch.testing.assert_close(images, expected[name])


def test_generators_know_what_their_images_are_in_files(tmp_path: Path) -> None:
    """A of 8 bits, B of 16."""
    levels = np.random.default_rng(0).integers(0, 2**16, (20, 20), dtype=np.uint16)
    for domain, image in (("trainA", (levels >> 8).astype(np.uint8)), ("trainB", levels)):
        (tmp_path / domain).mkdir()
        Image.fromarray(image).save(tmp_path / domain / "0.png")
    nets = build(attrs.evolve(TINY, channels=1), RunSettings(data=tmp_path)).nets()
    assert (nets.G.reads.depth, nets.G.writes.depth) == (8, 16)
    assert (nets.F.reads.depth, nets.F.writes.depth) == (16, 8)


def test_a_preview_of_images_of_one_colour_divides_nothing_by_zero() -> None:
    nets = make_nets(TINY)
    with torch.no_grad():
        for net in nets:
            for parameter in net.parameters():
                parameter.zero_()
    shown = preview(nets, Pair(*torch.zeros(2, 1, 3, 16, 16)))
    assert all(bool(images.isfinite().all()) for images in shown.values())


def run(data: Path, out: Path, *more: str) -> int:
    flags = [flag for flag in FLAGS if "--discriminator-layers" not in more or flag not in LAYERS]
    return main(["train", "ugatit", "--data", str(data), "--out", str(out), *flags, "--sample-every", "2", *more])


def test_a_run_from_the_command_line(folder: Folder, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run(folder(), out, "--steps", "2", "--log-every", "1") == 0
    assert sorted(path.parent.name for path in out.glob("model/*/config.json")) == ["a2b", "b2a"]
    assert list(out.glob("samples/*.png"))
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert {"g/adv_a", "g/adv_cam_a", "g/cam_a", "d/cam_b", "g/cycle_b", "g/identity_a"} <= set(lines[-1])
    photograph = tmp_path / "photo.png"
    Image.new("RGB", (37, 22), (90, 20, 200)).save(photograph)
    assert main(["translate", str(out), str(photograph), "--out", str(tmp_path / "made")]) == 0
    assert Image.open(tmp_path / "made" / "photo.png").size == (37, 22)


def test_a_resumed_run_is_the_undisturbed_one_bit_for_bit(folder: Folder, tmp_path: Path) -> None:
    """Weights, moments, vectors of spectral norm, averages, order of the data; the rate is the same all along."""
    settings = attrs.evolve(TINY, steps=3, decay_start=1.0)
    of = RunSettings(data=folder(), average=0.5, checkpoint_every=1)
    train("ugatit", settings, attrs.evolve(of, out=tmp_path / "whole"))
    train("ugatit", attrs.evolve(settings, steps=2), attrs.evolve(of, out=tmp_path / "parts"))
    assert main(["train", "--resume", "--out", str(tmp_path / "parts"), "--steps", "3"]) == 0
    whole, parts = (load_checkpoint(latest(tmp_path / out)[1]) for out in ("whole", "parts"))  # type: ignore[index]
    values = [[leaf for leaf in leaves(saved) if isinstance(leaf, Tensor)] for saved in (whole, parts)]
    assert len(values[0]) > 200
    assert all(torch.equal(one, other) for one, other in zip(*values, strict=True))


@pytest.mark.parametrize("preprocess", ["none", "scale_width"])
def test_rectangular_images(preprocess: str, folder: Folder, tmp_path: Path) -> None:
    data = folder((40, 24), trainA=2, trainB=2)
    assert run(data, tmp_path / "run", "--steps", "2", "--preprocess", preprocess, "--load-size", "32") == 0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--discriminator-layers", "7", "5"], "crop_size (=16) must be at least 96 for these nets"),
        (["--crop-size", "18"], "crop_size (=18) must be a multiple of 4; use 16 or 20"),
        (["--head", "full", "--preprocess", "none"], "head (=full) is built for one size of images"),
        (["--discriminator-layers", "2"], "must be numbers from 3 to 16, one for each judge"),
        (["--preset", "tensorflow"], "preset"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_written(
    more: list[str], message: str, folder: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder(), tmp_path / "run", "--steps", "2", *more) == 2
    said = capsys.readouterr().err
    assert message in said
    assert not (tmp_path / "run").exists()


def test_images_below_the_smallest_size_are_named(folder: Folder, tmp_path: Path) -> None:
    settings = attrs.evolve(TINY, preprocess="none", discriminator_layers=(5,))
    recipe = build(settings, RunSettings(data=folder((20, 20), trainA=1, trainB=1)))
    with pytest.raises(DataError, match="need at least 24 pixels each way"):
        list(recipe.data())


def test_a_run_does_not_go_on_with_another_head(
    folder: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = folder(), tmp_path / "run"
    train("ugatit", TINY, RunSettings(data=data, out=out))
    before = sorted(path.name for path in out.rglob("*"))
    assert main(["train", "--resume", "--out", str(out), "--head", "pooled"]) == 2
    assert "--head" in capsys.readouterr().err
    assert sorted(path.name for path in out.rglob("*")) == before


def test_unequal_domains_get_a_hint(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    recipe = build(TINY, RunSettings(data=folder(trainA=2, trainB=5)))
    recipe.data()
    assert "domain A has 2 images, B 5: an epoch is 5 batches of 1, images of A come again" in caplog.messages


def test_several_folders_make_up_a_domain(folder: Folder) -> None:
    data = folder(faces=2, icons=3, made=4)
    run = RunSettings(a=(data / "faces",), b=(data / "icons", data / "made"))
    assert build(attrs.evolve(TINY, steps=None, epochs=1), run).length == 7


def test_streamed_data_have_no_epochs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = [Image.new("RGB", (20, 20), (40 * index, 90, 200)) for index in range(3)]
    table = datasets.Dataset.from_dict({"photo": pictures, "icon": pictures[::-1]})
    (tmp_path / "data").mkdir()
    table.to_parquet(str(tmp_path / "data" / "train.parquet"))
    named = ["--dataset", str(tmp_path / "data"), "--columns", "photo", "icon", "--streaming"]
    out = ["--out", str(tmp_path / "run")]
    assert main(["train", "ugatit", *named, *out, *FLAGS, "--epochs", "1"]) == 2
    assert "streamed" in capsys.readouterr().err
    assert main(["train", "ugatit", *named, *out, *FLAGS, "--steps", "1"]) == 0


def test_the_rate_begins_to_fall_where_it_is_said() -> None:
    rate = learning_rate(Settings(lr=1.0, decay_start=0.25), 8)
    assert [rate(now) for now in (0, 2, 5, 7)] == pytest.approx([1, 1, 0.5, 1 / 6])
    assert {learning_rate(Settings(lr=1.0, decay_start=1.0), 8)(now) for now in range(8)} == {1.0}
