from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image

from i2i.errors import RunError, SettingsError
from i2i_ugatit.faces import (
    Box,
    Face,
    FaceDetector,
    cascade_detector,
    contact_sheet,
    difference_hash,
    find_duplicates,
    held_out,
    own_detector,
    unique_names,
)
from i2i_ugatit.faces.boxes import checked_boxes

FRONTAL = Path("haarcascade_frontalface_alt2.xml")


def test_nothing_heavy_is_imported_beforehand() -> None:
    script = (
        "import sys, i2i_ugatit.faces, i2i_ugatit.commands.faces\n"
        "print(sorted({'torch', 'cv2', 'PIL', 'tqdm', 'datasets'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (None, "returns None (NoneType); it must return a list of boxes"),
        ("face", "returns 'face' (str)"),
        (3, "returns 3 (int)"),
        ([1, 2, 3, 4], "returns the box 1 (int); a box is four numbers"),
        ([(1, 2, 3)], "returns the box (1, 2, 3)"),
        ([(1, 2, 3, 4, 0.9)], "a box is four numbers"),
        ([("a", 2, 3, 4)], "a box is four numbers"),
        ([(1, 2, 0, 4)], "width and height must be finite and above 0"),
        ([(1, 2, float("nan"), 4)], "must be finite"),
        (
            [(50, 10, 30, 5)],
            "whose centre is outside the image of 60 x 20; a box is (x, y, width, height) in pixels, not two",
        ),
    ],
)
def test_what_is_no_box_is_said(found: Any, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        checked_boxes(found, (60, 20), "mine")
    assert message in str(caught.value)


def test_boxes_come_largest_first_from_lists_and_arrays() -> None:
    found = np.array([[1, 2, 3, 3], [9, 5, 8, 6], [4, 1, 3, 3]], np.int32)
    expected = [(9, 5, 8, 6), (4, 1, 3, 3), (1, 2, 3, 3)]
    assert checked_boxes(found, (20, 20), "mine") == checked_boxes(iter(found[::-1]), (20, 20), "mine") == expected
    assert checked_boxes((), (20, 20), "mine") == []
    assert checked_boxes([(1.5, 2, 3, 3)], (20, 20), "mine") == [(1.5, 2, 3, 3)]


def test_a_cascade_finds_the_face_of_a_photograph() -> None:
    detector = cascade_detector(FRONTAL, smallest=40)
    (box,) = detector.boxes(skimage.data.astronaut(), Path("astronaut.png"))
    assert box.centre == pytest.approx((225, 115), abs=12)
    assert 80 < box.side < 120
    assert detector.boxes(skimage.data.coffee(), Path("coffee.png")) == []
    assert cascade_detector(Path(cv2.data.haarcascades, FRONTAL)).title.endswith("alt2.xml)")


def test_a_local_file_goes_before_the_one_of_opencv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    FRONTAL.write_text("no cascade")
    with pytest.raises(SettingsError, match="cannot be read as a cascade"):
        cascade_detector(FRONTAL)


@pytest.mark.parametrize("text", ["", "hello", "<?xml version='1.0'?><opencv_storage><a>1</a></opencv_storage>"])
def test_a_file_that_is_no_cascade(text: str, tmp_path: Path) -> None:
    (tmp_path / "bad.xml").write_text(text)
    with pytest.raises(
        SettingsError, match=r"--cascade \(=.*bad.xml\) cannot be read as a cascade \(\S.*\); name an XML"
    ):
        cascade_detector(tmp_path / "bad.xml")


def test_an_opencv_without_cascades(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2, "CascadeClassifier")
    with pytest.raises(
        RunError, match=r"needs OpenCV 4, and 4\.\S+ has no cascades: pip install 'i2i-ugatit\[faces\]'"
    ):
        cascade_detector(FRONTAL)


def test_a_detector_may_draw_into_its_image() -> None:
    def find(image: Any) -> list[tuple[int, int, int, int]]:
        image[:] = 0
        return [(0, 0, 4, 4)]

    image = np.full((8, 8, 3), 9, np.uint8)
    assert FaceDetector("--detector", "mine", find).boxes(image[:, ::-1], Path("a.png")) == [(0, 0, 4, 4)]
    assert image.min() == 9


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("find", "write package.module:function"),
        ("a:b:c", "write package.module:function"),
        ("nowhere_at_all:find", "cannot be imported .ModuleNotFoundError: .*PYTHONPATH"),
        ("math:find", "cannot be imported .AttributeError"),
        ("math:pi", r"--detector \(=math:pi\) is a float; name a function"),
    ],
)
def test_a_reference_that_names_no_function(reference: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        own_detector(reference)


def face(name: str, bits: Any, side: float = 100) -> Face:
    return Face(Path(f"{name}.jpg"), name, Box(0, 0, side, side), np.asarray(bits, bool))


def differing(count: int) -> Any:
    return np.arange(64) < count


def test_the_largest_of_near_duplicates_is_kept() -> None:
    faces = [
        face("a", differing(0), 90),
        face("b", differing(20)),
        face("c", differing(3), 95),
        face("d", differing(4)),
    ]
    kept, dropped = find_duplicates(faces, 4)
    assert [each.name for each in kept] == ["b", "d"]
    assert [(each.face.name, each.of.name, each.distance) for each in dropped] == [("c", "d", 1), ("a", "d", 4)]


@pytest.mark.parametrize(("most", "names"), [(-1, "abcd"), (0, "acd"), (2, "acd"), (3, "ad"), (64, "a")])
def test_how_near_a_duplicate_must_be(most: int, names: str) -> None:
    faces = [face("a", differing(0)), face("b", differing(0)), face("c", differing(3)), face("d", differing(40))]
    assert "".join(each.name for each in find_duplicates(faces, most)[0]) == names
    assert find_duplicates([], most) == ([], [])


def test_the_hash_is_that_of_a_picture_and_not_of_a_file() -> None:
    image, others = skimage.data.astronaut()[40:200, 140:300], (skimage.data.chelsea(), skimage.data.coffee())
    encoded = io.BytesIO()
    Image.fromarray(image).resize((90, 90)).save(encoded, "JPEG", quality=40)
    darker = (image * 0.6 + 10).astype(np.uint8)
    for same in (np.asarray(Image.open(encoded)), darker):
        assert (difference_hash(same) != difference_hash(image)).sum() <= 4
    assert min((difference_hash(other) != difference_hash(image)).sum() for other in others) > 15
    wide = skimage.data.chelsea()
    grey = np.asarray(Image.fromarray(wide).convert("L"), float)
    means = [[part.mean() for part in np.array_split(band, 9, 1)] for band in np.array_split(grey, 8)]
    # 300 rows and 451 columns are no multiples of 8 and 9: some areas are a pixel wider here.
    assert (difference_hash(wide) != (np.diff(means) > 0).ravel()).sum() <= 3


def test_names_tell_the_picture_and_are_never_the_same() -> None:
    paths = [Path(path) for path in ("x/a.jpg", "x/b.png", "y/a.png", "y/a.jpg", "Y/A.jpg", "z/y-a.jpg", "a-1.jpg")]
    assert unique_names(paths) == ["a", "b", "y-a", "y-a-2", "Y-A-3", "z-y-a", "a-1"]


def test_the_choice_for_testing() -> None:
    names = [f"face-{index}" for index in range(50)]
    chosen = held_out(names, 0.1, seed=0)
    assert len(chosen) == 5
    assert chosen == held_out(names[::-1], 0.1, seed=0) != held_out(names, 0.1, seed=1)
    # One more picture displaces one face at most.
    assert len(chosen & held_out([*names, "one-more"], 0.1, seed=0)) >= 4
    sizes = [
        len(held_out(names[:count], share, 0)) for count, share in ((50, 0), (1, 0.5), (2, 0.01), (3, 0.99), (0, 1))
    ]
    assert sizes == [0, 0, 1, 2, 0]


def squares(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"{index:04}.png" for index in range(count)]
    for index, path in enumerate(paths):
        Image.new("RGB", (40, 40), (index % 256, 0, 0)).save(path)
    return paths


def test_the_contact_sheet_shows_all_and_frames_those_for_testing(tmp_path: Path) -> None:
    paths = squares(tmp_path, 5)
    sheet = np.asarray(contact_sheet(paths[:4], paths[4:]))
    assert sheet.shape == (2 * 131 + 3, 3 * 131 + 3, 3)
    centres = [tuple(sheet[67 + 131 * row, 67 + 131 * column]) for row, column in np.ndindex(2, 3)]
    assert centres == [(0, 0, 0), (1, 0, 0), (2, 0, 0), (3, 0, 0), (4, 0, 0), (255, 255, 255)]
    orange = (sheet == (255, 140, 0)).all(2)
    assert orange.sum() == 132**2 - 128**2
    assert orange[132 : 132 + 132, 132 : 132 + 132].sum() == orange.sum()


def test_thumbnails_of_many_faces_are_small(tmp_path: Path) -> None:
    assert contact_sheet(squares(tmp_path, 1) * 900).size == (30 * 66 + 3, 30 * 66 + 3)
    assert contact_sheet(squares(tmp_path, 1) * 8100).width == 90 * 27 + 3
