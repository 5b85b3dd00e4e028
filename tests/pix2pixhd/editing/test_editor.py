from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch

from i2i.errors import DataError, SettingsError
from i2i_pix2pixhd.conditions import boundaries
from i2i_pix2pixhd.editing.editor import Editor
from i2i_pix2pixhd.editing.regions import Flood, Mask, ObjectPixels, Rectangle, Stroke
from i2i_pix2pixhd.editing.renderer import EditedScene
from i2i_pix2pixhd.encoder import feature_encoder
from i2i_pix2pixhd.generators import global_generator
from i2i_pix2pixhd.scene import SceneGenerator, scene_generator
from i2i_pix2pixhd.styles.clusters import Styles
from i2i_pix2pixhd.styles.tables import Table

CARS = torch.tensor([[-0.5, 0.5, 0.0], [0.9, 0.9, 0.9], [0.1, -0.7, 0.3]])
STYLES = Styles(
    {26: CARS, 7: torch.tensor([[0.2, 0.2, 0.2]])},
    {26: torch.tensor([0.0, -0.5, 0.3]), 7: torch.tensor([0.2, 0.2, 0.2])},
    torch.tensor([0.3, 0.0, -0.3]),
    "",
)


def net(*, boundaries: bool = True, features: int = 3, labels: int = 35) -> SceneGenerator:
    torch.manual_seed(0)
    channels = boundaries + features + (0 if labels else 3)
    made = scene_generator(
        global_generator(channels, labels=labels, base_width=4, downs=2, blocks=1),
        feature_encoder(3, features, base_width=2, downs=2) if features else None,
        boundaries=boundaries,
    )
    assert isinstance(made, SceneGenerator)
    for value in made.generator.parameters():
        torch.nn.init.normal_(value, std=0.3)  # so that nothing that changes is too small to be seen
    return made.eval()


def street(size: tuple[int, int] = (16, 20)) -> tuple[torch.Tensor, torch.Tensor]:
    """Sky (23) over road (7), two cars (26) on it, numbered as in Cityscapes."""
    labels = torch.full(size, 23, dtype=torch.int32)
    labels[8:] = 7
    instances = labels.clone()
    for number, (top, left) in enumerate(((9, 2), (10, 12))):
        labels[top : top + 4, left : left + 5] = 26
        instances[top : top + 4, left : left + 5] = 26000 + number
    return labels, instances


def editor(**options: Any) -> Editor:
    return Editor(net(), *street(), STYLES, **options)


def assert_map(found: torch.Tensor | None, wanted: torch.Tensor) -> None:
    assert found is not None
    assert found.dtype == torch.int32
    assert found.tolist() == wanted.tolist()


def test_painting_gives_a_region_a_label_and_takes_it_out_of_objects() -> None:
    (labels, instances), made = street(), editor()
    made.paint(Rectangle(0, 12, 5, 16), 8)
    labels[12:, :5] = instances[12:, :5] = 8
    assert_map(made.scene.labels, labels)
    assert_map(made.scene.instances, instances)
    made.paint(Rectangle(7, 9, 9, 11), 26, instance=26000)  # a longer car
    labels[9:11, 7:9], instances[9:11, 7:9] = 26, 26000
    assert_map(made.scene.labels, labels)
    assert_map(made.scene.instances, instances)


def test_replacing_a_label_leaves_objects_what_they_are() -> None:
    (labels, instances), made = street(), editor()
    made.replace(26, 27)
    assert_map(made.scene.labels, torch.where(labels == 26, 27, labels))
    assert_map(made.scene.instances, torch.where(instances >= 1000, instances + 1000, instances))
    made.replace(23, 22, Rectangle(0, 0, 10, 99))
    left = (labels == 23) & (torch.arange(20) < 10)
    assert_map(made.scene.labels, torch.where(left, 22, torch.where(labels == 26, 27, labels)))
    assert_map(made.scene.instances, torch.where(left, 22, torch.where(instances >= 1000, instances + 1000, instances)))


