"""Every command as it is typed, on a real photograph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import i2i
from i2i import photographs
from i2i.cli import main
from i2i.demos import write_colours
from i2i.registry import registry
from i2i_singan.inception import Inception
from i2i_singan.networks import scale_generator

SIZE = (24, 36)
TRAINING = (
    "--steps 1 --min-size 14 --scale-factor 0.6 --base-width 2 --layers 3 --precision fp32 --sample-every 0 "
    "--discriminator-moves 1 --generator-moves 1"
)
OBJECT = slice(9, 13), slice(15, 20)

COMMANDS = {
    "sample": ("RUN --count 2 --scale-h 1.5", ["sample-000.png", "sample-001.png"]),
    "reconstruct": ("RUN --all-scales", [f"reconstruction-scale-{k}.png" for k in range(4)]),
    "animate": (
        "RUN --start-scale 0 2 --beta 0.9 --frames 2 --steps 1",
        ["start-0-alpha-0.1-beta-0.9.gif", "start-2-alpha-0.1-beta-0.9.gif"],
    ),
    "super-resolve": ("RUN --factor 2 --truth HERE/truth.png", ["bicubic-2.png", "super-resolution-2.png"]),
    "paint": ("RUN HERE/collage.png --start-scale 1 3", ["collage-painted-1.png", "collage-painted-3.png"]),
    "paint --quantise": ("RUN HERE/collage.png --start-scale 2", ["collage-painted-2-quantised.png"]),
    "edit": (
        "RUN HERE/collage.png --start-scale 2 --dilation 1 --feather 1",
        ["collage-edited-2-raw.png", "collage-edited-2.png", "collage-edited-mask.png"],
    ),
    "harmonize": (
        "RUN HERE/collage.png --mask HERE/mask.png --start-scale 3 --dilation 1 --feather 1",
        ["collage-harmonized-3.png", "collage-harmonized-mask.png"],
    ),
    "score": ("RUN --count 2 --weights HERE/inception.pth", ["score.json"]),
}

#: What is typed, and what is said of it.
MISTAKES = (
    ("edit RUN HERE/collage.png --start-scale 1 --mask HERE/small.png", "small.png is 36x9, but its image is 36x24;"),
    ("edit RUN HERE/collage.png --start-scale 1 --mask HERE/black.png", "black.png is black everywhere"),
    ("harmonize RUN HERE/collage.png --start-scale 1 --mask HERE/white.png", "white.png is white everywhere"),
    ("harmonize RUN HERE/photograph.png --start-scale 1", "the image differs nowhere from the training image"),
    ("edit RUN HERE/collage.png --start-scale 1 --mask HERE/mask.png --tolerance 0.1", "--tolerance (=0.1) is for a"),
    ("harmonize RUN HERE/collage.png --start-scale 1 --mask HERE/gone.png", "gone.png"),
    ("harmonize RUN HERE/gone.png --start-scale 1", "gone.png cannot be read as an image"),
    ("paint RUN HERE/run --start-scale 1", "run cannot be read as an image"),
    ("paint RUN HERE/collage.png --start-scale 0", "start_scale (=0) must lie between 1 and 3"),
    ("paint RUN HERE/collage.png --start-scale 1 4", "start_scale (=4) must lie between 1 and 3"),
    ("paint RUN HERE/collage.png --start-scale 1 --quantise --seed -1", "seed (=-1) must be a whole number"),
    ("paint RUN HERE/collage.png --start-scale 1 --quantise --tile 0", "tile (=0) must be a whole number"),
    ("paint RUN HERE/collage.png", "--start-scale"),
    ("edit RUN HERE/collage.png --start-scale -1", "start_scale (=-1) must lie between 1 and 3"),
    ("sample RUN --start-scale 4", "start_scale (=4) must lie between 0, the coarsest scale, and 3"),
    ("sample RUN --start-scale -1", "start_scale (=-1) must lie between 0"),
    ("sample RUN --count 0", "count (=0) must be a whole number of at least 1"),
    ("sample RUN --tile 0", "tile (=0) must be a whole number of at least 1"),
    ("animate RUN --start-scale 7", "start_scale (=7) must lie between 0"),
    ("animate RUN --fps 500", "500 frames per second: .gif can show 0.1 to 100"),
    ("animate RUN --beta", "which films? --start-scale and --beta need a number each"),
    ("super-resolve RUN --factor 1", "factor (=1) must be above 1"),
    ("super-resolve RUN --factor 0.5", "factor (=0.5) must be above 1"),
    ("super-resolve RUN --truth HERE/gone.png", "gone.png"),
    ("score RUN --start-scale 4", "start_scale (=4) must lie between 0"),
    ("score RUN --weights HERE/gone.pth", "gone.pth: no such file"),
    ("score RUN --weights HERE/mask.png", "mask.png"),
    ("score RUN --weights HERE/other.pth", "other.pth: "),
    ("score RUN --extractor nowhere:net", "nowhere"),
    ("score RUN --extractor math:pi", "math:pi"),
    ("score RUN --samples HERE/gone", "gone"),
)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a photograph, a collage, masks, weights, a run, and a model of another recipe."""
    folder = tmp_path_factory.mktemp("given")
    photograph, truth = (photographs.load(side)["china"] for side in (SIZE[0], 2 * SIZE[0]))
    collage, mask = photograph.copy(), np.zeros_like(photograph)
    collage[OBJECT], mask[OBJECT] = (0.1, 0.9, 0.3), 1
    pictures = {"photograph": photograph, "truth": truth, "collage": collage, "mask": mask, "small": mask[:9]}
    for name, colours in (pictures | {"black": 0 * mask, "white": 0 * mask + 1}).items():
        write_colours(folder / f"{name}.png", colours)
    torch.manual_seed(0)
    torch.save(Inception().state_dict(), folder / "inception.pth")
    torch.save({"weight": torch.zeros(3)}, folder / "other.pth")
    i2i.save(scale_generator(width=2, layers=2), folder / "other")
    run = ["train", "singan", "--data", str(folder / "photograph.png"), "--out", str(folder / "run")]
    assert main([*run, *TRAINING.split(), "--device", "cpu"]) == 0
    return folder


