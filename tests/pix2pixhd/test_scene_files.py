from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from i2i.data import Scene
from i2i.errors import DataError, SettingsError
from i2i.pixels import PixelFormat
from i2i.values import Instanced, Labelled
from i2i_pix2pixhd.encoder import feature_encoder
from i2i_pix2pixhd.generators import global_generator
from i2i_pix2pixhd.scene import SceneGenerator, scene_generator
from i2i_pix2pixhd.scene_files import (
    Trained,
    check_instances,
    colours_of,
    find_scenes,
    read_all,
    read_scene,
    trained,
    training_scenes,
)


def net(labels: int = 5, *, boundaries: bool = True, features: int = 0, palette: Any = None) -> SceneGenerator:
    made = scene_generator(
        global_generator(boundaries + features + (0 if labels else 3), labels=labels, base_width=2, downs=2, blocks=0),
        feature_encoder(3, features, base_width=2, downs=2) if features else None,
        boundaries=boundaries,
        palette=palette,
    )
    assert isinstance(made, SceneGenerator)
    return made


def png(path: Path, array: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array)).save(path)
    return path


LABELS = np.array([[0, 1, 2], [3, 4, 4]], np.uint8)
OBJECTS = np.array([[0, 1, 2], [3, 33001, 40000]], np.uint16)
PHOTO = np.arange(18, dtype=np.uint8).reshape(2, 3, 3) * 14


def scene(root: Path) -> Scene:
    return Scene(png(root / "l.png", LABELS), png(root / "i.png", OBJECTS), png(root / "p.png", PHOTO))


def test_a_scene_as_it_lies_in_files(tmp_path: Path) -> None:
    found = read_scene(net(), scene(tmp_path))
    assert found.labels.dtype == torch.int32
    assert found.labels.tolist() == [[LABELS.tolist()]]
    assert found.instances is not None
    assert found.instances.tolist() == [[OBJECTS.tolist()]]
    assert found.image is not None
    np.testing.assert_allclose(found.image[0].permute(1, 2, 0).numpy(), PHOTO / 127.5 - 1, atol=1e-6)
    assert isinstance(found.batch, Instanced)
    alone = read_scene(net(), Scene(tmp_path / "l.png"))
    assert (alone.instances, alone.image) == (None, None)
    assert isinstance(read_scene(net(), Scene(tmp_path / "l.png", None, tmp_path / "p.png")).batch, Labelled)


def test_a_scene_without_classes_is_an_image(tmp_path: Path) -> None:
    files = Scene(png(tmp_path / "a.png", PHOTO), png(tmp_path / "i.png", OBJECTS))
    found = read_scene(net(0), files)
    np.testing.assert_allclose(found.labels[0].permute(1, 2, 0).numpy(), PHOTO / 127.5 - 1, atol=1e-6)
    made = net(0)
    made.reads = PixelFormat(4)  # type: ignore[assignment]
    with pytest.raises(DataError, match=r"a\.png has 3 channels, but this model reads 4 channels"):
        read_scene(made, files)


def test_colours_of_classes(tmp_path: Path) -> None:
    palette = ((0, 0, 0), (255, 0, 0), (0, 255, 0), (9, 9, 9), (1, 2, 3))
    colours = png(tmp_path / "c.png", np.array(palette, np.uint8)[LABELS])
    assert read_scene(net(palette=palette), Scene(colours)).labels.tolist() == [[LABELS.tolist()]]
    assert read_scene(net(), Scene(colours), colours=palette).labels.tolist() == [[LABELS.tolist()]]
    assert read_scene(net(palette=palette), Scene(png(tmp_path / "l.png", LABELS))).labels.tolist() == [
        [LABELS.tolist()]
    ]
    with pytest.raises(
        DataError, match=r"c\.png is an RGB image where ids are read; name the colours .* --colours FILE"
    ):
        read_scene(net(), Scene(colours))


