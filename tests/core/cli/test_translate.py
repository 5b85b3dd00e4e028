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
    assert f"1 image translated by {model}" in capsys.readouterr().out


@pytest.mark.parametrize(("takes", "taken"), [("noise", "noise"), ("labels", "maps of ids")])
def test_a_model_that_reads_no_images_translates_none(blur, photo, tmp_path, capsys, takes, taken):
    import blur_code

    import i2i

    model = i2i.save(blur_code.noise(takes=takes), tmp_path / "model")
    assert main(["translate", str(model), str(photo), "--out", str(tmp_path / "out"), "--device", "cpu"]) == 2
    said = capsys.readouterr().err
    how = "i2i blur --help lists what it can make\n"
    assert said == f"i2i: error: {model} makes images of {taken} and translates none; {how}"
    assert not (tmp_path / "out").exists()
    assert main(["info", str(model)]) == 0
    assert f"makes       images of {taken}, translates none; {how}" in capsys.readouterr().out
    assert "i2i blur --help\n" in (model / "README.md").read_text()


def test_a_model_of_sixteen_bits_writes_sixteen_bits(blur, tmp_path, capsys):
    """Two layers that change nothing: every bit comes back."""
    import blur_code
    import imagecodecs
    import numpy as np
    import torch

    import i2i

    net = blur_code.net(3)
    net.reads = net.writes = i2i.PixelFormat(depth=16)
    with torch.no_grad():
        for layer in net.inner:
            layer.weight.copy_(torch.eye(3)[..., None, None])
            layer.bias.zero_()
    model = i2i.save(net, tmp_path / "model")
    pixels = np.random.default_rng(0).integers(0, 65536, (5, 7, 3), dtype=np.uint16)
    (tmp_path / "deep.png").write_bytes(imagecodecs.png_encode(pixels))
    flags = ["--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main(["translate", str(model), str(tmp_path / "deep.png"), *flags]) == 0
    assert np.array_equal(imagecodecs.png_decode((tmp_path / "out" / "deep.png").read_bytes()), pixels)
    capsys.readouterr()
    assert main(["info", str(model)]) == 0
    assert "writes      3 x 16 bits, 0 to 65535" in capsys.readouterr().out
    (tmp_path / "five.tif").write_bytes(imagecodecs.png_encode(pixels)[:40])
    assert main(["translate", str(model), str(tmp_path / "five.tif"), *flags]) == 2
    assert "five.tif" in capsys.readouterr().err


def test_a_run_stands_for_its_first_model_and_direction_chooses(model, photo, tmp_path, capsys):
    run = tmp_path / "run"
    (run / "model").mkdir(parents=True)
    (run / "settings.toml").write_text("recipe = 'blur'\n")
    model.rename(run / "model" / "b2a")
    arguments = ["translate", str(run), str(photo), "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main([*arguments, "--direction", "a2b"]) == 2
    assert "has no model for direction 'a2b'" in capsys.readouterr().err
    assert main([*arguments, "--direction", "b2a"]) == 0
    assert main(arguments) == 0
    assert capsys.readouterr().out.count(str(run / "model" / "b2a")) == 2


def test_bad_files_are_passed_over_on_demand(model, photo, tmp_path, capsys):
    (photo.parent / "two.png").write_bytes(b"no image")
    arguments = ["translate", str(model), str(photo.parent), "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main(arguments) == 2
    assert capsys.readouterr().err.endswith(
        "two.png is not an image that can be read; --skip-bad passes over such files\n"
    )
    assert main([*arguments, "--skip-bad"]) == 0
    out, err = capsys.readouterr()
    assert "i2i: skipped: " in err
    assert "two.png" in err
    assert "1 image translated" in out


def test_tiles(model, photo, tmp_path, capsys):
    """The toy's net does not say how far it sees, and accepts multiples of 4."""
    arguments = ["translate", str(model), str(photo), "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main([*arguments, "--size", "30", "--tile", "16"]) == 0
    assert _pixel(tmp_path / "out" / "one.png") == ((42, 30), (160,) * 3)
    assert capsys.readouterr().err.splitlines()[0] == (
        "i2i: tiles are blended, which is approximate: this net does not say how far it sees (net.reach)"
    )
    assert main([*arguments, "--tile", "7"]) == 2
    assert capsys.readouterr().err == "i2i: error: --tile (=7) must be at least 8 for this net\n"
    assert main([*arguments, "--tile", "0"]) == 2
    assert capsys.readouterr().err == "i2i: error: --tile (=0) must be at least 8 for this net\n"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--tile", "16"], "--train-mode takes its statistics and its dropout for the whole image; leave out --tile"),
        (["--batch-size", "2"], "--train-mode would mix the statistics of 2 images; use --batch-size 1"),
    ],
)
def test_what_does_not_go_with_train_mode(model, photo, tmp_path, capsys, flags, message):
    arguments = ["translate", str(model), str(photo), "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main([*arguments, "--train-mode", *flags]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"i2i: error: {message}"
    assert not (tmp_path / "out").exists()
    assert main([*arguments, "--train-mode"]) == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--size", "0"], "--size (=0) must be at least 1"),
        (["--size", "-5"], "--size (=-5) must be at least 1"),
        (["--batch-size", "0"], "--batch-size (=0) must be at least 1"),
        (["--size", "20000000"], "--size (=20000000) must be at most 16384"),
        (["--fit", "--size", "8"], "--fit brings images to the size of the model; leave out --size"),
        (["--fit", "--tile", "8"], "--fit brings images to the size of the model; leave out --tile"),
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


def test_a_video_and_an_image(model, photo, tmp_path, capsys):
    from PIL import Image

    first, *rest = (Image.new("RGB", (6, 4), (level, 0, 0)) for level in (10, 11, 200))
    first.save(tmp_path / "in.gif", save_all=True, append_images=rest, duration=[50, 70, 90], loop=0)
    arguments = ["translate", str(model), str(tmp_path / "in.gif"), "--device", "cpu", "--out"]
    assert main([*arguments, str(tmp_path / "made.gif"), "--batch-size", "2"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{tmp_path / 'in.gif'}: 3 frames at ")
    assert "flicker 0.0 levels of 255 where the source stands still (0.3 there)" in said
    with Image.open(tmp_path / "made.gif") as made:
        assert made.convert("RGB").getpixel((3, 2)) == (160, 160, 160)
    assert main([*arguments[:3], str(photo), *arguments[3:], str(tmp_path / "both")]) == 0
    assert sorted(path.name for path in (tmp_path / "both").iterdir()) == ["in.gif", "one.png"]


def test_bad_videos(model, tmp_path, capsys):
    arguments = ["translate", str(model), "--device", "cpu", "--out", str(tmp_path / "out.mp4")]
    (tmp_path / "text.mp4").write_text("no video")
    assert main([*arguments, str(tmp_path / "text.mp4")]) == 2
    assert "text.mp4 cannot be read as a video" in capsys.readouterr().err
    assert main([*arguments, str(tmp_path / "text.mp4"), "--train-mode"]) == 2
    assert capsys.readouterr().err == (
        f"i2i: error: --train-mode is for images, not for videos such as {tmp_path / 'text.mp4'}; leave it out\n"
    )


def test_one_image_to_a_file(model, photo, tmp_path):
    target = tmp_path / "new" / "made.png"
    assert main(["translate", str(model), str(photo), "--out", str(target), "--device", "cpu"]) == 0
    assert _pixel(target) == ((7, 5), (160,) * 3)


def test_a_folder_may_look_like_a_file(model, photo, tmp_path):
    (tmp_path / "made.png").mkdir()
    assert main(["translate", str(model), str(photo), "--out", str(tmp_path / "made.png"), "--device", "cpu"]) == 0
    assert _pixel(tmp_path / "made.png" / "one.png") == ((7, 5), (160,) * 3)


@pytest.mark.parametrize(
    ("given", "out", "message"),
    [
        (["one.png", "one.png"], "t.mp4", "t.mp4 is a file for one video; name a folder for several"),
        (["one.png", "clip.gif"], "t.mp4", "t.mp4 is a file for one video; name a folder for several"),
        (["one.png", "two.png"], "t.PNG", "t.PNG is a file for one image; name a folder for several"),
        (["."], "t.png", "t.png is a file for one image; name a folder for several"),
        (["clip.gif"], "t.png", "t.png is a file for one image, which clip.gif is not; choose another --out"),
        (["one.png"], "t.mp4", "t.mp4 is a file for one video, which one.png is not; choose another --out"),
    ],
)
def test_a_file_that_cannot_be_the_result(model, photo, monkeypatch, capsys, given, out, message):
    monkeypatch.chdir(photo.parent)
    assert main(["translate", str(model), *given, "--out", out, "--device", "cpu"]) == 2
    assert capsys.readouterr().err == f"i2i: error: {message}\n"
    assert not Path(out).exists()


@pytest.fixture
def of_one_size(blur, tmp_path) -> Path:
    """A model of 4x8 pixels (width, height) that turns every colour into 0.25."""
    import blur_code
    import torch

    import i2i

    net = blur_code.noise(takes=None, size=(8, 4))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        net.inner[1].bias.fill_(0.253)
    return Path(i2i.save(net, tmp_path / "of_one_size"))


def test_fit(of_one_size, photo, tmp_path, capsys):
    from PIL import Image

    Image.new("RGB", (30, 20), (10, 200, 30)).save(photo.parent / "two.jpg")
    arguments = ["translate", str(of_one_size), str(photo.parent), "--device", "cpu", "--out", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert capsys.readouterr().err == (
        f"i2i: error: {photo} is 7x5, but this model was built for 4x8; "
        "use --fit, which brings images to that size and results back\n"
    )
    assert not (tmp_path / "out").exists()
    assert main([*arguments, "--fit", "--batch-size", "2"]) == 0
    assert _pixel(tmp_path / "out" / "one.png") == ((7, 5), (160,) * 3)
    assert _pixel(tmp_path / "out" / "two.png") == ((30, 20), (160,) * 3)
    assert main(["info", str(of_one_size)]) == 0
    assert "sizes       4x8 only; others with i2i translate --fit\n" in capsys.readouterr().out
    assert main([*arguments, "--tile", "8"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "i2i: error: this model was built for 4x8 and translates no tiles; use --fit, not --tile"
    ]


def test_fit_of_a_video(of_one_size, tmp_path, capsys):
    from PIL import Image

    first, second = (Image.new("RGB", (6, 4), (level, 0, 0)) for level in (10, 200))
    first.save(tmp_path / "in.gif", save_all=True, append_images=[second], duration=50, loop=0)
    arguments = [
        "translate",
        str(of_one_size),
        str(tmp_path / "in.gif"),
        "--device",
        "cpu",
        "--out",
        str(tmp_path / "made.gif"),
    ]
    assert main(arguments) == 2
    assert "each frame is 6x4, but this model was built for 4x8; use --fit" in capsys.readouterr().err
    assert not (tmp_path / "made.gif").exists()
    assert main([*arguments, "--fit"]) == 0
    with Image.open(tmp_path / "made.gif") as made:
        assert (made.size, made.convert("RGB").getpixel((3, 2))) == ((6, 4), (160, 160, 160))


def test_fit_needs_a_model_of_one_size(model, photo, tmp_path, capsys):
    arguments = ["translate", str(model), str(photo), "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main([*arguments, "--fit"]) == 2
    assert capsys.readouterr().err == (
        "i2i: error: --fit is for models that accept one size only; this one accepts others, so leave it out\n"
    )
    assert not (tmp_path / "out").exists()
