"""``i2i translate``: which model is meant, and images through it."""

from __future__ import annotations

from pathlib import Path

import pytest

from i2i.cli import main


@pytest.fixture
def model(blur, tmp_path) -> Path:
    """A model that turns every colour into 0.25: bias of the last layer, no weights."""
    import blur_code
    import torch

    import i2i

    net = blur_code.net(2)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        net.inner[1].bias.fill_(0.253)  # 159.76 of 255
    return Path(i2i.save(net, tmp_path / "model"))


@pytest.fixture
def photo(tmp_path) -> Path:
    from PIL import Image

    path = tmp_path / "photos" / "one.png"
    path.parent.mkdir()
    Image.new("RGB", (7, 5), (10, 200, 30)).save(path)
    return path


def _pixel(path: Path) -> tuple[tuple[int, int], object]:
    from PIL import Image

    with Image.open(path) as image:
        return image.size, image.getpixel((3, 2))


@pytest.mark.parametrize(("flags", "expected"), [([], 160), (["--reference"], 159), (["--size", "10"], 160)])
def test_a_folder_through_a_model(model, photo, tmp_path, capsys, flags, expected):
    assert (
        main(["translate", str(model), str(photo.parent), "--out", str(tmp_path / "out"), "--device", "cpu", *flags])
        == 0
    )
    size, pixel = _pixel(tmp_path / "out" / "one.png")
    assert size == ((14, 10) if "--size" in flags else (7, 5))
    assert pixel == (expected,) * 3  # (0.25 + 1) / 2 * 255 = 159.4
    assert f"1 images translated by {model}" in capsys.readouterr().out


def test_a_run_stands_for_its_first_model_and_direction_chooses(model, photo, tmp_path, capsys):
    run = tmp_path / "run"
    (run / "model").mkdir(parents=True)
    (run / "settings.toml").write_text("recipe = 'blur'\n")
    arguments = [str(run), str(photo), "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main(["translate", *arguments]) == 2
    assert capsys.readouterr().err == (
        f"i2i: error: {run} has no model yet; the first is saved with the first checkpoint\n"
    )
    model.rename(run / "model" / "b2a")
    assert main(["translate", *arguments, "--direction", "a2b"]) == 2
    assert capsys.readouterr().err == f"i2i: error: {run} has no model for direction 'a2b'; known: b2a\n"
    assert main(["translate", *arguments, "--direction", "b2a"]) == 0
    assert main(["translate", *arguments]) == 0
    assert capsys.readouterr().out.count(str(run / "model" / "b2a")) == 2


def test_bad_files_are_passed_over_on_demand(model, photo, tmp_path, capsys):
    (photo.parent / "two.png").write_bytes(b"no image")
    arguments = ["translate", str(model), str(photo.parent), "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main(arguments) == 2
    assert "two.png" in capsys.readouterr().err
    assert main([*arguments, "--skip-bad"]) == 0
    out, err = capsys.readouterr()
    assert "i2i: skipped: " in err
    assert "two.png" in err
    assert "1 images translated" in out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--size", "0"], "size (=0) must be at least 1"),
        (["--size", "-5"], "size (=-5) must be at least 1"),
        (["--batch-size", "0"], "batch_size (=0) must be at least 1"),
        (["--direction", "b2a"], "--direction chooses a model of a run, and m is no run (it has no settings.toml)"),
        (["--sise", "4"], "unknown setting --sise; did you mean '--size'?"),
    ],
)
def test_mistakes(capsys, flags, message):
    assert main(["translate", "m", "photo.png", "--out", "out", *flags]) == 2
    assert capsys.readouterr().err == f"i2i: error: {message}\n"


def test_no_images_and_no_model(tmp_path, capsys):
    assert main(["translate", "m", "--out", "out"]) == 2
    assert "which images?" in capsys.readouterr().err
    assert main(["translate", str(tmp_path / "no"), "photo.png", "--out", "out", "--device", "cpu"]) == 2
    assert str(tmp_path / "no") in capsys.readouterr().err