def test_replacing_a_part_of_an_object_divides_it() -> None:
    (labels, instances), made = street(), editor(table=Table({}, {26000: CARS[1]}))
    made.replace(26, 28, Rectangle(0, 0, 4, 99))
    part = (labels == 26) & (torch.arange(20) < 4)
    assert_map(made.scene.instances, torch.where(part, 28000, instances))
    assert list(made.scene.table.objects) == [26000]


def test_an_added_object_has_an_id_and_boundaries_of_its_own() -> None:
    (labels, instances), made = street(), editor()
    id = made.add(Rectangle(8, 9, 11, 12), 26)
    assert id == 26002
    labels[9:12, 8:11], instances[9:12, 8:11] = 26, 26002
    assert_map(made.scene.labels, labels)
    assert_map(made.scene.instances, instances)
    assert made.scene.instances is not None
    edges = boundaries(made.scene.instances[None, None])[0, 0]
    assert edges[9:12, 8:11].sum() == 8  # all around, but not in its middle
    assert made.add(Stroke([(1.0, 1.0)], 1.0), 24) == 24000
    assert made.add(Flood(19, 0), 23) == 23000  # the rest of the sky
    assert made.scene.labels[0, 19] == 23


@pytest.mark.parametrize(("fill", "label"), [("surroundings", 7), (21, 21)])
def test_a_removed_object_gives_way_to_what_is_around_it(fill: Any, label: int) -> None:
    (labels, instances), made = street(), editor()
    made.remove(26001, fill)
    assert_map(made.scene.labels, torch.where(instances == 26001, label, labels))
    assert_map(made.scene.instances, torch.where(instances == 26001, label, instances))


def test_the_number_of_an_object_that_is_gone_brings_no_style_back() -> None:
    made = editor()
    made.restyle([0.1, 0.2, 0.3], object=26001)
    made.remove(26001)
    assert made.add(Rectangle(0, 0, 3, 3), 26) == 26001
    assert not made.scene.table.objects


@pytest.mark.parametrize("label", [0, 1, 25])
def test_a_new_object_of_any_class_is_apart_from_what_is_painted(label: int) -> None:
    labels, instances = street()
    instances[0, :] = labels[0, :] = 24
    made = Editor(net(), labels, instances, STYLES)
    id = made.add(Rectangle(0, 2, 3, 5), 0)
    other = made.add(Rectangle(5, 2, 8, 5), 0)
    made.paint(Rectangle(10, 2, 13, 5), label)
    assert made.scene.instances is not None
    assert made.scene.instances.eq(id).nonzero().tolist() == [[y, x] for y in range(2, 5) for x in range(3)]
    made.restyle([0.5, 0.5, 0.5], object=id)
    made.remove(id)
    labels[2:5, 5:8], labels[2:5, 10:13] = 0, label
    instances[2:5, 5:8], instances[2:5, 10:13] = other, label
    assert_map(made.scene.labels, labels)
    assert_map(made.scene.instances, instances)
    again = Editor(net(), made.scene.labels, made.scene.instances, STYLES)  # the numbering is known again
    assert again.add(Rectangle(0, 5, 2, 6), 26) == 26002


def test_more_objects_of_a_class_than_it_has_numbers() -> None:
    labels, instances = torch.full((32, 40), 26), torch.arange(32 * 40).reshape(32, 40) % 1000 + 26000
    labels[31, 39], instances[31, 39] = 27, 27000
    made = Editor(net(), labels, instances, STYLES)
    id = made.add(Rectangle(0, 31, 2, 32), 26)
    assert not bool((instances == id).any())
    made.paint(Rectangle(5, 31, 7, 32), 1)
    made.remove(id, 7)
    labels[31, :2], labels[31, 5:7] = 7, 1
    assert_map(made.scene.labels, labels)


