import os
import signal
import threading
import time

import numpy as np
import pytest
from PIL import Image

from i2i.cli import flags
from i2i.errors import DataError, RunError, SettingsError
from i2i.settings import RunSettings
from i2i.toml import read_settings
from i2i.training import train
from i2i_singan.commands.train_each import name_images, train_each
from i2i_singan.settings import Settings

TINY = {"base_width": 2, "layers": 2, "discriminator_moves": 1, "generator_moves": 1}


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    (folder / "more").mkdir(parents=True)
    for seed, name in enumerate(("a.png", "more/c.png")):
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (18, 20, 3), np.uint8)).save(folder / name)
    return folder


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "tiny.toml"
    settings = "\n".join(f"{name} = {value}" for name, value in TINY.items())
    path.write_text(f'recipe = "singan"\n[run]\nsample_every = 0\n[settings]\n{settings}\n')
    return path


def weights_of(run):
    (path,) = (run / "model").glob("*.safetensors")
    return path.read_bytes()


def test_each_image_has_the_model_that_it_has_alone(tmp_path, images, config, capsys):
    (images / "bad.png").write_bytes(b"no image")
    out, chosen = tmp_path / "runs", {"steps": 1, "max_size": 18, "min_size": 15, "seed": 3, "device": "cpu"}
    assert train_each(images, out=out, config=config, **chosen) == 2
    shown = capsys.readouterr()
    assert f"2 of 3 models are trained: {out}" in shown.out
    assert f"i2i: error: {images}/bad.png is not an image" in shown.err
    assert f"not trained: {images}/bad.png;" in shown.err
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == ["a", "more-c"]

    settings = Settings(steps=1, max_size=18, min_size=15, **TINY)
    alone = RunSettings(data=images / "more" / "c.png", out=tmp_path / "alone", seed=3, device="cpu", sample_every=0)
    train("singan", settings, alone)
    weights = [weights_of(run) for run in (out / "more-c", alone.out, out / "a")]
    assert weights[0] == weights[1] != weights[2]

    # The bad image is mended; what is finished is passed over, and the settings are those of before.
    (images / "bad.png").write_bytes((images / "a.png").read_bytes())
    written = (out / "a" / "metrics.jsonl").read_bytes()
    assert train_each(images, out=out, resume=True) == 0
    shown = capsys.readouterr().out
    assert f"{out}/a is already at" in shown
    assert "3 of 3 models are trained" in shown
    assert (out / "a" / "metrics.jsonl").read_bytes() == written
    assert weights_of(out / "bad") == weights[2]

    with pytest.raises(RunError, match=r"holds runs already \(the first of them a\); go on with them: --resume"):
        train_each(images, out=out)
    with pytest.raises(RunError, match="--min-size is 16, but this run was begun with 15"):
        train_each(images, out=out, resume=True, min_size=16)


def test_ctrl_c_says_how_to_go_on(tmp_path, images, config, capsys):
    out = tmp_path / "runs"

    def interrupt():
        limit = time.monotonic() + 60
        while not (out / "a" / "metrics.jsonl").exists() and time.monotonic() < limit:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train_each(images, out=out, config=config, steps=100_000, max_size=18, min_size=15)
    thread.join()
    assert f"go on with all images: i2i singan train-each {images} --out {out} --resume" in capsys.readouterr().err
    assert any((out / "a" / "checkpoints").iterdir())
    assert not (out / "more-c").exists()


def test_flags_overrule_the_file_and_that_the_defaults(tmp_path, images, config):
    for path in images.rglob("*.png"):
        path.write_bytes(b"no image")
    config.write_text(config.read_text() + "steps = 7\nmax_size = 99\n")
    out = tmp_path / "runs"
    assert train_each(images, out=out, config=config, max_size=50, seed=4) == 2
    stored = read_settings(out / "train-each.toml")
    assert (stored.settings["steps"], stored.settings["max_size"], stored.settings["min_size"]) == (7, 50, 25)
    assert stored.run["seed"] == 4
    # The settings of before count when all is resumed, and scales are as long as they were begun.
    with pytest.raises(RunError, match="^--steps is 8, but this run was begun with 7; leave --steps out"):
        train_each(images, out=out, resume=True, steps=8)
    assert train_each(images, out=out, resume=True, device="cpu") == 2
    stored = read_settings(out / "train-each.toml")
    assert (stored.settings["steps"], stored.settings["max_size"], stored.run["seed"]) == (7, 50, 4)


def test_names_are_paths_in_the_folder(images):
    assert name_images(images) == {"a": images / "a.png", "more-c": images / "more" / "c.png"}
    assert name_images(images / "a.png") == {"a": images / "a.png"}
    (images / "a.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"a\.jpg and .*a\.png would both be trained into a; rename"):
        name_images(images)


def test_a_folder_without_images_is_said(tmp_path):
    with pytest.raises(DataError, match="holds no images"):
        train_each(tmp_path, out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_what_is_not_there_to_resume_is_said(tmp_path, images):
    with pytest.raises(RunError, match="has no runs to resume"):
        train_each(images, out=tmp_path / "runs", resume=True)


def test_a_file_is_no_folder(images, config):
    with pytest.raises(RunError, match="is a file, not a folder"):
        train_each(images, out=config)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('recipe = "cyclegan"', "for recipe 'cyclegan', not for 'singan'"),
        ("[settings]\nstep = 4", "unknown setting 'step'"),
        ("[settings]\nsteps = 0", "steps .=0. must lie between"),
        ("settings", "no valid TOML"),
    ],
)
def test_a_bad_file_of_settings_is_said(tmp_path, images, config, text, message):
    config.write_text(text)
    with pytest.raises(SettingsError, match=message):
        train_each(images, out=tmp_path / "runs", config=config)
    assert not (tmp_path / "runs").exists()


def test_a_bad_flag_is_said(tmp_path, images):
    argv = [str(images), "--out", str(tmp_path / "runs")]
    with pytest.raises(SettingsError, match=r"steps: .*many"):
        flags.call(train_each, [*argv, "--steps", "many"], "i2i singan train-each")
    with pytest.raises(SettingsError, match="seed .=-1."):
        flags.call(train_each, [*argv, "--seed", "-1"], "i2i singan train-each")
