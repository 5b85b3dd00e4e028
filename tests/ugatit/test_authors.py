"""Files that ``i2i convert ugatit`` does not convert: each gives one line with what was found, and leaves nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import i2i
from benchmarks.reference.ugatit import Discriminator, Generator
from i2i.cli import main
from i2i_ugatit import cam_discriminator, cam_generator

Weights = dict[str, Any]


def made(*arguments: Any, **keywords: Any) -> Weights:
    return dict(Generator(*arguments, **{"width": 2, "blocks": 2} | keywords).state_dict())


def judge(*arguments: Any, **keywords: Any) -> Weights:
    return dict(Discriminator(*arguments or (4,), **{"width": 2} | keywords).state_dict())


def without(weights: Weights, *keys: str) -> Weights:
    assert set(keys) <= set(weights)
    return {key: value for key, value in weights.items() if key not in keys}


def shapes(**shapes: tuple[int, ...]) -> Weights:
    return {key.replace("__", "."): torch.zeros(shape) for key, shape in shapes.items()}


def unnormalised(weights: Weights) -> Weights:
    kept = {key.replace("_orig", ""): value for key, value in weights.items()}
    return {key: value for key, value in kept.items() if not key.endswith(("_u", "_v"))}


def refusal(file: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What is said, without the name of the file that it begins with."""
    before = set(file.parent.iterdir())
    capsys.readouterr()
    assert main(["convert", "ugatit", str(file), "--out", str(file.parent / "model")]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert set(file.parent.iterdir()) == before
    assert said.err.startswith(f"i2i: error: {file}")
    return said.err.removeprefix(f"i2i: error: {file}").strip().removeprefix(": ")


def nan(weights: Weights, key: str) -> Weights:
    return weights | {key: torch.full_like(weights[key], torch.nan)}


LIGHT = "does not fit cam_generator (base_width 2, blocks 2, head light): "
GENERATORS: list[tuple[Weights, str]] = [
    (without(made(), "DownBlock.5.weight"), f"{LIGHT}DownBlock.5.weight [4, 2, 3, 3] is missing; 31 entries: 'Down"),
    (without(made(), "UpBlock2.11.weight"), f"{LIGHT}UpBlock2.11.weight [3, 2, 7, 7] is missing"),
    (without(made(), "FC.0.weight"), f"{LIGHT}FC.0.weight [8, 8] is missing"),
    (without(made(), "gmp_fc.weight"), f"{LIGHT}gmp_fc.weight [1, 8] is missing"),  # one for both, as in TensorFlow
    (without(made(), "UpBlock1_2.norm1.rho"), f"{LIGHT}UpBlock1_2.norm1.rho [1, 8, 1, 1] is missing"),
    (without(made(), "UpBlock2.8.rho"), f"{LIGHT}UpBlock2.8.rho [1, 2, 1, 1] is missing"),
    (without(made(), "DownBlock.13.conv_block.1.weight"), f"{LIGHT}DownBlock.13.conv_block.1.weight [8, 8, 3, 3] is"),
    (without(made(), "DownBlock.1.weight"), "looks like a network of U-GAT-IT, but DownBlock.1.weight, its first"),
    (made() | shapes(DownBlock__1__bias=(2,)), f"{LIGHT}'DownBlock.1.bias' [2] belongs to nothing in it"),
    (made() | shapes(UpBlock1_3__conv1__weight=(8, 8, 3, 3)), f"{LIGHT}'UpBlock1_3.conv1.weight' [8, 8, 3, 3] belongs"),
    (made() | shapes(extra=(1,)), f"{LIGHT}'extra' [1] belongs to nothing in it"),
    (made() | shapes(conv1x1__weight=(8, 8, 1, 1)), f"{LIGHT}conv1x1.weight should be [8, 16, 1, 1], not [8, 8, 1, 1]"),
    # A head of another width, as the authors' TensorFlow code has.
    (made() | shapes(FC__0__weight=(4, 8)), f"{LIGHT}FC.0.weight should be [8, 8], not [4, 8]"),
    (made() | shapes(UpBlock2__11__weight=()), f"{LIGHT}UpBlock2.11.weight should be [3, 2, 7, 7], not []"),
    (made() | shapes(FC__0__weight=(8, 8 * 60)), "holds a generator whose head reads 480 numbers (FC.0.weight) of 8 "
     "channels; that is neither light (8) nor full for square images (8 times a square number)"),
    (made() | shapes(FC__0__weight=(8, 8 * 64 + 1)), "holds a generator whose head reads 513 numbers (FC.0.weight) of"),
    (made() | shapes(FC__0__weight=(8, 5)), "holds a generator whose head reads 5 numbers (FC.0.weight) of 8 channels"),
    (made() | shapes(FC__0__weight=(8, 0)), "holds a net that cannot be built: size (=(0, 0)) must be two multiples"),
    (made(light=False, size=32) | shapes(FC__0__weight=(4, 8 * 64)), "does not fit cam_generator (base_width 2, blocks "
     "2, head full, size (32, 32)): FC.0.weight should be [8, 512], not [4, 512]"),
    (made() | shapes(DownBlock__1__weight=(0, 3, 7, 7), FC__0__weight=(8, 8)), "holds a generator whose head reads 8"),
    (made(blocks=0), "holds a net that cannot be built: blocks (=0) must be"),
    (nan(made(), "gamma.weight"), "'gamma.weight' is not finite: the training had failed by then; take an earlier"),
]  # fmt: skip
JUDGE = "does not fit cam_discriminator (base_width 2, layers (4,)): "
JUDGES: list[tuple[Weights, str]] = [
    (without(judge(), "model.4.weight_u"), f"{JUDGE}model.4.weight_u [4] is missing; 22 entries"),
    (without(judge(), "gap_fc.weight_v"), f"{JUDGE}gap_fc.weight_v [8] is missing"),
    (without(judge(), "conv1x1.bias"), f"{JUDGE}conv1x1.bias [8] is missing"),
    (judge() | shapes(conv__bias=(1,)), f"{JUDGE}'conv.bias' [1] belongs to nothing in it"),
    (without(judge(), "model.1.weight_orig"), "looks like a network of U-GAT-IT, but model.1.weight_orig, its first"),
    (unnormalised(judge()), "looks like a network of U-GAT-IT, but model.1.weight_orig, its first convolution, is mis"),
    (shapes(model__1__weight_orig=(2, 3, 4, 4)), "holds a net that cannot be built: layers (=2) must be"),
    (nan(judge(), "model.1.weight_v"), "'model.1.weight_v' is not finite"),
]  # fmt: skip
AUTHORS = "not a network of the U-GAT-IT authors; "
OTHERS: list[tuple[Weights, str]] = [
    (shapes(model__1__weight=(2, 3, 7, 7), model__10__conv_block__1__weight=(8, 8, 3, 3)), "looks like a generator of "
     f"CycleGAN or pix2pixHD (i2i convert cyclegan, or pix2pixhd), {AUTHORS}2 entries: 'model.1.weight' [2, 3, 7, 7]"),
    (shapes(model__model__0__weight=(2, 3, 4, 4)), "looks like a U-Net generator of pix2pix (i2i convert pix2pix), "
     f"{AUTHORS}1 entry: "),
    (shapes(model__0__weight=(2, 3, 4, 4)), "looks like a discriminator of CycleGAN or pix2pix (i2i "
     f"convert cyclegan), {AUTHORS}1 entry: "),
    (shapes(net__0__weight=(2, 3, 1, 1)), "looks like a discriminator of CycleGAN or pix2pix"),
    (shapes(scale0_layer0__0__weight=(2, 3, 4, 4)), "looks like a discriminator of pix2pixHD (i2i "
     f"convert pix2pixhd), {AUTHORS}1 entry: "),
    (shapes(layer0__0__weight=(2, 3, 4, 4)), "looks like a discriminator of pix2pixHD"),
    (shapes(model1_1__1__weight=(2, 3, 7, 7)), "looks like a generator of pix2pixHD (i2i convert pix2pixhd), "),
    (shapes(head__conv__weight=(2, 3, 3, 3)), "looks like a network of SinGAN (i2i convert singan reads its folders)"),
    (shapes(model__1__weight=(2, 3, 7, 7), model__6__filt=(4, 1, 3, 3)), "looks like a network of CUT with blurred"),
    (shapes(mlp_0__0__weight=(2, 3)), "looks like the projection heads of CUT, "),
    (shapes(HourGlass1__HG__ConvBlock1__weight=(2, 2, 3, 3)), "looks like a generator of photo2cartoon"),
    (dict(cam_generator(base_width=1, blocks=1).state_dict()), "looks like a network of i2i itself, which needs no"),
    (dict(cam_discriminator(base_width=1).state_dict()), "looks like a network of i2i itself, which needs no convert"),
    (shapes(features__0__weight=(2, 3)), "holds no network of the U-GAT-IT authors (expected their checkpoint, or the "
     "state_dict of a generator or discriminator); found 1 entry: 'features.0.weight' [2, 3]"),
    (shapes(model__1__weight=(2, 3, 7, 7)), "holds no network of the U-GAT-IT authors"),
    (shapes(layer1__0__conv1__weight=(2, 3, 3, 3)), "holds no network of the U-GAT-IT authors"),
    ({}, "is no state_dict of one net: it is empty"),
    ({"netG_A2B": made()}, "is no state_dict of one net: 1 entry: 'netG_A2B' (dict)"),
]  # fmt: skip
TWO = {"disGA": judge(4), "disLA": judge(3)}
CHECKPOINTS: list[tuple[Weights, str]] = [
    ({"genA2B": made(), "genB2A": without(made(), "beta.weight")}, f"{LIGHT}genB2A.beta.weight [8, 8] is missing; 31 "
     "entries: 'genB2A.DownBlock.1.weight'"),
    ({"genA2B": nan(made(), "beta.weight")}, "genA2B: 'beta.weight' is not finite"),
    ({"genA2B": judge()}, "genA2B: holds a discriminator; 23 entries"),
    ({"genA2B": made(), "disLB": made()}, "disLB: holds a generator; 32 entries"),
    ({"genA2B": {}}, "genA2B: is no state_dict of one net: it is empty"),
    ({"genA2B": torch.zeros(1)}, "genA2B is no state_dict, but Tensor; save genA2B.state_dict()"),
    ({"genA2B": shapes(model__0__weight=(2, 3, 4, 4))}, "genA2B: looks like a discriminator of CycleGAN or pix2pix"),
    ({"genA2B": made(), "genA2B_ema": made()}, "holds a network 'genA2B_ema', which the U-GAT-IT authors do not have; "
     "save it again with some of genA2B, genB2A, disGA, disLA, disGB, disLB only"),
    (TWO | {"disLA": judge(3, width=3)}, "does not fit cam_discriminator (base_width 2, layers (4, 3)): "
     "disLA.model.1.weight_orig should be [2, 3, 4, 4], not [3, 3, 4, 4]"),
    (TWO | {"disLA": judge(3, channels=1)}, "disLA.model.1.weight_orig should be [2, 3, 4, 4], not [2, 1, 4, 4]"),
    (TWO | {"disLA": without(judge(3), "conv.weight_orig")}, "disLA.conv.weight_orig [1, 4, 4, 4] is missing; 41 entr"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "message"), [*GENERATORS, *JUDGES, *OTHERS, *CHECKPOINTS])
def test_files_that_hold_something_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: Weights, message: str
) -> None:
    torch.save(content, tmp_path / "genA2B.pth")
    assert message in refusal(tmp_path / "genA2B.pth", capsys)


