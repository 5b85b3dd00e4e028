from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from i2i.errors import ModelError
from i2i.tensorfile import DTYPES, TensorFile, what_else, write_tensors

TENSORS = {
    "half": torch.tensor([1.5, -2.0]).bfloat16(),
    "flag": torch.tensor([True, False, True]),
    "wide": torch.arange(6, dtype=torch.float64).reshape(2, 3).t(),
    "last": torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)).to(memory_format=torch.channels_last),
    "empty": torch.zeros(0, 3),
    "scalar": torch.tensor(7),
}


def write(path: Path, tensors: dict[str, Tensor]) -> Path:
    with open(path, "wb") as file:
        write_tensors(file, tensors)
    return path


def raw(path: Path, header: Any, data: bytes = b"") -> Path:
    """A file with this header, correct or not."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as caught, TensorFile(path) as file:
        file.read()
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message.replace(str(path), "FILE")


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
        assert torch.equal(found[name], tensor)


def test_the_library_reads_what_we_write(tmp_path) -> None:
    assert_equal(safetensors.torch.load_file(write(tmp_path / "a", TENSORS)), TENSORS)


def test_we_read_what_the_library_writes(tmp_path) -> None:
    packed = {name: tensor.contiguous() for name, tensor in TENSORS.items()}
    safetensors.torch.save_file(packed, tmp_path / "a", metadata={"format": "pt"})
    with TensorFile(tmp_path / "a") as file:
        assert file.digest is None
        assert_equal(file.read(), TENSORS)


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_every_dtype_comes_back_bit_for_bit(tmp_path, dtype) -> None:
    bits = torch.arange(16, dtype=torch.uint8) if dtype != torch.bool else torch.tensor([0, 1] * 8, dtype=torch.uint8)
    tensor = bits.view(dtype)
    with TensorFile(write(tmp_path / "a", {"x": tensor})) as file:
        found = file.read()["x"]
    assert found.dtype == dtype
    assert torch.equal(found.view(torch.uint8), bits)


def test_tensors_start_at_multiples_of_their_width(tmp_path) -> None:
    with TensorFile(write(tmp_path / "a", TENSORS)) as file:
        for entry in file.entries.values():
            assert entry.begin % entry.dtype.itemsize == 0


def test_what_is_read_is_not_tied_to_the_file(tmp_path) -> None:
    path = write(tmp_path / "a", {"x": torch.ones(3)})
    with TensorFile(path) as file:
        found = file.read()["x"]
    path.write_bytes(b"")
    assert found.tolist() == [1, 1, 1]


def test_every_truncation_is_refused(tmp_path) -> None:
    whole = write(tmp_path / "a", {"x": torch.ones(3), "y": torch.ones(2)}).read_bytes()
    for length in range(len(whole)):
        (tmp_path / "a").write_bytes(whole[:length])
        refusal(tmp_path / "a")


def test_every_flipped_byte_is_refused_or_harmless(tmp_path) -> None:
    tensors = {"x": torch.ones(3), "y": torch.arange(2)}
    whole = write(tmp_path / "a", tensors).read_bytes()
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 0x15
        (tmp_path / "a").write_bytes(damaged)
        try:
            with TensorFile(tmp_path / "a") as file:
                found = file.read()
        except ModelError:
            continue
        # A byte of a name or of a note: the loader compares names, and the data are those that were written.
        assert sorted(str(t) for t in found.values()) == sorted(str(t) for t in tensors.values())


def test_data_that_do_not_match_the_checksum(tmp_path) -> None:
    path = write(tmp_path / "a", {"x": torch.ones(3)})
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.write_bytes(whole)
    assert refusal(path) == "FILE: the data do not match their checksum; the file is damaged, use another copy"


def entry(shape: Any, offsets: Any, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"w": entry([2], [0, 4])}, "tensor 'w' lies about its size (shape [2], bytes 0 to 4)"),
        ({"w": entry([-1], [0, -4])}, "tensor 'w' lies about its size (shape [-1], bytes 0 to -4)"),
        ({"w": entry([True], [0, 4])}, "tensor 'w' lies about its size (shape [True], bytes 0 to 4)"),
        ({"w": entry([10**30], [0, 4 * 10**30])}, "tensor 'w' should end at byte"),
        ({"w": entry([2], [0, 8]), "v": entry([2], [4, 12])}, "tensor 'v' starts at byte 4 instead of 8"),
        ({"w": entry([1], [0, 4])}, "8 bytes behind the last tensor"),
        ({"w": entry([3], [0, 12], "Q7")}, "tensor 'w' has a corrupt header entry"),
        ({"w": entry("ab", [0, 12])}, "tensor 'w' lies about its size"),
        ({"w": entry([3], [0, 12, 13])}, "tensor 'w' has a corrupt header entry"),
        ({"w": [1]}, "tensor 'w' has a corrupt header entry"),
        ([1, 2], "corrupt safetensors header (no table of tensors)"),
        (b"{no json", "corrupt safetensors header (no JSON)"),
        (b"[" * 100_000, "corrupt safetensors header (no JSON)"),
    ],
)
def test_lying_headers(tmp_path, header, said) -> None:
    assert said in refusal(raw(tmp_path / "a", header, bytes(12)))


@pytest.mark.parametrize("length", [2**62, 10**8 + 1, 500])
def test_a_header_longer_than_the_file(tmp_path, length) -> None:
    (tmp_path / "a").write_bytes(length.to_bytes(8, "little") + b"{}")
    assert (
        refusal(tmp_path / "a")
        == f"FILE: truncated or no safetensors file (a header of {length} bytes in a file of 10)"
    )


class Trap:
    """Unpickling it would fail the test."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return pytest.fail, ("a pickle was executed",)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_is_not_executed(tmp_path, protocol) -> None:
    (tmp_path / "a").write_bytes(pickle.dumps(Trap(), protocol=protocol))
    assert "FILE: is a pickle (it may run code when opened), not a safetensors file" in refusal(tmp_path / "a")


@pytest.mark.parametrize("legacy", [False, True])
def test_what_torch_saves_is_not_executed(tmp_path, legacy) -> None:
    torch.save({"x": Trap()}, tmp_path / "a", _use_new_zipfile_serialization=not legacy)
    assert "it may run code when opened), not a safetensors file" in refusal(tmp_path / "a")


def test_a_header_whose_length_begins_like_a_pickle_is_read(tmp_path) -> None:
    text = json.dumps({"__metadata__": {"a": ""}})
    header = json.dumps({"__metadata__": {"a": "x" * (0x0280 - len(text))}}).encode()
    assert len(header).to_bytes(8, "little")[:2] == b"\x80\x02"
    with TensorFile(raw(tmp_path / "a", header)) as file:
        assert file.read() == {}


def test_a_missing_file(tmp_path) -> None:
    assert refusal(tmp_path / "a") == "FILE: cannot be read (No such file or directory)"


def test_images_are_no_pickles() -> None:
    assert what_else(b"\x89PNG\r\n\x1a\n") is None
