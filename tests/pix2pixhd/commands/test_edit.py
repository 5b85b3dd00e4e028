from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage.io import imread

import i2i
from i2i.cli import main
from i2i.data import read_ids, write_ids
from i2i_pix2pixhd.editing.editor import Editor
from i2i_pix2pixhd.editing.regions import Rectangle, Stroke
from i2i_pix2pixhd.generators import global_generator
from i2i_pix2pixhd.scene import SceneGenerator, scene_generator
from i2i_pix2pixhd.styles.clusters import load_styles

EDITS = [
    {"do": "paint", "rectangle": [0, 0, 9, 3], "label": 4},
    {"do": "remove", "object": 3000},
    {"do": "add", "disc": [3, 10, 2], "label": 3, "name": "new"},
    {"do": "restyle", "object": "new", "style": [0.9, -0.9]},
    {"do": "variants", "count": 2, "object": 3001},
]


def edit(model: Path, data: Path, out: Path, edits: Any, *flags: object) -> int:
    script = out.parent / f"{out.name}.json"
    script.write_text(json.dumps({"edits": edits}))
    named = [
        "--labels",
        data / "train_label" / "a.png",
        "--instances",
        data / "train_inst" / "a.png",
        "--script",
        script,
    ]
    return main(["pix2pixhd", "edit", str(model), "--out", str(out), "--device", "cpu", *map(str, [*named, *flags])])


def by_hand(net: SceneGenerator, styled: Path, data: Path, **options: Any) -> tuple[Editor, list[torch.Tensor]]:
    """The same edits, and the image after each."""
    maps = [torch.from_numpy(read_ids(data / f"train_{kind}" / "a.png")) for kind in ("label", "inst")]
    made = Editor(net, maps[0], maps[1], load_styles(styled, net), **options)
    images = []
    made.paint(Rectangle(0, 0, 9, 3), 4)
    images.append(made.render())
    made.remove(3000)
    images.append(made.render())
    new = made.add(Stroke([(3.0, 10.0)], 2.0), 3)
    images.append(made.render())
    made.restyle([0.9, -0.9], object=new)
    images.append(made.render())
    return made, images


def assert_image(path: Path, image: torch.Tensor) -> None:
    wanted = np.rint((image.clamp(-1, 1).permute(1, 2, 0).double().numpy() + 1) / 2 * 255)
    assert abs(imread(path) - wanted).max() <= 1


