"""From settings and files to a trained model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from PIL import Image

import i2i
from i2i.cli import main
from i2i.engine import fit
from i2i.errors import DataError, ModelError, SettingsError
from i2i.settings import RunSettings
from i2i.training import train
from i2i_pix2pixhd.generators import GlobalGenerator, LocalEnhancer
from i2i_pix2pixhd.recipe import build
from i2i_pix2pixhd.scene import SceneGenerator
from i2i_pix2pixhd.settings import Settings

SMALL: dict[str, Any] = {
    "labels": 5, "load_size": 24, "base_width": 4, "downs": 1, "blocks": 1, "local_blocks": 1,
    "discriminator_width": 4, "discriminator_layers": 1, "encoder_width": 2, "encoder_downs": 2, "perceptual": False,
    "steps": (2, 1, 2),
}  # fmt: skip
FLAGS = [
    "--labels", "5", "--load-size", "24", "--base-width", "4", "--downs", "1", "--blocks", "1", "--local-blocks", "1",
    "--discriminator-width", "4", "--discriminator-layers", "1", "--no-perceptual", "--device", "cpu",
    "--precision", "fp32",
]  # fmt: skip


def run_settings(data: Path, out: Path, **changes: Any) -> RunSettings:
    return RunSettings(data=data, out=out, device="cpu", precision="fp32", **changes)


def test_one_command_trains_all_stages(make_scenes, tmp_path, capsys) -> None:
    data, out = make_scenes(), tmp_path / "run"
    command = ["train", "pix2pixhd", "--data", str(data), "--out", str(out), "--steps", "2", "1", "2", *FLAGS]
    assert main([*command, "--validate-every", "2", "--log-every", "1"]) == 0
    said = capsys.readouterr()
    assert "pix2pixhd --help" in said.out
    assert "global 1/3" in said.err
    assert "joint 3/3, batch 2/2" in said.err
    model = i2i.load(out / "model")
    assert isinstance(model, SceneGenerator)
    assert isinstance(model.generator, LocalEnhancer)
    assert sorted(path.name for path in (out / "samples").iterdir())[-1].endswith(".png")
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert {"g/adv", "g/matching", "d/real_or_fake"} <= set(lines[-1])
    assert len((out / "validation.jsonl").read_text().splitlines()) == 3
    assert main(["info", str(out)]) == 0
    assert main(["translate", str(out), str(data / "test_img"), "--out", str(tmp_path / "no")]) == 2
    assert "pix2pixhd --help" in capsys.readouterr().err


@pytest.mark.parametrize("cut", [1, 4])
def test_a_stopped_run_goes_on_as_if_undisturbed(make_scenes, tmp_path, cut: int) -> None:
    data = make_scenes()
    settings = Settings(**SMALL, styles=True)
    whole = train("pix2pixhd", settings, run_settings(data, tmp_path / "whole", log_every=1))

    def stopped(seen: Any) -> None:
        raise KeyboardInterrupt

    run = run_settings(data, tmp_path / "cut", log_every=1, checkpoint_every=cut)
    with pytest.raises(KeyboardInterrupt):
        _train_until(cut, settings, run)
    again = train("pix2pixhd", settings, attrs.evolve(run, resume=True))
    pairs = zip(whole.nets.current.G.parameters(), again.nets.current.G.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert (tmp_path / "whole" / "metrics.jsonl").read_text() == (tmp_path / "cut" / "metrics.jsonl").read_text()


def _train_until(batches: int, settings: Settings, run: RunSettings) -> None:
    """Train, and stop like Ctrl-C after so many batches."""
    import i2i.training as training

    class Stop:
        every = 1

        def __call__(self, seen: Any) -> None:
            if seen.batches == batches:
                seen.save()
                raise KeyboardInterrupt

    made = training._observers
    training._observers = lambda *arguments: [*made(*arguments), Stop()]  # type: ignore[assignment]
    try:
        train("pix2pixhd", settings, run)
    finally:
        training._observers = made  # type: ignore[assignment]


def test_a_finished_global_model_is_enhanced_later(make_scenes, tmp_path, capsys) -> None:
    data = make_scenes()
    first = ["train", "pix2pixhd", "--data", str(data), "--out", str(tmp_path / "global"), "--stages", "global"]
    assert main([*first, "--steps", "2", *FLAGS]) == 0
    trained = i2i.load(tmp_path / "global" / "model")
    assert isinstance(trained.generator, GlobalGenerator)
    for source in ("global", "global/model"):
        out = tmp_path / source.replace("/", "-") / "enhanced"
        later = ["train", "pix2pixhd", "--data", str(data), "--out", str(out), "--from", str(tmp_path / source)]
        assert main([*later, "--steps", "1", *FLAGS]) == 0
        assert isinstance(i2i.load(out / "model").generator, LocalEnhancer)
    capsys.readouterr()
    assert main([*later[:-3], str(tmp_path / "x"), "--from", str(out), "--steps", "1", *FLAGS]) == 2
    assert "has an enhancer already" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_a_run_that_began_with_a_model_goes_on_without_it(make_scenes, tmp_path) -> None:
    data, small = make_scenes(), {**SMALL, "steps": (2,)}
    train("pix2pixhd", Settings(**small, stages="global", styles=True), run_settings(data, tmp_path / "global"))
    settings = Settings(**small, styles=True, from_=str(tmp_path / "global"))
    whole = train("pix2pixhd", settings, run_settings(data, tmp_path / "whole", average=0.5))
    run = run_settings(data, tmp_path / "cut", average=0.5)
    with pytest.raises(KeyboardInterrupt):
        _train_until(1, settings, run)
    shutil.rmtree(tmp_path / "global")
    again = train("pix2pixhd", settings, attrs.evolve(run, resume=True))
    for nets in ("nets", "average"):
        pairs = zip(
            getattr(whole, nets).current.G.parameters(), getattr(again, nets).current.G.parameters(), strict=True
        )
        assert all(torch.equal(a, b) for a, b in pairs)


def test_from_a_run_begins_with_its_nets(make_scenes, tmp_path) -> None:
    data = make_scenes()
    small = {**SMALL, "steps": (1,)}
    source = train("pix2pixhd", Settings(**small, stages="global"), run_settings(data, tmp_path / "global"))
    settings = Settings(**small, from_=str(tmp_path / "global"))
    recipe = build(settings, run_settings(data, tmp_path / "later"))
    state = recipe.step.init(None, i2i.Policy(), None)
    nets = recipe.step.nets(None, state).current
    known, own = source.nets.current.G.generator.state_dict(), nets.G.generator.state_dict()
    shared = [key for key in own if key.startswith("model.")]
    assert shared
    assert all(torch.equal(own[key], known[key]) for key in shared)
    judges = source.nets.current.D.state_dict(), nets.D.state_dict()
    assert all(torch.equal(judges[0][key], judges[1][key]) for key in judges[0])
    assert len(judges[1]) > len(judges[0])


def test_from_says_what_does_not_fit(make_scenes, tmp_path) -> None:
    data = make_scenes()
    train("pix2pixhd", Settings(**{**SMALL, "steps": (1,)}, stages="global"), run_settings(data, tmp_path / "global"))
    run = run_settings(data, tmp_path / "later")
    for changes, message in (
        ({"labels": 6}, "was trained with --labels 5, but this run has --labels 6; give those of the model"),
        ({"instances": False}, "with --instances, but this run has --no-instances"),
        ({"styles": True}, "with --no-styles, but this run has --styles"),
        ({"base_width": 8, "downs": 2}, "with --base-width 4 --downs 1, but this run has --base-width 8 --downs 2"),
        ({"upsampling": "resize"}, "with --upsampling transposed"),
    ):
        with pytest.raises(ModelError, match=message):
            build(Settings(**{**SMALL, "steps": (1,), **changes}, from_=str(tmp_path / "global")), run)


def test_epochs_count_scenes(make_scenes, tmp_path) -> None:
    settings = Settings(**{**SMALL, "steps": ()}, epochs=(2, 1, 3))
    recipe = build(settings, run_settings(make_scenes(count=4), tmp_path / "run"))
    assert [span.batches for span in recipe.stages] == [8, 4, 12]
    assert recipe.length == 24


def test_previews_show_the_stage_as_it_is_trained(make_scenes, tmp_path) -> None:
    recipe = build(Settings(**SMALL), run_settings(make_scenes(), tmp_path / "run"))
    batch = recipe.preview_batch()
    for steps, size in ((1, (8, 12)), (3, (16, 24))):
        run = fit(recipe.step, None, recipe.data(), steps=steps, device="cpu")
        shown = recipe.preview(run.nets, batch)
        assert list(shown) == ["scene", "made", "real"]
        assert {tuple(images.shape) for images in shown.values()} == {(3, 3, *size)}
        made, real = recipe.evaluation.results(run.nets, batch)[""]
        assert made.shape == (3, 3, 16, 24)  # whatever the stage: its figures are compared with those of others
        assert torch.equal(real, batch.image)


@pytest.mark.parametrize(
    ("changes", "drop", "message"),
    [
        ({"labels": 3}, None, r"has class id \d, but there are 3 classes \(0 to 2\); use --labels 5"),
        ({}, "train_inst", "--no-instances"),
        ({}, "train_label/1.png", "1"),
        ({"vgg": Path("nowhere.pth"), "perceptual": True}, None, "nowhere.pth: no such file"),
        ({"vgg_untrained": True, "perceptual": True}, None, "need at least 32 pixels each way"),
        ({"channels_b": 2, "perceptual": True}, None, "not 2 channels; use --no-perceptual"),
    ],
)
def test_bad_data_are_found_before_anything_is_written(
    make_scenes, tmp_path, changes: dict[str, Any], drop: str | None, message: str
) -> None:
    data = make_scenes()
    if drop is not None:
        shutil.rmtree(data / drop) if (data / drop).is_dir() else (data / drop).unlink()
    with pytest.raises((DataError, ModelError, SettingsError), match=message):
        train("pix2pixhd", Settings(**{**SMALL, **changes}), run_settings(data, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("downs", "encoder_downs", "multiple"), [(1, 2, 8), (3, 1, 16), (1, 3, 16)])
def test_scenes_suit_every_net_of_every_stage(
    make_scenes, tmp_path, downs: int, encoder_downs: int, multiple: int
) -> None:
    """Also at half the size, which the global network and the encoder see first."""
    data = make_scenes(size=(75, 53), count=1)
    changes = {"downs": downs, "encoder_downs": encoder_downs, "load_size": 75, "steps": (1,)}
    recipe = build(Settings(**{**SMALL, **changes}, styles=True), run_settings(data, tmp_path / "run"))
    height, width = next(iter(recipe.data())).image.shape[-2:]
    assert (height % multiple, width % multiple) == (0, 0)
    fit(recipe.step, None, recipe.data(), device="cpu")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"downs": 2, "crop_size": 60}, r"crop_size \(=60\) must be a multiple of 8; use 56 or 64; or .*--downs 1"),
        ({"downs": 1, "styles": True, "encoder_downs": 3, "crop_size": 40}, r"must be a multiple of 16; use 32 or 48$"),
    ],
)
def test_crops_that_the_nets_refuse(make_scenes, tmp_path, changes: dict[str, Any], message: str) -> None:
    settings = Settings(**{**SMALL, "load_size": 64, **changes}, preprocess="crop")
    with pytest.raises(SettingsError, match=message):
        build(settings, run_settings(make_scenes(size=(80, 72), count=1), tmp_path / "run"))


def test_labels_in_colours_travel_with_the_model(make_scenes, tmp_path) -> None:
    data = make_scenes()
    table = [(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255), (9, 9, 9)]
    (tmp_path / "table.txt").write_text("\n".join(" ".join(map(str, row)) for row in table))
    for phase in ("train", "test"):
        for path in (data / f"{phase}_label").iterdir():
            Image.fromarray(np.array(table, np.uint8)[np.asarray(Image.open(path))]).save(path)
    settings = Settings(**{**SMALL, "steps": (1,)}, stages="global", colours=tmp_path / "table.txt")
    train("pix2pixhd", settings, run_settings(data, tmp_path / "run"))
    assert i2i.load(tmp_path / "run" / "model").palette == tuple(table)
    with pytest.raises(SettingsError, match="has 5 colours, not 7; use --labels 5"):
        build(attrs.evolve(settings, labels=7), run_settings(data, tmp_path / "other"))


def test_images_to_images(make_scenes, tmp_path, capsys) -> None:
    data = make_scenes()
    for phase in ("train", "test"):
        shutil.copytree(data / f"{phase}_img", data / f"{phase}_A")
        shutil.copytree(data / f"{phase}_img", data / f"{phase}_B")
    settings = Settings(**{**SMALL, "labels": 0, "steps": (1,)}, instances=False)
    train("pix2pixhd", settings, run_settings(data, tmp_path / "run"))
    out = tmp_path / "made"
    assert main(["translate", str(tmp_path / "run"), str(data / "test_A"), "--out", str(out), "--device", "cpu"]) == 0
    assert Image.open(out / "0.png").size == (24, 16)


def test_deep_grey_targets(make_scenes, tmp_path) -> None:
    data = make_scenes()
    for phase in ("train", "test"):
        for path in (data / f"{phase}_img").iterdir():
            grey = np.asarray(Image.open(path).convert("L")).astype(np.uint16) * 200
            Image.fromarray(grey).save(path)
    settings = Settings(**{**SMALL, "steps": (1,)}, stages="global", channels_b=1, range_b=(0.0, 51000.0))
    train("pix2pixhd", settings, run_settings(data, tmp_path / "run"))
    model = i2i.load(tmp_path / "run" / "model")
    assert (model.out_channels, model.writes.depth, model.writes.levels) == (1, 16, (0.0, 51000.0))
