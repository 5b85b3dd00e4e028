from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from i2i.errors import DataError, I2IError, SettingsError
from i2i_pix2pixhd.editing.editor import Editor
from i2i_pix2pixhd.editing.regions import Polygon, Rectangle, Stroke
from i2i_pix2pixhd.editing.script import read_script, run_script
from i2i_pix2pixhd.encoder import feature_encoder
from i2i_pix2pixhd.generators import global_generator
from i2i_pix2pixhd.scene import SceneGenerator, scene_generator
from i2i_pix2pixhd.styles.clusters import Styles

STYLES = Styles({3: torch.tensor([[0.1, 0.1], [0.6, 0.6]])}, {3: torch.tensor([0.1, 0.2])}, torch.zeros(2), "")


def editor() -> Editor:
    net = scene_generator(
        global_generator(3, labels=5, base_width=2, downs=2, blocks=0), feature_encoder(3, 2, base_width=2, downs=2)
    )
    assert isinstance(net, SceneGenerator)
    labels = torch.ones(12, 16, dtype=torch.int32)
    labels[2:6, 3:8] = labels[7:10, 9:14] = 3
    instances = labels.clone()
    instances[2:6, 3:8], instances[7:10, 9:14] = 3000, 3001
    return Editor(net.eval(), labels, instances, STYLES)


def script(tmp_path: Path, *edits: Any) -> Path:
    path = tmp_path / "edits.json"
    path.write_text(json.dumps({"edits": edits}))
    return path


def test_a_script_does_what_the_editor_does(tmp_path: Path) -> None:
    mask = np.zeros((12, 16), np.uint8)
    mask[11] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    path = script(
        tmp_path,
        {"do": "paint", "rectangle": [0, 0, 4, 2], "label": 2},
        {"do": "paint", "disc": [15, 0, 1], "label": 4},
        {"do": "paint", "mask": "mask.png", "label": 0},
        {"do": "paint", "flood": [0, 11], "label": 4},
        {"do": "add", "polygon": [[0, 8], [3, 8], [3, 11], [0, 11]], "label": 3, "name": "new"},
        {"do": "paint", "stroke": [[3, 9], [5, 9]], "radius": 0.5, "label": 3, "instance": "new"},
        {"do": "replace", "label": 3, "by": 2, "object": 3001},
        {"do": "restyle", "object": "new", "style": [0.25, 0.5]},
        {"do": "restyle", "label": 2, "style": 0},
        {"do": "remove", "object": 3000},
        {"do": "undo"},
        {"do": "redo"},
        {"do": "remove", "object": "new", "fill": 4},
        {"do": "undo"},
        {"do": "variants", "count": 3, "object": "new"},
    )
    by_hand, by_script = editor(), editor()
    by_hand.paint(Rectangle(0, 0, 4, 2), 2)
    by_hand.paint(Stroke([(15.0, 0.0)], 1.0), 4)
    by_hand.paint(Rectangle(0, 11, 16, 12), 4)
    new = by_hand.add(Polygon([(0.0, 8.0), (3.0, 8.0), (3.0, 11.0), (0.0, 11.0)]), 3)
    assert new == 3002
    by_hand.paint(Rectangle(3, 9, 6, 10), 3, instance=new)
    by_hand.replace(3, 2, Rectangle(9, 7, 14, 10))
    by_hand.restyle([0.25, 0.5], object=new)
    by_hand.restyle(STYLES.mean, label=2)  # it was never seen: its only centre is the mean
    by_hand.remove(3000)
    steps = run_script(by_script, read_script(path), "edits.json")
    assert [step.number for step in steps] == list(range(1, 16))
    assert [len(step.variants) for step in steps] == [0] * 14 + [3]
    one, other = by_hand.scene, by_script.scene
    assert steps[-1].scene is other
    assert one.instances is not None
    assert other.instances is not None
    assert other.labels.tolist() == one.labels.tolist()
    assert other.instances.tolist() == one.instances.tolist()
    for named, others in ((one.table.classes, other.table.classes), (one.table.objects, other.table.objects)):
        assert {id: style.tolist() for id, style in named.items()} == {id: s.tolist() for id, s in others.items()}
    assert [table.objects[new].tolist() for table in steps[-1].variants][:2] != [[0.25, 0.5]] * 2
    assert other.labels[11].tolist() == [4] * 16
    assert steps[9].scene is steps[11].scene