class Harmful:
    """Would run code, if its pickle were trusted."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("code of the file was run",)


def cut(path: Path) -> None:
    torch.save({"genA2B": made()}, path)
    path.write_bytes(path.read_bytes()[:-1000])


def tensors(path: Path) -> None:
    weights: dict[str, Tensor] = made()
    save_file(weights, path)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.write_bytes(b""), "is empty; download or copy it again"),
        (cut, "is no checkpoint, or cut off or damaged; download or copy it again"),
        (lambda path: torch.save({"genA2B": Harmful()}, path), "holds more than weights (print)"),
        (
            lambda path: torch.save(Generator(2, 1), path),
            "holds more than weights (benchmarks.reference.ugatit.Generat",
        ),
        (lambda path: torch.save([made()], path), "holds a list, not weights by name"),
        (tensors, "is a safetensors file; this reads what torch.save wrote (.pth, .pt)"),
        (lambda path: i2i.save(cam_generator(base_width=1, blocks=1), path), "is a folder; name files in it"),
    ],
)
def test_files_that_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], write: Callable[[Path], object], message: str
) -> None:
    write(tmp_path / "latest.pt")
    assert refusal(tmp_path / "latest.pt", capsys).startswith(message)


def test_the_weights_of_a_model_of_i2i(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    i2i.save(cam_generator(base_width=1, blocks=1), tmp_path)
    assert refusal(tmp_path / "model.safetensors", capsys).startswith("is a safetensors file")


def test_two_checkpoints_at_once_leave_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / "first.pt", tmp_path / "second.pt"]
    for file in files:
        torch.save({"genA2B": made()}, file)
    assert main(["convert", "ugatit", *map(str, files), "--out", str(tmp_path / "models")]) == 2
    assert f"{files[0]} and {files[1]} are both 'a2b'; convert one of them to another --out" in capsys.readouterr().err
    assert set(tmp_path.iterdir()) == set(files)