def typed(words: str, here: Path) -> list[str]:
    return ["singan", *words.replace("RUN", f"{here}/run").replace("HERE", str(here)).split()]


def read(path: Path) -> NDArray[Any]:
    return np.asarray(Image.open(path).convert("RGB"))


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_on_a_photograph(
    command: str, given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, names = COMMANDS[command]
    out = tmp_path / "out"
    assert main([*typed(f"{command} {words}", given), "--out", str(out), "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == names
    assert str(out / names[-1]) in said or f"to {names[-1]}" in said
    if command == "score":
        assert json.loads((out / "score.json").read_text())["distance"]["mean"] > 0
        return
    shape = {"sample": (24, 54, 3), "super-resolve": (48, 72, 3)}.get(command, (*SIZE, 3))
    last = read(out / names[-1])
    assert last.shape == shape
    assert last.min() < last.max()
    if command in ("edit", "harmonize"):
        made, weight = read(out / names[-2]), last[..., 0]
        assert np.array_equal(made[weight == 0], read(given / "collage.png")[weight == 0])
        assert 0 < (weight == 0).sum() < weight.size
        assert not np.array_equal(made, read(given / "collage.png"))


def test_no_command_is_left_out() -> None:
    registered = {name.removeprefix("singan ") for name in registry().tables.commands.names() if "singan " in name}
    assert {command.split()[0] for command in COMMANDS} == registered - {"train-each"}  # which has tests of its own


@pytest.mark.parametrize(("words", "told"), MISTAKES, ids=[words for words, _ in MISTAKES])
def test_mistakes_are_told_in_one_line_before_anything_is_made(
    words: str, told: str, given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(given.rglob("*"))
    assert main([*typed(words, given), "--out", str(tmp_path / "out"), "--device", "cpu"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("i2i: error: ")
    assert told in line
    assert not (tmp_path / "out").exists()
    assert sorted(given.rglob("*")) == before


@pytest.mark.parametrize(("model", "told"), [
    ("other", "other is no model of SinGAN (it holds a ScaleGenerator); name one that i2i train singan made"),
    ("gone", "gone: no such folder"),
    ("photograph.png", "photograph.png"),
])  # fmt: skip
@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_no_model(
    command: str, model: str, told: str, given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = COMMANDS[command][0].replace("RUN", f"HERE/{model}")
    assert main([*typed(f"{command} {words}", given), "--out", str(tmp_path / "out"), "--device", "cpu"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("i2i: error: ")
    assert told in line
    assert not (tmp_path / "out").exists()
