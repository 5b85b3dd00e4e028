from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from PIL import Image

from i2i.cli import main
from i2i.data import find_folders

# Faces are saturated red rectangles on grey noise; each is found exactly where it was drawn.
DETECTORS = """
import numpy as np

def red(image):
    mask = (image[..., 0] > 200) & (image[..., 1] < 60)
    found, seen = [], np.zeros_like(mask)
    for y, x in zip(*mask.nonzero()):
        if not seen[y, x]:
            width = int(np.argmin(np.append(mask[y, x:], False)))
            height = int(np.argmin(np.append(mask[y:, x], False)))
            seen[y : y + height, x : x + width] = True
            found.append((x, y, width, height))
    return found

def wrong(image):
    return [(0, 0, 5)]

def failing(image):
    raise ValueError("no\\nmodel")

def interrupted(image):
    if image[0, 0, 0] == 7:
        raise KeyboardInterrupt
    return red(image)
"""

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """``run("pictures", "--size", "64")``: exit code, and what was printed where; in a folder with my_detectors.py."""
    (tmp_path / "my_detectors.py").write_text(DETECTORS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_detectors", raising=False)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str, detector: str = "red", out: str = "data") -> tuple[int, str, str]:
        finder = ["--detector", f"my_detectors:{detector}"] if detector else []
        code = main(["ugatit", "faces", *arguments, *finder, "--out", out])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


def picture(path: str, *boxes: tuple[int, int, int, int], seed: int = 0, size: tuple[int, int] = (120, 160)) -> Path:
    """Grey noise that is another one for each seed, with a red frame of 2 pixels' detail in each box."""
    draws = np.random.default_rng(seed)
    image = np.repeat(draws.integers(80, 180, (*size, 1), np.uint8), 3, axis=2)
    for x, y, width, height in boxes:
        image[y : y + height, x : x + width] = (255, 0, 0)
        coarse = Image.fromarray(draws.integers(0, 50, (8, 8), np.uint8)).resize((width, height), Image.Resampling.BOX)
        image[y : y + height, x : x + width, 2] = 5 * np.asarray(coarse)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return Path(path)


def pixels(path: str | Path) -> Any:
    return np.asarray(Image.open(path))


def report(domain: str = "A") -> Any:
    return json.loads(Path(f"data/faces-{domain}.json").read_text("utf-8"))


def everything(folder: str = "data") -> set[str]:
    return {str(path.relative_to(folder)) for path in Path(folder).rglob("*")}


def test_from_pictures_to_a_data_set(run: Run) -> None:
    picture("pictures/one.png", (20, 10, 40, 40), (80, 50, 50, 44), seed=1)
    picture("pictures/deep/one.png", (60, 30, 64, 64), seed=2)
    picture("pictures/none.png", seed=3)
    picture("pictures/small.png", (20, 20, 9, 12), (60, 20, 32, 32), seed=4)
    picture("more/again.png", (60, 30, 64, 64), seed=2)
    flags = ("--size", "32", "--smallest", "16", "--margin", "0", "--test-share", "0.3", "--seed", "4")
    code, said, _ = run("pictures", "more", *flags)
    assert code == 0
    assert said.splitlines() == [
        "5 images read, 6 faces found by my_detectors:red, 1 image without a face",
        "dropped: 1 too small (below 16 pixels), 1 duplicate",
        "  again-1 repeats one-1 (0 of 64 bits differ): more/again.png",
        "written: 3 to data/trainA, 1 to data/testA",
        "look at data/faces-A.png; data/faces-A.json says what came from where",
    ]
    files = {path for path in everything() if path.count("/")}
    # pictures/deep/one.png comes first in the order of the paths; the largest face of a picture has number 1.
    assert {Path(path).name for path in files} == {
        "one-1.png",
        "pictures-one-1.png",
        "pictures-one-2.png",
        "small-1.png",
    }
    assert everything() - files == {"trainA", "testA", "faces-A.png", "faces-A.json"}
    found = report()
    assert found["counts"] == {
        "images_read": 5, "faces_found": 6, "too_small": 1, "duplicates": 1, "images_without_faces": 1,
        "files_skipped": 0, "train": 3, "test": 1,
    }  # fmt: skip
    assert {each["file"] for each in found["faces"]} == files
    origins = {Path(each["file"]).stem: (each["source"], each["box"]) for each in found["faces"]}
    assert origins["pictures-one-1"] == ("pictures/one.png", [80, 50, 50, 44])
    assert found["too_small"] == [{"source": "pictures/small.png", "box": [20, 20, 9, 12]}]
    assert found["images_without_faces"] == ["pictures/none.png"]
    (again,) = found["duplicates"]
    assert (again["source"], Path(again["of"]).name, again["bits"]) == ("more/again.png", "one-1.png", 0)
    assert found["settings"]["detector"] == "--detector (=my_detectors:red)"
    (small,) = Path("data").rglob("small-1.png")
    assert np.array_equal(pixels(small), pixels("pictures/small.png")[20:52, 60:92])
    assert pixels("data/faces-A.png").shape == (2 * 131 + 3, 2 * 131 + 3, 3)


def test_two_domains_make_a_data_set_that_is_never_written_over(run: Run) -> None:
    for side, seed in (("a", 10), ("b", 20)):
        for index in range(3):
            picture(f"{side}/{index}.png", (30 + index, 20, 70, 70), seed=seed + index)
    assert run("a", "--size", "32")[0] == 0
    assert run("b", "--size", "32", "--domain", "B")[0] == 0
    folders = find_folders("data")
    assert [len(list(folder.iterdir())) for folder in folders if folder] == [2, 2, 1, 1]
    before = {path: path.read_bytes() for path in Path("data").rglob("*") if path.is_file()}
    code, said, error = run("a", "--size", "64", "--domain", "B")
    assert (code, said) == (2, "")
    assert error == "i2i: error: data/trainB is not empty; move it away, or name another --out or --domain\n"
    assert {path: path.read_bytes() for path in Path("data").rglob("*") if path.is_file()} == before
    code, _, error = run("a", "data/trainA", "--size", "16", out="data2")
    assert code == 0  # another data set may be made of the first
    for path in Path("data/trainA").iterdir():
        path.unlink()
    for path in Path("data/testA").iterdir():
        path.unlink()
    code, _, error = run("data")
    assert (code, "data/faces-A.png is a result in --out (=data); name folders" in error) == (2, True)
    assert run("a", "--size", "48", "--test-share", "0")[0] == 0  # empty folders may stay, and old reports are renewed
    assert len(list(Path("data/trainA").iterdir())) == report()["counts"]["train"] == 3
    assert report()["settings"]["size"] == 48


def test_the_choice_depends_on_the_seed_alone(run: Run) -> None:
    for index in range(12):
        picture(f"p/{index}.png", (30, 20, 70, 70), seed=index)
    chosen = []
    for out, seed in (("x", "0"), ("y", "0"), ("z", "1")):
        assert run("p", "--size", "16", "--test-share", "0.25", "--seed", seed, out=out)[0] == 0
        chosen.append({path.name for path in Path(out, "testA").iterdir()})
    assert chosen[0] == chosen[1] != chosen[2]
    assert len(chosen[0]) == 3


def test_photographs_by_a_cascade(run: Run) -> None:
    Path("p").mkdir()
    image = Image.fromarray(skimage.data.astronaut()).resize((900, 900), Image.Resampling.LANCZOS)
    image.save("p/astronaut.png")
    image.resize((350, 350), Image.Resampling.LANCZOS).save("p/again.jpg", quality=60)
    Image.fromarray(skimage.data.coffee()).save("p/coffee.png")
    cascade = ("--cascade", "haarcascade_frontalface_alt2.xml")
    code, said, _ = run("p", *cascade, "--rotate", "45", "--size", "128", detector="")
    assert code == 0
    assert "3 images read, 2 faces found by haarcascade_frontalface_alt2.xml, 1 image without a face" in said
    assert "again-1 repeats astronaut-1" in said
    made, (x, y, side, _) = pixels("data/trainA/astronaut-1.png"), report()["faces"][0]["box"]
    # Turned back, it is the photograph again, in a circle that the square holds whatever its angle.
    back = Image.fromarray(made).rotate(-45, Image.Resampling.BICUBIC)
    left, top, width = x - side // 4, y - side // 4, round(side * 1.5)
    upright = image.resize((128, 128), Image.Resampling.LANCZOS, box=(left, top, left + width, top + width))
    rows, columns = np.indices((128, 128)) - 63.5
    assert abs(np.asarray(back, float) - upright)[np.hypot(rows, columns) < 60].mean() < 4


def test_no_face_at_all(run: Run) -> None:
    picture("p/a.png")
    code, said, error = run("p", "--cascade", "haarcascade_frontalface_alt2.xml", detector="", out="x/y/z")
    assert (code, said) == (2, "")
    assert error.startswith(
        "i2i: error: --cascade (=haarcascade_frontalface_alt2.xml) finds no face in 1 image; take a"
    )
    assert error.count("\n") == 1
    assert not Path("x").exists()
    picture("p/b.png", (20, 20, 30, 31))
    code, _, error = run("p")
    expected = "all faces in 2 images are smaller than --smallest (=64) pixels; the largest has 31, lower it"
    assert (code, error) == (2, f"i2i: error: {expected}\n")
    assert not Path("data").exists()


def test_files_that_are_no_images(run: Run) -> None:
    picture("p/a.png", (20, 20, 70, 70))
    Path("p/bad.jpg").write_bytes(b"no image")
    code, _, error = run("p")
    expected = "p/bad.jpg is not an image that can be read; --skip-bad passes over such files"
    assert (code, error) == (2, f"i2i: error: {expected}\n")
    assert not Path("data").exists()
    code, said, error = run("p", "--skip-bad")
    assert (code, error) == (0, "i2i: skipped: p/bad.jpg is not an image that can be read\n")
    assert "written: 1 to data/trainA, 0 to data/testA" in said
    assert not Path("data/testA").exists()
    assert report()["skipped"] == ["p/bad.jpg is not an image that can be read"]
    code, _, error = run("p/bad.jpg", "--skip-bad", out="other")
    assert (code, error) == (2, "i2i: error: none of the 1 files can be read; the first: " + error.split("first: ")[1])
    assert run("nowhere")[0] == 2


def test_images_of_other_kinds(run: Run) -> None:
    """Turned by EXIF, of 16 bits, transparent, named twice: what the detector sees is what is cut out."""
    image = pixels(picture("p/plain.png", (20, 10, 80, 80), seed=1, size=(100, 160)))
    exif = Image.Exif()
    exif[0x0112] = 6  # it must be turned by a quarter clockwise to be upright
    Image.fromarray(np.rot90(image)).save("p/turned.png", exif=exif)
    import imagecodecs

    Path("p/deep.png").write_bytes(imagecodecs.png_encode(image.astype(np.uint16) * 257))
    Image.fromarray(np.dstack([image, np.full(image.shape[:2], 9, np.uint8)])).save("p/glass.png")
    flags = ("--margin", "0", "--size", "80", "--duplicates", "-1", "--test-share", "0")
    code, said, _ = run("p", "p/plain.png", *flags)
    assert (code, said.splitlines()[0]) == (
        0,
        "4 images read, 4 faces found by my_detectors:red, 0 images without a face",
    )
    for name in ("plain", "turned", "deep", "glass"):
        assert np.array_equal(pixels(f"data/trainA/{name}-1.png"), image[10:90, 20:100]), name
    assert {tuple(each["box"]) for each in report()["faces"]} == {(20, 10, 80, 80)}
    code, _, error = run("p/glass.png", "--alpha", "white", out="white")
    assert (code, "my_detectors:red) finds no face" in error) == (2, True)  # hardly anything is left of it


def test_an_interrupted_command_leaves_nothing(run: Run) -> None:
    picture("p/a.png", (20, 20, 70, 70))
    image = pixels("p/a.png").copy()
    image[0, 0] = 7
    Image.fromarray(image).save("p/b.png")
    assert run("p", detector="interrupted")[0] == 130
    assert not Path("data").exists()
    Path("data/trainB").mkdir(parents=True)
    assert run("p", detector="interrupted")[0] == 130
    assert everything() == {"trainB"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_killed_command_does_not_look_complete_and_can_be_repeated(run: Run) -> None:
    """Killed before each rename in turn: trainA comes last, and then everything is there."""
    for index in range(3):
        picture(f"p/{index}.png", (30, 20, 70, 70), seed=index)
    complete = {"trainA", "testA", "faces-A.png", "faces-A.json"}
    for fatal in range(1, 40):
        child = os.fork()
        if child == 0:
            _die_at_rename(fatal)
            os._exit(run("p", "--size", "16", out=f"kill{fatal}")[0])
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        names = {path.name for path in Path(f"kill{fatal}").iterdir()}
        if code == 0:
            assert names == complete
            break
        assert (code, "trainA" in names) == (9, False)
        if "testA" not in names:  # later ones are told to look
            assert run("p", "--size", "16", out=f"kill{fatal}")[0] == 0
            assert {path.name for path in Path(f"kill{fatal}").iterdir()} == complete
    assert fatal > 8


def _die_at_rename(fatal: int) -> None:
    left = fatal

    def watch(event: str, _: tuple[object, ...]) -> None:
        nonlocal left
        left -= event == "os.rename"
        if left == 0:
            os._exit(9)

    sys.addaudithook(watch)


def test_a_full_disk_is_said_and_leaves_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    picture("p/a.png", (20, 20, 70, 70))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, _, error = run("p")
    assert (code, error.count("\n")) == (2, 1)
    assert "No space left on device" in error
    assert not Path("data").exists()


def test_without_opencv(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    picture("p/a.png", (20, 20, 70, 70))
    monkeypatch.setitem(sys.modules, "cv2", None)  # import then says that it is not there
    code, _, error = run("p", "--cascade", "haarcascade_frontalface_alt2.xml", detector="")
    assert (code, error.count("\n")) == (2, 1)
    assert "--cascade needs OpenCV" in error
    assert "pip install 'i2i-ugatit[faces]'" in error
    assert run("p")[0] == 0  # a detector of one's own needs none


@pytest.mark.parametrize(
    ("arguments", "detector", "message"),
    [
        (["p"], "", "what finds the faces? name one of --cascade FILE.xml"),
        (["p", "--cascade", "x.xml"], "red", "what finds the faces? name one of"),
        (["p", "--cascade", "x.xml"], "", "--cascade (=x.xml) does not exist; those that come with OpenCV"),
        (["p", "--neighbours", "3"], "red", "--neighbours (=3) is for --cascade; leave it out"),
        (["p"], "missing", "--detector (=my_detectors:missing) cannot be imported (AttributeError"),
        (["p"], "wrong", "--detector (=my_detectors:wrong) returns the box (0, 0, 5) (tuple); a box is four numbers"),
        (["p"], "failing", "--detector (=my_detectors:failing) fails on p/a.png (ValueError: no model); it must take"),
        ([], "red", "which images? i2i ugatit faces IMAGE_OR_FOLDER..."),
        (["p", "--size", "8"], "red", "--size (=8) must be a whole number of at least 16"),
        (["p", "--smallest", "0"], "red", "--smallest (=0) must be"),
        (["p", "--duplicates", "65"], "red", "--duplicates (=65) must be at most 64"),
        (["p", "--duplicates", "-2"], "red", "--duplicates (=-2) must be a whole number of at least -1"),
        (["p", "--rotate", "nan"], "red", "--rotate (=nan) must be a number of degrees"),
        (["p", "--margin", "-0.1"], "red", "--margin (=-0.1) must be 0 to 4, a share of the box"),
        (["p", "--test-share", "1"], "red", "--test-share (=1.0) must be at least 0 and below 1"),
        (["p", "--domain", "C"], "red", "--domain: 'C' must be one of"),
    ],
)
def test_mistakes_are_said_in_one_line(run: Run, arguments: list[str], detector: str, message: str) -> None:
    picture("p/a.png", (20, 20, 70, 70))
    code, said, error = run(*arguments, detector=detector)
    assert (code, said, error.count("\n")) == (2, "", 1)
    assert error.startswith(f"i2i: error: {message}")
    assert not Path("data").exists()


def test_a_file_is_no_folder(run: Run) -> None:
    picture("p/a.png", (20, 20, 70, 70))
    code, _, error = run("p", out="p/a.png")
    assert (code, error) == (2, "i2i: error: --out p/a.png is a file; name a folder for the data set\n")