def test_a_map_whose_objects_have_other_numbers() -> None:
    labels, instances = street()
    for offset, background in ((0, 0), (100, 0)):  # nothing but objects is numbered
        ids = torch.where(instances >= 1000, instances - 25999 + offset, background)
        made = Editor(net(), labels, ids, STYLES)
        assert made.add(Rectangle(0, 0, 3, 3), 26) == 3 + offset
        made.paint(Rectangle(0, 0, 3, 3), 7)
        made.remove(1 + offset)
        made.replace(26, 27)
        assert_map(made.scene.instances, torch.where(ids == 2 + offset, 2 + offset, 0))
    ids = torch.where(labels == 23, 1, torch.where(labels == 7, 2, instances - 25990))  # everything is
    made = Editor(net(), labels, ids, STYLES)
    assert made.add(Rectangle(0, 0, 3, 3), 26) == 12
    made.paint(Rectangle(0, 0, 3, 3), 23)
    assert_map(made.scene.instances, ids)
    made.remove(10)
    made.replace(26, 27)
    assert_map(made.scene.instances, torch.where(ids == 10, 2, ids))
    made.replace(7, 8, Rectangle(0, 15, 20, 16))  # a part of a segment is a segment of its own
    assert made.scene.instances is not None
    assert made.scene.instances[15].tolist() == [12] * 20


def test_without_instances_labels_are_edited() -> None:
    labels, _ = street()
    made = Editor(net(boundaries=False), labels, None, STYLES)
    made.paint(Rectangle(0, 0, 5, 5), 7)
    made.replace(26, 27)
    labels[:5, :5] = 7
    assert_map(made.scene.labels, torch.where(labels == 26, 27, labels))
    assert made.scene.instances is None
    made.restyle(CARS[0], label=27)
    for wrong in (
        lambda: made.add(Rectangle(0, 0, 5, 5), 26),
        lambda: made.remove(26000),
        lambda: made.restyle("sample", object=26000),
        lambda: made.paint(ObjectPixels(26000), 7),
        lambda: made.paint(Rectangle(0, 0, 2, 2), 26, instance=26000),
    ):
        with pytest.raises(
            DataError, match=r"this scene has no objects: they need an instance map \(--instances FILE\)"
        ):
            wrong()  # type: ignore[no-untyped-call]


def same(one: EditedScene, other: EditedScene) -> bool:
    assert one.instances is not None
    assert other.instances is not None
    tables = [
        {
            key: {id: style.tolist() for id, style in named.items()}
            for key, named in (("c", each.table.classes), ("o", each.table.objects))
        }
        for each in (one, other)
    ]
    return one.labels.equal(other.labels) and one.instances.equal(other.instances) and tables[0] == tables[1]


EDITS: tuple[Callable[[Editor], object], ...] = (
    lambda e: e.paint(Rectangle(0, 0, 5, 5), 7),
    lambda e: e.add(Rectangle(6, 0, 9, 5), 26),
    lambda e: e.restyle("sample", object=26000),
    lambda e: e.replace(26, 27),
    lambda e: e.remove(27001),
    lambda e: e.restyle([0.0, 0.1, 0.2], label=7),
)


def test_every_edit_can_be_taken_back_and_done_again() -> None:
    made = editor()
    before = [made.scene]
    for edit in EDITS:
        edit(made)
        assert not same(made.scene, before[-1])
        before.append(made.scene)
    kept = [(each.labels.clone(), each.instances.clone()) for each in before if each.instances is not None]
    for scene in before[-2::-1]:
        made.undo()
        assert same(made.scene, scene)
    with pytest.raises(SettingsError, match="there is no edit that could be taken back"):
        made.undo()
    for scene in before[1:]:
        made.redo()
        assert same(made.scene, scene)
    with pytest.raises(SettingsError, match="there is no edit that could be done again"):
        made.redo()
    made.undo()
    made.undo()
    made.paint(Rectangle(0, 0, 1, 1), 3)
    with pytest.raises(SettingsError, match="done again"):  # another edit was made since
        made.redo()
    for (labels, instances), scene in zip(kept, before, strict=True):
        assert_map(scene.labels, labels)  # no edit changes a scene in place
        assert_map(scene.instances, instances)


