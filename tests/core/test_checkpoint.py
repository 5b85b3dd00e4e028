from __future__ import annotations

import errno
import json
import math
import os
import random
import struct
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from i2i.checkpoint import (
    latest,
    load_checkpoint,
    prune,
    read_tree,
    restore_rng,
    rng_state,
    save_checkpoint,
    snapshot,
    write_tree,
)
from i2i.errors import CompositionError, ModelError, RunError


class Named(NamedTuple):
    first: Any
    second: Any


def same(found: Any, expected: Any) -> bool:
    """Equal in value, kind and bits."""
    if isinstance(expected, Tensor):
        bits = (t.contiguous().reshape(-1).view(torch.uint8) for t in (found, expected))
        return found.dtype == expected.dtype and found.shape == expected.shape and torch.equal(*bits)
    if type(found) is not type(expected):
        return False
    if isinstance(expected, float):
        return struct.pack(">d", found) == struct.pack(">d", expected)
    if isinstance(expected, list | tuple):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, dict):
        return same(list(found), list(expected)) and same(list(found.values()), list(expected.values()))
    return bool(found == expected)


DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool]
tensors = st.builds(
    lambda dtype, shape, seed: (torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 5).to(dtype),
    st.sampled_from(DTYPES),
    st.sampled_from([(), (0,), (3,), (2, 0, 2), (2, 3), (1, 2, 3, 2)]),
    st.integers(0, 99),
)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
keys = st.recursive(st.one_of(st.text(max_size=4), st.integers()), lambda inner: st.tuples(inner, inner), max_leaves=4)
trees = st.recursive(
    st.one_of(scalars, tensors),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(keys, inner, max_size=3),
    ),
    max_leaves=10,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=trees)
def test_any_tree_comes_back_bit_for_bit(tmp_path, tree) -> None:
    write_tree(tmp_path / "x", tree)
    assert same(read_tree(tmp_path / "x"), tree)


def test_what_json_cannot_say_by_itself(tmp_path) -> None:
    (payload,) = struct.unpack(">d", bytes.fromhex("fff8000000000abc"))
    tree = {
        "floats": (math.inf, -math.inf, -0.0, 5e-324, 0.1, payload),
        "keys": {1: "int", "1": "str", (0, "a"): "tuple"},
        "kinds": [1, 1.0, True, 2**80, "", None],
        "looks like ours": {"tensor": "0", "float": "00"},
    }
    write_tree(tmp_path, tree)
    assert same(read_tree(tmp_path), tree)


def test_tensors_of_any_layout_come_back_equal(tmp_path) -> None:
    base = torch.arange(120.0).reshape(2, 3, 4, 5)
    tree = [base.to(memory_format=torch.channels_last), base.transpose(0, 3), base[:, ::2], base.expand(3, 2, 3, 4, 5)]
    write_tree(tmp_path, tree)
    assert same(read_tree(tmp_path), tree)


def test_a_shared_tensor_is_written_once_and_comes_back_as_one_object(tmp_path) -> None:
    tensor = torch.randn(1000)
    tree = {"a": tensor, "b": [tensor.detach()], "other view": tensor[:500], "reshaped": tensor.view(10, 100)}
    write_tree(tmp_path, tree)
    found = read_tree(tmp_path)
    assert same(found, tree)
    assert found["a"] is found["b"][0]
    assert 4 * 2500 < (tmp_path / "tensors.safetensors").stat().st_size < 4 * 2500 + 1000


def test_empty_tensors_stay_apart(tmp_path) -> None:
    write_tree(tmp_path, [torch.zeros(0), torch.zeros(0)])
    found = read_tree(tmp_path)
    assert found[0] is not found[1]


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"a": [{1, 2}]}, "state/a/0 is a set"),
        ({"a": (1, nn.Identity())}, "state/a/1 is a Identity"),
        ({b"k": 1}, "a key of state is a bytes"),
        ({"q": torch.zeros(1, dtype=torch.complex128)}, "state/q is a tensor of torch.complex128"),
        ({"q": torch.eye(2).to_sparse()}, "state/q is a tensor of torch.float32, torch.sparse_coo"),
    ],
)
def test_what_cannot_be_held_is_named(tmp_path, tree, said) -> None:
    with pytest.raises(CompositionError, match=said):
        write_tree(tmp_path / "x", tree)
    assert not (tmp_path / "x").exists()


