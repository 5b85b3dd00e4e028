"""Files of torch.save: read without being run, and said in one line what other files are."""

from __future__ import annotations

import io
import os
import pickle
import sys
import tarfile
import zipfile
from collections import OrderedDict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from i2i.errors import ModelError
from i2i.pickles import PickledModule, module_weights, read_checkpoint, read_list


def weights(value: float = 0.5) -> dict[str, torch.Tensor]:
    return {"weight": torch.full((2, 3, 1, 1), value), "bias": torch.zeros(2)}


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


# Lists, and whole modules in them.


def test_lists_of_tensors_and_numbers(tmp_path):
    for options in ({}, OLD_FORMAT):
        (tmp_path / "list.pth").write_bytes(stored([1, torch.tensor(0.25), torch.zeros(2)], **options))
        found = read_list(tmp_path / "list.pth")
        assert (found[0], found[1].item(), found[2].tolist()) == (1, 0.25, [0, 0])


@pytest.mark.parametrize("options", [{}, OLD_FORMAT], ids=["zip", "old"])
def test_what_was_saved_on_a_gpu_is_read_without_one(tmp_path, monkeypatch, options):
    monkeypatch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
    (tmp_path / "list.pth").write_bytes(stored([torch.ones(2)], **options))
    (tensor,) = read_list(tmp_path / "list.pth")
    assert (tensor.device.type, tensor.tolist()) == ("cpu", [1, 1])


def test_what_is_no_list(tmp_path):
    (tmp_path / "list.pth").write_bytes(stored(weights()))
    with pytest.raises(ModelError, match=r"list\.pth: holds a dict, not a list"):
        read_list(tmp_path / "list.pth")


LINEAR, CHAIN = "torch.nn.modules.linear.Linear", "torch.nn.modules.container.Sequential"


FOREIGN = """
from torch import nn
class Net(nn.Sequential):
    def __setstate__(self, state): raise SystemExit("this code was run")
"""


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """A file of two nets of a class that was there when they were saved, and is no more."""
    module = ModuleType("foreign")
    exec(
        "from torch import nn\nclass Net(nn.Sequential):\n  def __setstate__(self, state): raise SystemExit",
        vars(module),
    )
    monkeypatch.setitem(sys.modules, "foreign", module)
    nets = [module.Net(OrderedDict(head=nn.Linear(3, 2), body=nn.Sequential(nn.BatchNorm2d(2)))) for _ in range(2)]

    def save(**options: Any) -> Path:
        (tmp_path / "nets.pth").write_bytes(stored(nets, **options))
        monkeypatch.delitem(sys.modules, "foreign")
        return tmp_path / "nets.pth"

    return save, nets


KNOWN = ("foreign.Net", LINEAR, CHAIN, "torch.nn.modules.batchnorm.BatchNorm2d")


def test_the_tensors_of_whole_modules_are_found_without_their_code(foreign):
    save, nets = foreign
    allowed = set(torch.serialization.get_safe_globals())
    found = read_list(save(), modules=KNOWN)
    assert set(torch.serialization.get_safe_globals()) == allowed
    assert [type(net) for net in found] == [PickledModule] * 2
    for net, expected in zip(found, nets, strict=True):
        held = module_weights(net)
        assert held.keys() == expected.state_dict().keys()
        assert all(torch.equal(held[key], value) for key, value in expected.state_dict().items())


def test_a_class_that_was_not_named_is_refused(foreign):
    save, _ = foreign
    with pytest.raises(ModelError, match=r"more than weights \(torch\.nn\.modules\.batchnorm\.BatchNorm2d\)"):
        read_list(save(), modules=KNOWN[:3])


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
def test_whole_modules_of_the_old_format_are_refused(foreign):
    save, _ = foreign
    with pytest.raises(ModelError, match="holds whole modules in the old format of PyTorch and was not opened; where"):
        read_list(save(**OLD_FORMAT), modules=KNOWN)


def test_functions_among_modules_are_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("nets.pth").write_bytes(stored([nn.Linear(1, 1), Touch()]))
    with pytest.raises(ModelError, match=r"holds more than weights \(\w+\.mkdir\), which could run code"):
        read_list("nets.pth", modules=KNOWN)
    assert not Path("ran").exists()


def pickled(**tables: Any) -> PickledModule:
    module = PickledModule()
    vars(module).update(tables)
    return module


def endless() -> PickledModule:
    module = pickled(_parameters={}, _buffers={}, _modules={})
    vars(module)["_modules"]["again"] = module
    return module


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (torch.zeros(1), "it is no module, but Tensor"),
        (pickled(), "it is no module, but PickledModule"),
        (pickled(_parameters=[], _buffers={}, _modules={}), "it is no module, but PickledModule"),
        (pickled(_parameters={}, _buffers={}, _modules={"head": {}}), "head is no module, but dict"),
        (endless(), "holds modules without end; the file is damaged"),
    ],
)
def test_what_is_no_module(module, message):
    with pytest.raises(ModelError) as caught:
        module_weights(module)
    assert str(caught.value) == message


def test_what_modules_do_not_have_is_left_out():
    norm = pickled(_parameters={"weight": torch.ones(1), "bias": None}, _buffers={}, _modules={"unused": None})
    assert module_weights(norm) == {"weight": torch.ones(1)}