def test_as_many_edits_can_be_taken_back_as_were_asked_for() -> None:
    made = editor(depth=2)
    for label in (1, 2, 3):
        made.paint(Rectangle(0, 0, 1, 1), label)
    made.undo()
    made.undo()
    assert made.scene.labels[0, 0] == 1
    with pytest.raises(SettingsError, match="taken back"):
        made.undo()


def test_the_maps_that_were_given_stay_as_they_are() -> None:
    labels, instances = street()
    made = Editor(net(), labels[None, None], instances.long(), STYLES)
    made.paint(Rectangle(0, 0, 20, 16), 3)
    assert labels.tolist() == street()[0].tolist()
    labels[:] = 0
    made.undo()
    assert_map(made.scene.labels, street()[0])


WRONG: tuple[tuple[Callable[[Editor], object], str], ...] = (
    (lambda e: e.paint(Rectangle(30, 0, 35, 5), 7), r"the rectangle 30 0 35 5 has no pixel in this image of 20x16"),
    (
        lambda e: e.paint(Rectangle(0, 0, 5, 5), 35),
        r"label \(=35\) must lie between 0 and 34, the classes of the model",
    ),
    (lambda e: e.paint(Rectangle(0, 0, 5, 5), -1), r"label \(=-1\) must lie between 0 and 34"),
    (lambda e: e.paint(Rectangle(0, 0, 5, 5), 7, instance=26000), "object 26000 has the label 26, not 7; add makes"),
    (lambda e: e.paint(Rectangle(0, 0, 5, 5), 26, instance=26009), "no object 26009; the nearest ids are 7, 23, 26000"),
    (lambda e: e.paint(Mask(torch.ones(3, 3)), 26), "the mask is 3x3, but the scene is 20x16"),
    (lambda e: e.replace(26, 99), r"by \(=99\) must lie between 0 and 34"),
    (lambda e: e.replace(26, 26), "label and by are both 26; nothing would change"),
    (lambda e: e.replace(5, 26), "there is no label 5 to replace; there are 7, 23, 26"),
    (lambda e: e.replace(26, 27, Rectangle(0, 0, 9, 3)), "there is no label 26 to replace; there are 23"),
    (lambda e: e.add(Rectangle(0, 0, 5, 5), 99), r"label \(=99\) must lie"),
    (lambda e: e.add(Rectangle(0, 20, 5, 25), 26), "has no pixel"),
    (lambda e: e.remove(26002), "there is no object 26002; the nearest ids are 7, 23, 26000, 26001"),
    (lambda e: e.remove(26000, 35), r"fill \(=35\) must lie between"),
    (lambda e: e.restyle("sample", object=24000), "there is no object 24000"),
    (lambda e: e.restyle("sample", label=24), "there is nothing of class 24; there are 7, 23, 26"),
    (lambda e: e.restyle("sample"), "which object, or which label"),
    (lambda e: e.restyle("sample", object=26000, label=26), "which object, or which label"),
    (lambda e: e.restyle([0.1, 0.2], object=26000), "a list of 3 finite numbers"),
    (lambda e: e.restyle([1e39, 0, 0], object=26000), "a list of 3 finite numbers"),
    (lambda e: e.restyle(3, object=26000), r"style \(=3\) must lie between 0 and 2, the centres of class 26"),
    (lambda e: e.restyle(True, object=26000), "a list of 3 finite numbers, not True"),
    (lambda e: e.restyle("usual", object=26000), r"style \(='usual'\) must be a list of numbers, .* sample or nearest"),
    (lambda e: e.variants(0), r"count \(=0\) must be a whole number of at least 1"),
    (lambda e: e.variants(2, object=5), "there is no object 5"),
)


@pytest.mark.parametrize(("edit", "message"), WRONG)
def test_an_edit_that_fails_changes_nothing(edit: Callable[[Editor], object], message: str) -> None:
    made = editor()
    made.paint(Rectangle(0, 0, 1, 1), 3)
    made.undo()
    before = made.scene
    with pytest.raises((DataError, SettingsError), match=message) as told:
        edit(made)
    assert "\n" not in str(told.value)
    assert made.scene is before
    made.redo()  # what was taken back is still there
    assert made.scene.labels[0, 0] == 3


