from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import i2i
from i2i.cli import main
from i2i.engine import Run
from i2i.settings import RunSettings
from i2i.training import train
from i2i_ugatit import cam_discriminator, cam_generator
from i2i_ugatit.settings import Settings

# A generator and a discriminator whose maps are known: the mean brightness of each block of 16x16 (and of 8x8).
LAMP = """
import torch
from torch import nn
from torch.nn import functional as F
from i2i.hookspecs import hookimpl
from i2i.parts import Example, part
from i2i.values import Translation, Verdict

class Lamp(nn.Module):
    in_channels = out_channels = 3
    def __init__(self, kind, nothing):
        super().__init__()
        self.kind, self.nothing = kind, nothing
        self.multiple, self.smallest = (16, 32) if kind == "generator" else (1, 32)

    def forward(self, image, condition=None):
        coarse, fine = (F.avg_pool2d(image.mean(1, keepdim=True), side) for side in (16, 8))
        if self.kind == "generator":
            return Translation(image, {} if self.nothing else {"heatmap": coarse})
        return Verdict((coarse,), (), {"heatmap": (coarse, fine), "cam_logits": (coarse[:, 0, 0], fine[:, 0, 0])})

@part(example=Example({}, ((1, 3, 32, 32),)))
def generator(nothing: bool = False):
    return Lamp("generator", nothing)

@part(example=Example({}, ((1, 3, 32, 32),)))
def judge():
    return Lamp("judge", False)

@hookimpl
def register_parts(register):
    register("lamp/generator", "i2i_lamp:generator", kind="generator")
    register("lamp/judge", "i2i_lamp:judge", kind="discriminator")
"""
Lamps = Callable[..., Path]


@pytest.fixture
def lamp(install: Callable[..., Path], tmp_path: Path) -> Lamps:
    """``lamp("generator")``: a folder with the model."""
    install("lamp", "i2i-lamp", i2i_lamp=LAMP)

    def make(kind: str, **arguments: Any) -> Path:
        import i2i_lamp

        return i2i.save(getattr(i2i_lamp, kind)(**arguments), tmp_path / kind)

    return make


def attention(model: Path, *arguments: object, out: Path) -> int:
    return main(["ugatit", "attention", *map(str, (model, *arguments)), "--out", str(out), "--device", "cpu"])


def told(out: Path) -> list[dict[str, Any]]:
    return json.loads((out / "attention.json").read_text())["images"]


def lit() -> np.ndarray:
    """37x50 pixels, black. With 5 columns to the left and 7 rows above it, one block of 16x16 is white."""
    pixels = np.zeros((50, 37, 3), np.uint8)
    pixels[9:25, 11:27] = 255
    return pixels


def hill(size: int, before: int, cells: int) -> np.ndarray:
    """One line of the enlarged map: 1 in the middle of cell 1, falling to 0 in those of its neighbours."""
    places = (np.arange(before, before + size) + 0.5) / 16 - 0.5
    assert cells > 2
    return np.maximum(0, 1 - abs(places - 1))


def random_image(path: Path, width: int, height: int, seed: int = 0) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def as_batch(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels / np.float32(127.5) - 1).permute(2, 0, 1)[None]


def save_as(kind: str, folder: Path) -> Path:
    pixels = lit()
    if kind == "grey":
        Image.fromarray(pixels[..., 0]).save(path := folder / "photo.png")
    elif kind == "deep":
        (path := folder / "photo.png").write_bytes(imagecodecs.png_encode(pixels.astype(np.uint16) * 257))
    elif kind == "lying":  # turned by a quarter, and EXIF says so
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(np.rot90(pixels).copy()).save(path := folder / "photo.png", exif=exif)
    else:
        Image.fromarray(pixels).save(path := folder / f"photo.{kind}")
    return path


