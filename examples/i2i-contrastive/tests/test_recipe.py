from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from i2i_contrastive.recipe import build
from i2i_contrastive.settings import Settings

import i2i
from i2i import RunSettings
from i2i.errors import SettingsError
from i2i.training import train

SMALL = {
    "load_size": 18,
    "crop_size": 16,
    "base_width": 2,
    "blocks": 1,
    "discriminator_width": 2,
    "discriminator_layers": 1,
    "projection_width": 8,
    "patches": 16,
}
IMAGE = torch.rand(1, 3, 20, 16) * 2 - 1


def run(data: Path, out: Path | None = None, **more: object) -> RunSettings:
    return RunSettings(data=data, out=out, device="cpu", precision="fp32", sample_every=0, log_every=1, **more)


def test_a_resumed_run_is_the_undisturbed_one(data: Path, tmp_path: Path) -> None:
    settings = Settings(**SMALL, preset="fastcut", batch_size=2, steps=4, decay_start=0.25)
    train("contrastive", settings, run(data, tmp_path / "whole"))
    # a checkpoint after two of the four batches; the rest is thrown away as if the power had failed
    train("contrastive", settings, run(data, tmp_path / "broken", checkpoint_every=2))
    checkpoints = sorted((tmp_path / "broken" / "checkpoints").iterdir(), key=os.path.getmtime)
    assert [folder.name for folder in checkpoints] == ["step-2", "step-4"]
    for path in checkpoints[1].iterdir():
        path.unlink()
    checkpoints[1].rmdir()
    train("contrastive", settings, run(data, tmp_path / "broken", checkpoint_every=2, resume=True))
    for file in ("model/model.safetensors", "metrics.jsonl"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "broken" / file).read_bytes()


def test_the_model_is_the_generator_alone(data: Path, tmp_path: Path) -> None:
    trained = train("contrastive", Settings(**SMALL, steps=1), run(data, tmp_path / "run"))
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert config["spec"]["part"] == "cyclegan/resnet_generator"
    assert "i2i-contrastive" not in json.dumps(config)
    model = i2i.load(tmp_path / "run" / "model")
    assert torch.equal(model(IMAGE).image, trained.nets.G.eval()(IMAGE).image)


def test_what_images_are_in_files_is_noted(data: Path) -> None:
    recipe = build(Settings(**SMALL, steps=1, channels_a=1, range_b=(0, 100)), run(data))
    (model,) = recipe.models(recipe.nets()).values()
    assert (model.reads.channels, model.writes.channels, model.writes.range) == (1, 3, (0, 100))


def test_lengths(data: Path) -> None:
    assert build(Settings(**SMALL), run(data)).length == 4 * 400
    assert build(Settings(**SMALL, preset="fastcut", batch_size=2), run(data)).length == 2 * 200
    assert build(Settings(**SMALL, epochs=3), run(data)).length == 12
    assert build(Settings(**SMALL, epochs=3, steps=5), run(data)).length == 5


def test_the_length_of_a_stream_must_be_said(data: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    picture = {"bytes": (data / "trainA" / "0.png").read_bytes(), "path": None}
    features = datasets.Features({"a": datasets.Image(), "b": datasets.Image()})
    datasets.Dataset.from_dict({"a": [picture], "b": [picture]}, features).to_parquet(tmp_path / "train.parquet")
    streamed = RunSettings(dataset=str(tmp_path), streaming=True)
    with pytest.raises(SettingsError, match="--steps"):
        build(Settings(**SMALL), streamed)
    assert build(Settings(**SMALL, steps=2), streamed).length == 2


def test_pictures_and_validation_show_what_is_made(data: Path) -> None:
    recipe = build(Settings(**SMALL, steps=1), run(data))
    nets = recipe.nets()
    batch = recipe.preview_batch()
    columns = recipe.preview(nets, batch)
    assert list(columns) == ["a", "a to b", "b", "b to b"]
    assert torch.equal(columns["a to b"], nets.G.net(batch.a).image)
    assert torch.equal(columns["b to b"], nets.G.net(batch.b).image)
    assert recipe.evaluation is not None
    made, real = recipe.evaluation.results(nets, batch)[""]
    assert torch.equal(made, columns["a to b"])
    assert torch.equal(real, batch.b)
    none_left = recipe.evaluation.results(nets, i2i.Pair(batch.a[:0], batch.b))[""]
    assert [len(images) for images in none_left] == [0, len(batch.b)]