def test_masks_are_named_relative_to_the_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inside").mkdir()
    Image.fromarray(np.full((12, 16), 255, np.uint8)).save(tmp_path / "inside" / "all.png")
    path = script(tmp_path / "inside", {"do": "paint", "mask": "all.png", "label": 2})
    monkeypatch.chdir(tmp_path)
    made = editor()
    run_script(made, read_script(path), "edits.json")
    assert (made.scene.labels == 2).all()


PAINT = {"do": "paint", "rectangle": [0, 0, 2, 2], "label": 2}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (3, ' must be a table with a key "do", such as {"do": "undo"}'),
        ({"label": 2}, ' must be a table with a key "do", such as {"do": "undo"}'),
        ({"do": "piant"}, ": unknown edit 'piant'; did you mean 'paint'?"),
        ({**PAINT, "lable": 2}, " (paint): unknown key 'lable'; did you mean 'label'?"),
        ({"do": "undo", "count": 2}, " (undo): unknown key 'count'; known: none"),
        ({"do": "paint", "rectangle": [0, 0, 2, 2]}, " (paint): needs a key 'label'"),
        (
            {"do": "paint", "label": 2},
            " (paint): needs one region: rectangle, polygon, stroke, disc, mask, object, flood",
        ),
        ({**PAINT, "flood": [0, 0]}, " (paint): needs one region, not rectangle and flood: rectangle, polygon"),
        ({**PAINT, "radius": 2}, " (paint): radius (=2) is that of a stroke, and there is none"),
        ({**PAINT, "label": "7"}, ' (paint): label (="7") must be a whole number from 0'),
        ({**PAINT, "label": 7.0}, " (paint): label (=7.0) must be a whole number from 0"),
        ({**PAINT, "label": True}, " (paint): label (=true) must be a whole number from 0"),
        ({**PAINT, "label": 2**31}, " (paint): label (=2147483648) must be a whole number from 0 to 2147483647"),
        ({**PAINT, "instance": "car"}, ' (paint): instance (="car") is no name that an edit before gives; known: none'),
        (
            {**PAINT, "rectangle": [0, 0, 2]},
            " (paint): rectangle (=[0, 0, 2]) must be [x0, y0, x1, y1] of whole numbers",
        ),
        (
            {**PAINT, "rectangle": [0, 0, 2, 1.5]},
            " (paint): rectangle (=[0, 0, 2, 1.5]) must be [x0, y0, x1, y1] of whole",
        ),
        ({**PAINT, "rectangle": [0, 5, 2, 5]}, " (paint): rectangle (=[0, 5, 2, 5]) is empty: x0 must be below x1"),
        ({"do": "paint", "label": 2, "flood": 3}, " (paint): flood (=3) must be [x, y] of whole numbers"),
        (
            {"do": "paint", "label": 2, "disc": [3, 3, -1]},
            " (paint): radius (=-1) must be a number of pixels, at least 0",
        ),
        (
            {"do": "paint", "label": 2, "disc": [3, float("nan"), 1]},
            " (paint): disc (=[3, NaN, 1]) must be [x, y, radius]",
        ),
        (
            {"do": "paint", "label": 2, "polygon": [[0, 0], [1, 1]]},
            " (paint): polygon (=[[0, 0], [1, 1]]) must be a list of 3",
        ),
        ({"do": "paint", "label": 2, "stroke": []}, " (paint): stroke (=[]) must be a list of 1 points"),
        ({"do": "paint", "label": 2, "stroke": [[1, "a"]]}, ' (paint): stroke (=[1, "a"]) must be [x, y] of numbers'),
        ({"do": "paint", "label": 2, "stroke": [[1, 1]], "radius": "2"}, ' (paint): radius (="2") must be a number of'),
        ({"do": "paint", "label": 2, "mask": 3}, " (paint): mask (=3) must be the name of an image"),
        ({"do": "paint", "label": 2, "mask": "no.png"}, " (paint): {folder}/no.png cannot be read as an image"),
        ({"do": "add", "rectangle": [0, 0, 2, 2], "label": 2, "name": ""}, ' (add): name (="") must be a word'),
        (
            {"do": "remove", "object": 3000, "fill": "road"},
            ' (remove): fill (="road") must be a label or "surroundings"',
        ),
        (
            {"do": "remove", "object": "carr"},
            ' (remove): object (="carr") is no name that an edit before gives; did you mean',
        ),
        ({"do": "restyle", "style": 1}, " (restyle): needs an object or a label"),
        (
            {"do": "restyle", "style": 1, "object": 1, "label": 1},
            " (restyle): needs either an object or a label, not both",
        ),
        (
            {"do": "restyle", "object": 1, "style": "red"},
            ' (restyle): style (="red") must be a list of numbers, the number',
        ),
        ({"do": "restyle", "object": 1, "style": 1.5}, " (restyle): style (=1.5) must be a whole number from 0"),
        ({"do": "variants", "count": 0}, " (variants): count (=0) must be a whole number from 1 to 1000"),
        (
            {"do": "variants", "count": 2, "object": 1, "label": 1},
            " (variants): needs either an object or a label, not both",
        ),
    ],
)
def test_an_entry_that_is_wrong(tmp_path: Path, entry: Any, message: str) -> None:
    first = {"do": "add", "rectangle": [0, 0, 2, 2], "label": 2, "name": "cars"}
    if "instance" in str(entry):
        first = PAINT
    path = script(tmp_path, first, entry, {"do": "nonsense"})
    with pytest.raises(DataError) as told:
        read_script(path)
    said = str(told.value)
    assert said.startswith(f"{path}: edit 2{message.replace('{folder}', str(tmp_path))}")
    assert "\n" not in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON"),
        ("[]", "expected {"),
        ("{}", "expected {"),
        ('{"edits": []}', "expected {"),
        ('{"edits": {"do": "undo"}}', "expected {"),
        ('{"edits": [{"do": "undo"}], "edit": 1}', "unknown key 'edit'; did you mean 'edits'?"),
    ],
)
def test_a_file_that_is_no_script(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "edits.json"
    path.write_text(text)
    with pytest.raises(DataError) as told:
        read_script(path)
    assert str(told.value).startswith(f"{path}: {message}")
    with pytest.raises(DataError, match=r"none\.json: cannot be read \(No such file"):
        read_script(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("entry", "kind", "message"),
    [
        ({"do": "remove", "object": 3009}, DataError, r"there is no object 3009; the nearest ids are 1, 2, 3000, 3001"),
        ({"do": "paint", "object": 3009, "label": 2}, DataError, "there is no object 3009"),
        (
            {"do": "paint", "rectangle": [0, 0, 2, 2], "label": 9},
            SettingsError,
            r"label \(=9\) must lie between 0 and 4",
        ),
        ({"do": "paint", "rectangle": [16, 0, 20, 2], "label": 2}, DataError, "has no pixel in this image of 16x12"),
        ({"do": "restyle", "object": 3000, "style": [1, 2, 3]}, DataError, "a list of 2 finite numbers"),
        ({"do": "redo"}, SettingsError, "there is no edit that could be done again"),
    ],
)
def test_an_edit_that_cannot_be_done(tmp_path: Path, entry: Any, kind: type[I2IError], message: str) -> None:
    edits = read_script(script(tmp_path, PAINT, entry))
    with pytest.raises(kind, match=rf"^edits\.json: edit 2 \({entry['do']}\): .*{message}") as told:
        run_script(editor(), edits, "edits.json")
    assert "\n" not in str(told.value)