def test_snapshot_replaces_objects_and_keeps_containers() -> None:
    net = nn.BatchNorm2d(2)
    found = snapshot(Named({"net": net}, [(net, 3)]))
    assert isinstance(found, Named)
    assert found.first["net"].keys() == net.state_dict().keys()
    assert found.second[0][0]["weight"].data_ptr() == net.weight.data_ptr()
    assert found.second[0][1] == 3


@pytest.mark.parametrize("fused", [True, False])
def test_a_restored_adam_goes_on_bit_for_bit(tmp_path, fused) -> None:
    def begin() -> tuple[nn.Module, torch.optim.Optimizer]:
        net = nn.Linear(3, 2)
        return net, torch.optim.Adam(net.parameters(), lr=torch.tensor(0.01), betas=(0.5, 0.999), fused=fused)

    def move(net: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
        optimizer.zero_grad()
        net(torch.randn(4, 3, generator=torch.Generator().manual_seed(seed))).square().sum().backward()
        optimizer.step()

    net, optimizer = begin()
    for seed in range(3):
        move(net, optimizer, seed)
    write_tree(tmp_path, snapshot((net, optimizer)))
    other, restored = begin()
    weights, moments = read_tree(tmp_path)
    other.load_state_dict(weights)
    restored.load_state_dict(moments)
    for seed in range(3, 6):
        move(net, optimizer, seed)
        move(other, restored, seed)
    assert same(dict(other.state_dict()), dict(net.state_dict()))
    assert same(snapshot(restored), snapshot(optimizer))


def test_random_generators_go_on_where_they_were(tmp_path) -> None:
    torch.manual_seed(3)
    random.seed(4)
    random.gauss(0, 1)  # leaves a second number behind, which is part of the state
    write_tree(tmp_path, rng_state())
    expected = torch.randn(3).tolist(), random.gauss(0, 1), random.random()
    restore_rng(read_tree(tmp_path))
    assert (torch.randn(3).tolist(), random.gauss(0, 1), random.random()) == expected


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_generator_of_a_gpu_goes_on_where_it_was(tmp_path) -> None:
    device = torch.device("cuda")
    write_tree(tmp_path, rng_state(device))
    expected = torch.randn(3, device=device)
    restore_rng(read_tree(tmp_path))
    assert torch.equal(torch.randn(3, device=device), expected)


def tree_of(batches: int) -> dict[str, Any]:
    return {"batches": batches, "weights": torch.full((2000,), float(batches)), "pool": [torch.tensor(batches)]}


def test_checkpoints_are_found_by_number(tmp_path) -> None:
    assert latest(tmp_path) is None
    for batches in (9, 10, 100):
        path = save_checkpoint(tmp_path, batches, tree_of(batches))
        assert path == tmp_path / "checkpoints" / f"step-{batches}"
        assert latest(tmp_path) == (batches, path)
    assert same(load_checkpoint(path), tree_of(100))


def test_prune_keeps_the_newest_and_the_regular_ones(tmp_path) -> None:
    for batches in range(10, 90, 10):
        save_checkpoint(tmp_path, batches, {})
    prune(tmp_path, keep_last=2, keep_every=30)
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["step-30", "step-60", "step-70", "step-80"]
    prune(tmp_path, keep_last=1)
    assert os.listdir(tmp_path / "checkpoints") == ["step-80"]


def test_prune_keeps_what_is_named(tmp_path) -> None:
    for batches in range(10, 60, 10):
        save_checkpoint(tmp_path, batches, {})
    prune(tmp_path, keep_last=1, keep_every=40, kept=(20, 70))
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["step-20", "step-40", "step-50"]


def test_a_kill_at_any_operation_leaves_a_good_checkpoint(tmp_path, killed_everywhere) -> None:
    save_checkpoint(tmp_path, 1, tree_of(1))
    deaths = 0
    for _ in killed_everywhere(tmp_path, lambda: save_checkpoint(tmp_path, 2, tree_of(2))):
        deaths += 1
        batches, path = latest(tmp_path)  # type: ignore[misc]
        assert batches in (1, 2)
        assert same(load_checkpoint(path), tree_of(batches))
    assert deaths > 10
    assert latest(tmp_path) == (2, tmp_path / "checkpoints" / "step-2")
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["step-1", "step-2"]


def test_a_kill_while_the_only_checkpoint_is_written_again(tmp_path, killed_everywhere) -> None:
    def again(value: int) -> Path:
        return save_checkpoint(tmp_path, 1, {**tree_of(1), "value": value})

    again(0)
    values = set()
    for attempt in killed_everywhere(tmp_path, lambda: again(1)):
        _, path = latest(tmp_path)  # type: ignore[misc]
        found = load_checkpoint(path)
        assert same(found, {**tree_of(1), "value": found["value"]})
        values.add(found["value"])
        assert attempt < 100
    assert values == {0, 1}
    assert os.listdir(tmp_path / "checkpoints") == ["step-1"]


def test_a_kill_while_pruning_leaves_whole_checkpoints(tmp_path, killed_everywhere) -> None:
    for batches in (1, 2, 3):
        save_checkpoint(tmp_path, batches, tree_of(batches))
    for _ in killed_everywhere(tmp_path, lambda: prune(tmp_path, keep_last=1)):
        for path in (tmp_path / "checkpoints").glob("step-*"):
            assert load_checkpoint(path)["batches"] == int(path.name[5:])
    save_checkpoint(tmp_path, 4, {})
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["step-3", "step-4"]


@pytest.mark.parametrize("attempt", range(4))
def test_a_full_disk_keeps_the_last_checkpoint(tmp_path, monkeypatch, attempt) -> None:
    save_checkpoint(tmp_path, 1, tree_of(1))
    fsync, calls = os.fsync, iter(range(9))

    def full(handle: int) -> None:
        if next(calls) == attempt:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(RunError) as caught:
            save_checkpoint(tmp_path, 2, tree_of(2))
    folder = tmp_path / "checkpoints"
    assert str(caught.value) == (
        f"cannot write {folder}/step-2 (No space left on device); the checkpoint {folder}/step-1 is intact; "
        "make room, then go on with --resume"
    )
    assert os.listdir(folder) == ["step-1"]
    assert same(load_checkpoint(folder / "step-1"), tree_of(1))


def test_damaged_checkpoints_are_refused_in_one_line(tmp_path) -> None:
    path = save_checkpoint(tmp_path, 1, tree_of(1))
    whole = {name: (path / name).read_bytes() for name in ("tensors.safetensors", "state.json")}

    def refused(name: str, data: bytes | None) -> str:
        (path / name).unlink()
        if data is not None:
            (path / name).write_bytes(data)
        with pytest.raises(ModelError) as caught:
            load_checkpoint(path)
        (path / name).write_bytes(whole[name])
        assert "\n" not in str(caught.value)
        return str(caught.value)

    for name, data in whole.items():
        assert f"{path / name}: cannot be read (No such file or directory)" in refused(name, None)
        for length in (0, 7, len(data) // 2, len(data) - 1):
            assert str(path / name) in refused(name, data[:length])
    assert "does not match its checksum" in refused(
        "state.json", whole["state.json"].replace(b'"batches", 1', b'"batches", 2')
    )
    assert "no checkpoint of i2i" in refused("state.json", b"[1]")
    assert "no checkpoint of i2i" in refused("state.json", b"[" * 100_000)
    changed = bytearray(whole["tensors.safetensors"])
    changed[-3] ^= 1
    assert "do not match their checksum" in refused("tensors.safetensors", bytes(changed))
    assert same(load_checkpoint(path), tree_of(1))


def test_files_of_two_checkpoints_are_not_mixed(tmp_path) -> None:
    first, second = (save_checkpoint(tmp_path, batches, tree_of(batches)) for batches in (1, 2))
    (first / "tensors.safetensors").replace(second / "tensors.safetensors")
    with pytest.raises(ModelError, match=r"does not belong to state\.json beside it"):
        load_checkpoint(second)


def test_a_kind_of_a_later_version_is_refused(tmp_path) -> None:
    from hashlib import sha256

    write_tree(tmp_path, {})
    state = json.loads((tmp_path / "state.json").read_text())
    state["tree"] = {"set": [1]}
    state["tree_sha256"] = sha256(json.dumps(state["tree"]).encode()).hexdigest()
    (tmp_path / "state.json").write_text(json.dumps(state))
    with pytest.raises(ModelError, match="unknown kind 'set'"):
        read_tree(tmp_path)