def test_an_object_that_fills_the_image_has_no_surroundings() -> None:
    made = Editor(net(), torch.full((8, 8), 26), torch.full((8, 8), 26000), STYLES)
    with pytest.raises(DataError, match="object 26000 fills the whole image; name the label that takes its place"):
        made.remove(26000)
    made.remove(26000, 7)
    assert (made.scene.labels == 7).all()


def test_scenes_that_cannot_be_edited() -> None:
    labels, instances = street()
    with pytest.raises(SettingsError, match="this model reads images, not label maps"):
        Editor(net(labels=0), labels, instances)
    with pytest.raises(SettingsError, match=r"sees the boundaries of objects: name an instance map"):
        Editor(net(), labels)
    with pytest.raises(DataError, match="the labels are 20x16, but the instances are 19x16"):
        Editor(net(), labels, instances[:, 1:])
    with pytest.raises(SettingsError, match=r"a label of the scene \(=43\) must lie between 0 and 34"):
        Editor(net(), labels + 17, instances)
    for wrong in (
        labels.float(),
        labels > 7,
        labels[0],
        torch.zeros(0, 4, dtype=torch.int32),
        labels.expand(2, -1, -1),
    ):
        with pytest.raises(DataError, match=r"a map is \(h, w\) of whole numbers"):
            Editor(net(), wrong, instances)
    with pytest.raises(SettingsError, match=r"seed \(=-1\)"):
        Editor(net(), labels, instances, seed=-1)


def test_styles_of_objects_and_of_classes() -> None:
    made = editor()
    table = made.renderer.table(made.scene).objects
    assert table[26000].equal(CARS[2])  # the nearest to the mean of the cars
    assert table[23].equal(STYLES.mean)  # the sky was never seen
    made.restyle([0.1, 0.2, 0.3], object=26000)
    made.restyle(1, object=26001)
    table = made.renderer.table(made.scene).objects
    torch.testing.assert_close(table[26000], torch.tensor([0.1, 0.2, 0.3]))
    assert table[26001].equal(CARS[1])
    made.restyle(torch.tensor([0.5, 0.5, 0.5]), label=26)  # all cars, those with styles of their own as well
    table = made.renderer.table(made.scene).objects
    assert [table[id].tolist() for id in (26000, 26001)] == [[0.5] * 3] * 2
    assert made.add(Rectangle(0, 0, 3, 3), 26) == 26002
    assert made.renderer.table(made.scene).objects[26002].tolist() == [0.5] * 3
    made.restyle("nearest", object=26002)
    assert made.renderer.table(made.scene).objects[26002].equal(CARS[2])
    made.restyle([0.9, 0.9, 0.9], label=23)
    made.restyle("nearest", label=23)  # which was never seen
    assert made.renderer.table(made.scene).objects[23].equal(STYLES.mean)


def test_another_style_by_chance() -> None:
    made = editor(seed=1)
    seen = [made.renderer.table(made.scene).objects[26000]]
    for _ in range(4):
        made.restyle("sample", object=26000)
        seen.append(made.renderer.table(made.scene).objects[26000])
    assert all(not one.equal(other) for one, other in itertools.pairwise(seen))
    assert {tuple(style.tolist()) for style in seen[1:4]} == {tuple(style) for style in CARS.tolist()}
    again = editor(seed=1)
    again.restyle("sample", object=26000)
    assert again.renderer.table(again.scene).objects[26000].equal(seen[1])


def test_a_model_without_styles() -> None:
    made = Editor(net(features=0), *street())
    assert made.render().shape == (3, 16, 20)
    for wrong in (lambda: made.restyle("sample", object=26000), lambda: made.variants(2)):
        with pytest.raises(SettingsError, match="trained without styles"):
            wrong()  # type: ignore[no-untyped-call]
    bare = Editor(net(), *street())
    for wrong in (bare.render, lambda: bare.variants(2), lambda: bare.restyle("sample", object=26000)):
        with pytest.raises(DataError, match=r"i2i pix2pixhd encode MODEL --data DIR"):
            wrong()