def test_scenes_that_a_model_cannot_read(tmp_path: Path) -> None:
    files = scene(tmp_path)
    with pytest.raises(
        DataError, match=r"l\.png has class id 4, but this model knows 4 classes \(0 to 3\); correct the"
    ):
        read_scene(net(4), files)
    png(tmp_path / "i.png", OBJECTS[:, 1:])
    with pytest.raises(DataError, match=r"l\.png is 3x2, but .*i\.png is 2x2; the files of a scene must have the same"):
        read_scene(net(), files)
    (tmp_path / "i.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"i\.png is not an image that can be read"):
        read_scene(net(), files)


def test_scenes_are_brought_to_a_width(tmp_path: Path) -> None:
    labels = np.kron(LABELS, np.ones((4, 4), np.uint8))
    photo = np.full((8, 12, 3), 77, np.uint8)
    files = Scene(png(tmp_path / "l.png", labels), png(tmp_path / "i.png", labels), png(tmp_path / "p.png", photo))
    found = read_scene(net(), files, width=6)
    assert found.labels.tolist() == [[np.kron(LABELS, np.ones((2, 2), np.uint8)).tolist()]]
    assert found.image is not None
    assert found.image.shape == (1, 3, 4, 6)
    assert ((found.image + 1) * 127.5).round().unique().tolist() == [77]
    assert read_scene(net(), files, width=1).labels.shape == (1, 1, 1, 1)


def test_files_of_equal_names_belong_together(tmp_path: Path) -> None:
    for name in ("b", "sub/a"):
        for kind in ("labels", "objects", "photos"):
            png(tmp_path / kind / f"{name}.png", LABELS)
    labels, objects, photos = (tmp_path / kind for kind in ("labels", "objects", "photos"))
    assert find_scenes(net(), labels, objects, photos) == [
        Scene(labels / f"{name}.png", objects / f"{name}.png", photos / f"{name}.png") for name in ("b", "sub/a")
    ]
    assert find_scenes(net(), labels, None) == [Scene(labels / "b.png"), Scene(labels / "sub/a.png")]
    named = labels / "b.png", objects / "sub" / "a.png"
    assert find_scenes(net(), *named) == [Scene(*named)]  # whoever names files means them
    (objects / "b.png").unlink()
    with pytest.raises(DataError, match=r"only in labels: b; rename them") as told:
        find_scenes(net(), labels, objects)
    assert "--no-instances" not in str(told.value)


def test_the_scenes_of_a_training(tmp_path: Path) -> None:
    for kind in ("label", "inst", "img"):
        png(tmp_path / f"train_{kind}" / "a.png", LABELS)
    wanted = [tmp_path / f"train_{kind}" / "a.png" for kind in ("label", "inst", "img")]
    assert training_scenes(net(), tmp_path, instances=True) == [Scene(*wanted)]
    assert training_scenes(net(), tmp_path, instances=False) == [Scene(wanted[0], None, wanted[2])]
    wanted[1].unlink()
    wanted[1].parent.rmdir()
    with pytest.raises(DataError, match="has no train_inst, the folder of instance maps; add it$"):
        training_scenes(net(), tmp_path, instances=True)
    with pytest.raises(DataError, match="nowhere does not exist"):
        training_scenes(net(), tmp_path / "nowhere", instances=True)


def test_which_models_need_instance_maps() -> None:
    check_instances(net(), True)
    check_instances(net(boundaries=False), False)
    check_instances(net(boundaries=False, features=2), False)  # a class is one object
    check_instances(net(boundaries=False, features=2), True)
    for made in (net(), net(0), net(0, boundaries=False, features=2)):
        with pytest.raises(SettingsError, match="sees objects: name their instance maps with --instances"):
            check_instances(made, False)
    with pytest.raises(SettingsError, match="trained without instance maps; leave --instances out"):
        check_instances(net(boundaries=False), True)
    check_instances(net(boundaries=False), True, edited=True)
    with pytest.raises(SettingsError, match="sees objects"):
        check_instances(net(), False, edited=True)


def test_only_classes_have_colours(tmp_path: Path) -> None:
    (tmp_path / "table.txt").write_text("0 0 0\n1 2 3\n")
    assert colours_of(net(), None) is None
    assert colours_of(net(0), None) is None
    assert colours_of(net(), tmp_path / "table.txt") == ((0, 0, 0), (1, 2, 3))
    with pytest.raises(SettingsError, match=r"^this model reads images, which have no classes; leave --colours out$"):
        colours_of(net(0), tmp_path / "table.txt")


def test_scenes_that_are_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenes = [Scene(tmp_path / name) for name in ("a", "b", "c")]

    def read(each: Scene) -> str:
        if each.labels.name == "b":
            raise DataError("b is bad")
        return each.labels.name

    found = list(read_all(scenes, read, skip_bad=True, what="read"))
    assert found == [(scenes[0], "a"), (scenes[2], "c")]
    assert "i2i: skipped: b is bad\n" in capsys.readouterr().err
    reading = read_all(scenes, read, skip_bad=False, what="read")
    assert next(reading) == (scenes[0], "a")
    with pytest.raises(DataError, match="b is bad; --skip-bad passes over such scenes"):
        next(reading)
    with pytest.raises(DataError, match="none of the 1 scenes can be used; the first: b is bad"):
        list(read_all(scenes[1:2], read, skip_bad=True, what="read"))


def test_what_a_run_says_of_its_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert trained(str(tmp_path)) == Trained(None, instances=False)
    for inner in ("model", "best", "other"):
        (tmp_path / inner).mkdir()
    for preprocess, width in (("scale_width", 96), ("scale_width_and_crop", 96), ("none", None), ("crop", None)):
        text = f'[settings]\npreprocess = "{preprocess}"\nload_size = 96\ninstances = {str(width == 96).lower()}\n'
        (tmp_path / "settings.toml").write_text(text)
        for name in ("", "model", "best", "model/"):
            assert trained(f"{tmp_path}/{name}") == Trained(width, instances=width == 96)
    (tmp_path / "settings.toml").write_text('[settings]\npreprocess = "scale_width"\nload_size = 96\n')
    assert trained(str(tmp_path / "other")) == Trained(None, instances=False)
    monkeypatch.chdir(tmp_path / "model")
    assert trained(".").width == 96
    assert trained("owner/model").width is None
