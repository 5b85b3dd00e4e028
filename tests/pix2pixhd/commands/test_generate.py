from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import torch
from skimage.io import imread

import i2i
from i2i.cli import main
from i2i.data import read_ids, read_image, write_ids, write_image
from i2i.pixels import PixelFormat
from i2i_pix2pixhd.generators import global_generator
from i2i_pix2pixhd.scene import SceneGenerator, scene_generator, whole_scene
from i2i_pix2pixhd.styles.clusters import load_styles
from i2i_pix2pixhd.styles.tables import order

NAMES = ("a", "b", "sub/c")


def generate(model: Path, out: Path, *flags: object) -> int:
    return main(["pix2pixhd", "generate", str(model), "--out", str(out), "--device", "cpu", *map(str, flags)])


def maps(data: Path, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    found = [
        torch.from_numpy(read_ids(data / f"train_{kind}" / f"{name}.png"))[None, None] for kind in ("label", "inst")
    ]
    return found[0], found[1]


def levels(net: SceneGenerator, labels: torch.Tensor, instances: torch.Tensor, style_of: Any) -> Any:
    """The image with the style ``style_of(id, label)``, made pixel by pixel."""
    features = torch.zeros(1, 2, *labels.shape[2:])
    for y, x in np.ndindex(*labels.shape[2:]):
        features[0, :, y, x] = style_of(int(instances[0, 0, y, x]), int(labels[0, 0, y, x]))
    made = whole_scene(net, labels, instances, features)[0]
    return np.rint((made.clamp(-1, 1).permute(1, 2, 0).double().numpy() + 1) / 2 * 255)


def flags(data: Path) -> tuple[object, ...]:
    return "--labels", data / "train_label", "--instances", data / "train_inst"


def test_the_most_usual_styles(
    styled: Path, net: SceneGenerator, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    styles = load_styles(styled, net)

    def usual(id: int, label: int) -> torch.Tensor:
        distances = (styles.centres[label] - styles.means[label]).square().sum(1)
        return styles.centres[label][int(distances.argmin())]

    assert generate(styled, tmp_path / "out", *flags(data)) == 0
    assert capsys.readouterr().out == f"3 images: {tmp_path / 'out'}\n"
    assert {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*")} == {
        f"{name}.png" for name in NAMES
    }
    for name in NAMES:
        image = imread(tmp_path / "out" / f"{name}.png")
        assert image.shape == (13, 18, 3)
        assert abs(image - levels(net, *maps(data, name), usual)).max() <= 1
    assert generate(styled, tmp_path / "again", *flags(data), "--style", "nearest") == 0
    assert imread(tmp_path / "again" / "a.png").tolist() == imread(tmp_path / "out" / "a.png").tolist()


def test_styles_by_chance(styled: Path, net: SceneGenerator, data: Path, tmp_path: Path) -> None:
    styles = load_styles(styled, net)
    given = (*flags(data), "--style", "sample", "--seed", 3, "--count", 2)
    assert generate(styled, tmp_path / "out", *given) == 0
    assert len(list((tmp_path / "out").rglob("*.*"))) == 6
    for name in ("a", "sub/c"):
        for turn in (0, 1):

            def drawn(id: int, label: int, turn: int = turn) -> torch.Tensor:
                count = len(styles.centres[label])
                return styles.centres[label][order(3, id, count)[turn % count]]

            image = imread(tmp_path / "out" / f"{name}-{turn}.png")
            assert abs(image - levels(net, *maps(data, name), drawn)).max() <= 1
    one, other = (imread(tmp_path / "out" / f"a-{turn}.png").astype(int) for turn in (0, 1))
    assert abs(one - other).max() > 5
    # A file by itself, without the others, is made as among them.
    named = [data / f"train_{kind}" / "b.png" for kind in ("label", "inst")]
    assert generate(styled, tmp_path / "one", "--labels", named[0], "--instances", named[1], *given[4:]) == 0
    for turn in (0, 1):
        assert (tmp_path / "one" / f"b-{turn}.png").read_bytes() == (tmp_path / "out" / f"b-{turn}.png").read_bytes()


def test_the_styles_of_real_images(styled: Path, net: SceneGenerator, data: Path, tmp_path: Path) -> None:
    photos = data / "train_img"
    assert generate(styled, tmp_path / "out", *flags(data), "--style", f"encode:{photos}") == 0
    from i2i.translate import translate

    assert net.encoder is not None
    for name in NAMES:
        labels, instances = maps(data, name)
        photo = read_image(photos / f"{name}.png").astype(np.float32)
        values = translate(net.encoder, torch.from_numpy(photo).permute(2, 0, 1)[None] / 127.5 - 1)[0]
        means = {int(id): values[:, instances[0, 0] == id].mean(1) for id in instances.unique()}
        image = imread(tmp_path / "out" / f"{name}.png")
        assert abs(image - levels(net, labels, instances, lambda id, _, means=means: means[id])).max() <= 1
    named = [data / f"train_{kind}" / "a.png" for kind in ("label", "inst")]
    of_file = ("--labels", named[0], "--instances", named[1], "--style", f"encode:{photos / 'a.png'}")
    assert generate(styled, tmp_path / "one", *of_file) == 0
    assert imread(tmp_path / "one" / "a.png").tolist() == imread(tmp_path / "out" / "a.png").tolist()


def test_styles_in_a_file(styled: Path, plain: Path, net: SceneGenerator, data: Path, tmp_path: Path) -> None:
    named = {"classes": {"3": [0.5, 0.5]}, "objects": {"3001": [-0.5, 0.5], "0": [0, 0]}}
    (tmp_path / "mine.json").write_text(json.dumps(named))
    styles = load_styles(styled, net)

    def mine(id: int, label: int) -> torch.Tensor:
        found = {3001: [-0.5, 0.5], 0: [0.0, 0.0], 3000: [0.5, 0.5]}.get(id)
        distances = (styles.centres[label] - styles.means[label]).square().sum(1)
        return styles.centres[label][int(distances.argmin())] if found is None else torch.tensor(found)

    given = (*flags(data), "--style", tmp_path / "mine.json")
    assert generate(styled, tmp_path / "out", *given) == 0
    assert abs(imread(tmp_path / "out" / "b.png") - levels(net, *maps(data, "b"), mine)).max() <= 1
    assert generate(plain, tmp_path / "none", *given) == 2  # classes 1 and 2 have no style in it
    named["classes"] = {str(label): [0.5, 0.5] for label in range(5)}
    (tmp_path / "mine.json").write_text(json.dumps(named))
    assert generate(plain, tmp_path / "all", *given) == 0  # no others are needed


def test_a_model_without_styles_of_sixteen_bits(data: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = scene_generator(global_generator(1, labels=5, base_width=2, downs=2, blocks=0)).eval()
    assert isinstance(made, SceneGenerator)
    made.writes = PixelFormat(depth=16)  # type: ignore[assignment]
    folder = i2i.save(made, tmp_path / "model")
    assert generate(folder, tmp_path / "out", *flags(data), "--precision", "auto") == 0
    image = imagecodecs.imread(tmp_path / "out" / "sub" / "c.png")
    assert image.dtype == np.uint16
    wanted = whole_scene(made, *maps(data, "sub/c"))[0].permute(1, 2, 0).double().numpy()
    assert abs(image / 65535 * 2 - 1 - wanted).max() < 0.02  # bf16 where the machine is fast in it
    assert generate(folder, tmp_path / "large", *flags(data), "--load-size", "36") == 0
    assert imagecodecs.imread(tmp_path / "large" / "a.png").shape == (26, 36, 3)


def test_images_of_images(tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = scene_generator(global_generator(3, base_width=2, downs=2, blocks=0), boundaries=False).eval()
    assert isinstance(made, SceneGenerator)
    folder = i2i.save(made, tmp_path / "model")
    image = torch.rand(3, 13, 18) * 2 - 1
    write_image(image, tmp_path / "x.png")
    read = torch.from_numpy(imread(tmp_path / "x.png").astype(np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
    wanted = np.rint((whole_scene(made, read)[0].clamp(-1, 1).permute(1, 2, 0).double().numpy() + 1) / 2 * 255)
    for flag in ("--images", "--labels"):
        assert generate(folder, tmp_path / "out", flag, tmp_path / "x.png") == 0
        assert abs(imread(tmp_path / "out" / "x.png") - wanted).max() <= 1
        shutil.rmtree(tmp_path / "out")


def test_the_layout_of_cityscapes(styled: Path, data: Path, tmp_path: Path) -> None:
    """Label maps and instance maps lie in one folder there, among others, and images in cities."""
    gt, photos = tmp_path / "gtFine" / "val", tmp_path / "leftImg8bit" / "val"
    for name, city in (("a", "bonn"), ("b", "ulm")):
        for kind, ending, root in (
            ("label", "gtFine_labelIds", gt), ("inst", "gtFine_instanceIds", gt), ("img", "gtFine_color", gt),
            ("img", "leftImg8bit", photos),
        ):  # fmt: skip
            (root / city).mkdir(parents=True, exist_ok=True)
            shutil.copy(data / f"train_{kind}" / f"{name}.png", root / city / f"{city}_0_{ending}.png")
    for style, name in (((), "usual"), (("--style", f"encode:{photos}"), "real")):
        assert generate(styled, tmp_path / name, "--labels", gt, "--instances", gt, *style) == 0
        plainly = ("--style", f"encode:{data / 'train_img'}") if style else ()
        assert generate(styled, tmp_path / f"{name}-plain", *flags(data), *plainly) == 0
        found = sorted((tmp_path / name).rglob("*.png"))
        assert [str(path.relative_to(tmp_path / name)) for path in found] == [
            f"{city}/{city}_0_gtFine_labelIds.png" for city in ("bonn", "ulm")
        ]
        for path, other in zip(found, ("a", "b"), strict=True):
            assert path.read_bytes() == (tmp_path / f"{name}-plain" / f"{other}.png").read_bytes()


def test_an_outdated_file_of_styles_is_no_obstacle_to_others(
    styled: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, mine = tmp_path / "model", tmp_path / "mine.json"
    shutil.copytree(styled, model)
    (model / "styles.safetensors").write_bytes(b"")
    mine.write_text(json.dumps({"classes": {str(label): [0.5, 0.5] for label in range(5)}}))
    for style in (f"encode:{data / 'train_img'}", mine):
        name = Path(str(style)).stem
        assert generate(model, tmp_path / name, *flags(data), "--style", style) == 0
        assert f"i2i: not used: {model / 'styles.safetensors'}" in capsys.readouterr().err
        assert generate(styled, tmp_path / f"{name}-plain", *flags(data), "--style", style) == 0
        assert "not used" not in capsys.readouterr().err
        for made in NAMES:
            paths = [tmp_path / folder / f"{made}.png" for folder in (name, f"{name}-plain")]
            assert paths[0].read_bytes() == paths[1].read_bytes()
    assert generate(model, tmp_path / "usual", *flags(data)) == 2
    assert error(capsys).endswith(f"find them: i2i pix2pixhd encode {model} --data DIR")


def test_messages_name_the_run(plain: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(plain, tmp_path / "run" / "model")
    (tmp_path / "run" / "settings.toml").touch()
    run = tmp_path / "run"
    assert generate(run, tmp_path / "out", *flags(data)) == 2
    assert error(capsys) == f"{run} has no styles yet; find them: i2i pix2pixhd encode {run} --data DIR"


def error(capsys: pytest.CaptureFixture[str]) -> str:
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("i2i: error: ")]
    assert len(lines) == 1
    return lines[0].removeprefix("i2i: error: ")


def test_mistakes(plain: Path, styled: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels, objects = data / "train_label", data / "train_inst"
    bad, high = tmp_path / "bad", tmp_path / "high"
    shutil.copytree(objects, bad)
    (bad / "b.png").rename(bad / "x.png")
    shutil.copytree(labels, high)
    write_ids(np.full((13, 18), 7), high / "a.png")
    unequal = tmp_path / "unequal"
    shutil.copytree(objects, unequal)
    write_ids(np.zeros((13, 17), int), unequal / "a.png")
    write_ids(np.zeros((13, 17), int), tmp_path / "photo.png")
    (tmp_path / "file").touch()
    both = ("--labels", labels, "--instances", objects)
    for model, given, message in (
        (plain, both, f"{plain} has no styles yet; find them: i2i pix2pixhd encode {plain} --data DIR"),
        (styled, ("--labels", labels), "this model sees objects: name their instance maps with --instances"),
        (styled, ("--instances", objects), "of what? name label maps with --labels DIR"),
        (styled, ("--images", labels, "--instances", objects), "this model reads label maps, not images; name"),
        (styled, (*both, "--images", labels), "--labels and --images both name what the model reads"),
        (styled, (*both, "--count", 2), "--count (=2) makes images that differ by chance; that goes with"),
        (styled, (*both, "--style", "sample", "--count", 0), "count (=0) must be a whole number of at least 1"),
        (styled, (*both, "--seed", -1), "seed (=-1) must be a whole number of at least 0"),
        (styled, (*both, "--style", "best"), "--style (=best) names no file that is there"),
        (styled, (*both, "--load-size", 0), "load_size (=0) must be a whole number of at least 1"),
        (styled, ("--labels", labels, "--instances", bad), "the files of labels and instances must have"),
        (styled, ("--labels", high, "--instances", objects), f"{high / 'a.png'} has class id 7, but this model"),
        (styled, ("--labels", labels, "--instances", unequal), f"{labels / 'a.png'} is 18x13, but {unequal}/a.png"),
        (styled, (*both, "--style", f"encode:{tmp_path / 'photo.png'}"),
         f"--style encode:{tmp_path / 'photo.png'} is one image, but there are 3 scenes in {labels}; name a folder of "
         "images, or one map with --labels FILE"),
        (styled, (*both, "--style", f"encode:{labels}/none"), f"--style (=encode:{labels}/none) names no file that is"),
    ):  # fmt: skip
        assert generate(model, tmp_path / "out", *given) == 2
        assert error(capsys).startswith(message)
        assert not (tmp_path / "out").exists()
    assert generate(styled, tmp_path / "file", *both) == 2
    assert error(capsys) == f"--out {tmp_path / 'file'} is a file; name a folder for the results"
    shutil.copytree(labels, tmp_path / "own")
    assert generate(styled, tmp_path / "own", "--labels", tmp_path / "own", "--instances", objects) == 2
    assert error(capsys) == f"{tmp_path / 'own' / 'a.png'} would be overwritten; choose another --out"
    assert read_ids(tmp_path / "own" / "a.png").tolist() == read_ids(labels / "a.png").tolist()
    assert generate(styled, tmp_path / "some", "--labels", high, "--instances", objects, "--skip-bad") == 0
    assert sorted(path.name for path in (tmp_path / "some").rglob("*.png")) == ["b.png", "c.png"]


def test_a_style_for_a_model_that_knows_none(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = scene_generator(global_generator(labels=5, in_channels=0, base_width=2, downs=2, blocks=0), boundaries=False)
    folder = i2i.save(made, tmp_path / "model")
    given = ("--labels", data / "train_label")
    assert generate(folder, tmp_path / "out", *given, "--style", "sample") == 2
    assert error(capsys) == "--style (=sample): this model was trained without styles; train one with --styles"
    assert generate(folder, tmp_path / "out", *given, "--instances", data / "train_inst") == 2
    assert error(capsys) == "this model was trained without instance maps; leave --instances out"
    assert generate(folder, tmp_path / "out", *given) == 0


def test_colours_for_a_model_without_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = i2i.save(
        scene_generator(global_generator(3, base_width=2, downs=2, blocks=0), boundaries=False), tmp_path / "model"
    )
    write_image(torch.zeros(3, 13, 18), tmp_path / "x.png")
    (tmp_path / "table.txt").write_text("0 0 0\n")
    given = ("--images", tmp_path / "x.png", "--colours", tmp_path / "table.txt")
    assert generate(folder, tmp_path / "out", *given) == 2
    assert error(capsys) == "this model reads images, which have no classes; leave --colours out"
