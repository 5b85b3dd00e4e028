from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

import i2i
from i2i.cli import main
from i2i.data import read_ids, read_image, write_ids
from i2i.settings import RunSettings
from i2i.toml import write_settings
from i2i_pix2pixhd.encoder import feature_encoder
from i2i_pix2pixhd.generators import global_generator
from i2i_pix2pixhd.scene import SceneGenerator, scene_generator
from i2i_pix2pixhd.settings import Settings
from i2i_pix2pixhd.styles.clusters import Styles, fingerprint, load_styles


def encode(model: Path, data: Path, *flags: str) -> int:
    return main(["pix2pixhd", "encode", str(model), "--data", str(data), "--device", "cpu", *flags])


def features(net: SceneGenerator, data: Path, width: int | None = None) -> dict[int, list[np.ndarray]]:
    """The mean features of all regions by class, one after the other; all of them are large enough."""
    from i2i.translate import translate

    assert net.encoder is not None
    found: dict[int, list[np.ndarray]] = {}
    for path in sorted((data / "train_label").rglob("*.png")):
        name = path.relative_to(data / "train_label")
        labels, ids = read_ids(path), read_ids(data / "train_inst" / name)
        photo = read_image(data / "train_img" / name)
        image = torch.from_numpy(photo.astype(np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
        values = translate(net.encoder, image)[0].double().numpy()
        for id in np.unique(ids):
            found.setdefault(int(labels[ids == id][0]), []).append(values[:, ids == id].mean(1))
    return found


def test_the_styles_of_training_scenes(
    styled: Path, net: SceneGenerator, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = i2i.load(styled)
    assert isinstance(loaded, SceneGenerator)
    found, wanted = load_styles(styled, loaded), features(net, data)
    assert found.fingerprint == fingerprint(net)
    assert found.centres.keys() == wanted.keys() == {0, 1, 2, 3}
    for label, rows in wanted.items():
        np.testing.assert_allclose(found.means[label].numpy(), np.mean(rows, 0), atol=1e-5)
        centres = found.centres[label].double().numpy()
        assert len(centres) == min(len(rows), 4)
        inertia = sum(((row - centres) ** 2).sum(1).min() for row in rows)
        assert inertia <= KMeans(len(centres), n_init=10, random_state=0).fit(np.array(rows)).inertia_ * 1.01 + 1e-9
    np.testing.assert_allclose(
        found.mean.numpy(), np.mean([row for rows in wanted.values() for row in rows], 0), atol=1e-5
    )


def test_what_is_said(plain: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(plain, tmp_path / "model")
    assert encode(tmp_path / "model", data) == 0
    assert capsys.readouterr().out == (
        f"15 regions of 4 classes, 15 styles: {tmp_path / 'model' / 'styles.safetensors'}\n"
    )
    first = (tmp_path / "model" / "styles.safetensors").read_bytes()
    assert encode(tmp_path / "model", data) == 0
    assert (tmp_path / "model" / "styles.safetensors").read_bytes() == first
    assert encode(tmp_path / "model", data, "--clusters", "1") == 0
    assert "15 regions of 4 classes, 4 styles" in capsys.readouterr().out
    i2i.save(i2i.load(tmp_path / "model"), tmp_path / "model")  # a checkpoint of a training keeps them
    assert (tmp_path / "model" / "styles.safetensors").exists()


def styles_in(folder: Path) -> Styles:
    net = i2i.load(folder)
    assert isinstance(net, SceneGenerator)
    return load_styles(folder, net)


def test_scenes_have_the_width_of_the_training(plain: Path, data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(plain, run / "model")
    assert encode(run / "model", data) == 0
    native = styles_in(run / "model")
    assert encode(run / "model", data, "--load-size", "36") == 0
    wide = styles_in(run / "model")
    write_settings(run / "settings.toml", "pix2pixhd", RunSettings(), Settings(load_size=36))
    assert not wide.mean.equal(native.mean)
    shutil.copytree(plain, run / "best")
    for named, holds in ((run, "model"), (run / "model", "model"), (run / "best", "best")):
        (run / holds / "styles.safetensors").unlink(missing_ok=True)
        assert encode(named, data) == 0
        assert styles_in(run / holds).mean.equal(wide.mean)


def test_a_model_without_boundaries_pools_by_class_unless_it_is_told(data: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = scene_generator(
        global_generator(2, labels=5, base_width=2, downs=2, blocks=0),
        feature_encoder(3, 2, base_width=2, downs=2),
        boundaries=False,
    )
    folder = i2i.save(made, tmp_path / "model")
    assert encode(folder, data) == 0
    assert len(styles_in(folder).centres[3]) == 3
    assert encode(folder, data, "--instances") == 0
    assert len(styles_in(folder).centres[3]) == 6


@pytest.mark.parametrize("instances", [True, False])
def test_regions_are_those_of_the_training(data: Path, tmp_path: Path, instances: bool) -> None:
    made = scene_generator(
        global_generator(2, labels=5, base_width=2, downs=2, blocks=0),
        feature_encoder(3, 2, base_width=2, downs=2),
        boundaries=False,
    )
    i2i.save(made, tmp_path / "model")
    settings = Settings(instances=instances, boundaries=False, styles=True, preprocess="none")
    write_settings(tmp_path / "settings.toml", "pix2pixhd", RunSettings(), settings)
    assert encode(tmp_path, data) == 0
    assert len(styles_in(tmp_path / "model").centres[3]) == (6 if instances else 3)
    assert encode(tmp_path, data, "--instances") == 0
    assert len(styles_in(tmp_path / "model").centres[3]) == 6


def error(capsys: pytest.CaptureFixture[str]) -> str:
    said = capsys.readouterr()
    lines = [line for line in said.err.splitlines() if line.startswith("i2i: error: ")]
    assert len(lines) == 1
    return lines[0].removeprefix("i2i: error: ")


def test_mistakes(plain: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "model"
    shutil.copytree(plain, model)
    bare = scene_generator(global_generator(1, labels=5, base_width=2, downs=2, blocks=0))
    i2i.save(bare, tmp_path / "bare")
    images = tmp_path / "images"
    i2i.save(
        scene_generator(
            global_generator(6, base_width=2, downs=2, blocks=0), feature_encoder(3, 2, base_width=2, downs=2)
        ),
        images,
    )
    bad = tmp_path / "bad"
    shutil.copytree(data, bad)
    write_ids(np.full((13, 18), 9), bad / "train_label" / "b.png")
    for arguments, message in (
        ((tmp_path / "bare", data), "this model was trained without styles; train one with --styles"),
        ((model, tmp_path / "nowhere"), f"{tmp_path / 'nowhere'} does not exist"),
        ((model, data, "--clusters", "0"), "clusters (=0) must be a whole number of at least 1"),
        ((model, data, "--load-size", "0"), "load_size (=0) must be a whole number of at least 1"),
        ((images, data, "--colours", tmp_path / "no.txt"), "this model reads images, which have no classes; leave"),
        ((model, bad), f"{bad / 'train_label' / 'b.png'} has class id 9, but this model knows 5 classes (0 to 4); "),
    ):
        assert encode(arguments[0], arguments[1], *map(str, arguments[2:])) == 2
        assert error(capsys).startswith(message)
    assert not (model / "styles.safetensors").exists()
    assert encode(model, bad, "--skip-bad") == 0
    said = capsys.readouterr()
    assert "i2i: skipped: " in said.err
    assert said.out.startswith("10 regions of 4 classes")
    (bad / "train_inst" / "a.png").unlink()
    assert encode(model, bad) == 2
    assert "only in labels: a" in error(capsys)
