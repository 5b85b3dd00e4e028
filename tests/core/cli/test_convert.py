"""``i2i convert``: what it says, and that its models translate."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from i2i.cli import main

PLUGIN = """
import i2i

@i2i.hookimpl
def register_parts(register):
    register("tint/net", "tint_code:net", kind="generator")
    register("tint/judge", "tint_code:judge", kind="discriminator")
    register("tint/chain", "tint_code:chain", kind="generator")

@i2i.hookimpl
def register_converters(register):
    register("tint", "tint_code:convert", help="what the tint code saved")
    register("tint-judge", "tint_code:judges", help="its discriminators")
    register("tint-plain", "tint_code:plain", help="the same, without a part")
    register("tint-twice", "tint_code:twice", help="two in one", together=True)
"""

CODE = """
from torch import nn
import i2i
from i2i.convert import filled, weights_of
from i2i.pixels import PixelFormat

class Tint(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1, bias=False)
    def forward(self, image, condition=None):
        return i2i.Translation(self.layer(image))

@i2i.part(example=i2i.Example({}, ((1, 3, 4, 4),)))
def net(strength=1.5, name="tint"):
    return Tint()

def convert(found, name):
    made = filled(net, weights_of(found))
    if name.startswith("lab"):
        made.reads = PixelFormat(channels=1, colours="lightness")
        made.writes = PixelFormat(channels=2, colours="chroma")
    return {name.partition(".")[0]: made}

class Judge(Tint):
    def forward(self, image, condition=None):
        return i2i.Verdict((self.layer(image),))

@i2i.part(example=i2i.Example({}, ((1, 3, 4, 4),)))
def judge():
    return Judge()

def judges(found, name):
    return {"d": filled(judge, weights_of(found))}

class Chain(Tint):
    def __init__(self, first, second):
        super().__init__()
        self.first, self.second = first, second

@i2i.part(example=i2i.Example({}, ((1, 3, 4, 4),)))
def chain(first, second=None, shown=True):
    return Chain(first, second)

def twice(found, *, strength: int | None = None, shown: bool = True):
    '''Convert.

    Args:
        found: files.
        strength: how strong it was;
            its own when left out.
        shown: whether it is shown.

    Returns:
        models
    '''
    parts = [filled(lambda: net(strength or 1.5), weights_of(held)) for held in found.values()]
    return {"": chain(*parts, shown=shown)}

def plain(found, name):
    return {"": filled(Tint, weights_of(found))}
