from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from i2i.errors import ModelError, RunError
from i2i.models import describe, load, save
from i2i.parts import Spec
from i2i.pixels import PixelFormat
from i2i.tensorfile import write_tensors

pytestmark = pytest.mark.usefixtures("toy_plugin")


def make(name: str, *arguments: Any, **named: Any) -> nn.Module:
    import toy_plugin_parts

    net: nn.Module = getattr(toy_plugin_parts, name)(*arguments, **named)
    return net


def assert_equal(found: nn.Module, expected: nn.Module) -> None:
    one, other = found.state_dict(), expected.state_dict()
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].dtype == other[name].dtype
        assert torch.equal(one[name], other[name])


def refusal(call: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises(ModelError) as caught:
        call(*arguments, **named)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edit(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def rewrite(folder: Path, tensors: dict[str, Tensor]) -> None:
    with open(folder / "model.safetensors", "wb") as file:
        write_tensors(file, tensors)


@pytest.fixture
def saved(tmp_path) -> Path:
    return save(make("generator", width=2), tmp_path / "a2b")


def test_a_loaded_net_is_the_saved_one(tmp_path) -> None:
    net = make("generator", 1, width=2, sizes=(3, 5))
    net(torch.randn(2, 1, 8, 8))  # moves the running statistics
    found = load(save(net, tmp_path / "a2b"))
    assert_equal(found, net)
    assert found.spec == net.spec
    assert not found.training
    assert all(p.requires_grad and isinstance(p, nn.Parameter) for p in found.parameters())
    image = torch.randn(1, 1, 8, 8)
    assert torch.equal(found(image).image, net.eval()(image).image)


def test_weights_are_laid_out_as_they_were_built(tmp_path) -> None:
    net = make("laid_out").requires_grad_(False)
    loaded = load(save(net, tmp_path / "a2b"))
    assert_equal(loaded, net)
    weight = loaded.layers[2].weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()


def test_config_says_what_a_reader_needs(saved) -> None:
    config = json.loads((saved / "config.json").read_text())
    assert config["spec"]["part"] == "toy/generator"
    assert config["spec"]["arguments"]["width"] == 2
    assert config["spec"]["arguments"]["sizes"] == [1, 3]
    assert config["channels"] == [3, 3]
    plain = {"channels": 3, "depth": 8, "range": None, "colours": "stored", "alpha": "drop"}
    assert config["reads"] == config["writes"] == plain
    assert config["multiple"] == 4
    assert config["weights"] == "model.safetensors"
    assert config["parameters"] == (3 * 2 + 2) + (2 + 2) + (2 * 3 * 9 + 3)
    assert torch.__version__.startswith(config["versions"]["torch"])
    assert config["versions"]["i2i-toy"] == "2.5"
    assert sorted(os.listdir(saved)) == ["README.md", "config.json", "model.safetensors"]


def test_what_images_are_in_files_travels_with_the_model(tmp_path) -> None:
    net = make("generator", 1)
    net.reads = PixelFormat(channels=1, depth=16, range=(100, 4095), alpha="white")
    net.writes = PixelFormat(channels=1, depth=32)
    found = load(save(net, tmp_path / "a2b", sample=torch.zeros(5, 8, 8)))
    assert (found.reads, found.writes) == (net.reads, net.writes)
    with Image.open(tmp_path / "a2b" / "sample.png") as sample:
        assert (sample.mode, sample.size) == ("RGB", (8, 8))
    plain = load(save(make("generator", 1), tmp_path / "plain"))
    assert (plain.reads, plain.writes) == (PixelFormat(channels=1), PixelFormat(channels=1))
    other = load(tmp_path / "a2b", into=make("generator", 1))
    assert (other.reads, other.writes) == (net.reads, net.writes)


def test_a_model_that_was_saved_without_formats_works_on_eight_bits(tmp_path) -> None:
    folder = save(make("generator", 1), tmp_path / "old")
    config = json.loads((folder / "config.json").read_text())
    del config["reads"], config["writes"]
    (folder / "config.json").write_text(json.dumps({**config, "range": [-1, 1], "depth": 8}))
    found = load(folder)
    assert found.reads == found.writes == PixelFormat(channels=1, depth=8)
    assert describe(folder)["reads"]["channels"] == 1
    assert_equal(load(save(found, folder)), found)


@pytest.mark.parametrize("takes", ["noise", "labels"])
def test_what_a_model_takes_travels_with_it(tmp_path, takes) -> None:
    net = make("generator", 1)
    assert "takes" not in describe(save(net, tmp_path / "images"))
    net.takes = takes
    folder = save(net, tmp_path / "others")
    assert json.loads((folder / "config.json").read_text())["takes"] == describe(folder)["takes"] == takes
    net.takes = "words"  # type: ignore[assignment]
    said = refusal(save, net, tmp_path / "more")
    assert said == "takes (=words) of the net must be noise or labels, or None where it reads images"
    assert not (tmp_path / "more").exists()


def test_the_only_size_that_a_model_accepts_travels_with_it(tmp_path) -> None:
    net = make("generator", 1)
    assert "size" not in describe(save(net, tmp_path / "any"))
    net.size = None  # type: ignore[assignment]
    assert "size" not in describe(save(net, tmp_path / "none"))
    net.size = (48, 64)  # type: ignore[assignment]
    folder = save(net, tmp_path / "one")
    assert json.loads((folder / "config.json").read_text())["size"] == describe(folder)["size"] == [48, 64]
    assert_equal(load(folder), net)


def test_a_model_of_noise_of_an_earlier_version_is_one_still(saved) -> None:
    edit(saved, from_noise=True)
    assert describe(saved)["takes"] == "noise"
    again = save(load(saved), saved.parent / "again")
    assert_equal(load(again), load(saved))


def test_describe_adds_what_the_file_holds(saved) -> None:
    found = describe(saved)
    assert found["folder"] == str(saved)
    assert found["spec"]["part"] == "toy/generator"
    assert found["dtypes"] == ["F32", "I64"]
    assert found["bytes"] == 4 * (8 + 4 + 57 + 4) + 8


def test_the_random_state_is_left_alone(saved, tmp_path) -> None:
    noisy = save(make("noisy"), tmp_path / "noisy")
    state = torch.get_rng_state()
    load(saved)
    load(noisy)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_picture_for_the_card(saved) -> None:
    sample = torch.linspace(-1, 1, 3 * 4 * 5).reshape(3, 4, 5)
    save(make("generator", width=2), saved, sample=sample)
    assert Image.open(saved / "sample.png").size == (5, 4)
    assert "![sample](sample.png)" in (saved / "README.md").read_text()


def test_shared_weights_are_written_once_and_stay_shared(tmp_path) -> None:
    folder = save(make("tied"), tmp_path)
    assert json.loads((folder / "config.json").read_text())["aliases"] == {"layers.1.weight": "layers.0.weight"}
    net = load(folder)
    assert net.layers[0].weight is net.layers[1].weight
    assert len(list(net.parameters())) == 2


@pytest.mark.parametrize(("part", "read", "value"), [("noisy", "filter", 7.0), ("attribute", "kernel", 5.0)])
def test_tensors_that_are_not_saved_are_made_again(tmp_path, part, read, value) -> None:
    net = make(part)
    found = load(save(net, tmp_path))
    assert getattr(found, read).tolist() == [value, value]
    assert_equal(found, net)


def test_parts_within_parts(tmp_path) -> None:
    net = make("wrapper", make("tied"))
    assert_equal(load(save(net, tmp_path)), net)


def test_a_net_of_ones_own_is_loaded_into_another(tmp_path) -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    with pytest.warns(UserWarning, match=r"saved the weights only, use i2i\.load\(folder, into=net\)") as caught:
        save(net, tmp_path / "own")
    assert caught[0].filename == __file__
    assert "holds weights only: build the net and use i2i.load(" in refusal(load, tmp_path / "own")
    other = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    assert load(tmp_path / "own", into=other) is other
    assert_equal(other, net)
    assert not other.training


@pytest.mark.filterwarnings("ignore:saved the weights only")
def test_into_a_net_without_layers(tmp_path) -> None:
    net = nn.Sequential()  # false as a condition
    assert load(save(net, tmp_path), into=net) is net


def test_into_a_net_that_differs(saved) -> None:
    message = refusal(load, saved, into=nn.Sequential(nn.Linear(1, 1)))
    assert "tensor '0.weight', which Sequential needs, is missing" in message


@pytest.mark.filterwarnings("ignore:saved the weights only")
@pytest.mark.parametrize("change", [lambda net: net.half(), lambda net: net.layers.append(nn.Linear(1, 1))])
def test_a_net_that_was_changed_since_it_was_built_has_no_spec(tmp_path, change) -> None:
    net = make("generator")
    change(net)
    assert describe(save(net, tmp_path))["spec"] is None
    other = make("generator")
    change(other)
    assert_equal(load(tmp_path, into=other), net)


@pytest.mark.filterwarnings("ignore:saved the weights only")
def test_an_unregistered_factory_has_no_spec(tmp_path) -> None:
    net = nn.Linear(1, 1)
    net.spec = Spec("somewhere:factory", {})  # type: ignore[assignment]
    assert describe(save(net, tmp_path))["spec"] is None


def test_what_safetensors_cannot_hold(tmp_path) -> None:
    net = nn.Linear(1, 1)
    net.register_buffer("phase", torch.zeros(1, dtype=torch.complex128))
    assert refusal(save, net, tmp_path / "x") == "phase of the net is a torch.complex128: cannot be saved"
    assert not (tmp_path / "x").exists()


def test_the_bounds_of_memory(saved) -> None:
    edit(saved, spec={"part": "toy/generator", "arguments": {"width": 10**9}})
    message = refusal(load, saved)
    assert message == (
        f"{saved}/model.safetensors: tensor 'layers.0.weight' has shape [2, 3, 1, 1], expected [1000000000, 3, 1, 1]"
    )
    edit(saved, spec={"part": "toy/generator", "arguments": {"width": 10**30}})
    assert f"{saved}/config.json: toy/generator cannot be made with these arguments" in refusal(load, saved)
    edit(saved, spec={"part": "toy/deep", "arguments": {"layers": 10**9}})
    assert "many more layers than the file holds" in refusal(load, saved)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("layers.2.bias"), "tensor 'layers.2.bias', which Net needs, is missing"),
        (lambda t: t.update(other=torch.ones(1)), "tensor 'other' belongs to nothing in this Net"),
        (
            lambda t: t.update({"layers.2.bias": torch.ones(4)}),
            "tensor 'layers.2.bias' has shape [4], expected [3]",
        ),
        (
            lambda t: t.update({"layers.2.bias": torch.ones(3).half()}),
            "tensor 'layers.2.bias' is torch.float16, expected torch.float32",
        ),
    ],
)
def test_files_that_do_not_fit_the_spec(saved, change, said) -> None:
    tensors = dict(make("generator", width=2).state_dict())
    change(tensors)
    rewrite(saved, tensors)
    assert refusal(load, saved) == f"{saved}/model.safetensors: {said}"


