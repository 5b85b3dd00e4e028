"""Checkpoints of other code: read without being run, understood as a whole or not at all, saved under their keys."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import i2i
from i2i.convert import convert_files, filled, read_checkpoint, weights_of
from i2i.errors import ModelError, PluginError, SettingsError

PLUGIN = """
import i2i

@i2i.hookimpl
def register_parts(register):
    register("old/net", "old_code:net", kind="generator")

@i2i.hookimpl
def register_converters(register):
    register("old", "old_code:convert", help="what the old code saved")
    register("old-pair", "old_code:pair", help="both nets of a file")
"""

CODE = """
from torch import nn
import i2i
from i2i.convert import filled, weights_of

@i2i.part(example=i2i.Example({}, ((1, 3, 4, 4),)))
def net(width=2):
    return nn.Conv2d(3, width, 1)

def convert(found, name):
    weights = weights_of(found)
    return {name.partition(".")[0]: filled(lambda: net(len(weights["bias"])), weights)}

def pair(found, name):
    return {key: filled(net, weights_of(part)) for key, part in found.items()}
"""


@pytest.fixture
def old(install: Callable[..., Path]) -> None:
    install("old", "x-old", old_plugin=PLUGIN, old_code=CODE)


def weights(width: int = 2, value: float = 0.5) -> dict[str, torch.Tensor]:
    return {"weight": torch.full((width, 3, 1, 1), value), "bias": torch.zeros(width)}


def stored(content: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


class Touch:
    """Makes a file when it is unpickled by a reader that runs code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("ran",))


def of_tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("storages", "tensors", "pickle"):
            archive.addfile(tarfile.TarInfo(name))
    return buffer.getvalue()


def of_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("photo.jpg", b"no checkpoint")
    return buffer.getvalue()


def of_torchscript() -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(nn.ReLU()), buffer)
    return buffer.getvalue()


OLD_FORMAT = {"_use_new_zipfile_serialization": False}


@pytest.mark.parametrize("options", [{}, OLD_FORMAT], ids=["zip", "old"])
def test_both_formats_are_read(tmp_path, options):
    path = tmp_path / "net.pth"
    path.write_bytes(stored({"epoch": 3, "net": weights(value=0.25)}, **options))
    found = read_checkpoint(path)
    assert found["epoch"] == 3
    assert found["net"]["weight"].flatten().tolist() == [0.25] * 6


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: b"", "is empty; download or copy it again"),
        (lambda: b"\n<!DOCTYPE html><html>", "is a web page, as a failed download leaves; download or copy it again"),
        (lambda: b"\xef\xbb\xbf<html>", "is a web page"),
        (lambda: b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS, not the file itself"),
        (lambda: b"\x89PNG\r\n\x1a\n", "is a PNG image, not a checkpoint"),
        (lambda: b"\xff\xd8\xff\xe0", "is a JPEG image"),
        (lambda: b"\x1f\x8b\x08", "is a gzip archive; unpack it"),
        (lambda: (18).to_bytes(8, "little") + b'{"__metadata__":{}}', "is a safetensors file; this reads what torch"),
        (of_torchscript, "is a TorchScript program; where it was made, save net.state_dict() instead"),
        (of_tar, "is in the tar format of PyTorch 0.1; read it with an old PyTorch"),
        (of_zip, "is no checkpoint, or cut off or damaged; download or copy it again"),
        (lambda: stored(weights())[:-300], "is no checkpoint, or cut off or damaged"),
        (lambda: stored(weights(), **OLD_FORMAT)[:-8], "is no checkpoint, or cut off or damaged"),
        (lambda: stored(weights(), **OLD_FORMAT)[:200], "is no checkpoint, or cut off or damaged"),
        (lambda: b"model weights\n", "is no checkpoint, or cut off or damaged"),
        (lambda: pickle.dumps({"a": 1}), "is no checkpoint, or cut off or damaged"),
        (lambda: stored(nn.Conv2d(1, 1, 1)), "holds more than weights (torch.nn.modules.conv.Conv2d), which could run"),
        (
            lambda: stored({"a": Touch()}),
            f"holds more than weights ({os.mkdir.__module__}.mkdir), which could run code",
        ),
        (lambda: stored({"a": Touch()}, **OLD_FORMAT), "could run code when opened, and was not opened; where it was"),
        (lambda: stored([torch.zeros(2)]), "holds a list, not weights by name; save net.state_dict() instead"),
    ],
)
def test_other_files_are_named_in_one_line_and_never_run(tmp_path, monkeypatch, recwarn, content, message):
    monkeypatch.chdir(tmp_path)
    path = Path("net.pth")
    path.write_bytes(content())
    with pytest.raises(ModelError) as caught:
        read_checkpoint(path)
    assert str(caught.value).startswith("net.pth: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not Path("ran").exists()
    assert not [warning for warning in recwarn if warning.category is UserWarning]


def test_paths_that_are_no_files(tmp_path):
    with pytest.raises(ModelError, match=r"no\.pth: no such file"):
        read_checkpoint(tmp_path / "no.pth")
    with pytest.raises(ModelError, match="is a folder; name files in it$"):
        read_checkpoint(tmp_path)
    (tmp_path / "latest_net_G.pth").touch()
    with pytest.raises(ModelError, match=r"is a folder; name files in it, such as .*latest_net_G\.pth$"):
        read_checkpoint(tmp_path)


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
        assert (found.source, found.folder) == (tmp_path / "a.pth", tmp_path / "model")
        assert i2i.load(tmp_path / "model")(torch.ones(1, 3, 1, 1)).flatten().tolist() == [0.75] * 4

    def test_several_get_a_folder_each(self, tmp_path):
        convert_files("old", files(tmp_path, a=weights(3), b=weights(3)), tmp_path / "models")
        (tmp_path / "models" / ".DS_Store").touch()
        found = convert_files("old", files(tmp_path, a=weights(1), b=weights(2)), tmp_path / "models")
        assert [model.folder for model in found] == [tmp_path / "models" / "a", tmp_path / "models" / "b"]
        assert [len(i2i.load(model.folder).bias) for model in found] == [1, 2]  # type: ignore[arg-type]

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