@pytest.mark.parametrize("kind", ["png", "bmp", "grey", "deep", "lying"])
def test_a_map_lies_where_it_belongs(kind: str, lamp: Lamps, tmp_path: Path, capsys: Any) -> None:
    source, out = save_as(kind, tmp_path), tmp_path / "out"
    assert attention(lamp("generator"), source, "--raw", out=out) == 0
    raw = imagecodecs.png_decode((out / "photo.png").read_bytes())
    expected = np.outer(hill(50, 7, 4), hill(37, 5, 3))
    expected = (expected - expected.min()) / (expected.max() - expected.min())
    assert raw.dtype == np.uint16
    assert abs(raw - 65535 * expected).max() < 20
    (row,) = told(out)
    assert row == {
        "image": str(source), "size": [37, 50], "maps": {"photo.png": {"peak": [18, 16], "logits": []}},
    }  # fmt: skip
    assert capsys.readouterr().out == f"{source}: peak at x 18, y 16\n1 map of 1 image: {out}\n"


def test_strength(lamp: Lamps, tmp_path: Path) -> None:
    source, model = save_as("png", tmp_path), lamp("generator")
    made = []
    for strength in ("0", "1", None):
        flags = () if strength is None else ("--strength", strength)
        assert attention(model, source, *flags, out=tmp_path / "out") == 0
        made.append(np.asarray(Image.open(tmp_path / "out" / "photo.png")).astype(int))
    assert np.array_equal(made[0], lit())
    assert made[1][16, 18].tolist() == [128, 0, 0]  # dark red in the middle, dark blue far away
    assert made[1][49, 36].tolist() == [0, 0, 128]
    assert abs(made[2] - (made[0] + made[1]) / 2).max() <= 1


def test_a_map_that_is_the_same_everywhere(lamp: Lamps, tmp_path: Path, capsys: Any) -> None:
    Image.new("RGB", (32, 48), (90, 90, 90)).save(tmp_path / "even.png")
    assert attention(lamp("generator"), tmp_path / "even.png", "--strength", "1", out=tmp_path / "out") == 0
    assert "even.png: the same everywhere\n" in capsys.readouterr().out
    assert told(tmp_path / "out")[0]["maps"]["even.png"]["peak"] is None
    assert np.asarray(Image.open(tmp_path / "out" / "even.png")).reshape(-1, 3).tolist() == [[0, 0, 128]] * 32 * 48


def test_maps_of_any_discriminator(lamp: Lamps, tmp_path: Path, capsys: Any) -> None:
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:16, :16], pixels[40:, 56:] = 102, 255
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    # In its own folder: a discriminator writes over no photo.png.
    assert attention(lamp("judge"), tmp_path / "photo.png", out=tmp_path) == 0
    assert capsys.readouterr().out.splitlines()[0] == (
        f"{tmp_path / 'photo.png'}: judge 1, logits -0.20 -1.00 -1.00 -1.00, peak at x 3, y 3; "
        "judge 2, logits -0.20 -0.20 -1.00 -1.00 -1.00 -1.00 -1.00 -1.00, peak at x 61, y 45"
    )
    assert list(told(tmp_path)[0]["maps"]) == ["photo-judge-1.png", "photo-judge-2.png"]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "photo.png")), pixels)
    assert Image.open(tmp_path / "photo-judge-2.png").size == (64, 48)