def test_a_damaged_file(saved) -> None:
    path = saved / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    assert f"{path}: truncated: tensor" in refusal(load, saved)
    path.write_bytes(b"\x80\x04\x95" + bytes([200, 0, 0, 0, 0, 0, 0, 0]) + whole)
    assert f"{path}: is a pickle" in refusal(load, saved)
    path.unlink()
    assert f"{path}: cannot be read" in refusal(load, saved)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "damaged (no JSON)"),
        ("[" * 100_000, "damaged (no JSON)"),
        ("[]", "was not written by i2i"),
        ('{"model_type": "bert"}', "was not written by i2i"),
    ],
)
def test_a_damaged_config(saved, text, said) -> None:
    (saved / "config.json").write_text(text)
    message = refusal(load, saved)
    assert message.startswith(f"{saved}/config.json: ")
    assert said in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("weights", "../../model.safetensors"),
        ("weights", ["model.safetensors"]),
        ("spec", 3),
        ("aliases", [1]),
        ("aliases", {"a": 1}),
        ("channels", [3]),
        ("channels", [3, "3"]),
        ("reads", None),
        ("writes", {"channels": 0}),
        ("multiple", "4"),
        ("parameters", None),
        ("versions", []),
        ("takes", "words"),
        ("takes", ["noise"]),
        ("size", [256]),
        ("size", [256, "256"]),
    ],
)
def test_a_config_with_a_damaged_field(saved, name, value) -> None:
    edit(saved, **{name: value})
    expected = f"{saved}/config.json: {name} (={value}) is not what i2i writes there"
    assert refusal(load, saved) == refusal(describe, saved) == expected


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("os:system", "part 'os:system' is unknown"),
        ("toy/missing", "part 'toy/missing' is unknown"),
        ("wavegan/generator", "pip install i2i-wavegan"),
    ],
)
def test_parts_that_nobody_registered(saved, part, said) -> None:
    edit(saved, spec={"part": part, "arguments": {}})
    message = refusal(load, saved)
    assert message.startswith(f"{saved}/config.json: ")
    assert said in message