"""


@pytest.fixture
def checkpoint(install, tmp_path):
    """``checkpoint(name, factor)``: a file of weights that multiply every colour by ``factor``."""
    install("tint", "x-tint", tint_plugin=PLUGIN, tint_code=CODE)

    def make(name: str, factor: float = 1.0) -> str:
        torch.save({"layer.weight": factor * torch.eye(3).reshape(3, 3, 1, 1)}, tmp_path / name)
        return str(tmp_path / name)

    return make


def test_it_says_what_was_inferred(checkpoint, tmp_path, capsys):
    path, out = checkpoint("a.pth"), tmp_path / "model"
    assert main(["convert", "tint", path, "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{path}: tint/net, 9 parameters\n  strength 1.5, name tint\n  -> {out}\n"


def test_a_converter_may_have_flags_and_parts_in_parts_are_shown(checkpoint, tmp_path, capsys):
    paths, out = [checkpoint("a.pth"), checkpoint("b.pth")], str(tmp_path / "model")
    assert main(["convert", "tint-twice", *paths, "--strength", "4", "--no-shown", "--out", out]) == 0
    assert capsys.readouterr().out == (
        f"{paths[0]}, {paths[1]}: tint/chain, 27 parameters\n"
        "  first tint/net, second tint/net, shown False\n"
        "  first: strength 4, name tint\n"
        "  second: strength 4, name tint\n"
        f"  -> {out}\n"
    )
    assert main(["convert", "tint-twice", paths[0], "--out", out]) == 0
    assert "\n  first tint/net, second None, shown True\n  first: strength 1.5, name" in capsys.readouterr().out
    assert main(["convert", "--out", str(tmp_path / "first"), "tint", paths[0]]) == 0


def test_help_shows_the_flags_of_the_converter_that_is_named(checkpoint, capsys):
    checkpoint("a.pth")
    assert main(["convert", "tint-twice", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--strength {None}|INT how strong it was; its own when left out. (default: None)" in said
    assert "--shown, --no-shown whether it is shown. (default: True)" in said
    assert main(["convert", "tint", "--help"]) == 0
    assert "--strength" not in capsys.readouterr().out


def test_it_says_which_colours(checkpoint, tmp_path, capsys):
    assert main(["convert", "tint", checkpoint("lab.pth"), "--out", str(tmp_path / "model")]) == 0
    assert "\n  strength 1.5, name tint\n  reads lightness, writes chroma\n" in capsys.readouterr().out


def test_a_net_of_no_part_is_named_by_its_class_and_the_warning_is_one_line(checkpoint, tmp_path, capsys):
    assert main(["convert", "tint-plain", checkpoint("a.pth"), "--out", str(tmp_path / "model")]) == 0
    said = capsys.readouterr()
    assert "a.pth: Tint, 9 parameters\n" in said.out
    assert said.err.startswith("i2i: saved the weights only")
    assert said.err.count("\n") == 1


def _red(path: Path) -> int:
    with Image.open(path) as image:
        return image.getpixel((0, 0))[0]  # type: ignore[index,return-value]


def test_its_models_translate_in_either_direction(checkpoint, tmp_path, capsys):
    out, photo = tmp_path / "models", tmp_path / "photo.png"
    Image.new("RGB", (4, 4), (255, 255, 255)).save(photo)
    arguments = ["convert", "tint", checkpoint("b2a.pth", 0.2), checkpoint("a2b.pth", -1.0), "--out", str(out)]
    assert main(arguments) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if "->" in line] == [
        f"  -> {out / 'b2a'}",
        f"  -> {out / 'a2b'}",
    ]

    def translated(*words: str) -> int:
        assert main(["translate", *words, str(photo), "--out", str(tmp_path / "out"), "--device", "cpu"]) == 0
        return _red(tmp_path / "out" / "photo.png")

    assert translated(str(out / "b2a")) == 153  # (0.2 + 1) / 2 * 255
    assert translated(str(out)) == 0  # the first by name: a2b
    assert translated(str(out), "--direction", "b2a") == 153
    assert main(["translate", str(out), str(photo), "--out", "x", "--direction", "c"]) == 2
    assert "has no model for direction 'c'; known: a2b, b2a" in capsys.readouterr().err


def test_info_shows_all_models_of_a_folder(checkpoint, tmp_path, capsys):
    out = tmp_path / "models"
    assert main(["convert", "tint", checkpoint("b2a.pth"), checkpoint("a2b.pth"), "--out", str(out)]) == 0
    capsys.readouterr()
    assert main(["info", str(out)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [words for words in rows if words[0] in ("model", "strength")] == [
        ["model", str(out / "a2b")],
        ["strength", "1.5"],
        ["model", str(out / "b2a")],
        ["strength", "1.5"],
    ]


def test_a_discriminator_translates_nothing(checkpoint, tmp_path, capsys):
    model, photo = tmp_path / "model", tmp_path / "photo.png"
    Image.new("RGB", (4, 4)).save(photo)
    assert main(["convert", "tint-judge", checkpoint("a.pth"), "--out", str(model)]) == 0
    assert main(["translate", str(model), str(photo), "--out", str(tmp_path / "out"), "--device", "cpu"]) == 2
    assert "this net makes a Verdict, not an image; only generators can translate" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tinnt", "a.pth", "--out", "m"], "converter 'tinnt' is unknown; did you mean 'tint'?"),
        (["tint", "--out", "m"], "which files? i2i convert tint FILE... --out MODEL"),
        (["tint", "no.pth", "--out", "m"], "no.pth: no such file"),
        (["tint", "a.pth", "--oat", "m"], "unknown setting --oat; did you mean '--out'?"),
        (["tint", "a.pth", "--out", "m", "--strength", "3"], "unknown setting --strength; known: --out"),
        (["tint-twice", "a.pth", "--out", "m", "--strength", "x"], "--strength: 'x' is no whole number"),
        (["tint", "bad.pth", "--out", "m"], "bad.pth: is a web page, as a failed download leaves; download or copy it"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(checkpoint, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    checkpoint("a.pth")
    Path("bad.pth").write_bytes(b"<html>404</html>")
    assert main(["convert", *arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"i2i: error: {message}")
    assert said.count("\n") == 1
    assert not Path("m").exists()


def test_help_lists_the_converters(checkpoint, capsys):
    checkpoint("a.pth")
    assert main(["--help"]) == 0
    assert "  tint-plain  the same, without a part" in capsys.readouterr().out.partition("converters:\n")[2]


def test_where_nothing_can_be_written(checkpoint, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["convert", "tint", checkpoint("a.pth"), "--out", str(tmp_path / "file" / "model")]) == 2
    assert capsys.readouterr().err == (
        f"i2i: error: cannot write {tmp_path / 'file' / 'model'} (Not a directory); choose another --out\n"
    )
