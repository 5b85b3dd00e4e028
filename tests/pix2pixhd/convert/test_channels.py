"""How channels divide into labels, boundary map and features, and what is said about it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import i2i
from i2i.cli import main
from i2i.errors import SettingsError
from i2i_pix2pixhd.convert import Scene, convert
from tests.pix2pixhd.convert.authors import Weights, arguments, converted, encoder_file, global_file, judge_file, saved


def understood(options: Mapping[str, Any], **weights: Weights) -> tuple[str, str, dict[str, nn.Module]]:
    """What is said about the scene, what the generator (or else the discriminator) is, and all models."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        models = convert({Path(f"latest_net_{name}.pth"): held for name, held in weights.items()}, **options)
    said = str(caught[0].message).partition("taken to be ")[2].partition(";")[0] if caught else ""
    net: Any = models.get("a2b")
    if net is None:
        return said, "", models
    return said, f"{net.labels} {net.boundaries:d} {net.features} {net.in_channels}", models


COLOUR = "a colour image"


@pytest.mark.parametrize(
    ("channels", "others", "options", "said", "is_"),
    [
        (36, {}, {}, "35 labels and the boundary map", "35 1 0 1"),
        (35, {}, {}, "35 labels", "35 0 0 1"),
        (13, {}, {}, "12 labels and the boundary map", "12 1 0 1"),
        (3, {}, {}, COLOUR, "0 0 0 3"),
        (1, {}, {}, "a grey image", "0 0 0 1"),
        (36, {}, {"labels": 36}, "", "36 0 0 1"),
        (36, {}, {"labels": 35}, "", "35 1 0 1"),
        (36, {}, {"boundaries": False}, "36 labels", "36 0 0 1"),
        (3, {}, {"labels": 2}, "", "2 1 0 1"),
        (3, {}, {"labels": 3}, "", "3 0 0 1"),
        (4, {}, {"labels": 0}, "", "0 0 0 4"),
        (39, {}, {"labels": 38}, "", "38 1 0 1"),
        (39, {}, {"labels": 35}, "", "35 1 0 1"),  # of the 3 features none is left without their encoder
        (38, {}, {"labels": 35, "boundaries": False}, "", "35 0 0 1"),
        (38, {"E": (3, 2)}, {"labels": 35}, "", "35 1 2 1"),
        (39, {"E": (3, 3)}, {}, "35 labels, the boundary map and 3 features", "35 1 3 1"),
        (38, {"E": (3, 3)}, {}, "35 labels and 3 features", "35 0 3 1"),
        (36, {"E": (3, 3)}, {}, "32 labels, the boundary map and 3 features", "32 1 3 1"),
        (18, {"E": (3, 5)}, {"boundaries": False}, "13 labels and 5 features", "13 0 5 1"),
        (18, {"E": (3, 5)}, {"labels": 12}, "", "12 1 5 1"),
        (6, {"E": (3, 3)}, {}, "a colour image and 3 features", "0 0 3 3"),
        (39, {"D": 42}, {}, "38 labels and the boundary map", "38 1 0 1"),
        (13, {"D": 16}, {}, "12 labels and the boundary map", "12 1 0 1"),
        (16, {"E": (3, 3), "D": 16}, {}, "12 labels, the boundary map and 3 features", "12 1 3 1"),
        (3, {"D": 6}, {}, COLOUR, "0 0 0 3"),
    ],
)
def test_channels_are_divided(channels, others, options, said, is_):
    weights = {"G": global_file(channels, 1, 1, 1)}
    if "E" in others:
        weights["E"] = encoder_file(others["E"][0], 1, 1, others["E"][1])
    if "D" in others:
        weights["D"] = judge_file(others["D"], 1, 1, 1)
    assert understood(options, **weights)[:2] == (said, is_)