def test_a_pickle_offered_as_a_model_is_never_opened(tmp_path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return pytest.fail, ("a pickle was executed",)

    path = tmp_path / "latest_net_G.pth"
    torch.save({"x": Trap()}, path)
    assert refusal(load, path) == (
        f"{path} is a zip archive (as torch.save writes; it may run code when opened) and was not opened; "
        "expected a folder with config.json and model.safetensors, as i2i.save writes"
    )
    torch.save({"x": Trap()}, path, _use_new_zipfile_serialization=False)
    assert f"{path} is a pickle (it may run code when opened)" in refusal(load, path)
    assert f"{tmp_path} is no model of i2i: it has no config.json (it holds latest_net_G.pth)" in refusal(
        load, tmp_path
    )


def test_neither_a_folder_nor_on_the_hub(tmp_path, monkeypatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    message = refusal(load, "nobody/no-such-model")
    assert message.startswith("nobody/no-such-model: no such folder, and no such model could be fetched from the Hub: ")
    assert len(message) < 180
    assert "no such folder" in refusal(load, tmp_path / "missing")
    assert "or a Hub id such as owner/name" in refusal(load, "no/such/folder")


def test_what_plugins_keep_beside_the_weights_is_fetched_too(saved, tmp_path, monkeypatch) -> None:
    import huggingface_hub
    from huggingface_hub.utils import filter_repo_objects

    for name in ("styles.safetensors", "sample.png", "checkpoints/model.safetensors", "old/config.json"):
        (saved / name).parent.mkdir(exist_ok=True)
        (saved / name).write_bytes(b"beside")

    def fetched(repository: str, **patterns: list[str]) -> str:
        assert repository == "owner/name"
        there = [str(path.relative_to(saved)) for path in saved.rglob("*") if path.is_file()]
        for name in filter_repo_objects(there, **patterns):
            (tmp_path / "cache" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "cache" / name).write_bytes((saved / name).read_bytes())
        return str(tmp_path / "cache")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetched)
    folder = Path(describe("owner/name")["folder"])
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == {
        "config.json", "model.safetensors", "styles.safetensors"
    }  # fmt: skip
    assert (folder / "styles.safetensors").read_bytes() == b"beside"


def test_other_things_are_not_written_over(tmp_path) -> None:
    (tmp_path / "README.md").write_text("mine")
    assert (
        refusal(save, make("generator"), tmp_path)
        == f"{tmp_path} holds README.md and is no model; name an empty folder"
    )
    assert "is a file; name a folder" in refusal(save, make("generator"), tmp_path / "README.md")
    assert (tmp_path / "README.md").read_text() == "mine"


def test_what_lies_beside_a_model_is_kept(saved) -> None:
    (saved / ".git").mkdir()
    (saved / "notes.txt").write_text("mine")
    save(make("tied"), saved)
    assert (saved / "notes.txt").read_text() == "mine"
    assert (saved / ".git").is_dir()


def test_a_model_of_another_build_replaces_the_old_one(saved) -> None:
    for net in (make("tied"), make("generator"), make("noisy")):
        save(net, saved)
        assert_equal(load(saved), net)
        assert len(list(saved.glob("*.safetensors"))) == 1


NEW = {"same build": ("generator", {"width": 2}), "other build": ("tied", {})}


@pytest.mark.parametrize("new", NEW)
def test_a_kill_at_any_operation_leaves_the_old_or_the_new_model(saved, tmp_path, killed_everywhere, new) -> None:
    old = load(saved)
    name, arguments = NEW[new]
    net = make(name, **arguments)
    seen = set()
    for _ in killed_everywhere(tmp_path, lambda: save(net, saved)):
        found = load(saved)
        is_new = set(found.state_dict()) == set(net.state_dict()) and torch.equal(
            found.layers[0].weight, net.layers[0].weight
        )
        assert_equal(found, net if is_new else old)
        seen.add(is_new)
        if is_new:
            save(old, saved)
    assert seen == {False, True}
    assert_equal(load(saved), net)


def test_a_kill_in_the_first_save_leaves_nothing_in_the_way(tmp_path, killed_everywhere) -> None:
    net = make("generator")
    folder = tmp_path / "a2b"
    for _ in killed_everywhere(tmp_path, lambda: save(net, folder)):
        if (folder / "config.json").exists():
            assert_equal(load(folder), net)
    assert_equal(load(folder), net)


@pytest.mark.parametrize("attempt", range(4))
def test_a_full_disk_keeps_a_whole_model(saved, monkeypatch, attempt) -> None:
    old, new = load(saved), make("tied")
    fsync, calls = os.fsync, iter(range(9))

    def full(handle: int) -> None:
        if next(calls) == attempt:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(RunError) as caught:
            save(new, saved)
    assert str(caught.value) == f"cannot write {saved} (No space left on device); a complete model is still there"
    # The fourth is that of the folder, after config.json has been replaced.
    assert_equal(load(saved), old if attempt < 3 else new)


def test_a_reader_meets_only_whole_models(saved) -> None:
    nets = [make("generator", width=2), make("tied"), make("generator", width=5)]
    for net in nets:
        with torch.no_grad():
            net.layers[0].bias.fill_(float(net.layers[0].weight.flatten()[0]))
    stop, written = threading.Event(), []

    def write() -> None:
        try:
            for turn in range(30):
                save(nets[turn % 3], saved)
                written.append(turn)
        finally:
            stop.set()

    save(nets[2], saved)
    writer = threading.Thread(target=write)
    reads = 0
    writer.start()
    while not stop.is_set():
        found = load(saved)
        assert (found.layers[0].bias == found.layers[0].weight.flatten()[0]).all()
        reads += 1
    writer.join()
    assert len(written) == 30
    assert reads > 3
