"""Checkpoints of other code: understood as a whole or not at all, saved under their keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import i2i
from i2i.convert import convert_files, convolutions, filled, has_batch_norm, weights_of, with_statistics
from i2i.errors import ModelError, PluginError, RunError, SettingsError

PLUGIN = """
import i2i

@i2i.hookimpl
def register_parts(register):
    register("old/net", "old_code:net", kind="generator")

@i2i.hookimpl
def register_converters(register):
    register("old", "old_code:convert", help="what the old code saved")
    register("old-pair", "old_code:pair", help="both nets of a file")
    register("old-folder", "old_code:folder", help="a folder of one net", folders=True)
    register("old-halves", "old_code:halves", help="a net in two files", together=True)
"""

CODE = """
from torch import nn
import i2i
from i2i.convert import filled, weights_of
from i2i.pickles import read_list

@i2i.part(example=i2i.Example({}, ((1, 3, 4, 4),)))
def net(width=2):
    return nn.Conv2d(3, width, 1)

def convert(found, name):
    weights = weights_of(found)
    return {name.partition(".")[0]: filled(lambda: net(len(weights["bias"])), weights)}

def folder(path):
    found = {file.stem: read_list(file)[0] for file in path.glob("*.pth")}
    return {path.name: filled(lambda: net(len(found["bias"])), weights_of(found))}

def halves(found, *, times: float = 1.0, spare: bool = False):
    joined = {key: times * value for part in found.values() for key, value in weights_of(part).items()}
    made = {"net": filled(net, joined)}
    return made | {"spare": made["net"]} if spare else made

def pair(found, name):
    return {key: filled(net, weights_of(part)) for key, part in found.items()}