def test_a_generator_without_maps(lamp: Lamps, tmp_path: Path, capsys: Any) -> None:
    model = lamp("generator", nothing=True)
    assert attention(model, save_as("png", tmp_path), out=tmp_path / "out") == 2
    assert capsys.readouterr().err == (
        f"i2i: error: {model}: this Translation has no heatmap (it has image); "
        "these offer it: lamp/generator, ugatit/attended_generator, ugatit/cam_generator\n"
    )
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models as a converter makes it, and a generator of one size."""
    root = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    i2i.save(cam_generator(base_width=2, blocks=1), root / "all" / "a2b")
    i2i.save(cam_generator(base_width=2, blocks=1), root / "all" / "b2a")
    i2i.save(cam_discriminator(base_width=2, layers=(4, 3)), root / "all" / "d_a")
    i2i.save(cam_discriminator(base_width=2, layers=(4, 3)), root / "all" / "d_b")
    i2i.save(cam_generator(base_width=2, blocks=1, head="full", size=(16, 24)), root / "full")
    i2i.save(i2i.registry.part("cyclegan/resnet_generator").load()(base_width=2, blocks=1), root / "other")
    return root


def test_what_the_classifiers_say(models: Path, tmp_path: Path, capsys: Any) -> None:
    pixels = random_image(tmp_path / "photo.png", 32, 16)
    net = i2i.load(models / "all" / "b2a")
    logits = net(as_batch(pixels)).extras["cam_logits"][0]
    assert attention(models / "all", tmp_path / "photo.png", "--direction", "b2a", out=tmp_path / "out") == 0
    (notes,) = told(tmp_path / "out")[0]["maps"].values()
    assert notes["logits"] == pytest.approx(logits.tolist(), rel=1e-5)
    source = sum(1 / (1 + np.exp(-logit)) for logit in logits.tolist()) / 2
    assert notes["source"] == pytest.approx(source, rel=1e-5)
    assert f"photo.png: {100 * source:.0f} % source domain, peak at x " in capsys.readouterr().out


@pytest.mark.parametrize(("direction", "judge"), [((), "d_a"), (("--direction", "b2a"), "d_b")])
def test_judges_beside_converted_generators(
    direction: tuple[str, ...], judge: str, models: Path, tmp_path: Path
) -> None:
    pixels = random_image(tmp_path / "photo.png", 28, 20)
    assert attention(models / "all", tmp_path / "photo.png", *direction, "--judges", out=tmp_path / "out") == 0
    maps = told(tmp_path / "out")[0]["maps"]
    assert list(maps) == ["photo.png", "photo-judge-4.png", "photo-judge-3.png"]
    verdict = i2i.load(models / "all" / judge)(as_batch(pixels))
    for name, logits in zip(("photo-judge-4.png", "photo-judge-3.png"), verdict.extras["cam_logits"], strict=True):
        assert maps[name]["logits"] == pytest.approx(logits[0].tolist(), rel=1e-4)
        assert "source" not in maps[name]


def test_a_model_of_one_size(models: Path, tmp_path: Path, capsys: Any) -> None:
    random_image(tmp_path / "fits.png", 23, 15)
    assert attention(models / "full", tmp_path / "fits.png", out=tmp_path / "out") == 0  # continued to 24x16
    random_image(tmp_path / "large.png", 60, 50)
    capsys.readouterr()
    both = tmp_path / "fits.png", tmp_path / "large.png"
    assert attention(models / "full", *both, out=tmp_path / "none") == 2
    assert capsys.readouterr().err == (
        f"i2i: error: {tmp_path / 'large.png'} is 60x50, but this model was built for 24x16; use --fit, which brings "
        "images to that size and results back; --skip-bad passes over such files\n"
    )
    assert not (tmp_path / "none").exists()
    assert attention(models / "full", *both, "--fit", out=tmp_path / "fit") == 0
    assert [row["size"] for row in told(tmp_path / "fit")] == [[23, 15], [60, 50]]
    assert [Image.open(tmp_path / "fit" / path.name).size for path in both] == [(23, 15), (60, 50)]


def test_names_are_kept(models: Path, tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    for name in ("one.jpg", "deep/two.png", ".hidden.png"):
        random_image(photos / name, 16, 12)
    assert attention(models / "all", photos, photos / "one.jpg", out=out) == 0
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*")) == [
        "attention.json", "deep/two.png", "one.png",
    ]  # fmt: skip
    assert [list(row["maps"]) for row in told(out)] == [["deep/two.png"], ["one.png"]]
    random_image(photos / "one.png", 16, 12, seed=1)
    assert attention(models / "all", photos, out=tmp_path / "again") == 0
    assert [next(iter(row["maps"])) for row in told(tmp_path / "again")] == [
        "photos/deep/two.png.png", "photos/one.jpg.png", "photos/one.png.png",
    ]  # fmt: skip


def test_no_image_is_written_over(models: Path, tmp_path: Path, capsys: Any) -> None:
    before = random_image(tmp_path / "photo.png", 16, 16)
    assert attention(models / "all", tmp_path / "photo.png", out=tmp_path) == 2
    assert "photo.png would be overwritten by a map; choose another --out" in capsys.readouterr().err
    assert np.array_equal(np.asarray(Image.open(tmp_path / "photo.png")), before)
    random_image(tmp_path / "photo-judge-4.png", 16, 16)
    both = tmp_path / "photo.png", tmp_path / "photo-judge-4.png"
    assert attention(models / "all", *both, "--judges", out=tmp_path / "out") == 2
    assert "photo-judge-4.png would be overwritten by a map" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["MODELS/all"], "which images? i2i ugatit attention MODEL IMAGE_OR_FOLDER... --out DIR"),
        (["MODELS/all", "none.png"], "none.png does not exist"),
        (["MODELS/all", "empty"], "empty holds no images"),
        (["MODELS/all", "broken.png"], "broken.png is not an image that can be read"),
        (["MODELS/all", "five.tif"], "five.tif has 5 channels, but this model reads 3 channels"),
        (["MODELS/none", "small.png"], "no such folder"),
        (["MODELS/other", "small.png"], "MODELS/other: this Translation has no heatmap (it has image)"),
        (["MODELS/all", "small.png", "--direction", "c2d"], "has no model for direction 'c2d'; known: a2b, b2a, d_a"),
        (["MODELS/all/d_a", "small.png"], "small.png is 9x40, but MODELS/all/d_a judges images of at least 12 pixels"),
        (["MODELS/all", "small.png", "--judges"], "the discriminator of MODELS/all judges images of at least 12"),
        (["MODELS/all/a2b", "small.png", "--judges"], "--judges shows the discriminators of a run, and MODELS/all/a2b"),
        (["MODELS/all", "small.png", "--judges", "--direction", "d_a"], "--judges shows the discriminators of a run"),
        (["MODELS/all", "small.png", "--fit"], "--fit is for models that accept one size only"),
        (["MODELS/all", "small.png", "--strength", "1.5"], "--strength (=1.5) must lie between 0 and 1"),
        (["MODELS/all", "small.png", "--strength", "nan"], "--strength (=nan) must lie between 0 and 1"),
        (["MODELS/all", "small.png", "--strength", "0.5", "--raw"], "--strength (=0.5) is for maps laid over images"),
        (["MODELS/all", "small.png", "--out", "map.png"], "--out map.png is named like an image; name a folder"),
        (["MODELS/all", "small.png", "--out", "small.png"], "--out small.png is a file; name a folder"),
        (["MODELS/all", "small.png", "--device", "cuda:99"], "device (=cuda:99) cannot be used here"),
    ],
)
def test_mistakes_are_said_in_one_line(
    arguments: list[str], said: str, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    random_image(Path("small.png"), 9, 40)
    Path("empty").mkdir()
    Path("broken.png").write_bytes(b"no image")
    tifffile.imwrite("five.tif", np.zeros((16, 16, 5), np.uint8), photometric="minisblack", planarconfig="contig")
    given = [argument.replace("MODELS", str(models)) for argument in arguments]
    flags = [] if "--out" in given else ["--out", "out"]
    assert main(["ugatit", "attention", *given, *flags]) == 2
    error = capsys.readouterr().err
    assert said.replace("MODELS", str(models)) in error
    assert error.count("\n") == 1
    assert not Path("out").exists()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    root = tmp_path_factory.mktemp("trained")
    for index, folder in enumerate(("trainA", "trainA", "trainB", "trainB")):
        random_image(root / "data" / folder / f"{index}.png", 24, 24, seed=index)
    settings = Settings(
        steps=2, crop_size=16, load_size=18, base_width=2, blocks=1, discriminator_width=2, discriminator_layers=(4, 3)
    )
    run = RunSettings(data=root / "data", out=root / "run", device="cpu", sample_every=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("i2i.training.memory_line", lambda *_: "")  # counting takes longer than the training
        patch.setattr("i2i.training.disk_line", lambda *_: None)
        return root / "run", train("ugatit", settings, run)


@pytest.mark.parametrize("direction", ["a2b", "b2a"])
def test_judges_of_a_run(direction: str, trained: tuple[Path, Run], tmp_path: Path, capsys: Any) -> None:
    folder, run = trained
    pixels = random_image(tmp_path / "photo.jpg.png", 24, 20)
    image = as_batch(pixels)
    flags = () if direction == "a2b" else ("--direction", direction)  # the first, when nothing is said
    assert attention(folder, tmp_path / "photo.jpg.png", "--judges", *flags, out=tmp_path / "out") == 0
    maps = told(tmp_path / "out")[0]["maps"]
    assert list(maps) == ["photo.jpg.png", "photo.jpg-judge-4.png", "photo.jpg-judge-3.png"]
    net, judge = (run.nets.G, run.nets.DA) if direction == "a2b" else (run.nets.F, run.nets.DB)
    with torch.no_grad():
        expected = [net.eval()(image).extras["cam_logits"], *judge.eval()(image).extras["cam_logits"]]
    for (name, notes), logits in zip(maps.items(), expected, strict=True):
        assert notes["logits"] == pytest.approx(logits[0].tolist(), rel=1e-4), name
        assert Image.open(tmp_path / "out" / name).size == (24, 20)
    assert "source domain, peak at" in capsys.readouterr().out.partition("; judge 4, logits ")[0]


def test_runs_without_what_is_asked_for(trained: tuple[Path, Run], tmp_path: Path, capsys: Any) -> None:
    run = tmp_path / "run"
    (run / "model").mkdir(parents=True)
    (run / "model" / "a2b").symlink_to(trained[0] / "model" / "a2b")
    settings = (trained[0] / "settings.toml").read_text()
    random_image(tmp_path / "photo.png", 16, 16)

    def error(*flags: str) -> str:
        code = attention(run, tmp_path / "photo.png", *flags, out=tmp_path / "out")
        said = capsys.readouterr().err
        assert (code, said.count("\n")) == ((2, 1) if said else (0, 0))
        return said

    (run / "settings.toml").write_text(settings)
    assert error() == ""
    assert f"{run} has no checkpoint, and only there the discriminators are kept" in error("--judges")
    (run / "checkpoints").symlink_to(trained[0] / "checkpoints")
    assert error("--judges") == ""
    wider = settings.replace("discriminator_width = 2", "discriminator_width = 3")
    assert wider != settings
    (run / "settings.toml").write_text(wider)
    assert "step-2 does not hold the discriminators that" in error("--judges")
    (run / "settings.toml").write_text(settings.replace('recipe = "ugatit"', 'recipe = "cyclegan"'))
    assert f"--judges knows the discriminators of ugatit, and {run} is a run of cyclegan" in error("--judges")


def test_help_needs_no_torch() -> None:
    code = (
        "import sys; from i2i.cli import main; main(['ugatit', 'attention', '--help']); print('torch' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "--judges" in shown
    assert shown.splitlines()[-1] == "False"


def test_bad_files_are_passed_over_if_asked_for(models: Path, tmp_path: Path, capsys: Any) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGB", (20, 20), "red").save(folder / "good.png")
    whole = (folder / "good.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "none.png").write_bytes(b"nothing")
    command = ["ugatit", "attention", str(models / "all" / "a2b"), str(folder), "--out", str(tmp_path / "maps")]
    assert main(command) == 2
    assert "--skip-bad passes over such files" in capsys.readouterr().err
    assert not (tmp_path / "maps").exists()
    assert main([*command, "--skip-bad"]) == 0
    said = capsys.readouterr().err
    assert said.count("skipped") == 2
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == ["attention.json", "good.png"]
    (folder / "good.png").unlink()
    assert main([*command, "--skip-bad"]) == 2
    assert "none of the 2 images can be used" in capsys.readouterr().err