def test_a_scene_is_changed_as_the_script_says(
    styled: Path, net: SceneGenerator, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert edit(styled, data, out, EDITS, "--each-step") == 0
    wanted = {"result.png", "labels.png", "instances.png", "styles.json", "variant-5-0.png", "variant-5-1.png",
              *(f"step-{number}.png" for number in range(1, 6))}  # fmt: skip
    assert {path.name for path in out.iterdir()} == wanted
    assert set(capsys.readouterr().out.split()) == {str(out / name) for name in wanted}
    made, images = by_hand(net, styled, data)
    for number, image in enumerate([*images, images[-1]], 1):
        assert_image(out / f"step-{number}.png", image)
    assert_image(out / "result.png", images[-1])
    for number, image in enumerate(made.variants(2, object=3001)):
        assert_image(out / f"variant-5-{number}.png", image)
    assert made.scene.instances is not None
    assert read_ids(out / "labels.png").tolist() == made.scene.labels.tolist()
    assert read_ids(out / "instances.png").tolist() == made.scene.instances.tolist()
    assert imread(out / "result.png").tolist() != imread(out / "variant-5-0.png").tolist()


def test_the_result_can_be_made_and_edited_again(styled: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert edit(styled, data, out, EDITS, "--style", "sample", "--seed", "4") == 0
    named = ["--labels", out / "labels.png", "--instances", out / "instances.png", "--style", out / "styles.json"]
    arguments = ["pix2pixhd", "generate", str(styled), "--out", str(tmp_path / "made"), "--device", "cpu"]
    assert main([*arguments, *map(str, named)]) == 0
    assert imread(tmp_path / "made" / "labels.png").tolist() == imread(out / "result.png").tolist()
    (tmp_path / "again.json").write_text('{"edits": [{"do": "variants", "count": 1}]}')
    arguments = ["pix2pixhd", "edit", str(styled), "--out", str(tmp_path / "again"), "--device", "cpu"]
    assert main([*arguments, *map(str, named), "--script", str(tmp_path / "again.json")]) == 0
    assert imread(tmp_path / "again" / "result.png").tolist() == imread(out / "result.png").tolist()
    assert (tmp_path / "again" / "styles.json").read_text() == (out / "styles.json").read_text()


def test_styles_before_the_edits(styled: Path, net: SceneGenerator, data: Path, tmp_path: Path) -> None:
    photo = data / "train_img" / "a.png"
    assert edit(styled, data, tmp_path / "real", EDITS[:1], "--style", f"encode:{photo}") == 0
    found = json.loads((tmp_path / "real" / "styles.json").read_text())["objects"]
    pixels = torch.from_numpy(imread(photo).astype(np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
    from i2i.translate import translate

    assert net.encoder is not None
    ids = torch.from_numpy(read_ids(data / "train_inst" / "a.png"))
    mean = translate(net.encoder, pixels)[0][:, ids == 3001].mean(1)
    np.testing.assert_allclose(found["3001"], mean.numpy(), atol=1e-5)
    assert edit(styled, data, tmp_path / "drawn", EDITS, "--style", "sample", "--seed", "4") == 0
    assert_image(tmp_path / "drawn" / "result.png", by_hand(net, styled, data, seed=4, sample=True)[1][-1])


def test_a_model_without_styles_and_without_instances(data: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = scene_generator(global_generator(0, labels=5, base_width=2, downs=2, blocks=0), boundaries=False).eval()
    folder = i2i.save(made, tmp_path / "model")
    (tmp_path / "edits.json").write_text(json.dumps({"edits": EDITS[:1]}))
    arguments = ["pix2pixhd", "edit", str(folder), "--out", str(tmp_path / "out"), "--device", "cpu"]
    named = ["--labels", data / "train_label" / "a.png", "--script", tmp_path / "edits.json"]
    assert main([*arguments, *map(str, named)]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"result.png", "labels.png"}
    assert read_ids(tmp_path / "out" / "labels.png")[:3, :9].tolist() == [[4] * 9] * 3


def test_objects_are_of_use_to_edit_labels_that_a_model_reads_without_them(data: Path, tmp_path: Path) -> None:
    made = scene_generator(global_generator(0, labels=5, base_width=2, downs=2, blocks=0), boundaries=False).eval()
    edits = [{"do": "remove", "object": 3000}, {"do": "add", "rectangle": [0, 0, 2, 2], "label": 3}]
    assert edit(i2i.save(made, tmp_path / "model"), data, tmp_path / "out", edits) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"result.png", "labels.png", "instances.png"}
    labels, ids = (read_ids(data / f"train_{kind}" / "a.png") for kind in ("label", "inst"))
    labels[ids == 3000] = ids[ids == 3000] = 1
    labels[:2, :2], ids[:2, :2] = 3, 3002
    assert read_ids(tmp_path / "out" / "labels.png").tolist() == labels.tolist()
    assert read_ids(tmp_path / "out" / "instances.png").tolist() == ids.tolist()


def test_a_new_object_of_the_first_class(styled: Path, data: Path, tmp_path: Path) -> None:
    """Its number lies above all others: ids below 1000 are those of classes."""
    add = {"do": "add", "rectangle": [0, 0, 2, 2], "label": 0}
    assert edit(styled, data, tmp_path / "out", [add]) == 0
    assert not (tmp_path / "out" / "instances.png").exists()
    ids = read_ids(tmp_path / "out" / "instances.tif")
    before = read_ids(data / "train_inst" / "a.png")
    assert len(np.unique(ids[:2, :2])) == 1
    assert ids[0, 0] not in before
    ids[:2, :2] = before[:2, :2]
    assert ids.tolist() == before.tolist()
    named = ("--labels", tmp_path / "out" / "labels.png", "--instances", tmp_path / "out" / "instances.tif")
    again = [{"do": "add", "rectangle": [2, 0, 4, 2], "label": 0}, {"do": "add", "disc": [3, 10, 1], "label": 3}]
    assert edit(styled, data, tmp_path / "again", again, *named) == 0
    ids = read_ids(tmp_path / "again" / "instances.tif")
    assert ids[0, 0] != ids[0, 2]
    assert ids[10, 3] == 3002


def test_ids_that_no_png_holds(styled: Path, data: Path, tmp_path: Path) -> None:
    ids = read_ids(data / "train_inst" / "a.png")
    (tmp_path / "data").mkdir()
    write_ids(np.where(ids == 3001, 100_000, 0), tmp_path / "data" / "objects.tif")
    given = ("--instances", tmp_path / "data" / "objects.tif")
    script = [{"do": "add", "rectangle": [0, 0, 2, 2], "label": 3}]
    assert edit(styled, data, tmp_path / "out", script, *given) == 0
    assert set(np.unique(read_ids(tmp_path / "out" / "instances.tif"))) == {0, 1, 100_000}


def error(capsys: pytest.CaptureFixture[str]) -> str:
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("i2i: error: ")]
    assert len(lines) == 1
    return lines[0].removeprefix("i2i: error: ")


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ([*EDITS, {"do": "remove", "object": 3007}], "edit 6 (remove): there is no object 3007; the nearest ids are"),
        ([*EDITS, {"do": "paint", "lable": 3}], "edit 6 (paint): unknown key 'lable'; did you mean 'label'?"),
        (
            [*EDITS, {"do": "undo"}, {"do": "redo"}, {"do": "redo"}],
            "edit 8 (redo): there is no edit that could be done",
        ),
        ([{"do": "paint", "flood": [0, 0], "label": 5}], "edit 1 (paint): label (=5) must lie between 0 and 4, the"),
        ([], "expected {"),
    ],
)
def test_nothing_is_written_when_the_script_is_wrong(
    styled: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], edits: Any, message: str
) -> None:
    assert edit(styled, data, tmp_path / "out", edits, "--each-step") == 2
    assert error(capsys).startswith(f"{tmp_path / 'out.json'}: {message}")
    assert not (tmp_path / "out").exists()


