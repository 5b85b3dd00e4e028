from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from i2i.data.scene_folders import Places, Scene, find_scenes, scene_places
from i2i.errors import DataError

Touch = Callable[..., Path]


@pytest.fixture
def touch(tmp_path: Path) -> Touch:
    """``touch("train_label/a.png", ...)``: empty files; returns ``tmp_path``."""

    def make(*names: str) -> Path:
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path

    return make


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(DataError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_files_belong_together_by_name_and_not_by_order(touch: Touch) -> None:
    root = touch("l/b.png", "l/in/a.png", "i/b.tif", "i/in/a.png", "p/b.jpg", "p/in/a.jpeg")
    assert find_scenes(root / "l", root / "i", root / "p") == [
        Scene(root / "l/b.png", root / "i/b.tif", root / "p/b.jpg"),
        Scene(root / "l/in/a.png", root / "i/in/a.png", root / "p/in/a.jpeg"),
    ]
    assert find_scenes(root / "l", images=root / "p")[0] == Scene(root / "l/b.png", None, root / "p/b.jpg")
    assert find_scenes([root / "l/b.png"], root / "i/b.tif") == [Scene(root / "l/b.png", root / "i/b.tif", None)]


def test_endings_of_cityscapes_do_not_count(touch: Touch) -> None:
    """As in the sample of the authors: files of Cityscapes in folders of theirs."""
    root = touch(
        "l/ulm_1_gtFine_labelIds.png", "l/ulm_2_gtCoarse_labelTrainIds.png", "l/x_leftImg8bit_y.png",
        "i/ulm_1_gtFine_instanceIds.png", "i/ulm_2_gtCoarse_instanceIds.png", "i/x_leftImg8bit_y.png",
        "p/ulm_1_leftImg8bit.png", "p/ulm_2_leftImg8bit.png", "p/x_leftImg8bit_y.png",
    )  # fmt: skip
    found = find_scenes(root / "l", root / "i", root / "p")
    assert [[path.name[:6] for path in scene if path is not None] for scene in found] == [
        ["ulm_1_"] * 3, ["ulm_2_"] * 3, ["x_left"] * 3,
    ]  # fmt: skip


def test_files_that_cityscapes_puts_beside_those_of_a_kind_are_left_out(touch: Touch) -> None:
    kinds = ("labelIds", "labelTrainIds", "instanceIds", "color", "instanceTrainIds")
    names = ["bonn/bonn_0", "ulm/ulm_0"]
    root = touch(
        *(f"gt/{name}_gtFine_{kind}.png" for name in names for kind in kinds),
        *(f"photos/{name}_leftImg8bit.png" for name in names),
    )
    assert find_scenes(root / "gt", root / "gt", root / "photos") == [
        Scene(*(root / place / f"{name}_{ending}.png" for place, ending in (
            ("gt", "gtFine_labelIds"), ("gt", "gtFine_instanceIds"), ("photos", "leftImg8bit"),
        ))) for name in names
    ]  # fmt: skip
    assert [scene.labels.name[-21:] for scene in find_scenes(root / "gt")] == ["0_gtFine_labelIds.png"] * 2
    touch("gt/own.png")  # what is of another scene counts
    assert [scene.labels.name for scene in find_scenes(root / "gt")] == [
        "bonn_0_gtFine_labelIds.png", "own.png", "ulm_0_gtFine_labelIds.png",
    ]  # fmt: skip
    said = refusal(lambda: find_scenes(root / "gt", classes=False))  # images: which of them is not known
    assert "have the same name" in said


def test_names_without_partners_are_listed(touch: Touch) -> None:
    root = touch("l/a.png", "l/b.png", "i/a.png", "i/b.png", "p/a.png", "p/c.png")
    assert refusal(lambda: find_scenes(root / "l", root / "i", root / "p")) == (
        "the files of labels and images must have the same names (suffixes do not count): only in labels: b; "
        "only in images: c; rename them, and put those that have no partner somewhere else"
    )
    (root / "i/b.png").unlink()
    assert refusal(lambda: find_scenes(root / "l", root / "i")) == (
        "the files of labels and instances must have the same names (suffixes do not count): only in labels: b; "
        "rename them, and put those that have no partner somewhere else, or go without: --no-instances"
    )
    assert refusal(lambda: find_scenes(root / "l", root / "i", optional=False)).endswith("partner somewhere else")
    said = refusal(lambda: find_scenes(root / "l", images=root / "p", classes=False))
    assert said.startswith("the files of A and B must have the same names (suffixes do not count): only in A: b; ")


def test_a_name_that_is_there_twice(touch: Touch) -> None:
    root = touch("l/a.png", "l/a_gtFine_labelIds.png")
    said = refusal(lambda: find_scenes(root / "l"))
    assert said == (
        f"{root}/l/a.png and {root}/l/a_gtFine_labelIds.png have the same name, so no image can be matched with them"
    )


def test_the_layout_of_the_authors(touch: Touch) -> None:
    root = touch("train_label/a.png", "train_inst/a.png", "train_img/a.png")
    label, inst, img = (root / f"train_{kind}" for kind in ("label", "inst", "img"))
    assert scene_places(root) == Places(label, inst, img)
    assert scene_places(root, instances=False) == Places(label, None, img)
    assert scene_places(root, "held_out") is None
    touch("test_label/a.png", "test_inst/a.png")  # without images: so they are shipped, to be generated
    assert scene_places(root, "held_out") is None
    touch("test_img/a.png")
    assert scene_places(root, "held_out") == Places(root / "test_label", root / "test_inst", root / "test_img")


def test_held_out_scenes_without_their_instance_maps(touch: Touch) -> None:
    root = touch(*(f"{split}_{kind}/a.png" for split in ("train", "test") for kind in ("label", "inst", "img")))
    (root / "test_inst/a.png").unlink()
    (root / "test_inst").rmdir()
    assert refusal(lambda: scene_places(root, "held_out")) == (
        f"{root} has test_label and test_img, but no test_inst: the held-out scenes are incomplete; add test_inst, or "
        "take test_img out of it to train without held-out scenes"
    )
    assert scene_places(root, "held_out", instances=False) == Places(root / "test_label", None, root / "test_img")
    (root / "test_img").rename(root / "others")  # the remedy
    assert scene_places(root, "held_out") is None
    touch("testA/a.png", "testB/a.png")
    said = refusal(lambda: scene_places(root, "held_out", classes=False))
    assert said.startswith(f"{root} has testA and testB, but no test_inst: the held-out scenes are incomplete; ")


@pytest.mark.parametrize("line", ["_", ""])
def test_two_domains_without_classes(touch: Touch, line: str) -> None:
    root = touch(f"train{line}A/a.png", f"train{line}B/a.png", f"test{line}A/a.png", f"test{line}B/a.png")
    assert scene_places(root, classes=False, instances=False) == Places(
        root / f"train{line}A", None, root / f"train{line}B"
    )
    assert scene_places(root, "held_out", classes=False, instances=False) == Places(
        root / f"test{line}A", None, root / f"test{line}B"
    )
    touch("train_inst/a.png")
    found = scene_places(root, classes=False)
    assert found is not None
    assert found.instances == root / "train_inst"


def test_the_layout_of_cityscapes(touch: Touch) -> None:
    names = [f"{city}_000{i}_19" for city in ("bonn", "ulm") for i in range(2)]
    for part in ("train", "val"):
        for name in names:
            city = name.partition("_")[0]
            touch(
                f"leftImg8bit/{part}/{city}/{name}_leftImg8bit.png",
                *(f"gtFine/{part}/{city}/{name}_gtFine_{kind}.png" for kind in ("labelIds", "instanceIds", "color")),
                f"gtFine/{part}/{city}/{name}_gtFine_polygons.json",
            )
    root = touch()
    for split, part in (("train", "train"), ("held_out", "val")):
        places = scene_places(root, split)  # type: ignore[arg-type]
        assert places is not None
        scenes = find_scenes(*places)
        assert [scene.labels.name for scene in scenes] == [f"{name}_gtFine_labelIds.png" for name in names]
        for name, scene in zip(names, scenes, strict=True):
            city = name.partition("_")[0]
            assert scene.instances == root / f"gtFine/{part}/{city}/{name}_gtFine_instanceIds.png"
            assert scene.image == root / f"leftImg8bit/{part}/{city}/{name}_leftImg8bit.png"
    bare = scene_places(root, instances=False)
    assert bare is not None
    assert bare.instances is None


def test_parts_of_cityscapes_that_are_missing(touch: Touch) -> None:
    root = touch("gtFine/train/ulm/ulm_1_gtFine_labelIds.png")
    assert scene_places(root, "held_out") is None
    said = refusal(lambda: scene_places(root, instances=False))
    assert said == (
        f"{root}/leftImg8bit/train does not exist; the layout of Cityscapes has gtFine/train and leftImg8bit/train"
    )
    touch("leftImg8bit/train/ulm/ulm_1_leftImg8bit.png")
    assert refusal(lambda: scene_places(root)) == (
        f"{root}/gtFine/train has no files that end in _gtFine_instanceIds.png; add them, or go without: --no-instances"
    )
    assert refusal(lambda: scene_places(root, optional=False)) == (
        f"{root}/gtFine/train has no files that end in _gtFine_instanceIds.png; add them"
    )
    touch("leftImg8bit/val/ulm/other.png", "gtFine/val/ulm/ulm_1_gtFine_labelIds.png")
    assert refusal(lambda: scene_places(root, "held_out", instances=False)) == (
        f"{root}/leftImg8bit/val has no files that end in _leftImg8bit.png; add them"
    )


def test_what_is_missing_is_named_with_what_is_there(touch: Touch) -> None:
    root = touch("train_label/a.png", "other/a.png")
    assert refusal(lambda: scene_places(root)) == (
        f"{root} has no train_img (it has: other, train_label); expected train_label, train_inst and train_img, or "
        "gtFine and leftImg8bit of Cityscapes, or name folders: --a LABELS --b IMAGES --no-instances (RGB to RGB "
        "without label maps: --labels 0)"
    )
    assert refusal(lambda: scene_places(root, classes=False)) == (
        f"{root} has no train_A and no train_B (it has: other, train_label); expected train_A and train_B (with "
        "--labels 0), or name folders: --a DIR --b DIR"
    )
    touch("train_img/a.png")
    assert refusal(lambda: scene_places(root)) == (
        f"{root} has no train_inst, the folder of instance maps; add it, or go without: --no-instances"
    )
    assert refusal(lambda: scene_places(root, optional=False)) == (
        f"{root} has no train_inst, the folder of instance maps; add it"
    )
    assert refusal(lambda: scene_places(root / "no")) == f"{root}/no does not exist"
