from __future__ import annotations

from pathlib import Path

import pytest

from i2i.data.folders import find_folders, find_images, find_paired_folders, find_pairs
from i2i.errors import DataError


def make(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def names(root: Path, found: list[Path]) -> list[str]:
    return [path.relative_to(root).as_posix() for path in found]


def test_images_below_a_folder_in_the_order_of_their_path_names(tmp_path: Path) -> None:
    make(tmp_path, "b.JPG", "a/z.png", "a-b/c.tiff", "a/deep/er.bmp", "x.ppm", "y.jpeg", "w.tif")
    make(tmp_path, "notes.txt", "x.gif", ".hidden.png", ".thumbs/x.png", "a/._z.png", "png")
    expected = ["a-b/c.tiff", "a/deep/er.bmp", "a/z.png", "b.JPG", "w.tif", "x.ppm", "y.jpeg"]
    assert names(tmp_path, find_images(tmp_path)) == expected
    assert find_images(str(tmp_path)) == find_images(tmp_path)


def test_several_folders_and_files_keep_their_order(tmp_path: Path) -> None:
    make(tmp_path, "q/2.png", "q/1.png", "p/3.png", "odd.webp")
    found = find_images([tmp_path / "q", str(tmp_path / "odd.webp"), tmp_path / "p"])
    assert names(tmp_path, found) == ["q/1.png", "q/2.png", "odd.webp", "p/3.png"]


def test_training_and_test_folders(tmp_path: Path) -> None:
    make(tmp_path, "trainA/x.png", "trainB/x.png", "testB/x.png", "testA")
    found = find_folders(str(tmp_path))
    assert found.train_b == tmp_path / "trainB"
    assert tuple(found) == (tmp_path / "trainA", tmp_path / "trainB", None, tmp_path / "testB")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (("trainA/x.png", "testA/x.png"), "has no trainB (it has: testA, trainA); expected "),
        (("photos/x.png", "trainB/x.png"), "has no trainA (it has: photos, trainB); expected "),
        (("x.png",), "has no trainA and no trainB (it has: no subfolders); expected "),
    ],
)
def test_a_missing_domain_says_what_is_there(tmp_path: Path, files: tuple[str, ...], said: str) -> None:
    make(tmp_path, *files)
    with pytest.raises(DataError) as caught:
        find_folders(tmp_path)
    layout = f"{tmp_path / 'trainA'} and {tmp_path / 'trainB'}, or name two folders with --a DIR --b DIR"
    assert str(caught.value) == f"{tmp_path} {said}{layout}"


def test_missing_folders_files_and_empty_folders(tmp_path: Path) -> None:
    make(tmp_path, "file.png", "texts/a.txt", "texts/b.txt", "one/a.txt")
    (tmp_path / "empty").mkdir()
    for find in (find_folders, find_images):
        with pytest.raises(DataError, match="nowhere does not exist"):
            find(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"file\.png is a file, not a folder"):
        find_folders(tmp_path / "file.png")
    for folder, held in (("empty", "no files at all"), ("texts", "2 other files"), ("one", "1 other file")):
        with pytest.raises(DataError, match=rf"{folder} holds no images \({held}\); images end in \.jpg"):
            find_images([tmp_path / "file.png", tmp_path / folder])
    with pytest.raises(DataError, match="no folder of images was named"):
        find_images([])


@pytest.mark.parametrize(
    ("files", "train", "held_out"),
    [
        (("train/x.png", "test/x.png"), ["train"], ["test"]),
        (("train/x.png", "test/x.png", "val/x.png"), ["train"], ["val"]),
        (("train/x.png", "testA/x.png", "testB/x.png"), ["train"], None),
        (("trainA/x.png", "trainB/x.png", "testA/x.png", "testB/x.png"), ["trainA", "trainB"], ["testA", "testB"]),
        (("trainA/x.png", "trainB/x.png", "testA/x.png", "test/x.png"), ["trainA", "trainB"], None),
        (("train/x.png", "trainA/x.png", "trainB/x.png"), ["train"], None),
    ],
)
def test_folders_of_pairs(tmp_path: Path, files: tuple[str, ...], train: list[str], held_out: list[str] | None) -> None:
    make(tmp_path, *files)
    found = find_paired_folders(tmp_path)
    assert names(tmp_path, list(found.train)) == train
    assert (None if found.held_out is None else names(tmp_path, list(found.held_out))) == held_out


def test_missing_folders_of_pairs_say_what_is_there(tmp_path: Path) -> None:
    make(tmp_path, "trainA/x.png", "photos/x.png")
    with pytest.raises(DataError) as caught:
        find_paired_folders(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} has neither train nor trainA and trainB (it has: photos, trainA); expected images with both sides "
        f"in {tmp_path / 'train'}, one side each in {tmp_path / 'trainA'} and {tmp_path / 'trainB'}, "
        "or name two folders with --a DIR --b DIR"
    )


def test_pairs_are_matched_by_name_and_not_by_suffix(tmp_path: Path) -> None:
    make(tmp_path, "a/2.png", "a/in/1.jpg", "a/10.v2.png", "b/10.v2.tif", "b/2.JPEG", "b/in/1.png", "b/note.txt")
    found = find_pairs(tmp_path / "a", str(tmp_path / "b"))
    expected = [("a/10.v2.png", "b/10.v2.tif"), ("a/2.png", "b/2.JPEG"), ("a/in/1.jpg", "b/in/1.png")]
    assert [tuple(names(tmp_path, list(pair))) for pair in found] == expected


def test_pairs_may_lie_in_several_folders(tmp_path: Path) -> None:
    make(tmp_path, "a/x.png", "more/y.png", "b/y.png", "b/x.png")
    found = find_pairs([tmp_path / "a", tmp_path / "more" / "y.png"], [tmp_path / "b"])
    assert [tuple(names(tmp_path, list(pair))) for pair in found] == [("a/x.png", "b/x.png"), ("more/y.png", "b/y.png")]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (("a/1.png", "a/2.png", "b/1.png"), "only in A: 2"),
        (("a/1.png", "b/2.png", "b/1.png", "b/3.png"), "only in B: 2, 3"),
        (
            ("a/1.png", "a/2.png", "a/3.png", "a/4.png", "a/5.png", "b/x/1.png", "b/2.png"),
            "only in A: 1, 3, 4 and 1 more; only in B: x/1",
        ),
    ],
)
def test_the_first_names_that_do_not_match_are_listed(tmp_path: Path, files: tuple[str, ...], said: str) -> None:
    make(tmp_path, *files)
    with pytest.raises(DataError) as caught:
        find_pairs(tmp_path / "a", tmp_path / "b")
    assert str(caught.value) == (
        f"the images of A and B must have the same names (suffixes do not count): {said}; "
        "rename them, and put those that have no partner somewhere else"
    )


def test_a_name_twice_in_one_domain(tmp_path: Path) -> None:
    make(tmp_path, "a/1.png", "a/1.jpg", "b/1.png")
    message = rf"{tmp_path}/a/1.jpg and {tmp_path}/a/1.png have the same name, so no image can be matched with them"
    with pytest.raises(DataError, match=message):
        find_pairs(tmp_path / "a", tmp_path / "b")