def test_mistakes(plain: Path, styled: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = data / "train_label"
    (tmp_path / "file").touch()
    (tmp_path / "some.json").write_text('{"classes": {"3": [0, 0]}}')
    write_ids(np.zeros((13, 17), int), tmp_path / "small.png")
    for model, out, flags, message in (
        (plain, "out", (), f"{plain} has no styles yet; find them: i2i pix2pixhd encode {plain} --data DIR"),
        (
            plain,
            "out",
            ("--style", tmp_path / "some.json"),
            f"{tmp_path}/out.json: edit 5 (variants): there is no style",
        ),
        (styled, "out", ("--labels", labels), f"--labels {labels} is a folder; name the file of the scene that is"),
        (styled, "out", ("--instances", tmp_path / "small.png"), f"{labels}/a.png is 18x13, but {tmp_path}/small.png"),
        (styled, "out", ("--seed", -1), "seed (=-1) must be a whole number of at least 0"),
        (styled, "out", ("--script", tmp_path / "no.json"), f"{tmp_path}/no.json: cannot be read (No such file"),
        (styled, "file", (), f"--out {tmp_path / 'file'} is a file; name a folder for the results"),
    ):
        assert edit(model, data, tmp_path / out, EDITS, *flags) == 2
        assert error(capsys).startswith(message)
        assert not (tmp_path / "out").exists()
    own = tmp_path / "own"
    own.mkdir()
    shutil.copy(labels / "a.png", own / "labels.png")
    assert edit(styled, data, own, EDITS, "--labels", own / "labels.png") == 2
    assert error(capsys) == f"{own / 'labels.png'} would be overwritten; choose another --out"
    assert [path.name for path in own.iterdir()] == ["labels.png"]