"""


@pytest.fixture
def old(install: Callable[..., Path]) -> None:
    install("old", "x-old", old_plugin=PLUGIN, old_code=CODE)


def weights(width: int = 2, value: float = 0.5) -> dict[str, torch.Tensor]:
    return {"weight": torch.full((width, 3, 1, 1), value), "bias": torch.zeros(width)}


@pytest.mark.parametrize(
    "found",
    [
        weights(),
        {"epoch": 3, "state_dict": weights()},
        {"model": {"state_dict": weights()}},
        {f"module.{key}": value for key, value in weights().items()},
        {"net": {f"_orig_mod.module.{key}": value for key, value in weights().items()}},
        {key: value.half() for key, value in weights().items()},
        {key: value.double() for key, value in weights().items()},
    ],
)
def test_weights_come_out_of_wrappers_and_lose_their_prefixes(found):
    plain = weights_of(found)
    assert list(plain) == ["weight", "bias"]
    assert all(torch.equal(value, plain[key]) and plain[key].dtype == value.dtype for key, value in weights().items())


def test_a_prefix_that_not_all_names_have_stays():
    assert list(weights_of({"module.a": torch.zeros(1), "b": torch.zeros(1)})) == ["module.a", "b"]


def endless() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["state_dict"] = found
    return found


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({}, "is no state_dict of one net: it is empty"),
        ({"state_dict": {}}, "is no state_dict of one net: it is empty"),
        (endless(), "is no state_dict of one net: 1 entry: 'state_dict' (dict)"),
        (
            {"G_A": weights(), "G_B": weights(), "epoch": 3},
            "is no state_dict of one net: 3 entries: 'G_A' (dict), 'G_B' (dict), 'epoch' (int)",
        ),
        ({str(number): number for number in range(9)}, "9 entries: '0' (int), '1' (int), '2' (int), '3' (int), ..."),
        ({"x" * 99: 3}, f"1 entry: '{'x' * 56}... (int)"),
        ({3: torch.zeros(2)}, "1 entry: 3 [2]"),
        ({"a": torch.zeros(2).to_sparse()}, "'a' is no plain tensor (torch.float32, torch.sparse_coo)"),
        ({"a": torch.zeros(2, dtype=torch.complex64)}, "'a' is no plain tensor (torch.complex64"),
        ({"a": torch.zeros(2, dtype=torch.float8_e5m2)}, "'a' is no plain tensor (torch.float8_e5m2"),
        ({"a": torch.zeros(1).expand(10**12)}, "'a' lies about its size [1000000000000]; the file is damaged"),
        ({"a": torch.tensor([1.0, float("nan")])}, "'a' is not finite: the training had failed by then; take an"),
    ],
)
def test_what_is_no_state_dict_is_said(found, message):
    with pytest.raises(ModelError) as caught:
        weights_of(found)
    assert message in str(caught.value)


def test_convolutions_are_found_by_whole_names_and_in_the_order_of_their_positions():
    kernel, one = torch.ones(1, 1, 3, 3), torch.ones(1)
    held = {f"model.{n}.weight": kernel for n in (10, 9, 100)} | {"model.2.weight": one, "model.4.bias": kernel}
    held |= {"model.5.inner.1.weight": kernel, "a.model.1.weight": kernel}
    assert convolutions(held, r"model\.(\d+)\.weight") == [9, 10, 100]
    assert convolutions(held, r"model\.\d+\.inner\.(\d+)\.weight") == [1]


@pytest.mark.parametrize(
    ("norm", "has"),
    [(nn.BatchNorm2d(2), True), (nn.InstanceNorm2d(2, track_running_stats=True), False), (nn.Identity(), False)],
)
def test_batch_norm_is_what_has_weights(norm, has):
    assert has_batch_norm(nn.Sequential(nn.Conv2d(3, 2, 1), norm).state_dict()) == has


def test_statistics_become_those_that_pytorch_saves_today():
    def held(norm: nn.Module) -> dict[str, torch.Tensor]:
        return nn.Sequential(nn.Conv2d(3, 2, 1), norm).state_dict()

    new = held(nn.BatchNorm2d(2))
    old = {key: value for key, value in new.items() if not key.endswith("num_batches_tracked")}
    assert with_statistics(old, "batch")["1.num_batches_tracked"].equal(torch.tensor(0))
    assert with_statistics(old, "batch").keys() == new.keys()
    counted = new | {"1.num_batches_tracked": torch.tensor(7)}
    assert with_statistics(counted, "batch")["1.num_batches_tracked"] == 7
    instance = held(nn.InstanceNorm2d(2, track_running_stats=True))
    assert set(with_statistics(instance, "instance")) == {"0.weight", "0.bias"}
    assert with_statistics(instance, "none").keys() == instance.keys()  # they belong to something that is not known


def test_a_net_is_filled_and_nothing_is_drawn():
    state = torch.get_rng_state()
    net = filled(lambda: nn.Conv2d(3, 2, 1), weights(value=0.25))
    assert net(torch.ones(1, 3, 1, 1)).flatten().tolist() == [0.75, 0.75]
    assert not net.training
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ({"bias": torch.zeros(2)}, "does not fit Conv2d: weight [2, 3, 1, 1] is missing; 1 entry: 'bias' [2]"),
        (weights(4), "does not fit Conv2d: weight should be [2, 3, 1, 1], not [4, 3, 1, 1]"),
        (weights() | {"scale": torch.ones(1)}, "does not fit Conv2d: 'scale' [1] belongs to nothing in it"),
    ],
)
def test_the_first_difference_is_named(held, message):
    with pytest.raises(ModelError) as caught:
        filled(lambda: nn.Conv2d(3, 2, 1), held)
    assert str(caught.value) == message


def test_a_net_that_cannot_be_built():
    def build() -> nn.Module:
        raise SettingsError("width (=0) must be at least 1")

    with pytest.raises(ModelError, match=r"holds a net that cannot be built: width \(=0\) .*; 2 entries: 'weight'"):
        filled(build, weights())


def files(folder: Path, **contents: Any) -> list[Path]:
    for name, content in contents.items():
        torch.save(content, folder / f"{name}.pth")
    return [folder / f"{name}.pth" for name in contents]


@pytest.mark.usefixtures("old")
class TestConvertFiles:
    def test_one_file_is_the_model_itself(self, tmp_path):
        (found,) = convert_files("old", files(tmp_path, a=weights(4, 0.25)), tmp_path / "model")
        assert (found.sources, found.folder) == ((tmp_path / "a.pth",), tmp_path / "model")
        assert i2i.load(tmp_path / "model")(torch.ones(1, 3, 1, 1)).flatten().tolist() == [0.75] * 4

    def test_several_get_a_folder_each(self, tmp_path):
        convert_files("old", files(tmp_path, a=weights(3), b=weights(3)), tmp_path / "models")
        (tmp_path / "models" / ".DS_Store").touch()
        found = convert_files("old", files(tmp_path, a=weights(1), b=weights(2)), tmp_path / "models")
        assert [model.folder for model in found] == [tmp_path / "models" / "a", tmp_path / "models" / "b"]
        assert [len(i2i.load(model.folder).bias) for model in found] == [1, 2]  # type: ignore[arg-type]

    def test_models_that_a_run_has_trained_are_not_replaced(self, tmp_path):
        run = tmp_path / "run"
        (run / "model").mkdir(parents=True)
        (run / "settings.toml").touch()
        for out in (run / "model", run / "model" / "a2b", run / "other"):
            with pytest.raises(RunError, match="a run, whose own models would be lost; choose another --out"):
                convert_files("old", files(tmp_path, a=weights(3)), out)
        assert list((run / "model").iterdir()) == []

    def test_one_file_may_hold_several(self, tmp_path):
        both = {"first": weights(2, 1.0), "second": weights(2, 2.0)}
        convert_files("old-pair", files(tmp_path, both=both), tmp_path / "models")
        assert i2i.load(tmp_path / "models" / "second")(torch.ones(1, 3, 1, 1)).flatten().tolist() == [6.0, 6.0]

    def test_nothing_is_written_unless_all_are_understood(self, tmp_path):
        paths = files(tmp_path, a=weights(), b={"weight": torch.zeros(2), "bias": torch.zeros(2)})
        with pytest.raises(ModelError, match=r"b\.pth: does not fit net: weight should be"):
            convert_files("old", paths, tmp_path / "models")
        assert not (tmp_path / "models").exists()

    def test_two_files_of_one_key(self, tmp_path):
        (tmp_path / "other").mkdir()
        paths = files(tmp_path, a=weights()) + files(tmp_path / "other", a=weights())
        with pytest.raises(ModelError) as caught:
            convert_files("old", paths, tmp_path / "models")
        assert str(caught.value) == f"{paths[0]} and {paths[1]} are both 'a'; convert one of them to another --out"

    def test_a_key_that_is_no_name_of_a_folder(self, tmp_path):
        paths = files(tmp_path, both={"first": weights(), "../second": weights()})
        with pytest.raises(ModelError, match=r"both\.pth: '\.\./second' is no name for a model; convert the file by"):
            convert_files("old-pair", paths, tmp_path / "models")

    def test_other_things_in_the_folder_are_left_alone(self, tmp_path):
        out, paths = tmp_path / "out", files(tmp_path, a=weights(), b=weights())
        out.mkdir()
        (out / "photo.jpg").touch()
        with pytest.raises(ModelError, match=r"holds photo\.jpg and is no model; name an empty folder"):
            convert_files("old", paths[:1], out)
        with pytest.raises(ModelError, match=r"holds photo\.jpg, not only folders of models; name an empty folder"):
            convert_files("old", paths, out)
        with pytest.raises(ModelError, match=r"photo\.jpg is a file; name a folder for the models"):
            convert_files("old", paths, out / "photo.jpg")
        assert [path.name for path in out.iterdir()] == ["photo.jpg"]

    def test_several_do_not_go_into_a_model(self, tmp_path):
        paths = files(tmp_path, a=weights(), b=weights())
        convert_files("old", paths[:1], tmp_path / "model")
        with pytest.raises(ModelError, match=r"not only folders of models"):
            convert_files("old", paths, tmp_path / "model")

    def test_no_such_converter_and_no_files(self, tmp_path):
        with pytest.raises(PluginError, match="converter 'olt' is unknown; did you mean 'old'"):
            convert_files("olt", [], tmp_path / "model")
        with pytest.raises(SettingsError, match=r"which files\? i2i convert old FILE\.\.\. --out MODEL"):
            convert_files("old", [], tmp_path / "model")


@pytest.mark.usefixtures("old")
class TestTogether:
    def halves(self, folder: Path) -> list[Path]:
        return files(folder, **{name: {name: value} for name, value in weights(2, 0.25).items()})

    def test_several_files_are_one_model(self, tmp_path):
        paths = self.halves(tmp_path)
        (found,) = convert_files("old-halves", [str(path) for path in paths], tmp_path / "model")
        assert (found.sources, found.folder) == (tuple(paths), tmp_path / "model")
        assert i2i.load(tmp_path / "model")(torch.ones(1, 3, 1, 1)).flatten().tolist() == [0.75, 0.75]

    def test_or_several_models(self, tmp_path):
        paths = self.halves(tmp_path)
        found = convert_files("old-halves", paths, tmp_path / "models", {"spare": True})
        assert [(each.sources, each.folder.name) for each in found] == [(tuple(paths), "net"), (tuple(paths), "spare")]

    def test_what_is_wrong_with_one_file_is_said_of_it(self, tmp_path):
        paths = self.halves(tmp_path)
        paths[1].write_bytes(b"<html>")
        with pytest.raises(ModelError, match=r"bias\.pth: is a web page"):
            convert_files("old-halves", paths, tmp_path / "model")
        with pytest.raises(SettingsError, match=r"which files\? i2i convert old-halves FILE\.\.\. --out MODEL"):
            convert_files("old-halves", [], tmp_path / "model")
        assert not (tmp_path / "model").exists()

    def test_options_reach_the_converter(self, tmp_path):
        convert_files("old-halves", self.halves(tmp_path), tmp_path / "model", {"times": 4.0})
        assert i2i.load(tmp_path / "model")(torch.ones(1, 3, 1, 1)).flatten().tolist() == [3.0, 3.0]

    @pytest.mark.parametrize(
        ("name", "option", "message"),
        [
            ("old-halves", "tims", "converter 'old-halves' has no option 'tims'; did you mean 'times'?"),
            ("old-halves", "found", "converter 'old-halves' has no option 'found'; known: spare, times"),
            ("old", "times", "converter 'old' has no option 'times'; it has none"),
        ],
    )
    def test_options_that_a_converter_does_not_have(self, tmp_path, name, option, message):
        with pytest.raises(SettingsError) as caught:
            convert_files(name, self.halves(tmp_path), tmp_path / "model", {option: 1})
        assert str(caught.value) == message


@pytest.mark.usefixtures("old")
class TestFolders:
    def folder(self, path: Path, value: float = 0.25) -> Path:
        path.mkdir()
        files(path, **{name: [tensor] for name, tensor in weights(4, value).items()})
        return path

    def test_one_folder_is_one_model(self, tmp_path):
        (found,) = convert_files("old-folder", [self.folder(tmp_path / "a")], tmp_path / "model")
        assert (found.sources, found.folder) == ((tmp_path / "a",), tmp_path / "model")
        assert i2i.load(tmp_path / "model")(torch.ones(1, 3, 1, 1)).flatten().tolist() == [0.75] * 4

    def test_several_get_a_folder_each(self, tmp_path):
        folders = [self.folder(tmp_path / name) for name in ("a", "b")]
        found = convert_files("old-folder", folders, tmp_path / "models")
        assert [model.folder for model in found] == [tmp_path / "models" / "a", tmp_path / "models" / "b"]

    def test_what_it_says_is_not_said_twice(self, tmp_path):
        folder = self.folder(tmp_path / "a")
        torch.save(weights(), folder / "bias.pth")
        with pytest.raises(ModelError) as caught:
            convert_files("old-folder", [folder], tmp_path / "model")
        assert str(caught.value) == f"{folder / 'bias.pth'}: holds a dict, not a list"

    def test_what_is_no_folder(self, tmp_path):
        file = self.folder(tmp_path / "a") / "bias.pth"
        with pytest.raises(ModelError) as caught:
            convert_files("old-folder", [file], tmp_path / "model")
        assert str(caught.value) == f"{file} is a file; name the folder that holds it: {file.parent}"
        with pytest.raises(ModelError, match="b: no such folder"):
            convert_files("old-folder", [tmp_path / "b"], tmp_path / "model")
        with pytest.raises(SettingsError, match=r"which folder\? i2i convert old-folder FOLDER --out MODEL"):
            convert_files("old-folder", [], tmp_path / "model")