@pytest.mark.parametrize(
    ("channels", "encoder", "options", "said", "arguments_"),
    [
        (39, None, {}, "35 labels and the boundary map", {"labels": 35, "in_channels": 4}),
        (38, None, {}, "35 labels", {"labels": 35, "in_channels": 3}),
        (6, None, {}, COLOUR, {"labels": 0, "in_channels": 6}),
        (2, None, {}, "a grey image", {"labels": 0, "in_channels": 2}),
        (14, None, {"labels": 11, "boundaries": False}, "", {"labels": 11, "in_channels": 3}),
        (14, 1, {}, "12 labels and the boundary map", {"labels": 12, "in_channels": 2}),
    ],
)
def test_channels_of_a_discriminator_alone_are_divided(channels, encoder, options, said, arguments_):
    weights = {"D": judge_file(channels, 1, 1, 1)}
    if encoder:  # it has seen the images that are judged
        weights["E"] = encoder_file(encoder, 1, 1)
    found, _, models = understood(options, **weights)
    assert found == said
    assert arguments(models["d"]) == arguments(models["d"]) | arguments_
    assert list(models) == ["d", "e"][: 1 + bool(encoder)]


def test_scenes_in_words() -> None:
    assert str(Scene(0, 5, False, 0)) == "an image of 5 channels"
    assert str(Scene(7, 0, False, 2)) == "7 labels and 2 features"


def test_nothing_is_said_where_all_is_known(tmp_path, recwarn):
    converted(tmp_path, {"labels": 12}, G=global_file(13))
    converted(tmp_path, E=encoder_file())
    assert not recwarn.list


@pytest.mark.parametrize(
    ("options", "weights", "message"),
    [
        ({"labels": 40}, {"G": global_file(36)}, "labels (=40) must be 35, or 36 without instance maps: the nets see a "
         "scene as 36 channels"),
        ({"labels": 34}, {"D": judge_file(39)}, "labels (=34) must be 35, or 36 without"),
        ({"labels": 35, "boundaries": False}, {"D": judge_file(39)}, "labels (=35) must be 36: the nets see"),
        ({"labels": 33}, {"G": global_file(36)}, "labels (=33) must be 35, or 32 with 3 features: the generator takes "
         "36 channels, one of them the boundary map (none: --no-boundaries); for another number of features name the "
         "encoder, too (*_net_E.pth)"),
        ({"labels": 35}, {"G": global_file(40)}, "labels (=35) must be 39, or 36 with 3 features: the generator"),
        ({"labels": 31, "boundaries": False}, {"G": global_file(36)}, "labels (=31) must be 36, or 33 with 3 features: "
         "the generator takes 36 channels; for another"),
        ({"labels": 2}, {"G": global_file(4)}, "labels (=2) must be 3: the generator takes 4 channels, one of them"),
        ({"labels": -1}, {"G": global_file(36)}, "labels (=-1) must be 35, or 32 with 3 features: the generator takes"),
        ({"labels": -1}, {"G": global_file(3), "E": encoder_file(made=2)}, "labels (=-1) must be 0, or 1 without"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit(options, weights, message):
    with pytest.raises(SettingsError) as caught:
        understood(options, **weights)
    assert str(caught.value).startswith(message)


def test_the_command_says_what_it_found(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    paths = saved(Path(), G=global_file(16), E=encoder_file())
    assert main(["convert", "pix2pixhd", *map(str, paths), "--out", "model"]) == 0
    said = capsys.readouterr()
    assert said.err == (
        "i2i: latest_net_G.pth: what it was trained on is taken to be 12 labels, the boundary map and 3 features; "
        "otherwise say --labels N, with 0 for images, and --no-boundaries where there were no instance maps\n"
    )
    first, *lines, last = said.out.splitlines()
    assert first.startswith("latest_net_G.pth, latest_net_E.pth: pix2pixhd/scene_generator, ")
    assert [line.split(",")[0] for line in lines] == [
        "  generator pix2pixhd/global_generator", "  generator: in_channels 4", "  encoder: in_channels 3",
    ]  # fmt: skip
    assert last == "  -> model"


def test_flags_say_it_otherwise(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (path,) = saved(Path(), G=global_file(16))
    assert main(["convert", "pix2pixhd", str(path), "--labels", "16", "--no-boundaries", "--out", "model"]) == 0
    assert capsys.readouterr().err == ""
    net = i2i.load("model")
    assert (net.labels, net.boundaries) == (16, False)
    assert main(["convert", "pix2pixhd", str(path), "--labels", "17", "--out", "other"]) == 2
    assert capsys.readouterr().err.startswith("i2i: error: labels (=17) must be 15, or 16 without instance maps")
    assert not Path("other").exists()
